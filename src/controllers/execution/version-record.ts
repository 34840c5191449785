import { keyOf, type KubeObject } from "#machinery";

/** The version of each member object we wrote or confirmed last, to tell our own writes from others'. */
export class VersionRecord {
  readonly #versions = new Map<string, Map<string, string>>();

  get(cluster: string, object: KubeObject): string | undefined {
    return this.#versions.get(cluster)?.get(recordKey(object));
  }

  set(cluster: string, object: KubeObject): void {
    let own = this.#versions.get(cluster);
    if (own === undefined) this.#versions.set(cluster, (own = new Map()));
    own.set(recordKey(object), object.metadata.resourceVersion ?? "");
  }

  delete(cluster: string, object: KubeObject): void {
    this.#versions.get(cluster)?.delete(recordKey(object));
  }
}

const recordKey = (object: KubeObject) => `${object.apiVersion}/${object.kind} ${keyOf(object)}`;
