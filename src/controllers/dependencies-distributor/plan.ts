import {
  BINDING_DEPENDED_BY_PREFIX,
  BINDING_FINALIZER,
  bindingName,
  bindingReferenceKey,
  type BindingSnapshot,
  CLUSTER_RESOURCE_BINDING_ID,
  currentPurgeMode,
  NO_LONGER_NEEDED_IN,
  RESOURCE_BINDING_ID,
  type ResourceBinding,
  type ResourceBindingSpec,
} from "#apis/karmada";
import {
  controllerReference,
  type KubeObject,
  type LabelSelector,
  matchesLabelSelector,
  withAnnotations,
  withLabels,
} from "#machinery";

/** One thing a template needs, by name or by labels. */
export interface DependencyReference {
  readonly apiVersion: string;
  readonly kind: string;
  readonly namespace?: string;
  readonly name?: string;
  readonly labelSelector?: LabelSelector;
}

/** The references an independent binding has recorded; none when the text is unreadable. */
export function recordedDependencies(text: string | undefined): readonly DependencyReference[] {
  if (!text) return [];
  try {
    const found: unknown = JSON.parse(text);
    return Array.isArray(found) ? (found as readonly DependencyReference[]) : [];
  } catch {
    return [];
  }
}

/** The key an object of a name has, and the key of all selectors over its kind and namespace. */
export const keysOfObject = ({ apiVersion, kind, metadata: { namespace = "", name = "" } }: KubeObject) => ({
  named: `${apiVersion}|${kind}|${namespace}|${name}`,
  selected: `${apiVersion}|${kind}|${namespace}|`,
});

export const dependencyKeys = (references: readonly DependencyReference[]): readonly string[] => [
  ...new Set(
    references.map(({ apiVersion, kind, namespace = "", name = "" }) => `${apiVersion}|${kind}|${namespace}|${name}`),
  ),
];

/** Whether a reference means this object. */
export function matchesDependency(reference: DependencyReference, { apiVersion, kind, metadata }: KubeObject): boolean {
  if (
    reference.apiVersion !== apiVersion ||
    reference.kind !== kind ||
    (reference.namespace ?? "") !== (metadata.namespace ?? "")
  )
    return false;
  if (reference.name) return reference.name === metadata.name;
  return reference.labelSelector !== undefined && matchesLabelSelector(reference.labelSelector, metadata.labels);
}

const isReferrer = (snapshot: BindingSnapshot, binding: ResourceBinding) =>
  (snapshot.namespace ?? "") === (binding.metadata.namespace ?? "") && snapshot.name === binding.metadata.name;
const referenceLabel = ({ metadata }: KubeObject) =>
  `${BINDING_DEPENDED_BY_PREFIX}${bindingReferenceKey(metadata.namespace, metadata.name ?? "")}`;

interface Strategy {
  readonly conflictResolution?: ResourceBindingSpec["conflictResolution"];
  readonly preserveResourcesOnDeletion?: boolean;
}

/** What several referrers together want: the bolder and the more careful wish wins. */
export function strategyOf(referrers: readonly ResourceBinding[]): Required<Strategy> {
  return {
    conflictResolution: referrers.some(({ spec }) => spec.conflictResolution === "Overwrite") ? "Overwrite" : "Abort",
    preserveResourcesOnDeletion: referrers.some(({ spec }) => spec.preserveResourcesOnDeletion === true),
  } as Required<Strategy>;
}

/** The text of a conflict between referrers; `undefined` when they agree. */
export function hasConflict(referrers: readonly ResourceBinding[]): string | undefined {
  const isMixed = (of: (spec: ResourceBindingSpec) => boolean) =>
    new Set(referrers.map(({ spec }) => of(spec))).size > 1;
  const parts = [
    ...(isMixed(({ conflictResolution }) => conflictResolution === "Overwrite")
      ? ["ConflictResolution conflicted (Overwrite vs Abort)"]
      : []),
    ...(isMixed(({ preserveResourcesOnDeletion }) => preserveResourcesOnDeletion === true)
      ? ["PreserveResourcesOnDeletion conflicted (true vs false)"]
      : []),
  ];
  return parts.length === 0 ? undefined : `Dependency policy conflict detected: ${parts.join("; ")}.`;
}

/**
 * Referrers of an attached binding that are there. One that went without letting go, because somebody took its finalizer
 * off, wants nothing any more; its snapshot goes as well, or it would keep the dependency in clusters for ever.
 */
function referrersOf(
  snapshots: readonly BindingSnapshot[],
  read: (namespace: string, name: string) => ResourceBinding | undefined,
): { readonly snapshots: readonly BindingSnapshot[]; readonly referrers: readonly ResourceBinding[] } {
  const found = snapshots.flatMap((snapshot) => {
    const referrer = read(snapshot.namespace ?? "", snapshot.name);
    return referrer === undefined ? [] : [{ snapshot, referrer }];
  });
  return {
    snapshots: found.map(({ snapshot }) => snapshot),
    referrers: found.map(({ referrer }) => referrer),
  };
}

/**
 * Notes on a binding with a placement the clusters that only its referrers wanted and now nobody does. Should no policy claim
 * it by then, it stands frozen, and nothing else would tell what the referrers brought along from what the policy decided.
 */
