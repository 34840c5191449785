/** Names of the contract (wire): labels, annotations, finalizers, namespaces, taints. */

export const PROPAGATION_POLICY_ID = "propagationpolicy.karmada.io/permanent-id";
export const PROPAGATION_POLICY_NAMESPACE = "propagationpolicy.karmada.io/namespace";
export const PROPAGATION_POLICY_NAME = "propagationpolicy.karmada.io/name";
export const CLUSTER_PROPAGATION_POLICY_ID = "clusterpropagationpolicy.karmada.io/permanent-id";
export const CLUSTER_PROPAGATION_POLICY_NAME = "clusterpropagationpolicy.karmada.io/name";
export const RESOURCE_BINDING_ID = "resourcebinding.karmada.io/permanent-id";
export const CLUSTER_RESOURCE_BINDING_ID = "clusterresourcebinding.karmada.io/permanent-id";
export const RESOURCE_BINDING_NAMESPACE = "resourcebinding.karmada.io/namespace";
export const RESOURCE_BINDING_NAME = "resourcebinding.karmada.io/name";
export const CLUSTER_RESOURCE_BINDING_NAME = "clusterresourcebinding.karmada.io/name";
export const BINDING_DEPENDENCIES = "resourcebinding.karmada.io/dependencies";
export const BINDING_DEPENDED_BY_PREFIX = "resourcebinding.karmada.io/depended-by-";
export const BINDING_MANAGED_BY = "binding.karmada.io/managed-by";
export const WORK_ID = "work.karmada.io/permanent-id";
export const WORK_NAME = "work.karmada.io/name";
export const WORK_NAMESPACE = "work.karmada.io/namespace";
export const CONFLICT_RESOLUTION = "work.karmada.io/conflict-resolution";
export const MANAGED = "karmada.io/managed";
export const SYSTEM = "karmada.io/system";
export const TEMPLATE_UID = "resourcetemplate.karmada.io/uid";
export const TEMPLATE_GENERATION = "resourcetemplate.karmada.io/generation";
export const MANAGED_LABELS = "resourcetemplate.karmada.io/managed-labels";
export const MANAGED_ANNOTATIONS = "resourcetemplate.karmada.io/managed-annotations";
export const CLAIMED_BY = "resourcetemplate.karmada.io/claimed-by";
export const RETAIN_REPLICAS = "resourcetemplate.karmada.io/retain-replicas";
/** On a Work: why it stays although its binding is gone. Whoever wants the same object again takes it over. */
export const KEPT = "binding.flotilla.io/kept";
/** On a binding with a placement of its own: clusters that only what depended on it wanted, not yet cleared; by comma. */
export const NO_LONGER_NEEDED_IN = "binding.flotilla.io/no-longer-needed-in";
/** On a Work of a CustomResourceDefinition that is no longer wanted: it goes when its member has no object of the kind. */
export const DELETE_WHEN_UNUSED = "execution.flotilla.io/delete-when-unused";
/** On a Cluster that goes: `orphan` leaves in the member what it was given; anything else takes it along. */
export const CASCADE = "execution.flotilla.io/cascade";
export const DELETION_PROTECTED = "resourcetemplate.karmada.io/deletion-protected";
export const SKIP_AUTO_PROPAGATION = "namespace.karmada.io/skip-auto-propagation";
export const APPLIED_PLACEMENT = "policy.karmada.io/applied-placement";
export const APPLIED_OVERRIDES = "policy.karmada.io/applied-overrides";
export const APPLIED_CLUSTER_OVERRIDES = "policy.karmada.io/applied-cluster-overrides";

export const PROPAGATION_POLICY_FINALIZER = "karmada.io/propagation-policy-controller";
export const CLUSTER_PROPAGATION_POLICY_FINALIZER = "karmada.io/cluster-propagation-policy-controller";
export const BINDING_FINALIZER = "karmada.io/binding-controller";
export const CLUSTER_BINDING_FINALIZER = "karmada.io/cluster-resource-binding-controller";
export const DEPENDENCIES_FINALIZER = "karmada.io/binding-dependencies-distributor";
export const EXECUTION_FINALIZER = "karmada.io/execution-controller";
export const CLUSTER_FINALIZER = "karmada.io/cluster-controller";

export const SYSTEM_NAMESPACE = "karmada-system";
export const CLUSTER_NAMESPACE = "karmada-cluster";
export const EXECUTION_NAMESPACE_PREFIX = "karmada-es-";

/** Of the roles `register` gives an agent in the control plane: the first is a ClusterRole (wire). */
export const agentRoleName = (cluster: string): string => `system:karmada:${cluster}:agent`;
export const agentSecretRoleName = (cluster: string): string => `${agentRoleName(cluster)}-secret`;
export const agentWorkRoleName = (cluster: string): string => `${agentRoleName(cluster)}-work`;
/** The cluster of the agent that a ClusterRole is for. */
export const clusterOfAgentRole = (name: string): string | undefined =>
  /^system:karmada:([^:]+):agent$/.exec(name)?.[1];

export const TAINT_NOT_READY = "cluster.karmada.io/not-ready";
export const TAINT_UNREACHABLE = "cluster.karmada.io/unreachable";
export const TAINT_UNSCHEDULABLE = "cluster.karmada.io/unschedulable";

/** Namespaces whose objects are never templates. */
export function isReservedNamespace(namespace: string): boolean {
  return (
    namespace === SYSTEM_NAMESPACE ||
    namespace === CLUSTER_NAMESPACE ||
    namespace.startsWith(EXECUTION_NAMESPACE_PREFIX)
  );
}

export const MULTI_CLUSTER_SERVICE_ID = "multiclusterservice.karmada.io/permanent-id";
export const FEDERATED_QUOTA_NAMESPACE = "federatedresourcequota.karmada.io/namespace";
export const FEDERATED_QUOTA_NAME = "federatedresourcequota.karmada.io/name";
/** On objects that are shown from members' caches: the cluster they are in. */
export const CACHED_FROM_CLUSTER = "resource.karmada.io/cached-from-cluster";
