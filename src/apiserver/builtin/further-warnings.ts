/** What writers of other kinds should know, in kube-apiserver's words. */
import type { JsonSchema, KubeObject } from "#machinery";
import type { Strategy } from "../definition.ts";
import { listAt, valueAt, FORMER_CLASS } from "./checks.ts";
import type { Json } from "./pod-defaults.ts";
import { fractionWarnings, oldLabelWarning, oldVolumeWarnings, termWarnings } from "./warning-checks.ts";

const OLD_CLASS = `metadata.annotations[${FORMER_CLASS}]: deprecated since v1.8; use "storageClassName" attribute instead`;

const annotated = (object: KubeObject, key: string) => object.metadata.annotations?.[key] !== undefined;

function volumeWarnings(volume: KubeObject): readonly string[] {
  const spec = (valueAt(volume, "spec") ?? {}) as Json;
  const path = "spec.nodeAffinity.required.nodeSelectorTerms";
  return [
    ...(annotated(volume, FORMER_CLASS) ? [OLD_CLASS] : []),
    ...(spec["persistentVolumeReclaimPolicy"] === "Recycle"
      ? [
          "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning.",
        ]
      : []),
    ...termWarnings(listAt(spec, "nodeAffinity.required.nodeSelectorTerms"), path),
    ...oldVolumeWarnings(spec, "spec"),
  ];
}

/** Formats that Kubernetes reads without checking them. */
const KNOWN_FORMATS = new Set(
  "bsonobjectid uri email hostname ipv4 ipv6 cidr mac uuid uuid3 uuid4 uuid5 isbn isbn10 isbn13 creditcard ssn hexcolor rgbcolor byte password duration datetime date-time date k8s-short-name k8s-long-name int32 int64 float double".split(
    " ",
  ),
);
const NUMBER_FORMATS = new Set(["int32", "int64", "float", "double"]);
const DEPTH_MAX = 100;

function formatsOf(schema: JsonSchema | undefined, depth = 0): readonly string[] {
  if (typeof schema !== "object" || schema === null || depth > DEPTH_MAX) return [];
  const { format, type, properties = {}, items, additionalProperties } = schema;
  const isNumber = type === "integer" || type === "number";
  const isUnknown =
    format !== undefined && format !== "" && !(KNOWN_FORMATS.has(format) && isNumber === NUMBER_FORMATS.has(format));
  return [
    ...(isUnknown ? [format] : []),
    ...Object.values(properties).flatMap((child) => formatsOf(child, depth + 1)),
    ...(Array.isArray(items) ? [] : formatsOf(items, depth + 1)),
    ...(typeof additionalProperties === "object" ? formatsOf(additionalProperties, depth + 1) : []),
  ];
}

function definitionWarnings(crd: KubeObject, old: KubeObject | undefined): readonly string[] {
  const formats = (object: KubeObject | undefined) =>
    listAt(object, "spec.versions").flatMap((version) =>
      formatsOf(valueAt(version, "schema.openAPIV3Schema") as JsonSchema | undefined),
    );
  const before = new Set(old === undefined ? [] : formats(old));
  return [...new Set(formats(crd))]
    .filter((format) => !before.has(format))
    .sort()
    .map((format) => `unrecognized format ${JSON.stringify(format)}`);
}

/** Jobs of so many indexes that not all that fail may be told apart. */
function indexWarnings(spec: unknown, path: string): string[] {
  const isMany =
    valueAt(spec, "completionMode") === "Indexed" &&
    Number(valueAt(spec, "completions") ?? 0) > 100_000 &&
    Number(valueAt(spec, "parallelism") ?? 0) > 10_000;
  return isMany
    ? [
        `${path}: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, Kubernetes might not be able to track completedIndexes when a big number of indexes fail`,
      ]
    : [];
}

const furtherWarnings: Readonly<Record<string, Strategy>> = {
  PersistentVolume: { warnings: volumeWarnings },
  PersistentVolumeClaim: {
    warnings: (claim) => [
      ...(annotated(claim, FORMER_CLASS) ? [OLD_CLASS] : []),
      ...fractionWarnings(valueAt(claim, "spec.resources.requests"), ["storage"], "spec.resources.requests"),
    ],
  },
  "storage.k8s.io/StorageClass": {
    warnings: (object) =>
      listAt(object, "allowedTopologies").flatMap((term, at) =>
        listAt(term, "matchLabelExpressions").flatMap(({ key }, number) =>
          oldLabelWarning(key, `allowedTopologies[${at}].matchLabelExpressions[${number}].key`, false),
        ),
      ),
  },
  "node.k8s.io/RuntimeClass": {
    warnings: (object) =>
      Object.keys((valueAt(object, "scheduling.nodeSelector") ?? {}) as object)
        .sort()
        .flatMap((key) => oldLabelWarning(key, "scheduling.nodeSelector", false)),
  },
  "apps/StatefulSet": {
    warnings: (object) =>
      Number(valueAt(object, "spec.revisionHistoryLimit") ?? 0) < 0
        ? ["spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended"]
        : [],
  },
  "batch/Job": { warnings: (job) => indexWarnings(valueAt(job, "spec"), "spec") },
  "batch/CronJob": { warnings: (job) => indexWarnings(valueAt(job, "spec.jobTemplate.spec"), "spec.jobTemplate.spec") },
  "apiextensions.k8s.io/CustomResourceDefinition": { warnings: definitionWarnings },
};

/** Warnings of kinds that have none among their other rules. */
export const warningsOf = (key: string): Strategy | undefined => furtherWarnings[key];
