import {
  type AnyBinding,
  type AnyPropagationPolicy,
  BINDING_FINALIZER,
  bindingName,
  CLUSTER_BINDING_FINALIZER,
  CLUSTER_PROPAGATION_POLICY_ID,
  CLUSTER_PROPAGATION_POLICY_NAME,
  type ClusterPropagationPolicy,
  PROPAGATION_POLICY_ID,
  PROPAGATION_POLICY_NAME,
  PROPAGATION_POLICY_NAMESPACE,
  type PropagationPolicy,
  type PropagationSpec,
  type Claim,
} from "#apis/karmada";
import { controllerReference, type KubeObject, withAnnotations, withKeys, withLabels } from "#machinery";
import { MATCHES_NONE, selectorsPriority } from "#override";
import { isLazy, TEMPLATE_DIGEST, userDigest } from "./lazy.ts";

/** The best of the policies of one kind: explicit priority, then precision, then name. */
export function choosePolicy<P extends AnyPropagationPolicy>(
  policies: readonly P[],
  object: KubeObject,
): P | undefined {
  let best:
    | { readonly policy: P; readonly priority: number; readonly implicit: number; readonly name: string }
    | undefined;
  for (const policy of policies) {
    if (policy.metadata.deletionTimestamp !== undefined) continue;
    const implicit = selectorsPriority(policy.spec.resourceSelectors, object);
    if (implicit === MATCHES_NONE) continue;
    const candidate = { policy, priority: policy.spec.priority ?? 0, implicit, name: policy.metadata.name ?? "" };
    const isBetter =
      best === undefined ||
      candidate.priority > best.priority ||
      (candidate.priority === best.priority &&
        (candidate.implicit > best.implicit || (candidate.implicit === best.implicit && candidate.name < best.name)));
    if (isBetter) best = candidate;
  }
  return best?.policy;
}

/** The policy for a template: one of its namespace before any cluster-wide one. */
export function matchPolicy(
  object: KubeObject,
  policies: readonly PropagationPolicy[],
  clusterPolicies: readonly ClusterPropagationPolicy[],
): AnyPropagationPolicy | undefined {
  const namespace = object.metadata.namespace;
  const own =
    namespace === undefined || namespace === ""
      ? undefined
      : choosePolicy(
          policies.filter(({ metadata }) => metadata.namespace === namespace),
          object,
        );
  return own ?? choosePolicy(clusterPolicies, object);
}

export const isClusterPolicy = (policy: AnyPropagationPolicy): boolean => policy.kind === "ClusterPropagationPolicy";

/** The id admission gave a policy, by which bindings and templates know whose they are; empty while it has none. */
export const idOf = (policy: AnyPropagationPolicy): string =>
  policy.metadata.labels?.[isClusterPolicy(policy) ? CLUSTER_PROPAGATION_POLICY_ID : PROPAGATION_POLICY_ID] ?? "";

/** The marks of a policy on templates and bindings. */
export function claimMarks(policy: AnyPropagationPolicy): {
  readonly labels: Record<string, string | undefined>;
  readonly annotations: Record<string, string | undefined>;
} {
  const { name = "", namespace = "" } = policy.metadata;
  if (isClusterPolicy(policy))
    return {
      labels: { [CLUSTER_PROPAGATION_POLICY_ID]: idOf(policy) },
      annotations: { [CLUSTER_PROPAGATION_POLICY_NAME]: name },
    };
  return {
    labels: {
      [PROPAGATION_POLICY_ID]: idOf(policy),
      [CLUSTER_PROPAGATION_POLICY_ID]: undefined,
    },
    annotations: {
      [PROPAGATION_POLICY_NAMESPACE]: namespace,
      [PROPAGATION_POLICY_NAME]: name,
      [CLUSTER_PROPAGATION_POLICY_NAME]: undefined,
    },
  };
}

/** The template with the policy's marks; the same object when it has them already. */
export function claimed<T extends KubeObject>(object: T, policy: AnyPropagationPolicy): T {
  const labels = object.metadata.labels ?? {};
  const own = policy.metadata.labels ?? {};
  if (
    isClusterPolicy(policy)
      ? labels[CLUSTER_PROPAGATION_POLICY_ID] === own[CLUSTER_PROPAGATION_POLICY_ID]
      : labels[PROPAGATION_POLICY_ID] === own[PROPAGATION_POLICY_ID] &&
        labels[CLUSTER_PROPAGATION_POLICY_ID] === undefined
  )
    return object;
  const marks = claimMarks(policy);
  return withAnnotations(withLabels(object, marks.labels), marks.annotations);
}

/** The object without the marks of one policy kind. */
export function unclaimed<T extends KubeObject>(object: T, kind: Claim["kind"]): T {
  return kind === "PropagationPolicy"
    ? withAnnotations(withLabels(object, { [PROPAGATION_POLICY_ID]: undefined }), {
        [TEMPLATE_DIGEST]: undefined,
        [PROPAGATION_POLICY_NAMESPACE]: undefined,
        [PROPAGATION_POLICY_NAME]: undefined,
      })
    : withAnnotations(withLabels(object, { [CLUSTER_PROPAGATION_POLICY_ID]: undefined }), {
        [TEMPLATE_DIGEST]: undefined,
        [CLUSTER_PROPAGATION_POLICY_NAME]: undefined,
      });
}

