import { copyWith } from "#base";
import type { KubeObject } from "#machinery";

const kindKey = ({ apiVersion, kind }: Pick<KubeObject, "apiVersion" | "kind">) => `${apiVersion} ${kind}`;

/**
 * Templates that wait for a policy, by kind: a policy looks at those of the kinds it selects only. What selectors look at is
 * kept of them and no more: whole ones would be held decoded for as long as no policy wants them.
 */
export class WaitingTemplates {
  readonly #byKind = new Map<string, Map<string, KubeObject>>();

  /** `key` tells templates of one kind apart. */
  set(key: string, template: KubeObject): void {
    const { apiVersion, kind, metadata } = template;
    const { name = "", namespace, labels } = metadata;
    const named = namespace === undefined ? { name } : { name, namespace };
    const at = kindKey(template);
    let ofKind = this.#byKind.get(at);
    if (ofKind === undefined) this.#byKind.set(at, (ofKind = new Map()));
    ofKind.set(key, { apiVersion, kind, metadata: labels === undefined ? named : copyWith(named, { labels }) });
  }

  delete(key: string, of: Pick<KubeObject, "apiVersion" | "kind">): void {
    const ofKind = this.#byKind.get(kindKey(of));
    ofKind?.delete(key);
    if (ofKind?.size === 0) this.#byKind.delete(kindKey(of));
  }

  /** Those of the kinds that selectors name, each once. */
  *selectable(selectors: readonly Pick<KubeObject, "apiVersion" | "kind">[]): Iterable<KubeObject> {
    for (const key of new Set(selectors.map(kindKey))) yield* this.#byKind.get(key)?.values() ?? [];
  }
}
