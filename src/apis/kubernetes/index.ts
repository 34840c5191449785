/**
 * Kubernetes' built-in kinds: their shapes and how to address them. All of them are generated; a type and its
 * descriptor share one name, so `client.get(Pod, …)` gives a `Pod`.
 */
export * from "./generated-kinds.ts";
export { isNodeClass, STANDS_FOR, standsFor } from "./stands-for.ts";
export type {
  Condition,
  Container,
  EnvVar,
  EndpointConditions,
  PodSpec,
  PodTemplateSpec,
  Taint,
  Toleration,
  NodeSelectorRequirement,
  PolicyRule,
  Subject,
} from "./generated-types.ts";
