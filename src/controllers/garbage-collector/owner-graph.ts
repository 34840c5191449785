import type { KubeObject, ResourceKind } from "#machinery";

interface Node {
  readonly kind: ResourceKind;
  readonly object: KubeObject;
}

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
    const owners = object.metadata.ownerReferences ?? [];
    for (const { uid: owner } of before?.object.metadata.ownerReferences ?? []) {
      const dependents = this.#dependents.get(owner);
      dependents?.delete(uid);
      const isLetGo = type === "deleted" || !owners.some((reference) => reference.uid === owner);
      if (dependents?.size === 0 && isLetGo) this.#gone.delete(owner);
    }
    if (type === "deleted") {
      this.#nodes.delete(uid);
      if ((this.#dependents.get(uid)?.size ?? 0) > 0) {
        this.#gone.add(uid);
        work.push(uid);
      } else this.#dependents.delete(uid);
      // An owner that waits for its dependents may go now.
      for (const { uid: owner } of owners)
        if (this.#nodes.get(owner)?.object.metadata.deletionTimestamp !== undefined) work.push(owner);
      return work;
    }
    const node = { kind, object };
    this.#nodes.set(uid, node);
    for (const { uid: owner } of owners) {
      let dependents = this.#dependents.get(owner);
      if (dependents === undefined) this.#dependents.set(owner, (dependents = new Map()));
      dependents.set(uid, node);
      if (!this.#nodes.has(owner)) work.push(owner);
    }
    if (object.metadata.deletionTimestamp !== undefined && (object.metadata.finalizers ?? []).length > 0)
      work.push(uid);
    return work;
  }
}
