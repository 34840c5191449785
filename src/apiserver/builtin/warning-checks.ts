/** What several kinds are warned of, in kube-apiserver's words. */
import { parseQuantity } from "#machinery";
import { type List, listAt } from "./checks.ts";
import type { Json } from "./pod-defaults.ts";

const OLD_LABELS: Readonly<Record<string, readonly [since: string, instead: string]>> = {
  "beta.kubernetes.io/arch": ["v1.14", "kubernetes.io/arch"],
  "beta.kubernetes.io/os": ["v1.14", "kubernetes.io/os"],
  "failure-domain.beta.kubernetes.io/region": ["v1.17", "topology.kubernetes.io/region"],
  "failure-domain.beta.kubernetes.io/zone": ["v1.17", "topology.kubernetes.io/zone"],
  "beta.kubernetes.io/instance-type": ["v1.17", "node.kubernetes.io/instance-type"],
};
const OLD_VOLUMES: readonly (readonly [member: string, shown: string, text: string])[] = [
  ["photonPersistentDisk", "photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"],
  ["gitRepo", "gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"],
  ["scaleIO", "scaleIO", "deprecated in v1.16, non-functional in v1.22+"],
  ["flocker", "flocker", "deprecated in v1.22, non-functional in v1.25+"],
  ["storageos", "storageOS", "deprecated in v1.22, non-functional in v1.25+"],
  ["quobyte", "quobyte", "deprecated in v1.22, non-functional in v1.25+"],
  ["glusterfs", "glusterfs", "deprecated in v1.25, non-functional in v1.26+"],
  ["cephfs", "cephfs", "deprecated in v1.28, non-functional in v1.31+"],
  ["rbd", "rbd", "deprecated in v1.28, non-functional in v1.31+"],
];
const NANO = 1_000_000_000n;

/** Volume plugins that are gone, as fields of something. */
export const oldVolumeWarnings = (source: Json, path: string): readonly string[] =>
  OLD_VOLUMES.flatMap(([member, shown, text]) => (source[member] === undefined ? [] : [`${path}.${shown}: ${text}`]));

/** A label that was called otherwise once, in a place that names labels. */
export function oldLabelWarning(key: unknown, path: string, isNamed = true): readonly string[] {
  const found = OLD_LABELS[String(key)];
  if (found === undefined) return [];
  return [`${path}: ${isNamed ? `${String(key)} is ` : ""}deprecated since ${found[0]}; use "${found[1]}" instead`];
}

export const termWarnings = (terms: List, path: string): readonly string[] =>
  terms.flatMap((term, at) => expressionWarnings(term, `${path}[${at}]`));
const expressionWarnings = (term: unknown, path: string) =>
  listAt(term, "matchExpressions").flatMap(({ key }, at) =>
    oldLabelWarning(key, `${path}.matchExpressions[${at}].key`),
  );

/** Amounts of bytes below one. */
export function fractionWarnings(amounts: unknown, names: readonly string[], path: string): readonly string[] {
  return names.flatMap((name) => {
    const amount = (amounts as Json | undefined)?.[name];
    const quantity = typeof amount === "string" ? parseQuantity(amount) : undefined;
    return quantity !== undefined && quantity.nano % NANO !== 0n
      ? [`${path}[${name}]: fractional byte value ${JSON.stringify(amount)} is invalid, must be an integer`]
      : [];
  });
}
