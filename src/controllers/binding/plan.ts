import {
  type AnyBinding,
  APPLIED_CLUSTER_OVERRIDES,
  APPLIED_OVERRIDES,
  type Cluster,
  CLUSTER_RESOURCE_BINDING_ID,
  CLUSTER_RESOURCE_BINDING_NAME,
  type ClusterOverridePolicy,
  clusterOfExecutionNamespace,
  CONFLICT_RESOLUTION,
  currentPurgeMode,
  DELETE_WHEN_UNUSED,
  EXECUTION_FINALIZER,
  executionNamespace,
  inlineOf,
  KEPT,
  MANAGED,
  matchesAffinity,
  overflowOf,
  type OverridePolicy,
  RESOURCE_BINDING_ID,
  RESOURCE_BINDING_NAME,
  RESOURCE_BINDING_NAMESPACE,
  type TargetCluster,
  TEMPLATE_GENERATION,
  TEMPLATE_UID,
  type Work,
  WORK_ID,
  WORK_NAME,
  WORK_NAMESPACE,
  workName,
} from "#apis/karmada";
import { fnv1a32 } from "#base";
import { expectedClusters, type Interpreter, isUnanswered, pruneManifest, recordManaged } from "#interpreter";
import { getPath, type KubeObject, setPath, withAnnotations, withLabels } from "#machinery";
import { appliedText, applyOverrides, OverrideError, type OverrideEvent } from "#override";

/** What rendering a binding reads. */
export interface RenderInput {
  readonly binding: AnyBinding;
  readonly template: KubeObject;
  readonly clusterOf: (name: string) => Cluster | undefined;
  readonly overridePolicies: readonly OverridePolicy[];
  readonly clusterOverridePolicies: readonly ClusterOverridePolicy[];
  readonly interpreter: Interpreter;
  /** The Work of that name now, to keep what it carries. */
  readonly workOf: (namespace: string, name: string) => Work | undefined;
  readonly gates: ReadonlySet<string>;
}

export interface RenderResult {
  readonly works: readonly Work[];
  /** Events about the template, from overrides. */
  readonly overrideEvents: readonly OverrideEvent[];
  readonly errors: readonly string[];
}

export const isClusterBinding = (binding: AnyBinding) => binding.kind === "ClusterResourceBinding";
export const bindingIdLabel = (binding: AnyBinding) =>
  isClusterBinding(binding) ? CLUSTER_RESOURCE_BINDING_ID : RESOURCE_BINDING_ID;
export const describeBinding = (binding: AnyBinding) =>
  isClusterBinding(binding)
    ? `ClusterResourceBinding(${binding.metadata.name})`
    : `ResourceBinding(${binding.metadata.namespace}/${binding.metadata.name})`;

/** Works of a binding in clusters it no longer wants; `among` narrows them to those of some clusters. */
export function planOrphans(binding: AnyBinding, works: readonly Work[], among?: readonly string[]): readonly Work[] {
  const expected = expectedClusters(binding);
  return works.filter(({ metadata }) => {
    const cluster = clusterOfExecutionNamespace(metadata.namespace) ?? "";
    return (
      metadata.deletionTimestamp === undefined &&
      !expected.has(cluster) &&
      (among === undefined || among.includes(cluster))
    );
  });
}

/**
 * Works of clusters the application is moved away from, to be deleted with what they made. Resources are preserved for
 * the day the template goes; a failover that left its old copies behind would leave two.
 */
export function planUnpreserved(binding: AnyBinding, works: readonly Work[]): readonly Work[] {
  const tasks = binding.spec.gracefulEvictionTasks ?? [];
  if (tasks.length === 0 || binding.spec.preserveResourcesOnDeletion !== true) return [];
  const targets = new Set(targetsOf(binding).map(({ name }) => name));
  const leaving = new Set(tasks.map(({ fromCluster }) => fromCluster).filter((name) => !targets.has(name)));
  return works
    .filter(
      ({ spec, metadata }) =>
        spec?.preserveResourcesOnDeletion === true &&
        metadata.deletionTimestamp === undefined &&
        leaving.has(clusterOfExecutionNamespace(metadata.namespace) ?? ""),
    )
    .map((work) => ({ ...work, spec: { ...work.spec, preserveResourcesOnDeletion: false } }) as Work);
}

/**
 * Whether the application must first be gone from a cluster before it may start elsewhere. Nothing can be deleted in a
 * cluster that is not ready, and waiting for it would end with the task and the state it carries.
 */
