import { createHash } from "node:crypto";
import { type AnyBinding, type AnyPropagationPolicy, SKIP_AUTO_PROPAGATION } from "#apis/karmada";
import { deepEqual } from "#base";
import { type KubeObject, writeJson } from "#machinery";

/** Whether a policy takes effect only when the user next changes the template. */
export const isLazy = (policy: AnyPropagationPolicy): boolean => policy.spec.activationPreference === "Lazy";

/**
 * On bindings of lazily activated policies: what the user had said of the template when the policy last took effect. On
 * templates that wait for the user and have no binding yet: what he had said when they were claimed.
 */
export const TEMPLATE_DIGEST = "detector.flotilla.io/template-digest";

const isMark = (key: string) => key.includes(".karmada.io") || key === TEMPLATE_DIGEST;

/** What a user says of an object: everything but status, bookkeeping and marks of the control plane. */
function userContent(object: KubeObject): unknown {
  const { status: _status, metadata, ...rest } = object as KubeObject & { readonly status?: unknown };
  const {
    labels,
    annotations,
    managedFields: _fields,
    resourceVersion: _version,
    generation: _generation,
    ...meta
  } = metadata;
  const users = (keys: Readonly<Record<string, string>> | undefined) =>
    Object.fromEntries(Object.entries(keys ?? {}).filter(([key]) => key === SKIP_AUTO_PROPAGATION || !isMark(key)));
  return { ...rest, metadata: { ...meta, labels: users(labels), annotations: users(annotations) } };
}

/** Whether a template changed only by marks of the control plane, which a lazily activated policy does not act upon. */
export const isChangedByMarksOnly = (old: KubeObject, now: KubeObject): boolean =>
  deepEqual(userContent(old), userContent(now));

export function userDigest(object: KubeObject): string {
  const sorted = (_key: string, value: unknown) =>
    typeof value === "object" && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
      : value;
  return createHash("sha256")
    .update(writeJson(userContent(object), sorted))
    .digest("base64url")
    .slice(0, 27);
}

/**
 * Whether a template a lazy policy claims is as it was when that policy last acted on it: a start activates nothing. A
 * binding that others depend on may be there before the policy has acted; then the template itself still tells.
 */
export const isAsLastSeen = (template: KubeObject, binding: AnyBinding | undefined): boolean =>
  [binding, template].map((object) => object?.metadata.annotations?.[TEMPLATE_DIGEST]).find((digest) => digest) ===
  userDigest(template);
