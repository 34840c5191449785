/**
 * Interpreter: what a resource means.
 *
 * For each kind: how many replicas it wants and what they need, how to set them, what a member may keep, how statuses are
 * reflected and summed up, what it depends on, and when it is healthy. `createInterpreter` asks rule sources in order of
 * precedence; native kinds are built in. Beside it stand the rules all kinds share: pruning, kept metadata, and the status
 * of a binding. It is pure: it reads no cluster and writes nothing.
 */
export { aggregateItems, expectedClusters, fullyApplied, planBindingStatus } from "./binding-status.ts";
export { createInterpreter, type Interpreter, nativeSource, type RuleSource } from "./interpreter.ts";
export { pruneManifest, recordManaged, retainMetadata } from "./metadata.ts";
export { thirdPartySource } from "./third-party/source.ts";
export { type Answers, isUnanswered } from "./answers.ts";
export { createCustomizations, CUSTOMIZATION_RULES, type Customizations } from "./lua/customization.ts";
export {
  defineInterpreterPlugin,
  type InterpreterPlugin,
  type InterpreterPluginHost,
  startInterpreterPlugin,
} from "./plugin/host.ts";
export { createWebhookPost } from "./webhook/post.ts";
export { createWebhooks, type ServiceAddress } from "./webhook/source.ts";
export { createLuaEngine, type LuaEngine } from "./lua/engine.ts";
export { LuaError } from "./lua/errors.ts";
export { systemWork, type SystemWorkInput } from "./system-work.ts";
export type { AggregatedItem, Dependency, Json, KindRules, Operation, Replicas } from "./rules.ts";