export function mustWaitForPurge(
  binding: AnyBinding,
  works: readonly Work[],
  isReady: (cluster: string) => boolean = () => true,
): boolean {
  const leaving = new Set(
    (binding.spec.gracefulEvictionTasks ?? [])
      .filter(({ purgeMode }) => currentPurgeMode(purgeMode) === "Directly")
      .map(({ fromCluster }) => fromCluster)
      .filter(isReady),
  );
  return (
    leaving.size > 0 &&
    works.some(
      ({ metadata }) =>
        leaving.has(clusterOfExecutionNamespace(metadata.namespace) ?? "") &&
        metadata.annotations?.[DELETE_WHEN_UNUSED] === undefined,
    )
  );
}

/** Works of clusters that get one of another name now, because an override renames the object. */
export function planRenamed(works: readonly Work[], wanted: readonly Work[]): readonly Work[] {
  const names = new Map(wanted.map(({ metadata }) => [metadata.namespace, metadata.name]));
  return works.filter(
    ({ metadata }) =>
      metadata.deletionTimestamp === undefined &&
      names.has(metadata.namespace) &&
      names.get(metadata.namespace) !== metadata.name,
  );
}

/** A Work of an automatically propagated namespace, which outlives the policy that selects the namespace as well. */
export const isOfNamespace = (work: Work): boolean =>
  (work.metadata.ownerReferences ?? []).some(({ apiVersion, kind }) => apiVersion === "v1" && kind === "Namespace");

/** Such a Work without the binding's marks: namespace sync goes on with it. */
export function handedBack(work: Work): Work {
  const { [CLUSTER_RESOURCE_BINDING_ID]: _id, ...labels } = work.metadata.labels ?? {};
  const { [CLUSTER_RESOURCE_BINDING_NAME]: _name, ...annotations } = withoutOverrides(work.metadata.annotations);
  return { ...work, metadata: { ...work.metadata, labels, annotations } };
}

/** A Work that no binding wants but nobody asked to withdraw: its template went with its kind. */
export const kept = (work: Work): Work => withAnnotations(work, { [KEPT]: "KindVanished" });

/** Deleting a definition deletes every object of its kind, also those that are none of ours: its member decides when. */
export const isOfDefinition = (work: Work): boolean =>
  ((work.spec?.workload?.manifests ?? []) as unknown as readonly KubeObject[]).some(
    ({ apiVersion, kind }) => kind === "CustomResourceDefinition" && apiVersion.startsWith("apiextensions.k8s.io/"),
  );
export const deletedWhenUnused = (work: Work): Work => withAnnotations(work, { [DELETE_WHEN_UNUSED]: "true" });

/** Override policies that changed what a Work carries and do so no longer, as events name them. */
export function withdrawnOverrides(present: Work | undefined, wanted: Work): readonly string[] {
  const namesIn = (work: Work | undefined, key: string, title: (name: string) => string) => {
    const text = work?.metadata.annotations?.[key];
    return text === undefined
      ? []
      : (JSON.parse(text) as readonly { readonly policyName: string }[]).map(({ policyName }) => title(policyName));
  };
  const all = (work: Work | undefined) => [
    ...namesIn(work, APPLIED_CLUSTER_OVERRIDES, (name) => `cluster override policy(${name})`),
    ...namesIn(work, APPLIED_OVERRIDES, (name) => `override policy(${name})`),
  ];
  const now = new Set(all(wanted));
  return [...new Set(all(present))].filter((name) => !now.has(name));
}

/** Targets of a binding: its own, then those of referrers; the first mention of a cluster counts. */
export function targetsOf(binding: AnyBinding): readonly TargetCluster[] {
  const targets = new Map<string, TargetCluster>();
  const all = [
    ...(binding.spec.clusters ?? []),
    ...(binding.spec.requiredBy ?? []).flatMap(({ clusters = [] }) => clusters),
  ];
  for (const target of all) if (!targets.has(target.name)) targets.set(target.name, target as TargetCluster);
  return [...targets.values()];
}

