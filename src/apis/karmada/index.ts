/**
 * Karmada's kinds: their shapes, how to address them, their definitions for an API server, and the names, labels and
 * finalizers of the contract (`well-known.ts`, `naming.ts`). Types and definitions are generated from one source, the
 * published schemas; the API's own words name the parts.
 */
import type * as types from "./generated-types.ts";

export * from "./generated-types.ts";
export { type KindDefinition, karmadaCustomResourceDefinitions, kindDefinitions } from "./definitions.ts";
export * from "./naming.ts";
export * from "./well-known.ts";

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
