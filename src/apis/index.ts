/**
 * Kinds: what objects look like and how they are addressed. `#apis/kubernetes` holds the built-in kinds, `#apis/karmada`
 * Karmada's, with their names, labels and finalizers. Types and descriptors share a name.
 */
export { type KindDefinition, karmadaCustomResourceDefinitions } from "./karmada/index.ts";
