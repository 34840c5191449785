/** Flux: sources, kustomizations and releases. */
import { getPath, type KubeObject, setPath } from "#machinery";
import { list, reported, statusOf } from "../parts.ts";
import type { Dependency, Json, KindRules } from "../rules.ts";
import { isReadyFor, mergeConditions, observedGeneration, reflectFields, sumOf } from "./gather.ts";

const retain: NonNullable<KindRules["retain"]> = (desired, observed) => {
  const suspend = getPath(observed, "spec", "suspend");
  return suspend === undefined ? desired : setPath(desired, ["spec", "suspend"], suspend);
};

type Reference = readonly [kind: string, ...path: string[]];

const references =
  (...paths: readonly Reference[]): NonNullable<KindRules["dependencies"]> =>
  (object) =>
    paths.flatMap(([kind, ...path]): Dependency[] => {
      const name = getPath(object, ...path);
      return typeof name === "string" && name !== ""
        ? [{ apiVersion: "v1", kind, namespace: object.metadata.namespace ?? "", name }]
        : [];
    });

/** Aggregation of Flux kinds: conditions merged, further fields of the last item that has them. */
const aggregate =
  (fields: readonly string[], startsFromTemplate = false): NonNullable<KindRules["aggregate"]> =>
  (object, items) => {
    const before = statusOf(object) ?? {};
    const result: Record<string, unknown> = { ...before };
    for (const field of fields) {
      const nothing = field === "artifact" ? {} : "";
      result[field] = startsFromTemplate && items !== undefined ? before[field] : nothing;
      for (const { status } of reported(items))
        if (status?.[field] !== undefined && status[field] !== "") result[field] = status[field];
    }
    result["conditions"] = mergeConditions(items);
    result["observedGeneration"] = observedGeneration(object, items);
    return Object.fromEntries(
      Object.entries(result).filter(
        ([, value]) => !(typeof value === "object" && value !== null && Object.keys(value).length === 0),
      ),
    );
  };

const source = (
  fields: readonly string[],
  reflected: readonly string[],
  reasons: readonly string[],
  dependencies: NonNullable<KindRules["dependencies"]>,
): KindRules => ({
  retain,
  aggregate: aggregate(fields),
  reflect: reflectFields([...fields, ...reflected, "conditions", "observedGeneration"]),
  health: (object) => isReadyFor(object, ...reasons),
  dependencies,
});

const secret = (...path: string[]): Reference => ["Secret", ...path, "name"];

const RELEASE = [
  "lastAttemptedRevision",
  "lastAppliedRevision",
  "lastAttemptedValuesChecksum",
  "helmChart",
  "lastReleaseRevision",
];
const FAILURES = ["failures", "upgradeFailures", "installFailures"];

function aggregateRelease(object: KubeObject, items: Parameters<NonNullable<KindRules["aggregate"]>>[1]): Json {
  const before = statusOf(object) ?? {};
  const result: Record<string, unknown> = { ...aggregate(RELEASE, true)(object, items) };
  for (const field of FAILURES)
    if (items === undefined) result[field] = 0;
    else if (before[field] !== undefined) result[field] = sumOf(items, field);
  return result;
}

export const fluxKinds: Readonly<Record<string, KindRules>> = {
  "source.toolkit.fluxcd.io/v1/GitRepository": source(
    ["artifact"],
    ["observedIgnore", "observedRecurseSubmodules"],
    ["Succeeded"],
    references(secret("spec", "secretRef"), secret("spec", "verify", "secretRef")),
  ),
  "source.toolkit.fluxcd.io/v1beta2/Bucket": source(
    ["artifact", "url"],
    ["observedIgnore"],
    ["Succeeded"],
    references(secret("spec", "secretRef")),
  ),
  "source.toolkit.fluxcd.io/v1beta2/HelmChart": source(
    ["artifact", "observedChartName", "observedSourceArtifactRevision", "url"],
    [],
    ["Succeeded", "ChartPullSucceeded"],
    references(secret("spec", "verify", "secretRef")),
  ),
  "source.toolkit.fluxcd.io/v1beta2/HelmRepository": source(
    ["artifact", "url"],
    [],
    ["Succeeded"],
    references(secret("spec", "secretRef")),
  ),
  "source.toolkit.fluxcd.io/v1beta2/OCIRepository": source(
    ["artifact", "url"],
    ["observedIgnore", "observedLayerSelector"],
    ["Succeeded"],
    references(secret("spec", "secretRef"), secret("spec", "verify", "secretRef"), secret("spec", "certSecretRef"), [
      "ServiceAccount",
      "spec",
      "serviceAccountName",
    ]),
  ),
  "kustomize.toolkit.fluxcd.io/v1/Kustomization": {
    retain,
    aggregate: aggregate(["lastAppliedRevision", "lastAttemptedRevision"], true),
    reflect: reflectFields(["conditions", "lastAppliedRevision", "lastAttemptedRevision", "observedGeneration"]),
    health: (object) => isReadyFor(object, "ReconciliationSucceeded"),
    dependencies: references(secret("spec", "decryption", "secretRef"), secret("spec", "kubeConfig", "secretRef"), [
      "ServiceAccount",
      "spec",
      "serviceAccountName",
    ]),
  },
  "helm.toolkit.fluxcd.io/v2beta1/HelmRelease": {
    retain,
    aggregate: aggregateRelease,
    reflect: reflectFields(["conditions", ...RELEASE, ...FAILURES, "observedGeneration"]),
    health: (object) => isReadyFor(object, "ReconciliationSucceeded"),
    dependencies: (object) => [
      ...list(getPath(object, "spec", "valuesFrom")).flatMap(({ kind, name }): Dependency[] =>
        name && (kind === "Secret" || kind === "ConfigMap")
          ? [{ apiVersion: "v1", kind, namespace: object.metadata.namespace ?? "", name: String(name) }]
          : [],
      ),
      ...references(secret("spec", "chart", "spec", "verify", "secretRef"), secret("spec", "kubeConfig", "secretRef"), [
        "ServiceAccount",
        "spec",
        "serviceAccountName",
      ])(object),
    ],
  },
};
