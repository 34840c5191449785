/** Runs scheduling vectors against the scheduler's door. Kinds nobody knows here are skipped. */
import { deepEqual, systemClock } from "#base";
import { WorkQueue } from "#controller-runtime";
import { matchesAffinity, overflowOrder } from "#apis/karmada";
import type {
  AnyBinding,
  Cluster,
  ClusterAffinity,
  Placement,
  ResourceBinding,
  ResourceBindingSpec,
  ResourceBindingStatus,
  ResourceModel,
  TargetCluster,
} from "#apis/karmada";
import type { Deployment, Node, Pod, ReplicaSet, ResourceQuota } from "#apis/kubernetes";
import { isDeschedulable, planDeschedule } from "#controllers/descheduler";
import {
  type AssumedWorkload,
  countModels,
  countUnschedulable,
  EstimateError,
  estimateNodeReplicas,
  estimateNodeSets,
  estimateReplicas,
  estimateSets,
  requireCluster,
  summariseNodes,
} from "#estimator";
import {
  assignReplicas,
  backoffMs,
  bindingEnqueues,
  builtinPlugins,
  type Candidate,
  choosePlugins,
  clusterStatesToMatch,
  concernsCluster,
  divideByWeight,
  type Estimator,
  isPlacementChanged,
  planPass,
  schedule,
  ScheduleError,
  type SchedulingInput,
  scoreClusters,
  selectClusters,
  usesSets,
} from "#scheduler";

export interface VectorResult {
  readonly name: string;
  readonly outcome: "passed" | "failed" | "skipped";
  readonly detail?: string;
}

interface Options {
  readonly enableEmptyWorkloadPropagation?: boolean;
  readonly plugins?: string | readonly string[];
  readonly featureGates?: Readonly<Record<string, boolean>>;
  readonly schedulerName?: string;
  readonly estimates?: Readonly<
    Record<
      string,
      {
        readonly replicas?: Readonly<Record<string, number>>;
        readonly sets?: Readonly<Record<string, number>>;
        readonly error?: string;
      }
    >
  >;
}

interface Input {
  readonly clusters: readonly Cluster[];
  readonly cluster: Cluster;
  readonly spec: ResourceBindingSpec;
  readonly status?: ResourceBindingStatus;
  readonly bindings?: readonly ResourceBinding[];
  readonly clusterResourceBindings?: readonly AnyBinding[];
  readonly binding: AnyBinding;
  readonly options?: Options;
  readonly affinity: ClusterAffinity;
  readonly plugin: string;
  readonly replicas: number;
  readonly uid?: string;
  readonly weights: Readonly<Record<string, number>>;
  readonly candidates: readonly {
    readonly cluster: Cluster;
    readonly score?: number;
    readonly allocatableReplicas: number;
    readonly overflowOrder?: number;
  }[];
  readonly placement: Placement;
  readonly appliedPlacementAnnotation?: string;
  readonly schedulerObservingAffinityName?: string;
  readonly old?: never;
  readonly new?: never;
  readonly backoffForAttempts?: readonly number[];
  readonly pushedInOrder?: readonly { readonly key: string; readonly priority: number }[];
  readonly mode: string;
  readonly replicaRequirements?: never;
  readonly components?: never;
  readonly assumedWorkloads?: never;
  readonly featureGates?: Readonly<Record<string, boolean>>;
  readonly resourceModels: readonly ResourceModel[];
  readonly nodes: readonly unknown[];
  readonly pods?: readonly Pod[];
  readonly resourceQuotas?: readonly ResourceQuota[];
  readonly namespace?: string;
  readonly now: string;
  readonly workload: Deployment;
  readonly replicaSets?: readonly ReplicaSet[];
  readonly thresholdSeconds?: number;
  readonly unschedulable?: Readonly<Record<string, number>>;
  readonly estimatorError?: string;
}

const DEFAULT_ON = ["PriorityBasedScheduling", "CustomizedClusterResourceModeling"];
const gatesOf = (given: Readonly<Record<string, boolean>> = {}, extra: readonly string[] = []): ReadonlySet<string> =>
  new Set([...DEFAULT_ON, ...extra, ...Object.keys(given)].filter((gate) => given[gate] ?? true));

function estimatorsOf(options: Options): readonly Estimator[] {
  return Object.entries(options.estimates ?? {}).map(([name, answers]) => {
    const answer = (of: Readonly<Record<string, number>> | undefined) => {
      if (answers.error !== undefined) throw new Error(answers.error);
      return new Map(Object.entries(of ?? {}));
    };
    return { name, replicas: () => answer(answers.replicas), sets: () => answer(answers.sets) };
  });
}

