/**
 * Karmada's kinds: their shapes, how to address them, their definitions for an API server, and the names, labels and
 * finalizers of the contract (`well-known.ts`, `naming.ts`). Types and definitions are generated from one source, the
 * published schemas; the API's own words name the parts.
 */
export * from "./generated-types.ts";
export { type KindDefinition, karmadaCustomResourceDefinitions, kindDefinitions } from "./definitions.ts";
export { karmadaConversions } from "./binding-conversion.ts";
export * from "./naming.ts";
export * from "./well-known.ts";

export type * from "./parts.ts";
export { inlineOf, matchesAffinity, overflowOf, overflowOrder, termNamed } from "./affinity.ts";
