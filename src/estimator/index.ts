/**
 * Estimator: how many replicas fit where.
 *
 * `estimateReplicas` and `estimateSets` answer from a cluster's published summary and resource models, in closed form:
 * the cost does not grow with replicas or nodes. `estimateNodeReplicas` and `estimateNodeSets` answer from the nodes,
 * pods and quotas of a member (`NodeAccounts` keeps them current; equal nodes may be given as one `NodeClass`).
 * `countModels` makes the models' counts from nodes, `countUnschedulable` finds replicas that found no node.
 * `createMemberEstimator` answers for one member from its caches, `startEstimatorServer` and `dialEstimator` carry the same
 * questions over gRPC, wire-compatible with upstream, and an `EstimatorPool` asks many clusters at once. Answers are
 * whole numbers from 0 to 2147483647; nothing here decides where a workload goes.
 */
export { amountOf, demandOf, UNLIMITED } from "./amounts.ts";
export { type AssumedWorkload, estimateReplicas, estimateSets, type GeneralOptions } from "./general.ts";
export {
  countModels,
  defaultResourceModels,
  gradeByModels,
  type ModelCount,
  type ModelGrader,
  type NodeFree,
} from "./models.ts";
export { NodeAccounts, type NodeClass, podDemand, summariseNodes } from "./node-accounts.ts";
export { estimateNodeReplicas, estimateNodeSets, type MemberFacts, type NodeEstimateOptions } from "./node-estimate.ts";
export {
  type Asking,
  type ClusterEstimator,
  createEstimatorPool,
  type EstimatorPool,
  type FanOut,
  type MutableEstimatorPool,
  type ObjectRef,
  type PoolOptions,
  UNKNOWN,
} from "./pool.ts";
export {
  countUnschedulable,
  currentReplicaSet,
  EstimateError,
  requireCluster,
  type UnschedulableQuestion,
} from "./unschedulable.ts";
export { type ConnectEstimatorsOptions, connectEstimators } from "./connect.ts";
export { createMemberEstimator, followMembers, type MemberEstimatorOptions } from "./member-estimator.ts";
export { type ClientSecurity, dialEstimator, type DialOptions } from "./grpc/client.ts";
export { type DiscoveryOptions, estimatorAddresses, followEstimators } from "./grpc/discovery.ts";
export {
  type EstimatorServer,
  type EstimatorServerOptions,
  type ServerSecurity,
  startEstimatorServer,
} from "./grpc/server.ts";
export { type ServeMemberOptions, serveMember } from "./serve-member.ts";
