import type { ResourceDefinition } from "./definition.ts";

/** What the server serves now. CRDs add and remove definitions while it runs. */
export class ResourceRegistry {
  readonly #definitions = new Map<string, ResourceDefinition>();
  readonly #listeners = new Set<() => void>();
  #generation = 0;

  /** Moves with every change; caches of discovery and schemas compare it. */
  get generation(): number {
    return this.#generation;
  }

  get all(): readonly ResourceDefinition[] {
    return [...this.#definitions.values()];
  }

  find(group: string, version: string, resource: string): ResourceDefinition | undefined {
    return this.#definitions.get(`${group}/${version}/${resource}`);
  }

  findKind(group: string, version: string, kind: string): ResourceDefinition | undefined {
    for (const definition of this.#definitions.values())
      if (
        definition.kind.kind === kind &&
        definition.kind.group === group &&
        definition.kind.version === version &&
        definition.virtual === undefined
      )
        return definition;
    return undefined;
  }

  put(definitions: readonly ResourceDefinition[]): void {
    for (const definition of definitions) this.#definitions.set(keyOf(definition), definition);
    this.#changed();
  }

  remove(definitions: readonly ResourceDefinition[]): void {
    for (const definition of definitions) this.#definitions.delete(keyOf(definition));
    this.#changed();
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #changed(): void {
    this.#generation++;
    for (const listener of [...this.#listeners]) listener();
  }
}

const keyOf = ({ kind }: ResourceDefinition) => `${kind.group}/${kind.version}/${kind.resource}`;
