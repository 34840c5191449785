/**
 * Machinery: the words of the Kubernetes API that no single kind owns.
 *
 * Objects and their metadata (`KubeObject`, `withLabels`), API errors (`notFound`, `isNotFound`), selectors, quantities,
 * and `Transport`, the seam between clients and API servers. Objects are plain immutable JSON: functions here make
 * copies that share what did not change. It never reads time, chance or files.
 */
export { compileJsonPath, compileJsonPathValues, JsonPathError } from "./jsonpath.ts";
export {
  type Cached,
  cachedOf,
  glimpseOf,
  HeldObject,
  holderOf,
  keepLittleDecoded,
  keepWrittenLonger,
  objectOf,
} from "./held-object.ts";
export * from "./meta.ts";
export {
  DNS_LABEL,
  DNS_1035_LABEL,
  DNS_1035_LABEL_TEXT,
  DNS_LABEL_TEXT,
  LABEL_VALUE,
  LABEL_VALUE_TEXT,
  DNS_SUBDOMAIN,
  DNS_SUBDOMAIN_TEXT,
  labelKeyErrors,
} from "./name-formats.ts";
export * from "./name-errors.ts";
export * from "./paths.ts";
export * from "./quantity.ts";
export * from "./selectors.ts";
export { asJsonNumber, parseJson, writeJson } from "./json.ts";
export * from "./status.ts";
export { tolerates } from "./taints.ts";
export * from "./transport.ts";
export { forwardingTransport } from "./forwarding-transport.ts";
export {
  applyJsonPatch,
  type JsonPatchOperation,
  type JsonPatchOptions,
  parsePointer,
  PatchError,
} from "./patch/json-patch.ts";
export { applyMergePatch, diffMergePatch } from "./patch/merge-patch.ts";
export { goFloat } from "./go-numbers.ts";
export { applyStrategicMergePatch, goText } from "./patch/strategic-merge-patch.ts";
export type { JsonSchema, ValidationRule } from "./schema/json-schema.ts";
export { type ResolveRef, Schema } from "./schema/schema.ts";