/** Divides a Job's completions over its targets by their replicas, by highest averages. */
export function divideCompletions(
  total: number,
  targets: readonly TargetCluster[],
  uid: string,
): ReadonlyMap<string, number> {
  const isDescending = uid !== "" && (fnv1a32(uid) & 1) === 1;
  const seats = new Map<string, number>();
  const ordered = [...targets].sort((a, b) => (a.name < b.name ? -1 : 1) * (isDescending ? -1 : 1));
  const weights = ordered.reduce((sum, { replicas = 0 }) => sum + replicas, 0);
  if (weights === 0) return seats;
  // What everybody gets for certain is given at once, so that the loop runs per cluster and not per completion: seats whose
  // average reaches `weights / (2 * total - clusters)` are never more than `total`. One less each makes up for rounding.
  const share = Math.max(0, 2 * total - ordered.length) / weights;
  for (const { name, replicas = 0 } of ordered)
    seats.set(name, Math.max(0, Math.floor((replicas * share + 1) / 2) - 1));
  const certain = [...seats.values()].reduce((sum, count) => sum + count, 0);
  for (let left = total - certain; left > 0; left--) {
    let best: { name: string; average: number; given: number } | undefined;
    for (const { name, replicas = 0 } of ordered) {
      const given = seats.get(name) ?? 0;
      const average = replicas / (2 * given + 1);
      if (best === undefined || average > best.average || (average === best.average && given < best.given))
        best = { name, average, given };
    }
    if (best === undefined) break;
    seats.set(best.name, best.given + 1);
  }
  return seats;
}

/** One Work per target cluster. A cluster that fails does not stop the others. */
export function renderWorks(input: RenderInput): RenderResult {
  const { binding, template, interpreter } = input;
  const { spec } = binding;
  const targets = targetsOf(binding);
  const isWorkload =
    (spec.replicas ?? 0) > 0 || spec.replicaRequirements !== undefined || (spec.components?.length ?? 0) > 0;
  const completions = getPath(template, "spec", "completions");
  const isDivided =
    spec.placement?.replicaScheduling?.replicaSchedulingType === "Divided" ||
    (spec.placement?.replicaScheduling !== undefined &&
      spec.placement.replicaScheduling.replicaSchedulingType === undefined);
  const jobSeats =
    template.kind === "Job" && (spec.replicas ?? 0) > 0 && isDivided && typeof completions === "number"
      ? divideCompletions(completions, targets, template.metadata.uid ?? "")
      : undefined;
  const works: Work[] = [];
  const overrideEvents: OverrideEvent[] = [];
  const errors: string[] = [];
  for (const target of targets) {
    try {
      const cluster = input.clusterOf(target.name);
      if (cluster === undefined) throw new Error(`clusters.cluster.karmada.io "${target.name}" not found`);
      let object =
        isWorkload && interpreter.hasHook(template, "ReviseReplica")
          ? interpreter.revise(template, target.replicas ?? 0)
          : template;
      const seats = jobSeats?.get(target.name);
      if (seats !== undefined) object = setPath(object, ["spec", "completions"], seats);
      const overridden = applyOverrides(object, cluster, input);
      overrideEvents.push(...overridden.events);
      object = withPreservedState(overridden.object, binding, targets, target.name, input.gates);
      works.push(
        workFor(
          input,
          object,
          target.name,
          appliedText(overridden.appliedClusterOverrides),
          appliedText(overridden.appliedOverrides),
        ),
      );
    } catch (error) {
      if (isUnanswered(error)) throw error;
      if (error instanceof OverrideError) overrideEvents.push(...error.events);
      errors.push(error instanceof Error ? error.message : String(error));
    }
  }
  return { works, overrideEvents, errors };
}

/** State kept from a failed cluster becomes labels of the object that is created anew (gate `StatefulFailoverInjection`). */
function withPreservedState(
  object: KubeObject,
  binding: AnyBinding,
  targets: readonly TargetCluster[],
  cluster: string,
  gates: ReadonlySet<string>,
): KubeObject {
  const tasks = binding.spec.gracefulEvictionTasks ?? [];
  const last = tasks[tasks.length - 1];
  if (!gates.has("StatefulFailoverInjection") || targets.length !== 1 || last === undefined) return object;
  if (currentPurgeMode(last.purgeMode) !== "Directly") return object;
  if (last.clustersBeforeFailover?.includes(cluster)) return object;
  return withLabels(object, (last.preservedLabelState ?? {}) as Readonly<Record<string, string>>);
}

/**
 * Whether a policy that says `Overwrite` says it of a cluster. One it does not name may still be a target, until the
 * scheduler has followed the policy: taking over a member's own object there would end with its deletion.
 */
function mayOverwrite({ binding, clusterOf }: RenderInput, name: string, present: Work | undefined): boolean {
  const { placement, requiredBy = [] } = binding.spec;
  const terms =
    placement?.clusterAffinities?.flatMap((term) => [inlineOf(term), ...(overflowOf(term) ?? [])]) ??
    (placement?.clusterAffinity === undefined ? [] : [placement.clusterAffinity]);
  const cluster = clusterOf(name);
  return (
    terms.length === 0 ||
    present?.metadata.annotations?.[CONFLICT_RESOLUTION] === "overwrite" ||
    requiredBy.some(({ clusters = [] }) => clusters.some((target) => target.name === name)) ||
    (cluster !== undefined && terms.some((affinity) => matchesAffinity(affinity, cluster)))
  );
}

