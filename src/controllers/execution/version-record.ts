import { keyOf, type KubeObject } from "#machinery";
import { contentDigest } from "./plan.ts";

interface Written {
  readonly version: string;
  readonly digest: string;
}

/** Reads the answer of a member; throws where that is no object. */
type Unread = () => KubeObject;

/**
 * The version of each member object we wrote or confirmed last, to tell our own writes from others', and a digest of what
 * the member made of it. It is a shortcut only: after a restart the object's own digest annotation stands in.
 */
export class VersionRecord {
  readonly #versions = new Map<string, Map<string, Written | Unread>>();

  get(cluster: string, object: KubeObject): string | undefined {
    return this.#known(cluster, recordKey(object))?.version;
  }

  digestOf(cluster: string, object: KubeObject): string | undefined {
    return this.#known(cluster, recordKey(object))?.digest;
  }

  set(cluster: string, object: KubeObject): void {
    const key = recordKey(object);
    const version = object.metadata.resourceVersion ?? "";
    const own = this.#of(cluster);
    const known = own.get(key);
    if (typeof known === "function" || known?.version !== version)
      own.set(key, { version, digest: contentDigest(object) });
  }

  /** What the member made of `object` is read once somebody asks. */
  setUnread(cluster: string, object: KubeObject, read: Unread): void {
    this.#of(cluster).set(recordKey(object), read);
  }

  delete(cluster: string, object: KubeObject): void {
    this.#versions.get(cluster)?.delete(recordKey(object));
  }

  #of(cluster: string): Map<string, Written | Unread> {
    let own = this.#versions.get(cluster);
    if (own === undefined) this.#versions.set(cluster, (own = new Map()));
    return own;
  }

  #known(cluster: string, key: string): Written | undefined {
    const own = this.#versions.get(cluster);
    const known = own?.get(key);
    if (typeof known !== "function") return known;
    const written = writtenIn(known);
    if (written === undefined) own?.delete(key);
    else own?.set(key, written);
    return written;
  }
}

const recordKey = (object: KubeObject) => `${object.apiVersion}/${object.kind} ${keyOf(object)}`;

/** Nothing of an answer that is no object: what the member then has is compared as after a restart. */
function writtenIn(read: Unread): Written | undefined {
  try {
    const object = read();
    return { version: object.metadata.resourceVersion ?? "", digest: contentDigest(object) };
  } catch {
    return undefined;
  }
}
