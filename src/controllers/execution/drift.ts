import { MANAGED_ANNOTATIONS, MANAGED_LABELS } from "#apis/karmada";
import type { KubeObject, StringMap } from "#machinery";
import { MANIFEST_DIGEST } from "./plan.ts";

/**
 * Whether a change of a member's object may be a drift from its manifest, so that a reconcile is to compare them. A rollout
 * changes an object's status several times and notes its revision beside it, and none of that is asked about.
 * `written` is the version we wrote or confirmed last; `manifest` is looked for only where it matters.
 */
export function mayDrift(
  object: KubeObject,
  old: KubeObject,
  written: string | undefined,
  manifest: () => KubeObject | undefined,
): boolean {
  if (object.metadata.resourceVersion === written) return false;
  if (written !== undefined && object.metadata.generation !== old.metadata.generation) return true;
  // Kinds that count no generations: a status or anything else may have moved the version.
  if (written !== undefined && object.metadata.generation === undefined) return true;
  const labels = changedKeys(object.metadata.labels, old.metadata.labels);
  const annotations = changedKeys(object.metadata.annotations, old.metadata.annotations);
  if (labels.length + annotations.length === 0) return false;
  const wanted = manifest()?.metadata;
  if (wanted === undefined) return true;
  const owned = old.metadata.annotations ?? {};
  return (
    labels.some((key) => isOurs(key, wanted.labels, owned[MANAGED_LABELS])) ||
    annotations.some((key) => key === MANIFEST_DIGEST || isOurs(key, wanted.annotations, owned[MANAGED_ANNOTATIONS]))
  );
}

/** Keys the manifest sets, and those an earlier one did: others add what they like. */
const isOurs = (key: string, wanted: StringMap | undefined, managed: string | undefined): boolean =>
  wanted?.[key] !== undefined || (managed ?? "").split(",").includes(key);

function changedKeys(now: StringMap | undefined, old: StringMap | undefined): readonly string[] {
  if (now === old) return [];
  const keys = new Set([...Object.keys(now ?? {}), ...Object.keys(old ?? {})]);
  return [...keys].filter((key) => now?.[key] !== old?.[key]);
}
