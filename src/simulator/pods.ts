import type { Pod, PodTemplateSpec } from "#apis/kubernetes";
import { fnv1a32 } from "#base";
import {
  compileLabelSelector,
  controllerReference,
  type KubeObject,
  type LabelSelector,
  type StringMap,
} from "#machinery";

/** Facts about pods that several workload controllers share. */

export function isPodReady(pod: Pod): boolean {
  return pod.status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True") ?? false;
}

export function isPodTerminal(pod: Pod): boolean {
  return pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed";
}

/** Counts towards a workload's replicas: neither finished nor on its way out. */
export function isPodActive(pod: Pod): boolean {
  return !isPodTerminal(pod) && pod.metadata.deletionTimestamp === undefined;
}

/** Which pods to give up first: unplaced, then pending, then not ready, then the youngest. */
export function byDeletionCost(left: Pod, right: Pod): number {
  const rank = (pod: Pod) =>
    (pod.spec?.nodeName ? 4 : 0) + (pod.status?.phase === "Running" ? 2 : 0) + (isPodReady(pod) ? 1 : 0);
  const cost = (pod: Pod) => Number(pod.metadata.annotations?.["controller.kubernetes.io/pod-deletion-cost"] ?? 0) || 0;
  return (
    rank(left) - rank(right) ||
    cost(left) - cost(right) ||
    (right.metadata.creationTimestamp ?? "").localeCompare(left.metadata.creationTimestamp ?? "") ||
    (left.metadata.name ?? "").localeCompare(right.metadata.name ?? "")
  );
}

export function selects(selector: LabelSelector | undefined, labels: StringMap | undefined): boolean {
  return selector !== undefined && (compileLabelSelector(selector)?.(labels) ?? false);
}

const SAFE = "bcdfghjklmnpqrstvwxz2456789";

const hashes = new WeakMap<PodTemplateSpec, string>();

/** A short stable name for a pod template, in letters that spell no words. */
export function templateHash(template: PodTemplateSpec = {}): string {
  let hash = hashes.get(template);
  if (hash === undefined) {
    const digits = String(fnv1a32(JSON.stringify(template)));
    hash = [...digits].map((digit) => SAFE[digit.charCodeAt(0) % SAFE.length]).join("");
    hashes.set(template, hash);
  }
  return hash;
}

/** The pod a workload makes from its template. */
export function podFromTemplate(
  owner: KubeObject,
  template: PodTemplateSpec | undefined,
  name: { readonly name: string } | { readonly generateName: string },
  extra: { readonly labels?: StringMap; readonly annotations?: StringMap; readonly spec?: Partial<Pod["spec"]> } = {},
): Pod {
  const metadata = template?.metadata ?? {};
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      ...name,
      ...(owner.metadata.namespace === undefined ? {} : { namespace: owner.metadata.namespace }),
      labels: { ...metadata.labels, ...extra.labels },
      ...(metadata.annotations === undefined && extra.annotations === undefined
        ? {}
        : { annotations: { ...metadata.annotations, ...extra.annotations } }),
      ...(metadata.finalizers === undefined ? {} : { finalizers: metadata.finalizers }),
      ownerReferences: [controllerReference(owner)],
    },
    spec: { ...template?.spec, ...extra.spec } as NonNullable<Pod["spec"]>,
  } as Pod;
}