function withClustersLeft(binding: ResourceBinding, before: readonly BindingSnapshot[]): ResourceBinding {
  const { placement, clusters = [], requiredBy = [] } = binding.spec;
  const noted = binding.metadata.annotations?.[NO_LONGER_NEEDED_IN];
  if (placement === undefined) return binding;
  const namesIn = (snapshots: readonly BindingSnapshot[]) =>
    snapshots.flatMap((snapshot) => (snapshot.clusters ?? []).map(({ name }) => name));
  const wanted = new Set([...clusters.map(({ name }) => name), ...namesIn(requiredBy)]);
  const left = [...new Set([...(noted?.split(",") ?? []), ...namesIn(before)])].filter((name) => !wanted.has(name));
  const text = left.length === 0 ? undefined : left.sort().join(",");
  return text === noted ? binding : withAnnotations(binding, { [NO_LONGER_NEEDED_IN]: text });
}

/** Where a workload runs: its targets, and clusters it is still draining from, as its old copy needs what it was given. */
function clustersInUse({ spec }: ResourceBinding): NonNullable<BindingSnapshot["clusters"]> {
  const targets = (spec.clusters ?? []).map((cluster) => ({ ...cluster }));
  const draining = (spec.gracefulEvictionTasks ?? [])
    .filter(
      ({ fromCluster, purgeMode }) =>
        currentPurgeMode(purgeMode) !== "Directly" && !targets.some(({ name }) => name === fromCluster),
    )
    .map(({ fromCluster, replicas }) => ({ name: fromCluster, ...(replicas === undefined ? {} : { replicas }) }));
  return [...targets, ...draining];
}

export interface AttachInput {
  readonly independent: ResourceBinding;
  readonly template: KubeObject;
  readonly present: ResourceBinding | undefined;
  readonly read: (namespace: string, name: string) => ResourceBinding | undefined;
}

export interface AttachPlan {
  readonly binding: ResourceBinding;
  readonly conflict: string | undefined;
}

/** The binding of a dependency as it must be so that it follows `independent`. */
export function planAttached({ independent, template, present, read }: AttachInput): AttachPlan {
  const { name = "", namespace = "", uid = "", resourceVersion = "" } = template.metadata;
  const space = independent.metadata.namespace;
  const own: BindingSnapshot = {
    ...(space ? { namespace: space } : {}),
    name: independent.metadata.name ?? "",
    clusters: clustersInUse(independent),
  };
  const before = present?.spec.requiredBy ?? [];
  const at = before.findIndex((snapshot) => isReferrer(snapshot, independent));
  const { snapshots: requiredBy, referrers } = referrersOf(
    at < 0 ? [...before, own] : before.map((snapshot, index) => (index === at ? own : snapshot)),
    (namespace, of) => (namespace === (space ?? "") && of === own.name ? independent : read(namespace, of)),
  );
  const resource = { apiVersion: template.apiVersion, kind: template.kind, namespace, name, uid, resourceVersion };
  const labels = {
    ...present?.metadata.labels,
    [referenceLabel(independent)]:
      independent.metadata.labels?.[space ? RESOURCE_BINDING_ID : CLUSTER_RESOURCE_BINDING_ID] ?? "",
  };
  const isOnlyAttached = present?.spec.placement === undefined;
  const strategy = isOnlyAttached ? strategyOf(referrers) : {};
  const binding = {
    ...(present ?? {}),
    apiVersion: "work.karmada.io/v1alpha2",
    kind: "ResourceBinding",
    metadata: {
      ...present?.metadata,
      name: bindingName(template.kind, name),
      namespace,
      labels,
      finalizers: [...new Set([...(present?.metadata.finalizers ?? []), BINDING_FINALIZER])],
      ownerReferences: present?.metadata.ownerReferences ?? [controllerReference(template)],
    },
    spec: { ...present?.spec, resource, requiredBy, ...strategy },
  } as unknown as ResourceBinding;
  return { binding: withClustersLeft(binding, before), conflict: isOnlyAttached ? hasConflict(referrers) : undefined };
}

/** An attached binding that no longer follows `independent`. */
export function detached(
  attached: ResourceBinding,
  independent: KubeObject,
  read: AttachInput["read"],
): ResourceBinding {
  const { snapshots: requiredBy, referrers } = referrersOf(
    (attached.spec.requiredBy ?? []).filter((snapshot) => !isReferrer(snapshot, independent as ResourceBinding)),
    read,
  );
  const { requiredBy: _all, ...rest } = attached.spec;
  const stripped = withLabels(attached, { [referenceLabel(independent)]: undefined });
  if (rest.placement !== undefined)
    return withClustersLeft(
      { ...stripped, spec: { ...rest, ...(requiredBy.length === 0 ? {} : { requiredBy }) } } as ResourceBinding,
      attached.spec.requiredBy ?? [],
    );
  const { conflictResolution: _conflict, preserveResourcesOnDeletion: _preserve, ...bare } = rest;
  return {
    ...stripped,
    spec: requiredBy.length === 0 ? bare : { ...bare, requiredBy, ...strategyOf(referrers) },
  } as ResourceBinding;
}