export interface BindingInput {
  readonly template: KubeObject;
  readonly policy: AnyPropagationPolicy;
  readonly present: AnyBinding | undefined;
  readonly replicas: { readonly replica: number; readonly requirements: unknown } | undefined;
  readonly components?: readonly unknown[];
  /** Value of the priority class the policy names. */
  readonly priority?: number;
}

/** Fields a policy decides: what it no longer says leaves the binding. */
const POLICY_FIELDS = new Set([
  "propagateDeps",
  "schedulerName",
  "placement",
  "failover",
  "conflictResolution",
  "preserveResourcesOnDeletion",
  "replicas",
  "replicaRequirements",
  "components",
  "suspension",
  "schedulePriority",
  "workloadAffinityGroups",
]);

const drop = (values: Readonly<Record<string, unknown>>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));

/** The binding a template and its policy lead to, over the one that is there. */
export function buildBinding({ template, policy, present, replicas, components, priority }: BindingInput): AnyBinding {
  const { name = "", namespace, uid = "", resourceVersion = "" } = template.metadata;
  const isCluster = namespace === undefined || namespace === "";
  const spec: PropagationSpec = policy.spec;
  const suspension = mergeSuspension(
    (present?.spec.suspension ?? {}) as Readonly<Record<string, unknown>>,
    (spec.suspension ?? {}) as Readonly<Record<string, unknown>>,
  );
  const marks = claimMarks(policy);
  const finalizer = isCluster ? CLUSTER_BINDING_FINALIZER : BINDING_FINALIZER;
  const kept = Object.fromEntries(Object.entries(present?.spec ?? {}).filter(([field]) => !POLICY_FIELDS.has(field)));
  const groups = workloadGroups(template, spec);
  const labels = withKeys(present?.metadata.labels, marks.labels);
  const annotations = withKeys(present?.metadata.annotations, {
    ...marks.annotations,
    [TEMPLATE_DIGEST]: isLazy(policy) ? userDigest(template) : undefined,
  });
  return {
    ...(present ?? {}),
    apiVersion: "work.karmada.io/v1alpha2",
    kind: isCluster ? "ClusterResourceBinding" : "ResourceBinding",
    metadata: {
      ...present?.metadata,
      name: bindingName(template.kind, name),
      ...(isCluster ? {} : { namespace }),
      ...(labels === undefined ? {} : { labels }),
      ...(annotations === undefined ? {} : { annotations }),
      finalizers: [...new Set([...(present?.metadata.finalizers ?? []), finalizer])],
      ownerReferences: [controllerReference(template)],
    },
    spec: {
      ...kept,
      resource: {
        apiVersion: template.apiVersion,
        kind: template.kind,
        ...(isCluster ? {} : { namespace }),
        name,
        uid,
        resourceVersion,
      },
      ...drop({
        propagateDeps: spec.propagateDeps,
        schedulerName: spec.schedulerName,
        placement: spec.placement ?? {},
        failover: spec.failover,
        conflictResolution: spec.conflictResolution,
        preserveResourcesOnDeletion: spec.preserveResourcesOnDeletion,
        replicas: components === undefined ? replicas?.replica : undefined,
        replicaRequirements: components === undefined ? replicas?.requirements : undefined,
        components,
        suspension,
        schedulePriority: priority === undefined ? undefined : { priority },
        workloadAffinityGroups: isCluster ? undefined : groups,
      }),
    },
  } as unknown as AnyBinding;
}

function mergeSuspension(
  present: Readonly<Record<string, unknown>>,
  wanted: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> | undefined {
  const merged = drop({
    scheduling: present["scheduling"],
    dispatching: wanted["dispatching"],
    dispatchingOnClusters: wanted["dispatchingOnClusters"],
  });
  return Object.keys(merged).length === 0 ? undefined : merged;
}

function workloadGroups(template: KubeObject, { placement }: PropagationSpec) {
  const affinity = (
    placement as
      | {
          readonly workloadAffinity?: {
            readonly affinity?: { readonly groupByLabelKey: string };
            readonly antiAffinity?: { readonly groupByLabelKey: string };
          };
        }
      | undefined
  )?.workloadAffinity;
  const group = (term: { readonly groupByLabelKey: string } | undefined) => {
    const value = term === undefined ? undefined : template.metadata.labels?.[term.groupByLabelKey];
    return value === undefined ? undefined : `${term?.groupByLabelKey}=${value}`;
  };
  const groups = drop({ affinityGroup: group(affinity?.affinity), antiAffinityGroup: group(affinity?.antiAffinity) });
  return Object.keys(groups).length === 0 ? undefined : groups;
}
