import { hash } from "node:crypto";
import {
  CLUSTER_PROPAGATION_POLICY_ID,
  CLUSTER_PROPAGATION_POLICY_NAME,
  CLUSTER_RESOURCE_BINDING_ID,
  CLUSTER_RESOURCE_BINDING_NAME,
  CONFLICT_RESOLUTION,
  MANAGED,
  MANAGED_ANNOTATIONS,
  MANAGED_LABELS,
  PROPAGATION_POLICY_ID,
  PROPAGATION_POLICY_NAME,
  PROPAGATION_POLICY_NAMESPACE,
  RESOURCE_BINDING_ID,
  RESOURCE_BINDING_NAME,
  RESOURCE_BINDING_NAMESPACE,
  TEMPLATE_GENERATION,
  TEMPLATE_UID,
  type Work,
  WORK_ID,
  WORK_NAME,
  WORK_NAMESPACE,
} from "#apis/karmada";
import { copyWith, deepEqual } from "#base";
import { type Interpreter, pruneManifest, retainMetadata } from "#interpreter";
import { formatTime, type KubeObject, withAnnotations, withLabels, writeJson } from "#machinery";

/** What to do with one manifest, given what stands in the member. */
export type ManifestPlan =
  | { readonly action: "create"; readonly object: KubeObject }
  | { readonly action: "update"; readonly object: KubeObject }
  | { readonly action: "none" }
  | { readonly action: "refuse"; readonly message: string };

/**
 * On member objects: a digest of the manifest they were written from. Without it a restart could not tell what the
 * member's defaults added from what an earlier manifest left behind.
 */
export const MANIFEST_DIGEST = "execution.flotilla.io/manifest-digest";

/** Digests of manifests and observed objects, which are asked for several times in one go. */
const digests = new WeakMap<KubeObject, string>();

/** A digest of what an object says, apart from metadata and status. */
export function contentDigest(object: KubeObject): string {
  let digest = digests.get(object);
  if (digest === undefined) {
    const { metadata: _metadata, status: _status, ...content } = object as KubeObject & { readonly status?: unknown };
    digest = hash("sha256", writeJson(content), "base64url").slice(0, 27);
    digests.set(object, digest);
  }
  return digest;
}

/**
 * Compares desired with actual; an object that is not ours is refused unless the template says to overwrite. `settled` is
 * the digest of the object as the member returned it after our last write, where that is known; `adjust` has the last word
 * on what is desired.
 */
export function planManifest(
  source: KubeObject,
  observed: KubeObject | undefined,
  cluster: string,
  interpreter: Interpreter,
  settled?: string,
  adjust: (desired: KubeObject) => KubeObject = (desired) => desired,
): ManifestPlan {
  const manifest = withAnnotations(source, { [MANIFEST_DIGEST]: contentDigest(source) });
  if (observed === undefined) return { action: "create", object: manifest };
  const isOurs = observed.metadata.labels?.[MANAGED] === "true";
  if (!isOurs && manifest.metadata.annotations?.[CONFLICT_RESOLUTION] !== "overwrite") {
    const { namespace = "", name } = manifest.metadata;
    return {
      action: "refuse",
      message: `resource(kind=${manifest.kind}, ${namespace}/${name}) already exists in the cluster ${cluster} and the work.karmada.io/conflict-resolution strategy value is empty, Karmada will not manage this resource`,
    };
  }
  const desired = adjust(interpreter.retain(retainMetadata(manifest, observed), observed));
  const isUntouched = settled === undefined || settled === contentDigest(observed);
  return isUntouched && isApplied(desired, observed) ? { action: "none" } : { action: "update", object: desired };
}

const EXACT_FIELDS: Readonly<Record<string, readonly string[]>> = {
  ConfigMap: ["data", "binaryData"],
  Secret: ["data"],
};

