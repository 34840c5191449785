import type { KubeObject } from "#machinery";
import type { ApiServer } from "../server.ts";

/** All objects of one resource of admission, compiled when they change, in order of their names. */
export class CompiledObjects<T> {
  readonly #server: ApiServer;
  readonly #resource: string;
  readonly #compile: (object: KubeObject) => T;
  readonly #items = new Map<string, T>();
  #sorted: readonly T[] = [];

  constructor(server: ApiServer, resource: string, compile: (object: KubeObject) => T) {
    this.#server = server;
    this.#resource = resource;
    this.#compile = compile;
  }

  /** In order of names; the same array until something changes. */
  get all(): readonly T[] {
    return this.#sorted;
  }

  get(name: string): T | undefined {
    return this.#items.get(name);
  }

  async start(): Promise<void> {
    const definition = this.#server.registry.find("admissionregistration.k8s.io", "v1", this.#resource);
    if (definition === undefined) return;
    const store = this.#server.store(definition);
    await store.load();
    for (const [, { object }] of store.range(undefined)) this.#put(object);
    this.#sort();
    store.watch({
      event: ({ type, object }) => {
        if (type === "DELETED") this.#items.delete(object.metadata.name ?? "");
        else this.#put(object);
        this.#sort();
      },
      closed() {},
    });
  }

  #put(object: KubeObject): void {
    this.#items.set(object.metadata.name ?? "", this.#compile(object));
  }

  #sort(): void {
    this.#sorted = [...this.#items].sort(([left], [right]) => (left < right ? -1 : 1)).map(([, item]) => item);
  }
}