const byName = (targets: readonly TargetCluster[]) =>
  [...targets]
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .map(({ name, replicas = 0, components }) => ({
      name,
      replicas,
      ...(components === undefined ? {} : { components }),
    }));
const inputOf = ({ spec, status, clusters, bindings }: Input, gates: ReadonlySet<string>): SchedulingInput => ({
  spec,
  status,
  placement: spec.placement ?? {},
  observedAffinityName: status?.schedulerObservingAffinityName,
  clusters: clusters ?? [],
  gates,
  ...(bindings === undefined ? {} : { peers: bindings }),
});
const failure = (error: unknown, prefix = "") => {
  if (!(error instanceof ScheduleError)) throw error;
  return {
    error: {
      reason: error.reason,
      message: error.message.startsWith(prefix) ? error.message.slice(prefix.length) : error.message,
    },
  };
};

function candidatesOf(input: Input): readonly Candidate[] {
  const { spec, status } = input;
  const placement = spec.placement ?? {};
  return input.candidates.map(({ cluster, score = 0, allocatableReplicas, overflowOrder: given }) => {
    const name = cluster.metadata.name ?? "";
    const own = spec.clusters?.find((target) => target.name === name)?.replicas ?? 0;
    return {
      cluster,
      name,
      score,
      allocatable: allocatableReplicas,
      available: allocatableReplicas + own,
      overflowOrder: given ?? overflowOrder(placement, status?.schedulerObservingAffinityName, cluster),
    };
  });
}

function run(kind: string, input: Input): unknown {
  const options = input.options ?? {};
  const gates = gatesOf(options.featureGates ?? input.featureGates);
  const algorithm = {
    plugins: choosePlugins(typeof options.plugins === "object" ? options.plugins.join(",") : (options.plugins ?? "*")),
    estimators: estimatorsOf(options),
    propagatesEmptyWorkloads: options.enableEmptyWorkloadPropagation ?? false,
  };
  switch (kind) {
    case "cluster-affinity":
      return {
        matches: input.clusters
          .filter((cluster) => matchesAffinity(input.affinity, cluster))
          .map(({ metadata }) => metadata.name)
          .sort(),
      };
    case "filter": {
      const plugin = builtinPlugins.find(({ name }) => name === input.plugin);
      if (plugin === undefined) return undefined;
      const reason = plugin.filter?.(inputOf(input, gatesOf({}, ["WorkloadAffinity"])), input.cluster);
      return reason === undefined ? { fits: true } : { fits: false, reason };
    }
    case "score":
      return {
        scores: Object.fromEntries(
          input.clusters.map((cluster) => [
            cluster.metadata.name,
            scoreClusters(inputOf(input, gates), [cluster], algorithm)[0],
          ]),
        ),
      };
    case "divide-by-weight":
      return {
        clusters: byName(
          divideByWeight(
            input.replicas,
            Object.entries(input.weights).map(([name, weight]) => ({ name, weight })),
            input.uid ?? "",
          ),
        ),
      };
    case "select-clusters": {
      try {
        const placement = input.spec.placement ?? {};
        const { selected, regions } = selectClusters(candidatesOf(input), {
          placement,
          spec: input.spec,
          need: usesSets(input.spec, placement, gates) ? 1 : (input.spec.replicas ?? 0),
        });
        return {
          selected: selected.map(({ name }) => name),
          ...(regions === undefined
            ? {}
            : { regionScores: Object.fromEntries(regions.map(({ name, score }) => [name, score])) }),
        };
      } catch (error) {
        const regions = error instanceof ScheduleError ? error.regions : undefined;
        return {
          ...failure(error, "failed to select clusters: "),
          ...(regions === undefined
            ? {}
            : { regionScores: Object.fromEntries(regions.map(({ name, score }) => [name, score])) }),
        };
      }
    }
    case "assign-replicas": {
      try {
        const placement = input.spec.placement ?? {};
        const bySets = usesSets(input.spec, placement, gates);
        const targets = assignReplicas(candidatesOf(input), {
          spec: input.spec,
          status: input.status,
          placement,
          observedAffinityName: input.status?.schedulerObservingAffinityName,
          copiesComponents: bySets,
        });
        return { clusters: byName(targets), clusterOrder: targets.map(({ name }) => name) };
      } catch (error) {
        return failure(error, "failed to assign replicas: ");
      }
    }
    case "schedule":
      try {
        const targets = schedule(inputOf(input, gates), algorithm);
        return { clusters: byName(targets), clusterOrder: targets.map(({ name }) => name) };
      } catch (error) {
        return failure(error);
      }
    case "schedule-binding":
      return runPass(input, gates, algorithm);
    case "placement-changed":
      return {
        changed: isPlacementChanged(
          input.placement,
          input.appliedPlacementAnnotation,
          input.schedulerObservingAffinityName,
        ),
      };
    case "cluster-event": {
      const states = clusterStatesToMatch(input.old, input.new);
      const name = options.schedulerName ?? "default-scheduler";
      const all = [...(input.bindings ?? []), ...(input.clusterResourceBindings ?? [])] as readonly AnyBinding[];
      return {
        enqueued: all
          .filter((binding) => states.some((state) => concernsCluster(binding, state, name)))
          .map(({ metadata }) => (metadata.namespace ? `${metadata.namespace}/${metadata.name}` : metadata.name))
          .sort(),
      };
    }
    case "binding-event":
      return { enqueued: bindingEnqueues(input.old, input.new, options.schedulerName ?? "default-scheduler") };
    case "queue":
      if (input.backoffForAttempts !== undefined)
        return { backoffMilliseconds: input.backoffForAttempts.map(backoffMs) };
      return popOrder(input.pushedInOrder ?? []).then((popped) => ({ popped }));
    case "general-estimate": {
      const general = {
        usesModels: gates.has("CustomizedClusterResourceModeling"),
        assumed: input.featureGates?.["SchedulingOvercommitProtection"] === true ? (input.assumedWorkloads ?? []) : [],
      };
      return input.mode === "componentSets"
        ? { maxSets: estimateSets(input.cluster, input.components ?? [], general) }
        : { maxReplicas: estimateReplicas(input.cluster, input.replicaRequirements, general) };
    }
    case "resource-modeling":
      return {
        allocatableModelings: countModels(
          input.resourceModels,
          input.nodes as readonly Readonly<Record<string, string>>[],
        ),
      };
    case "node-estimate":
      return answered(() => nodeEstimate(input, gates));
    case "unschedulable-replicas": {
      const { workload, replicaSets = [], pods = [], thresholdSeconds = 0, now } = input;
      return answered(() => ({
        unschedulableReplicas: countUnschedulable({
          workload,
          replicaSets,
          pods,
          thresholdMs: thresholdSeconds * 1000,
          nowMs: Date.parse(now),
        }),
      }));
    }
    case "deschedule":
      return deschedule(input);
    default:
      return undefined;
  }
}

