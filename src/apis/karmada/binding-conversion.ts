import type { KubeObject } from "#machinery";

type Json = Readonly<Record<string, unknown>>;
type Binding = KubeObject & { readonly spec?: Json; readonly status?: Json };

const pick = (value: unknown, ...names: readonly string[]): Json =>
  Object.fromEntries(
    names.flatMap((name) => ((value as Json | undefined)?.[name] === undefined ? [] : [[name, (value as Json)[name]]])),
  );
const listOf = (value: unknown): readonly Json[] => (Array.isArray(value) ? (value as readonly Json[]) : []);
const set = (name: string, value: unknown): Json => (value === undefined ? {} : { [name]: value });

const REFERENCE = ["apiVersion", "kind", "namespace", "name", "resourceVersion"] as const;
const REPORTED = ["clusterName", "status", "applied", "appliedMessage"] as const;

/** A binding as work.karmada.io/v1alpha1 shows it. What that version has no words for is left out. */
function bindingAsV1alpha1(binding: KubeObject): KubeObject {
  const { spec, status, ...head } = binding as Binding;
  const resource = {
    ...pick(spec?.["resource"], ...REFERENCE),
    ...set("resourcePerReplicas", (spec?.["replicaRequirements"] as Json | undefined)?.["resourceRequest"]),
    ...set("replicas", spec?.["replicas"]),
  };
  const clusters =
    spec?.["clusters"] === undefined
      ? undefined
      : listOf(spec["clusters"]).map((target) => pick(target, "name", "replicas"));
  const aggregated = status?.["aggregatedStatus"];
  return {
    ...head,
    spec: { resource, ...set("clusters", clusters) },
    ...(status === undefined
      ? {}
      : {
          status: {
            ...pick(status, "conditions"),
            ...set(
              "aggregatedStatus",
              aggregated === undefined ? undefined : listOf(aggregated).map((item) => pick(item, ...REPORTED)),
            ),
          },
        }),
  } as KubeObject;
}

/** Items of `wanted`, each with what its namesake in `present` has beside. */
const merged = (wanted: unknown, present: unknown, key: string): readonly Json[] | undefined =>
  wanted === undefined
    ? undefined
    : listOf(wanted).map((item) => ({ ...listOf(present).find((other) => other[key] === item[key]), ...item }));

/**
 * A binding written as v1alpha1 in the form that is stored. Fields v1alpha1 has no words for stay as `stored` has them,
 * so that a client of the old version erases nothing.
 */
function bindingFromV1alpha1(binding: KubeObject, stored: KubeObject | undefined): KubeObject {
  const { spec, status, ...head } = binding as Binding;
  const { spec: oldSpec = {}, status: oldStatus } = (stored ?? {}) as Binding;
  const sent = spec?.["resource"] as Json | undefined;
  const { resourceRequest: _request, ...requirements } = (oldSpec["replicaRequirements"] ?? {}) as Json & {
    readonly resourceRequest?: unknown;
  };
  const resourceRequest = sent?.["resourcePerReplicas"];
  const hasRequirements = resourceRequest !== undefined || Object.keys(requirements).length > 0;
  const {
    clusters: _c,
    replicas: _r,
    replicaRequirements: _q,
    resource: oldResource,
    ...kept
  } = oldSpec as Json & Record<string, unknown>;
  const clusters = merged(spec?.["clusters"], oldSpec["clusters"], "name");
  const reported = merged(status?.["aggregatedStatus"], oldStatus?.["aggregatedStatus"], "clusterName");
  const {
    aggregatedStatus: _a,
    conditions: _conditions,
    ...keptStatus
  } = (oldStatus ?? {}) as Json & Record<string, unknown>;
  return {
    ...head,
    spec: {
      ...kept,
      resource: { ...pick(oldResource, "uid"), ...pick(sent, ...REFERENCE) },
      ...set("replicas", sent?.["replicas"]),
      ...(hasRequirements
        ? { replicaRequirements: { ...requirements, ...set("resourceRequest", resourceRequest) } }
        : {}),
      ...set("clusters", clusters),
    },
    ...(status === undefined && oldStatus === undefined
      ? {}
      : { status: { ...keptStatus, ...pick(status, "conditions"), ...set("aggregatedStatus", reported) } }),
  } as KubeObject;
}

const binding = { fromStored: bindingAsV1alpha1, toStored: bindingFromV1alpha1 };

/** How versions that are not stored are read and written, by `group/version/resource`. */
export const karmadaConversions: ReadonlyMap<
  string,
  {
    readonly fromStored: (object: KubeObject) => KubeObject;
    readonly toStored: (object: KubeObject, stored: KubeObject | undefined) => KubeObject;
  }
> = new Map([
  ["work.karmada.io/v1alpha1/resourcebindings", binding],
  ["work.karmada.io/v1alpha1/clusterresourcebindings", binding],
]);
