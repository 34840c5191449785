import { MANAGED_ANNOTATIONS, MANAGED_LABELS } from "#apis/karmada";
import { copyWithout } from "#base";
import { getPath, gvkOf, type KubeObject, setPath, type StringMap, withMetadata, withoutPath } from "#machinery";

const SERVER_FIELDS = [
  "creationTimestamp",
  "deletionTimestamp",
  "deletionGracePeriodSeconds",
  "generation",
  "managedFields",
  "resourceVersion",
  "selfLink",
  "uid",
  "ownerReferences",
  "finalizers",
] as const;
const JOB_UIDS = ["controller-uid", "batch.kubernetes.io/controller-uid"];
const JOB_LABELS = [...JOB_UIDS, "job-name", "batch.kubernetes.io/job-name"];

/** The manifest of an object: without what its API server added. */
export function pruneManifest(object: KubeObject): KubeObject {
  const { status: _status, ...rest } = object as KubeObject & { readonly status?: unknown };
  let result = { ...rest, metadata: copyWithout(rest.metadata, ...SERVER_FIELDS) } as KubeObject;
  const dropAnnotation = (key: string) => {
    result = withoutPath(result, ["metadata", "annotations", key]);
  };
  // By group and kind: other projects have Jobs and Services of their own.
  switch (`${gvkOf(result).group}/${result.kind}`) {
    case "apps/Deployment":
      dropAnnotation("deployment.kubernetes.io/revision");
      dropAnnotation("deployment.kubernetes.io/revision-history");
      break;
    case "batch/Job":
      result = withoutPath(result, ["spec", "ttlSecondsAfterFinished"]);
      if (getPath(result, "spec", "manualSelector") === true) break;
      for (const key of JOB_UIDS) result = withoutPath(result, ["spec", "selector", "matchLabels", key]);
      for (const key of JOB_LABELS) result = withoutPath(result, ["spec", "template", "metadata", "labels", key]);
      break;
    case "/Secret":
      if (getPath(result, "type") !== "kubernetes.io/service-account-token") break;
      dropAnnotation("kubernetes.io/service-account.uid");
      if (getPath(result, "data") !== undefined) result = setPath(result, ["data"], null);
      break;
    case "/ServiceAccount": {
      const secrets = getPath(result, "secrets");
      if (!Array.isArray(secrets)) break;
      const prefix = `${result.metadata.name}-token-`;
      result = setPath(
        result,
        ["secrets"],
        secrets.filter((entry) => !String(getPath(entry, "name") ?? "").startsWith(prefix)),
      );
      break;
    }
    case "/Service":
      if (getPath(result, "spec", "clusterIP") === "None") break;
      result = withoutPath(withoutPath(result, ["spec", "clusterIP"]), ["spec", "clusterIPs"]);
      break;
    case "/PersistentVolumeClaim":
      dropAnnotation("volume.kubernetes.io/selected-node");
      break;
    default:
      break;
  }
  return result;
}

function mergeKeys(
  desired: StringMap | undefined,
  observed: StringMap | undefined,
  managed: string | undefined,
): StringMap | undefined {
  const owned = new Set((managed ?? "").split(",").filter(Boolean));
  const result: Record<string, string> = { ...desired };
  for (const [key, value] of Object.entries(observed ?? {}))
    if (result[key] === undefined && !owned.has(key)) result[key] = value;
  return desired === undefined && Object.keys(result).length === 0 ? undefined : result;
}

/** What an update keeps of the object in the member: its version, its finalizers and owners, and keys that others added. */
export function retainMetadata(desired: KubeObject, observed: KubeObject): KubeObject {
  const { resourceVersion, finalizers, ownerReferences, labels, annotations } = observed.metadata;
  return withMetadata(desired, {
    resourceVersion,
    finalizers,
    ownerReferences,
    labels: mergeKeys(desired.metadata.labels, labels, annotations?.[MANAGED_LABELS]),
    annotations: mergeKeys(desired.metadata.annotations, annotations, annotations?.[MANAGED_ANNOTATIONS]),
  });
}

/** Records which labels and annotations are ours, so that those that leave the template leave the member too. */
export function recordManaged(object: KubeObject): KubeObject {
  // Both records are annotations themselves, and named before they are written.
  const annotations: Record<string, string> = {
    ...object.metadata.annotations,
    [MANAGED_ANNOTATIONS]: "",
    [MANAGED_LABELS]: keysText(object.metadata.labels),
  };
  annotations[MANAGED_ANNOTATIONS] = keysText(annotations);
  return withMetadata(object, { annotations });
}

const keysText = (map: StringMap | undefined): string =>
  Object.keys(map ?? {})
    .sort()
    .join(",");