function answered(answer: () => unknown): unknown {
  try {
    return answer();
  } catch (error) {
    if (error instanceof EstimateError) return { error: { message: error.message } };
    throw error;
  }
}

/** The member cluster of node vectors. */
const MEMBER = "member1";

function nodeEstimate(input: Input, gates: ReadonlySet<string>): unknown {
  requireCluster(MEMBER, (input.cluster as unknown as string | undefined) ?? MEMBER);
  const facts = {
    nodes: summariseNodes(input.nodes as readonly Node[], input.pods ?? []),
    quotas: input.resourceQuotas ?? [],
  };
  const assumed = gates.has("SchedulingOvercommitProtection")
    ? ((input.assumedWorkloads ?? []) as readonly AssumedWorkload[])
    : [];
  const options = { usesQuotas: gates.has("ResourceQuotaEstimate"), assumed };
  if (input.mode === "componentSets")
    return { maxSets: estimateNodeSets(facts, input.components ?? [], input.namespace, options) };
  return { maxReplicas: estimateNodeReplicas(facts, input.replicaRequirements, options) };
}

function deschedule(input: Input): unknown {
  const binding = input.binding as ResourceBinding;
  const selected = isDeschedulable(binding);
  // An estimator that fails answers for nobody.
  const answers = new Map(input.estimatorError === undefined ? Object.entries(input.unschedulable ?? {}) : []);
  const plan = selected ? planDeschedule(binding, answers) : undefined;
  const event = { type: "Normal", reason: "DescheduleBindingSucceed", message: plan?.message };
  return {
    selected,
    updated: plan !== undefined,
    clusters: (plan?.clusters ?? binding.spec.clusters ?? []).map(({ name, replicas = 0 }) => ({ name, replicas })),
    events: plan === undefined ? [] : ["binding", "resource"].map((on) => ({ ...event, on })),
  };
}

