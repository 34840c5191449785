import { type Cached, cachedOf, type KubeObject, objectOf, type ResourceKind } from "#machinery";

/** An object of the graph; of itself it holds only what every change around it asks for. */
class Node {
  readonly kind: ResourceKind;
  /** Uids. */
  readonly owners: readonly string[];
  readonly isDeleting: boolean;
  readonly #cached: Cached;

  constructor(kind: ResourceKind, object: KubeObject) {
    this.kind = kind;
    this.owners = object.metadata.ownerReferences?.map(({ uid }) => uid) ?? NO_OWNERS;
    this.isDeleting = object.metadata.deletionTimestamp !== undefined;
    this.#cached = cachedOf(object);
  }

  get object(): KubeObject {
    return objectOf(this.#cached);
  }
}

const NO_OWNERS: readonly string[] = [];

/** Who owns whom, by uid, kept from the events of all kinds. */
export class OwnerGraph {
  readonly #nodes = new Map<string, Node>();
  readonly #dependents = new Map<string, Map<string, Node>>();
  /** Owners whose deletion was seen while something depended on them. */
  readonly #gone = new Set<string>();

  get(uid: string): Node | undefined {
    return this.#nodes.get(uid);
  }

  /** Whether an owner is known to be gone; its kind need not be served any more for that. */
  isGone(uid: string): boolean {
    return this.#gone.has(uid);
  }

  dependentsOf(uid: string): readonly Node[] {
    return [...(this.#dependents.get(uid)?.values() ?? [])];
  }

  /** Takes one event; gives the uids that must be looked at. */
  apply(type: "added" | "updated" | "deleted", kind: ResourceKind, object: KubeObject): readonly string[] {
    const uid = object.metadata.uid ?? "";
    const before = this.#nodes.get(uid);
    const work: string[] = [];
    const node = new Node(kind, object);
    const { owners } = node;
    for (const owner of before?.owners ?? NO_OWNERS) {
      const dependents = this.#dependents.get(owner);
      dependents?.delete(uid);
      const isLetGo = type === "deleted" || !owners.includes(owner);
      if (dependents?.size === 0 && isLetGo) this.#gone.delete(owner);
    }
    if (type === "deleted") {
      this.#nodes.delete(uid);
      if ((this.#dependents.get(uid)?.size ?? 0) > 0) {
        this.#gone.add(uid);
        work.push(uid);
      } else this.#dependents.delete(uid);
      // An owner that waits for its dependents may go now.
      for (const owner of owners) if (this.#nodes.get(owner)?.isDeleting === true) work.push(owner);
      return work;
    }
    this.#nodes.set(uid, node);
    for (const owner of owners) {
      let dependents = this.#dependents.get(owner);
      if (dependents === undefined) this.#dependents.set(owner, (dependents = new Map()));
      dependents.set(uid, node);
      if (!this.#nodes.has(owner)) work.push(owner);
    }
    if (node.isDeleting && (object.metadata.finalizers ?? []).length > 0) work.push(uid);
    return work;
  }
}
