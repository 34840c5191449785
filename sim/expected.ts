/**
 * The state a simulation must come to, computed directly: no queues, no caches, no order of events. It knows the words of
 * `propagation.md` and nothing of how the controllers go about it.
 */
import {
  bindingName,
  ClusterOverridePolicy,
  ClusterPropagationPolicy,
  isReleasedBinding,
  OverridePolicy,
  PropagationPolicy,
  ResourceBinding,
} from "#apis/karmada";
import { getPath, type KubeObject, setPath, type StringMap } from "#machinery";
import { NAMESPACE, policiesOf, type Policy, type World } from "./world.ts";

interface Selector {
  readonly apiVersion: string;
  readonly kind: string;
  readonly namespace?: string;
  readonly name?: string;
  readonly labelSelector?: { readonly matchLabels?: StringMap };
}

/** 3 by name, 2 by labels, 1 by kind alone, 0 not at all. */
function weightOf(selector: Selector, object: KubeObject): number {
  const { metadata } = object;
  if (selector.apiVersion !== object.apiVersion || selector.kind !== object.kind) return 0;
  if (selector.namespace && selector.namespace !== metadata.namespace) return 0;
  if (selector.name) return selector.name === metadata.name ? 3 : 0;
  if (selector.labelSelector === undefined) return 1;
  const wanted = Object.entries(selector.labelSelector.matchLabels ?? {});
  return wanted.every(([key, value]) => metadata.labels?.[key] === value) ? 2 : 0;
}

const weight = ({ spec }: Policy, object: KubeObject): number =>
  Math.max(0, ...((spec["resourceSelectors"] ?? []) as readonly Selector[]).map((each) => weightOf(each, object)));

/** The policy a template carries the marks of, when it is there and selects it. */
export interface Claim {
  readonly policy: Policy;
}

export interface Policies {
  readonly propagation: readonly Policy[];
  readonly clusterPropagation: readonly Policy[];
  readonly overrides: readonly Policy[];
  readonly clusterOverrides: readonly Policy[];
}

export async function allPolicies(world: World): Promise<Policies> {
  const [propagation, clusterPropagation, overrides, clusterOverrides] = await Promise.all([
    policiesOf(world, PropagationPolicy),
    policiesOf(world, ClusterPropagationPolicy),
    policiesOf(world, OverridePolicy),
    policiesOf(world, ClusterOverridePolicy),
  ]);
  return { propagation, clusterPropagation, overrides, clusterOverrides };
}

/**
 * The policy a template must carry the marks of. One that claims it keeps it while it selects it; otherwise the best of
 * its namespace, otherwise the best cluster-wide one. `undefined`: it must carry none.
 */
export function claimOf(template: KubeObject, { propagation, clusterPropagation }: Policies): Policy | undefined {
  const annotations = template.metadata.annotations ?? {};
  const labels = template.metadata.labels ?? {};
  const isMarked = (key: string) => Boolean(labels[`${key}.karmada.io/permanent-id`]);
  const present = isMarked("propagationpolicy")
    ? propagation.find(({ metadata }) => metadata.name === annotations["propagationpolicy.karmada.io/name"])
    : isMarked("clusterpropagationpolicy")
      ? clusterPropagation.find(
          ({ metadata }) => metadata.name === annotations["clusterpropagationpolicy.karmada.io/name"],
        )
      : undefined;
  if (present !== undefined && weight(present, template) > 0) return present;
  const best = (policies: readonly Policy[]) =>
    policies
      .filter((policy) => weight(policy, template) > 0)
      .sort(
        (a, b) =>
          Number(b.spec["priority"] ?? 0) - Number(a.spec["priority"] ?? 0) ||
          weight(b, template) - weight(a, template) ||
          ((a.metadata.name ?? "") < (b.metadata.name ?? "") ? -1 : 1),
      )[0];
  return best(propagation) ?? best(clusterPropagation);
}

/** Whether a template carries the marks of a policy and of no other. */
export function isClaimedBy(template: KubeObject, policy: Policy): boolean {
  const labels = template.metadata.labels ?? {};
  const key = policy.kind === "PropagationPolicy" ? "propagationpolicy" : "clusterpropagationpolicy";
  const label = `${key}.karmada.io/permanent-id`;
  return (
    Boolean(labels[label]) &&
    labels[label] === policy.metadata.labels?.[label] &&
    template.metadata.annotations?.[`${key}.karmada.io/name`] === policy.metadata.name
  );
}

export const isClaimed = ({ metadata: { labels = {} } }: KubeObject): boolean =>
  Boolean(
    labels["propagationpolicy.karmada.io/permanent-id"] || labels["clusterpropagationpolicy.karmada.io/permanent-id"],
  );

export const namedClusters = ({ spec }: Policy): readonly string[] =>
  (getPath(spec, "placement", "clusterAffinity", "clusterNames") ?? []) as readonly string[];