/** The order in which the scheduler's queue gives out what was pushed before the first pop. */
async function popOrder(
  pushed: readonly { readonly key: string; readonly priority: number }[],
): Promise<readonly string[]> {
  const popped: string[] = [];
  const queue = new WorkQueue<string>({ clock: systemClock }, async (key) => void popped.push(key));
  for (const { key, priority } of pushed) queue.add(key, { priority });
  queue.start();
  await queue.whenIdle();
  await queue.stop();
  return popped;
}

function runPass(
  input: Input,
  gates: ReadonlySet<string>,
  algorithm: Parameters<typeof planPass>[0]["algorithm"],
): unknown {
  const { binding } = input;
  const plan = planPass({
    binding,
    clusters: input.clusters,
    gates,
    algorithm,
    nowMs: Date.now(),
    ...(input.bindings === undefined ? {} : { peers: input.bindings }),
  });
  const targets = plan.clusters ?? binding.spec.clusters ?? [];
  const annotation = plan.appliedPlacement ?? binding.metadata.annotations?.["policy.karmada.io/applied-placement"];
  let appliedPlacement: unknown;
  try {
    appliedPlacement = annotation === undefined ? undefined : (JSON.parse(annotation) as unknown);
  } catch {
    appliedPlacement = annotation;
  }
  const status = (binding.status ?? {}) as ResourceBindingStatus;
  const before = (status.conditions ?? []).find(({ type }) => type === "Scheduled");
  const condition = plan.condition ?? before;
  const isPatched =
    (plan.appliedPlacement !== undefined &&
      plan.appliedPlacement !== binding.metadata.annotations?.["policy.karmada.io/applied-placement"]) ||
    (plan.clusters !== undefined && !deepEqual(plan.clusters, binding.spec.clusters ?? []));
  return {
    clusters: byName(targets),
    clusterOrder: targets.map(({ name }) => name),
    specPatched: isPatched,
    ...(appliedPlacement === undefined ? {} : { appliedPlacement }),
    ...(condition === undefined
      ? {}
      : {
          condition: {
            type: condition.type,
            status: condition.status,
            reason: condition.reason,
            message: condition.message,
          },
        }),
    schedulerObservedGeneration: plan.observedGeneration ?? status.schedulerObservedGeneration ?? 0,
    schedulerObservingAffinityName: plan.observedAffinityName ?? status.schedulerObservingAffinityName ?? "",
    lastScheduledTimeUpdated: plan.lastScheduledTime !== undefined,
    retry: plan.retry,
    events: plan.events.flatMap(({ type, reason, message }) =>
      ["binding", "resource"].map((on) => ({ message, on, reason, type })),
    ),
  };
}

/** Compares what is promised: members of `expected`, with `anyOf`, orders only where given. */
export function differs(expected: unknown, actual: unknown, path = ""): string | undefined {
  if (typeof expected === "object" && expected !== null && "anyOf" in expected) {
    const options = (expected as { anyOf: readonly unknown[] }).anyOf;
    return options.some((option) => differs(option, actual, path) === undefined)
      ? undefined
      : `${path}: none of ${options.length} alternatives is ${JSON.stringify(actual)}`;
  }
  if (typeof expected !== "object" || expected === null || Array.isArray(expected))
    return deepEqual(expected, actual)
      ? undefined
      : `${path}: expected ${JSON.stringify(expected)}, got ${JSON.stringify(actual)}`;
  for (const [key, value] of Object.entries(expected)) {
    const found = differs(value, (actual as Readonly<Record<string, unknown>> | undefined)?.[key], `${path}/${key}`);
    if (found !== undefined) return found;
  }
  return undefined;
}

interface File {
  readonly kind?: unknown;
  readonly upstream?: unknown;
  readonly vectors?: readonly unknown[];
}

export const adapter = {
  format: "scheduling",
  accepts: (file: unknown): boolean =>
    typeof file === "object" &&
    file !== null &&
    !Array.isArray(file) &&
    typeof (file as File).kind === "string" &&
    Array.isArray((file as File).vectors),
  async run(
    file: { readonly kind: string },
    vector: { readonly name: string; readonly input: Input; readonly expected: unknown },
  ): Promise<VectorResult> {
    const actual = await run(file.kind, vector.input);
    if (actual === undefined)
      return { name: vector.name, outcome: "skipped", detail: `nothing here answers ${file.kind}` };
    const detail = differs(vector.expected, actual);
    return detail === undefined
      ? { name: vector.name, outcome: "passed" }
      : { name: vector.name, outcome: "failed", detail };
  },
};
