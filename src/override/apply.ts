import {
  type Cluster,
  type ClusterOverridePolicy,
  matchesAffinity,
  type OverridePolicy,
  type Overriders,
} from "#apis/karmada";
import type { KubeObject } from "#machinery";
import { MATCHES_ALL, MATCHES_NONE, selectorsPriority } from "./matching.ts";
import { applyOverriders } from "./overriders.ts";

/** One rule that took effect, as it is recorded on the Work. */
export interface AppliedOverride {
  readonly policyName: string;
  readonly overriders: Overriders;
}

export interface OverrideEvent {
  readonly type: "Normal" | "Warning";
  readonly reason: string;
  readonly message: string;
}

export interface OverrideResult {
  readonly object: KubeObject;
  readonly appliedClusterOverrides: readonly AppliedOverride[];
  readonly appliedOverrides: readonly AppliedOverride[];
  readonly events: readonly OverrideEvent[];
}

/** An override that could not be applied; nothing of the object is used. */
export class OverrideError extends Error {
  readonly events: readonly OverrideEvent[];
  constructor(message: string, events: readonly OverrideEvent[], options?: ErrorOptions) {
    super(message, options);
    this.name = "OverrideError";
    this.events = events;
  }
}

type Policy = OverridePolicy | ClusterOverridePolicy;

/** Rules of a policy that speak of a cluster; the deprecated pair is the only rule where there is no list. */
function rulesFor(policy: Policy, cluster: Cluster): readonly Overriders[] {
  const {
    overrideRules = [],
    targetCluster,
    overriders,
  } = policy.spec as Policy["spec"] & {
    readonly targetCluster?: Parameters<typeof matchesAffinity>[0];
    readonly overriders?: Overriders;
  };
  const rules =
    overrideRules.length > 0
      ? overrideRules
      : overriders === undefined
        ? []
        : [{ ...(targetCluster === undefined ? {} : { targetCluster }), overriders }];
  return rules
    .filter((rule) => rule.targetCluster === undefined || matchesAffinity(rule.targetCluster, cluster))
    .map((rule) => rule.overriders);
}

/** Policies that speak of an object, the least specific first, so that the most specific wins. */
export function matchingOverrides<P extends Policy>(policies: readonly P[], object: KubeObject): readonly P[] {
  return policies
    .map((policy) => {
      const selectors = policy.spec.resourceSelectors ?? [];
      return { policy, priority: selectors.length === 0 ? MATCHES_ALL : selectorsPriority(selectors, object) };
    })
    .filter(({ priority }) => priority !== MATCHES_NONE)
    .sort(
      (a, b) => a.priority - b.priority || ((a.policy.metadata.name ?? "") < (b.policy.metadata.name ?? "") ? -1 : 1),
    )
    .map(({ policy }) => policy);
}

/** Applies all overrides that match an object for one cluster: cluster-wide policies first, then those of its namespace. */
export function applyOverrides(
  object: KubeObject,
  cluster: Cluster,
  policies: {
    readonly clusterOverridePolicies: readonly ClusterOverridePolicy[];
    readonly overridePolicies: readonly OverridePolicy[];
  },
): OverrideResult {
  const events: OverrideEvent[] = [];
  const clusterName = cluster.metadata.name ?? "";
  let result = object;
  const applyGroup = (group: readonly Policy[], isClusterScoped: boolean): readonly AppliedOverride[] => {
    const applied: AppliedOverride[] = [];
    for (const policy of matchingOverrides(group, result)) {
      const { name = "", namespace } = policy.metadata;
      const subject = isClusterScoped ? `cluster override policy(${name})` : `override policy(${namespace}/${name})`;
      for (const overriders of rulesFor(policy, cluster)) {
        try {
          result = applyOverriders(result, overriders);
        } catch (error) {
          events.push({
            type: "Warning",
            reason: "ApplyOverridePolicyFailed",
            message: `Apply ${subject} for cluster(${clusterName}) failed.`,
          });
          throw new OverrideError(error instanceof Error ? error.message : String(error), events, { cause: error });
        }
        events.push({
          type: "Normal",
          reason: "ApplyOverridePolicySucceed",
          message: `Apply ${subject} for cluster(${clusterName}) succeed.`,
        });
        applied.push({ policyName: name, overriders });
      }
    }
    return applied.sort((a, b) => (a.policyName < b.policyName ? -1 : a.policyName > b.policyName ? 1 : 0));
  };
  const namespace = object.metadata.namespace;
  const appliedClusterOverrides = applyGroup(policies.clusterOverridePolicies, true);
  const own =
    namespace === undefined || namespace === ""
      ? []
      : policies.overridePolicies.filter(({ metadata }) => metadata.namespace === namespace);
  const appliedOverrides = applyGroup(own, false);
  return { object: result, appliedClusterOverrides, appliedOverrides, events };
}

type Entry = Readonly<Record<string, unknown>>;

/** Members in the API's order, as upstream writes the annotation (wire). */
const ORDER = [
  "plaintext",
  "imageOverrider",
  "commandOverrider",
  "argsOverrider",
  "labelsOverrider",
  "annotationsOverrider",
  "fieldOverrider",
];
const ENTRY_ORDER = [
  "path",
  "subPath",
  "predicate",
  "component",
  "containerName",
  "fieldPath",
  "operator",
  "value",
  "json",
  "yaml",
];

function ordered(entry: Entry, order: readonly string[]): Entry {
  const known = order.filter((key) => entry[key] !== undefined);
  const others = Object.keys(entry).filter((key) => !order.includes(key));
  return Object.fromEntries([...known, ...others].map((key) => [key, entry[key]]));
}

const operation = (entry: Entry): Entry =>
  ordered(entry["value"] === undefined ? { ...entry, value: null } : entry, ENTRY_ORDER);

function shown(overriders: Overriders): Entry {
  const result: Record<string, unknown> = {};
  for (const [list, entries] of Object.entries(ordered(overriders as Entry, ORDER)))
    result[list] = ((entries ?? []) as readonly Entry[]).map((entry) => {
      if (list === "plaintext") return operation(entry);
      const part = (name: string) =>
        Array.isArray(entry[name]) ? { [name]: (entry[name] as readonly Entry[]).map(operation) } : {};
      return ordered({ ...entry, ...part("json"), ...part("yaml") }, ENTRY_ORDER);
    });
  return result;
}

/** The annotation's text for applied rules; `undefined` when there are none. */
export function appliedText(applied: readonly AppliedOverride[]): string | undefined {
  return applied.length === 0
    ? undefined
    : JSON.stringify(applied.map(({ policyName, overriders }) => ({ policyName, overriders: shown(overriders) })));
}
