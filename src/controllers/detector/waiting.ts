import type { KubeObject, ResourceKind } from "#machinery";

/** A template that no policy wanted yet. */
export interface Waiting {
  readonly kind: ResourceKind;
  readonly object: KubeObject;
}

const kindKey = ({ apiVersion, kind }: Pick<KubeObject, "apiVersion" | "kind">) => `${apiVersion} ${kind}`;

/** Templates that wait for a policy, by kind: a policy looks at those of the kinds it selects only. */
export class WaitingTemplates {
  readonly #byKind = new Map<string, Map<string, Waiting>>();

  /** `key` tells templates of one kind apart. */
  set(key: string, waiting: Waiting): void {
    const kind = kindKey(waiting.object);
    let ofKind = this.#byKind.get(kind);
    if (ofKind === undefined) this.#byKind.set(kind, (ofKind = new Map()));
    ofKind.set(key, waiting);
  }

  delete(key: string, of: Pick<KubeObject, "apiVersion" | "kind">): void {
    const ofKind = this.#byKind.get(kindKey(of));
    ofKind?.delete(key);
    if (ofKind?.size === 0) this.#byKind.delete(kindKey(of));
  }

  /** Those of the kinds that selectors name, each once. */
  *selectable(selectors: readonly Pick<KubeObject, "apiVersion" | "kind">[]): Iterable<Waiting> {
    for (const key of new Set(selectors.map(kindKey))) yield* this.#byKind.get(key)?.values() ?? [];
  }
}
