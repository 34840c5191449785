import { keyOf, type KubeObject } from "#machinery";
import { contentDigest } from "./plan.ts";

interface Written {
  readonly version: string;
  readonly digest: string;
}

/**
 * The version of each member object we wrote or confirmed last, to tell our own writes from others', and a digest of what
 * the member made of it. It is a shortcut only: after a restart the object's own digest annotation stands in.
 */
export class VersionRecord {
  readonly #versions = new Map<string, Map<string, Written>>();

  get(cluster: string, object: KubeObject): string | undefined {
    return this.#versions.get(cluster)?.get(recordKey(object))?.version;
  }

  digestOf(cluster: string, object: KubeObject): string | undefined {
    return this.#versions.get(cluster)?.get(recordKey(object))?.digest;
  }

  set(cluster: string, object: KubeObject): void {
    let own = this.#versions.get(cluster);
    if (own === undefined) this.#versions.set(cluster, (own = new Map()));
    const version = object.metadata.resourceVersion ?? "";
    const key = recordKey(object);
    if (own.get(key)?.version !== version) own.set(key, { version, digest: contentDigest(object) });
  }

  delete(cluster: string, object: KubeObject): void {
    this.#versions.get(cluster)?.delete(recordKey(object));
  }
}

const recordKey = (object: KubeObject) => `${object.apiVersion}/${object.kind} ${keyOf(object)}`;
