import { getPath, type KubeObject } from "#machinery";
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

function selectorText(selector: unknown): string {
  const labels =
    getPath(selector, "matchLabels") ?? (getPath(selector, "matchExpressions") === undefined ? selector : {});
  return Object.entries(labels as Readonly<Record<string, string>>)
    .map(([key, value]) => `${key}=${value}`)
    .sort()
    .join(",");
}