/** Whether the member's object already is what is desired; members fill in defaults, which is no difference. */
export function isApplied(desired: KubeObject, observed: KubeObject): boolean {
  const { metadata: wanted, ...want } = pruneManifest(desired) as KubeObject & Readonly<Record<string, unknown>>;
  // What a manifest never carries is taken from both sides, or a member's own mark would look like drift for ever.
  const { metadata: present, ...have } = pruneManifest(observed) as KubeObject & Readonly<Record<string, unknown>>;
  // Nothing fills in defaults here, so that what is too much was put there by somebody.
  const exact =
    desired.apiVersion === "v1" && want["type"] !== "kubernetes.io/service-account-token"
      ? (EXACT_FIELDS[desired.kind] ?? [])
      : [];
  if (!exact.every((field) => deepEqual(want[field] ?? {}, have[field] ?? {}))) return false;
  return (
    deepEqual(wanted.labels ?? {}, present.labels ?? {}) &&
    deepEqual(wanted.annotations ?? {}, present.annotations ?? {}) &&
    contains(have, want)
  );
}

/** Whether everything `wanted` says holds in `actual`, which may say more. Lists must be of equal length. */
function contains(actual: unknown, wanted: unknown): boolean {
  if (wanted === null || wanted === undefined) return true;
  if (Array.isArray(wanted))
    return Array.isArray(actual)
      ? actual.length === wanted.length && wanted.every((item, at) => contains(actual[at], item))
      : wanted.length === 0 && actual === undefined;
  if (typeof wanted === "object") {
    if (actual === undefined && Object.keys(wanted).length === 0) return true;
    if (typeof actual !== "object" || actual === null || Array.isArray(actual)) return false;
    return Object.entries(wanted).every(([key, value]) =>
      contains((actual as Readonly<Record<string, unknown>>)[key], value),
    );
  }
  return actual === wanted;
}

const RELEASED_LABELS = [
  PROPAGATION_POLICY_ID,
  CLUSTER_PROPAGATION_POLICY_ID,
  RESOURCE_BINDING_ID,
  CLUSTER_RESOURCE_BINDING_ID,
  WORK_ID,
  MANAGED,
];
const RELEASED_ANNOTATIONS = [
  PROPAGATION_POLICY_NAMESPACE,
  PROPAGATION_POLICY_NAME,
  CLUSTER_PROPAGATION_POLICY_NAME,
  MANAGED_ANNOTATIONS,
  MANAGED_LABELS,
  RESOURCE_BINDING_NAMESPACE,
  RESOURCE_BINDING_NAME,
  CLUSTER_RESOURCE_BINDING_NAME,
  TEMPLATE_UID,
  TEMPLATE_GENERATION,
  WORK_NAME,
  WORK_NAMESPACE,
  CONFLICT_RESOLUTION,
  MANIFEST_DIGEST,
];

/** The member's object without our marks: it stays, and is nobody's but the member's. */
export function releasedObject(observed: KubeObject): KubeObject {
  const none = (keys: readonly string[]) => Object.fromEntries(keys.map((key) => [key, undefined]));
  return withAnnotations(withLabels(observed, none(RELEASED_LABELS)), none(RELEASED_ANNOTATIONS));
}

export interface WorkCondition {
  readonly type: string;
  readonly status: "True" | "False";
  readonly reason: string;
  readonly message: string;
}

/** Whether a condition of the same type says it already. */
export const isSaid = (
  { status, reason, message }: WorkCondition,
  before: { readonly status: string; readonly reason?: string; readonly message?: string },
): boolean => before.status === status && before.reason === reason && before.message === message;

/** The Work's status with one condition set; the same status when it says so already. */
export function withCondition(work: Work, condition: WorkCondition, nowMs: number): NonNullable<Work["status"]> {
  const status = work.status ?? {};
  const conditions = status.conditions ?? [];
  const before = conditions.find(({ type }) => type === condition.type);
  if (before !== undefined && isSaid(condition, before)) return status;
  const next = copyWith(condition, {
    lastTransitionTime: before?.status === condition.status ? before.lastTransitionTime : formatTime(nowMs),
  });
  return {
    ...status,
    conditions:
      before === undefined
        ? [...conditions, next]
        : conditions.map((present) => (present.type === condition.type ? next : present)),
  } as NonNullable<Work["status"]>;
}
