import { type FieldError, fieldInvalid, getPath, isJsonObject, type KubeObject } from "#machinery";
import type { ResourceDefinition } from "./definition.ts";

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

/** What is wrong with the replicas that a custom object has at a path: they must be a count. */
export function replicasErrors(object: KubeObject, path: readonly string[]): readonly FieldError[] {
  const replicas = getPath(object, ...path);
  if (replicas === undefined || replicas === null) return [];
  const field = `.${path.join(".")}`;
  const wrong = (value: number, why: string) => [fieldInvalid(field, value, why)];
  if (typeof replicas !== "number" || !Number.isInteger(replicas))
    return wrong(
      0,
      `${field} accessor error: ${goText(replicas)} is of the type ${goTypeOf(replicas)}, expected int64`,
    );
  if (replicas < 0) return wrong(replicas, "should be a non-negative integer");
  return replicas > REPLICAS_MAX ? wrong(replicas, `should be less than or equal to ${REPLICAS_MAX}`) : [];
}

function goTypeOf(value: unknown): string {
  if (Array.isArray(value)) return "[]interface {}";
  if (typeof value === "object") return "map[string]interface {}";
  return typeof value === "boolean" ? "bool" : typeof value === "number" ? "float64" : "string";
}

/** A value as Go prints it. */
function goText(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(goText).join(" ")}]`;
  if (!isJsonObject(value)) return value === null ? "<nil>" : String(value);
  const members = Object.keys(value).sort();
  return `map[${members.map((name) => `${name}:${goText(value[name])}`).join(" ")}]`;
}

function selectorText(selector: unknown): string {
  const labels =
    getPath(selector, "matchLabels") ?? (getPath(selector, "matchExpressions") === undefined ? selector : {});
  return Object.entries(labels as Readonly<Record<string, string>>)
    .map(([key, value]) => `${key}=${value}`)
    .sort()
    .join(",");
}
