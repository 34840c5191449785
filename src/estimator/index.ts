/**
 * Estimator: how many replicas fit where.
 *
 * `estimateReplicas` and `estimateSets` answer from a cluster's published summary and resource models, in closed form:
 * the cost does not grow with replicas or nodes. `countModels` makes the models' counts from nodes. It never talks to a
 * cluster.
 */
export { type AssumedWorkload, estimateReplicas, estimateSets, type GeneralOptions } from "./general.ts";
export { countModels, defaultResourceModels, type NodeFree } from "./models.ts";
