import { type FieldError, fieldInvalid, getPath, goText, isJsonObject, type KubeObject } from "#machinery";
import type { ResourceDefinition, ScalePaths } from "./definition.ts";

/** The autoscaling/v1 Scale of an object. */
export function scaleOf(definition: ResourceDefinition, object: KubeObject): KubeObject {
  const paths = definition.scale ?? {
    spec: ["spec", "replicas"],
    status: ["status", "replicas"],
    selector: ["spec", "selector"],
  };
  const selector = paths.selector === undefined ? undefined : getPath(object, ...paths.selector);
  const { name, namespace, uid, resourceVersion, creationTimestamp } = object.metadata;
  const replicas = (getPath(object, ...paths.spec) as number | undefined) ?? 0;
  return {
    apiVersion: "autoscaling/v1",
    kind: "Scale",
    metadata: { name, namespace, uid, resourceVersion, creationTimestamp } as KubeObject["metadata"],
    // None is written as nothing, as in Kubernetes.
    spec: replicas > 0 ? { replicas } : {},
    status: {
      replicas: (getPath(object, ...paths.status) as number | undefined) ?? 0,
      ...(selector === undefined ? {} : { selector: typeof selector === "string" ? selector : selectorText(selector) }),
    },
  } as unknown as KubeObject;
}

const REPLICAS_MAX = 2 ** 31 - 1;

/** What is wrong with what a custom object says of its scale in one of its parts, at the paths its definition names. */
export function scaleErrors(object: KubeObject, paths: ScalePaths, part: "spec" | "status"): readonly FieldError[] {
  const { selector } = paths;
  return [...replicasErrors(object, paths[part]), ...(selector?.[0] === part ? selectorErrors(object, selector) : [])];
}

/** The replicas must be a count. */
function replicasErrors(object: KubeObject, path: readonly string[]): readonly FieldError[] {
  const { value: replicas, why } = readAt(object, path, "int64");
  const field = `.${path.join(".")}`;
  if (why !== undefined) return [fieldInvalid(field, 0, why)];
  if (typeof replicas !== "number" && typeof replicas !== "bigint") return [];
  if (replicas < 0) return [fieldInvalid(field, replicas, "should be a non-negative integer")];
  return replicas > REPLICAS_MAX
    ? [fieldInvalid(field, replicas, `should be less than or equal to ${REPLICAS_MAX}`)]
    : [];
}

/** The selector must be a text. */
function selectorErrors(object: KubeObject, path: readonly string[]): readonly FieldError[] {
  const { why } = readAt(object, path, "string");
  return why === undefined ? [] : [fieldInvalid(`.${path.join(".")}`, "", why)];
}

/** The value at a path, or why there is none of the type that is wanted. */
function readAt(
  object: KubeObject,
  path: readonly string[],
  wanted: "int64" | "string",
): { readonly value?: unknown; readonly why?: string } {
  let at: unknown = object;
  const mistake = (expected: string) => ({
    why: `.${path.join(".")} accessor error: ${goText(at)} is of the type ${goTypeOf(at)}, expected ${expected}`,
  });
  for (const name of path) {
    if (at === undefined || at === null) return {};
    if (!isJsonObject(at)) return mistake("map[string]interface{}");
    at = Object.hasOwn(at, name) ? at[name] : undefined;
  }
  if (at === undefined || at === null) return {};
  return goTypeOf(at) === wanted ? { value: at } : mistake(wanted);
}

function goTypeOf(value: unknown): string {
  if (Array.isArray(value)) return "[]interface {}";
  if (typeof value === "object") return "map[string]interface {}";
  if (typeof value === "bigint") return "int64";
  return typeof value === "boolean"
    ? "bool"
    : typeof value !== "number"
      ? "string"
      : Number.isInteger(value)
        ? "int64"
        : "float64";
}

function selectorText(selector: unknown): string {
  const labels =
    getPath(selector, "matchLabels") ?? (getPath(selector, "matchExpressions") === undefined ? selector : {});
  return Object.entries(labels as Readonly<Record<string, string>>)
    .map(([key, value]) => `${key}=${value}`)
    .sort()
    .join(",");
}