/** Bindings by name. */
export async function allBindings(world: World): Promise<ReadonlyMap<string, ResourceBinding>> {
  const { items } = await world.fleet.plane.list(ResourceBinding, { namespace: NAMESPACE });
  return new Map(items.map((binding) => [binding.metadata.name ?? "", binding]));
}

export const bindingFor = (bindings: ReadonlyMap<string, ResourceBinding>, { kind, metadata }: KubeObject) => {
  const found = bindings.get(bindingName(kind, metadata.name ?? ""));
  return found?.spec.resource.uid === metadata.uid ? found : undefined;
};

export const clustersOf = (binding: ResourceBinding | undefined): readonly string[] =>
  (binding?.spec.clusters ?? []).map(({ name }) => name);

/** Names of the ConfigMaps a workload needs; one that was let go needs what it needed then. */
function needsOf(workload: KubeObject, binding: ResourceBinding | undefined): readonly (string | undefined)[] {
  const record = binding?.metadata.annotations?.["resourcebinding.karmada.io/dependencies"];
  if (binding !== undefined && record !== undefined && isReleasedBinding(binding))
    return (JSON.parse(record) as readonly { readonly name?: string }[]).map(({ name }) => name);
  const sources = getPath(workload, "spec", "template", "spec", "containers", 0, "envFrom");
  return ((sources ?? []) as readonly { readonly configMapRef?: { readonly name: string } }[]).map(
    ({ configMapRef }) => configMapRef?.name,
  );
}

/** Clusters a ConfigMap is needed in: wherever a workload runs that names it and brings along what it needs. */
export function neededIn(
  template: KubeObject,
  templates: readonly KubeObject[],
  bindings: ReadonlyMap<string, ResourceBinding>,
): readonly string[] {
  if (template.kind !== "ConfigMap") return [];
  const found = new Set<string>();
  for (const workload of templates) {
    const binding = bindingFor(bindings, workload);
    if (!needsOf(workload, binding).includes(template.metadata.name)) continue;
    if (binding?.spec.propagateDeps !== true || binding.metadata.deletionTimestamp !== undefined) continue;
    for (const cluster of clustersOf(binding)) found.add(cluster);
  }
  return [...found];
}

/** Whether nothing is carried out in a cluster for the time being. */
export function isSuspendedIn({ spec }: Pick<Policy, "spec">, cluster: string): boolean {
  const { dispatching, dispatchingOnClusters } = (spec["suspension"] ?? {}) as {
    readonly dispatching?: boolean;
    readonly dispatchingOnClusters?: { readonly clusterNames?: readonly string[] };
  };
  return dispatching === true || dispatchingOnClusters?.clusterNames?.includes(cluster) === true;
}

export const isLazy = ({ spec }: Policy): boolean => spec["activationPreference"] === "Lazy";

/** Whether every named cluster gets a copy, whatever the numbers. */
export const isDuplicated = (template: KubeObject, { spec }: Policy): boolean =>
  template.kind !== "Deployment" ||
  getPath(spec, "placement", "replicaScheduling", "replicaSchedulingType") !== "Divided";

interface Rule {
  readonly targetCluster?: { readonly clusterNames?: readonly string[] };
  readonly overriders: Readonly<Record<string, readonly { readonly value: unknown }[]>>;
}

/** A template as it must stand in a cluster, apart from replicas, marks of ours and what members fill in. */
export function rendered(template: KubeObject, cluster: string, policies: Policies): KubeObject {
  let object = template;
  for (const group of [policies.clusterOverrides, policies.overrides]) {
    const asItCame = object;
    const matching = group
      .filter((policy) => weight(policy, asItCame) > 0)
      .sort(
        (a, b) =>
          weight(a, asItCame) - weight(b, asItCame) || ((a.metadata.name ?? "") < (b.metadata.name ?? "") ? -1 : 1),
      );
    for (const { spec } of matching)
      for (const { targetCluster, overriders } of spec["overrideRules"] as readonly Rule[]) {
        if (!(targetCluster?.clusterNames ?? [cluster]).includes(cluster)) continue;
        object = overridden(object, overriders);
      }
  }
  return object;
}

function overridden(object: KubeObject, overriders: Rule["overriders"]): KubeObject {
  let result = object;
  const { metadata } = result;
  for (const { value } of overriders["labelsOverrider"] ?? [])
    result = { ...result, metadata: { ...metadata, labels: { ...metadata.labels, ...(value as StringMap) } } };
  for (const { value } of overriders["annotationsOverrider"] ?? [])
    result = {
      ...result,
      metadata: { ...metadata, annotations: { ...metadata.annotations, ...(value as StringMap) } },
    };
  const containers = getPath(result, "spec", "template", "spec", "containers");
  if (result.kind === "Deployment" && Array.isArray(containers))
    for (const { value } of overriders["imageOverrider"] ?? [])
      result = setPath(
        result,
        ["spec", "template", "spec", "containers"],
        (containers as readonly { readonly image: string }[]).map((container) => ({
          ...container,
          image: container.image.replace(/:[^:/]*$/, `:${String(value)}`),
        })),
      );
  return result;
}
