import type { KubeObject, ResourceKind } from "#machinery";

interface Node {
  readonly kind: ResourceKind;
  readonly object: KubeObject;
}

/** Who owns whom, by uid, kept from the events of all kinds. */
export class OwnerGraph {
  readonly #nodes = new Map<string, Node>();
  readonly #dependents = new Map<string, Map<string, Node>>();

  get(uid: string): Node | undefined {
    return this.#nodes.get(uid);
  }

  dependentsOf(uid: string): readonly Node[] {
    return [...(this.#dependents.get(uid)?.values() ?? [])];
  }

  /** Takes one event; gives the uids that must be looked at. */
  apply(type: "added" | "updated" | "deleted", kind: ResourceKind, object: KubeObject): readonly string[] {
    const uid = object.metadata.uid ?? "";
    const before = this.#nodes.get(uid);
    const work: string[] = [];
    for (const { uid: owner } of before?.object.metadata.ownerReferences ?? [])
      this.#dependents.get(owner)?.delete(uid);
    const owners = object.metadata.ownerReferences ?? [];
    if (type === "deleted") {
      this.#nodes.delete(uid);
      if ((this.#dependents.get(uid)?.size ?? 0) > 0) work.push(uid);
      else this.#dependents.delete(uid);
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
