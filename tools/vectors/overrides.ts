/** Runs override, Work rendering and policy matching vectors. */
import type {
  AnyBinding,
  Cluster,
  ClusterOverridePolicy,
  ClusterPropagationPolicy,
  OverridePolicy,
  PropagationPolicy,
  Work,
} from "#apis/karmada";
import { describeBinding, mustWaitForPurge, planOrphans, renderWorks } from "#controllers/binding";
import { matchPolicy } from "#controllers/detector";
import { createInterpreter } from "#interpreter";
import type { KubeObject } from "#machinery";
import { appliedText, applyOverrides, OverrideError } from "#override";
import { differenceOf } from "./compare.ts";
import type { VectorResult } from "./scheduling.ts";

interface Vector {
  readonly name: string;
  readonly operation: string;
  readonly unordered?: boolean;
  readonly input: {
    readonly object: KubeObject;
    readonly cluster: Cluster;
    readonly clusterOverridePolicies?: readonly ClusterOverridePolicy[];
    readonly overridePolicies?: readonly OverridePolicy[];
    readonly binding?: AnyBinding;
    readonly clusterBinding?: AnyBinding;
    readonly clusterObjects?: readonly Cluster[];
    readonly works?: readonly Work[];
    readonly propagationPolicies?: readonly PropagationPolicy[];
    readonly clusterPropagationPolicies?: readonly ClusterPropagationPolicy[];
    readonly featureGates?: Readonly<Record<string, boolean>>;
  };
  readonly expected: Readonly<Record<string, unknown>>;
}

const interpreter = createInterpreter();
const parsed = (text: string | undefined) => (text === undefined ? undefined : (JSON.parse(text) as unknown));
const shown = ({
  type,
  reason,
  message,
}: {
  readonly type: string;
  readonly reason: string;
  readonly message: string;
}) => `${type} ${reason} ${message}`;

function run({ operation, input }: Vector): unknown {
  const policies = {
    clusterOverridePolicies: input.clusterOverridePolicies ?? [],
    overridePolicies: input.overridePolicies ?? [],
  };
  switch (operation) {
    case "ApplyOverrides":
      try {
        const result = applyOverrides(input.object, input.cluster, policies);
        return {
          object: result.object,
          appliedClusterOverrides: parsed(appliedText(result.appliedClusterOverrides)),
          appliedOverrides: parsed(appliedText(result.appliedOverrides)),
          events: result.events.map(shown),
        };
      } catch (error) {
        if (!(error instanceof OverrideError)) throw error;
        return { error: error.message, events: error.events.map(shown) };
      }
    case "MatchPolicy": {
      const own = matchPolicy(input.object, input.propagationPolicies ?? [], []);
      const cluster =
        own === undefined ? matchPolicy(input.object, [], input.clusterPropagationPolicies ?? []) : undefined;
      return {
        propagationPolicy: own === undefined ? null : `${own.metadata.namespace}/${own.metadata.name}`,
        clusterPropagationPolicy: cluster === undefined ? null : cluster.metadata.name,
      };
    }
    case "EnsureWorks":
      return ensureWorks(input, policies);
    default:
      return undefined;
  }
}

