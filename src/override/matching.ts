import type { ResourceSelector } from "#apis/karmada";
import { compileLabelSelector, type KubeObject, type LabelSelector } from "#machinery";

/** How precisely a selector speaks of an object: by name, by labels, or of all; 0 when it does not. */
export type ImplicitPriority = 0 | 1 | 2 | 3;
export const MATCHES_NONE = 0;
export const MATCHES_ALL = 1;
export const MATCHES_LABELS = 2;
export const MATCHES_NAME = 3;

export function selectorPriority(selector: ResourceSelector, object: KubeObject): ImplicitPriority {
  if (selector.apiVersion !== object.apiVersion || selector.kind !== object.kind) return MATCHES_NONE;
  if (selector.namespace && selector.namespace !== (object.metadata.namespace ?? "")) return MATCHES_NONE;
  if (selector.name) return selector.name === object.metadata.name ? MATCHES_NAME : MATCHES_NONE;
  if (selector.labelSelector === undefined) return MATCHES_ALL;
  return compileLabelSelector(selector.labelSelector as LabelSelector)?.(object.metadata.labels)
    ? MATCHES_LABELS
    : MATCHES_NONE;
}

/** The best of several selectors. */
export function selectorsPriority(selectors: readonly ResourceSelector[], object: KubeObject): ImplicitPriority {
  let best: ImplicitPriority = MATCHES_NONE;
  for (const selector of selectors) {
    const priority = selectorPriority(selector, object);
    if (priority > best) best = priority;
  }
  return best;
}
