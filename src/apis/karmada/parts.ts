import type * as types from "./generated-types.ts";

/** Parts of Karmada's kinds by the API's own names. */

type Of<T> = NonNullable<T>;
export type PropagationSpec = types.PropagationPolicy["spec"];
export type ResourceSelector = PropagationSpec["resourceSelectors"][number];
export type Placement = Of<types.ResourceBinding["spec"]["placement"]>;
export type ClusterAffinity = Of<Placement["clusterAffinity"]>;
export type ClusterAffinityTerm = Of<Placement["clusterAffinities"]>[number];
export type ReplicaSchedulingStrategy = Of<Placement["replicaScheduling"]>;
export type ClusterPreferences = Of<ReplicaSchedulingStrategy["weightPreference"]>;
export type SpreadConstraint = Of<Placement["spreadConstraints"]>[number];
export type Toleration = Of<Placement["clusterTolerations"]>[number];
export type ResourceBindingSpec = types.ResourceBinding["spec"];
export type ResourceBindingStatus = Of<types.ResourceBinding["status"]>;
export type TargetCluster = Of<ResourceBindingSpec["clusters"]>[number];
export type Component = Of<ResourceBindingSpec["components"]>[number];
export type GracefulEvictionTask = Of<ResourceBindingSpec["gracefulEvictionTasks"]>[number];
export type ReplicaRequirements = Of<ResourceBindingSpec["replicaRequirements"]>;
export type BindingSnapshot = Of<ResourceBindingSpec["requiredBy"]>[number];
export type AggregatedStatusItem = Of<ResourceBindingStatus["aggregatedStatus"]>[number];
export type ManifestStatus = Of<Of<types.Work["status"]>["manifestStatuses"]>[number];
export type OverrideRule = Of<types.OverridePolicy["spec"]["overrideRules"]>[number];
export type Overriders = OverrideRule["overriders"];
export type ClusterStatus = Of<types.Cluster["status"]>;
export type ResourceModel = Of<Of<types.Cluster["spec"]>["resourceModels"]>[number];
/** Either binding kind: everything that handles one handles the other. */
export type AnyBinding = types.ResourceBinding | types.ClusterResourceBinding;
export type AnyPropagationPolicy = types.PropagationPolicy | types.ClusterPropagationPolicy;
export type AnyOverridePolicy = types.OverridePolicy | types.ClusterOverridePolicy;

export interface Condition {
  readonly type: string;
  readonly status: string;
  readonly reason: string;
  readonly message: string;
  readonly lastTransitionTime: string;
  readonly observedGeneration?: number;
}