function ensureWorks(
  input: Vector["input"],
  policies: {
    readonly clusterOverridePolicies: readonly ClusterOverridePolicy[];
    readonly overridePolicies: readonly OverridePolicy[];
  },
): unknown {
  const binding = (input.binding ?? input.clusterBinding) as AnyBinding;
  const key = ({ metadata }: KubeObject) => `${metadata.namespace}/${metadata.name}`;
  const store = new Map((input.works ?? []).map((work) => [key(work), work]));
  const label =
    binding.kind === "ClusterResourceBinding"
      ? "clusterresourcebinding.karmada.io/permanent-id"
      : "resourcebinding.karmada.io/permanent-id";
  const own = [...store.values()].filter(
    ({ metadata }) =>
      metadata.labels?.[label] !== undefined && metadata.labels[label] === binding.metadata.labels?.[label],
  );
  const remove = (work: Work) => {
    if ((work.metadata.finalizers ?? []).length === 0) store.delete(key(work));
    else store.set(key(work), { ...work, metadata: { ...work.metadata, deletionTimestamp: "2024-01-01T00:00:00Z" } });
  };
  const works = () =>
    [...store.values()].map((work) => ({
      metadata: {
        name: work.metadata.name,
        namespace: work.metadata.namespace,
        labels: work.metadata.labels,
        annotations: work.metadata.annotations,
        finalizers: work.metadata.finalizers,
        deleting: work.metadata.deletionTimestamp !== undefined,
      },
      spec: { ...work.spec, workload: (work.spec?.workload?.manifests ?? []).length === 0 ? {} : work.spec?.workload },
    }));
  if (binding.metadata.deletionTimestamp !== undefined) {
    for (const work of own) remove(work);
    return { works: works(), events: [] };
  }
  for (const work of planOrphans(binding, own)) remove(work);
  if (
    mustWaitForPurge(
      binding,
      [...store.values()].filter((work) => own.some((mine) => key(mine) === key(work))),
    )
  )
    return { works: works(), events: [], requeueAfterSeconds: 5 };
  if (input.object === undefined) return { works: works(), events: [] };
  const clusters = new Map((input.clusterObjects ?? []).map((cluster) => [cluster.metadata.name, cluster]));
  const gates = new Set(
    Object.entries(input.featureGates ?? {})
      .filter(([, isOn]) => isOn)
      .map(([name]) => name),
  );
  const result = renderWorks({
    binding,
    template: input.object,
    clusterOf: (name) => clusters.get(name),
    ...policies,
    interpreter,
    workOf: (namespace, name) => store.get(`${namespace}/${name}`),
    gates,
  });
  for (const work of result.works) store.set(key(work), work);
  const error =
    result.errors.length === 0
      ? undefined
      : result.errors.length === 1
        ? result.errors[0]
        : `[${result.errors.join(", ")}]`;
  const event =
    error === undefined
      ? `Normal SyncWorkSucceed Sync work of ${describeBinding(binding)} successful.`
      : `Warning SyncWorkFailed ${error}`;
  return { works: works(), events: [event, event], ...(error === undefined ? {} : { error }) };
}

export const adapter = {
  format: "overrides",
  accepts: (file: unknown): boolean =>
    Array.isArray(file) &&
    file.length > 0 &&
    ["ApplyOverrides", "EnsureWorks", "MatchPolicy"].includes((file[0] as Vector).operation),
  run(_file: unknown, vector: Vector): VectorResult {
    const { name, expected, operation } = vector;
    let actual: unknown;
    try {
      actual = run(vector);
    } catch (error) {
      return {
        name,
        outcome: "error" in expected ? "passed" : "failed",
        detail: error instanceof Error ? (error.stack ?? "") : String(error),
      };
    }
    if (actual === undefined) return { name, outcome: "skipped", detail: `nothing here answers ${operation}` };
    const got = { ...(actual as Readonly<Record<string, unknown>>) };
    const wanted = { ...expected };
    if ("error" in wanted && !("error" in got))
      return { name, outcome: "failed", detail: `must fail with ${JSON.stringify(wanted["error"])}` };
    if ("error" in wanted) {
      delete wanted["error"];
      delete got["error"];
      // The text of an error is informative only, also where an event repeats it.
      const plain = (events: unknown) =>
        Array.isArray(events) ? events.map((event) => String(event).replace(/(SyncWorkFailed) .*/s, "$1")) : events;
      if (operation === "EnsureWorks") {
        wanted["events"] = plain(wanted["events"]);
        got["events"] = plain(got["events"]);
      }
    }
    if (operation === "EnsureWorks") {
      const sorted = (works: unknown) =>
        Array.isArray(works) ? [...works].sort((a, b) => (workKey(a) < workKey(b) ? -1 : 1)) : works;
      wanted["works"] = sorted(wanted["works"]);
      got["works"] = sorted(got["works"]);
    }
    const detail = differenceOf(wanted, got, { isUnordered: vector.unordered ?? false });
    return detail === undefined
      ? { name, outcome: "passed" }
      : { name, outcome: "failed", detail: `${operation} ${detail}` };
  },
};

const workKey = (work: unknown) => {
  const { metadata } = work as { readonly metadata: { readonly namespace: string; readonly name: string } };
  return `${metadata.namespace}/${metadata.name}`;
};