function workFor(
  input: RenderInput,
  object: KubeObject,
  cluster: string,
  appliedClusterOverrides: string | undefined,
  appliedOverrides: string | undefined,
): Work {
  const { binding, template } = input;
  const namespace = executionNamespace(cluster);
  const name = workName(object.kind, object.metadata.name ?? "", object.metadata.namespace ?? "");
  const present = input.workOf(namespace, name);
  if (present?.metadata.deletionTimestamp !== undefined) throw new Error(`work ${namespace}/${name} is being deleted`);
  const idLabel = bindingIdLabel(binding);
  const id = binding.metadata.labels?.[idLabel] ?? "";
  const coordinates: Record<string, string> = isClusterBinding(binding)
    ? { [CLUSTER_RESOURCE_BINDING_NAME]: binding.metadata.name ?? "" }
    : {
        [RESOURCE_BINDING_NAMESPACE]: binding.metadata.namespace ?? "",
        [RESOURCE_BINDING_NAME]: binding.metadata.name ?? "",
      };
  const wanted = object.metadata.annotations?.[CONFLICT_RESOLUTION];
  const conflictResolution =
    wanted === "overwrite" || wanted === "abort"
      ? wanted
      : binding.spec.conflictResolution === "Overwrite" && mayOverwrite(input, cluster, present)
        ? "overwrite"
        : "abort";
  const generation = template.metadata.generation ?? 0;
  const workId = present?.metadata.labels?.[WORK_ID];
  // A Work that has its id carries it in the manifest as well; the record of managed labels names it.
  const ownId = workId === undefined ? {} : { [WORK_ID]: workId };
  const marked = withAnnotations(withLabels(object, { [idLabel]: id, [MANAGED]: "true", ...ownId }), {
    ...coordinates,
    ...(generation > 0 ? { [TEMPLATE_GENERATION]: String(generation) } : {}),
    [TEMPLATE_UID]: template.metadata.uid ?? "",
    [WORK_NAMESPACE]: namespace,
    [WORK_NAME]: name,
    [CONFLICT_RESOLUTION]: conflictResolution,
  });
  const manifest = recordManaged(pruneManifest(marked));
  const suspension = binding.spec.suspension as
    | { readonly dispatching?: boolean; readonly dispatchingOnClusters?: { readonly clusterNames?: readonly string[] } }
    | undefined;
  const annotations = {
    ...withoutRecords(present?.metadata.annotations),
    ...coordinates,
    [CONFLICT_RESOLUTION]: conflictResolution,
    ...(appliedClusterOverrides === undefined ? {} : { [APPLIED_CLUSTER_OVERRIDES]: appliedClusterOverrides }),
    ...(appliedOverrides === undefined ? {} : { [APPLIED_OVERRIDES]: appliedOverrides }),
  };
  return {
    ...(present ?? {}),
    apiVersion: "work.karmada.io/v1alpha1",
    kind: "Work",
    metadata: {
      ...present?.metadata,
      name,
      namespace,
      labels: { ...present?.metadata.labels, [idLabel]: id },
      annotations,
      finalizers: [...new Set([...(present?.metadata.finalizers ?? []), EXECUTION_FINALIZER])].sort(),
    },
    spec: {
      suspendDispatching:
        suspension?.dispatching === true || (suspension?.dispatchingOnClusters?.clusterNames ?? []).includes(cluster),
      preserveResourcesOnDeletion: binding.spec.preserveResourcesOnDeletion ?? false,
      workload: { manifests: [manifest] },
    },
  } as unknown as Work;
}

/** Records of overrides are written anew each time, and what is wanted again neither waits nor goes. */
function withoutRecords(annotations: Readonly<Record<string, string>> | undefined): Readonly<Record<string, string>> {
  const { [KEPT]: _kept, [DELETE_WHEN_UNUSED]: _unused, ...rest } = withoutOverrides(annotations);
  return rest;
}

/** Those that no longer apply leave the Work. */
function withoutOverrides(annotations: Readonly<Record<string, string>> | undefined): Readonly<Record<string, string>> {
  const { [APPLIED_OVERRIDES]: _own, [APPLIED_CLUSTER_OVERRIDES]: _cluster, ...rest } = annotations ?? {};
  return rest;
}
