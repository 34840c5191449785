import type { AdmissionRequest, ResourceDefinition } from "#apiserver";
import type { KubeObject, ResourceKind } from "#machinery";

/** As much of a definition as plugins look at: which kind it is. */
export const plainDefinition = (kind: ResourceKind): ResourceDefinition => ({
  kind,
  singular: kind.resource,
  shortNames: [],
  categories: [],
  verbs: [],
  subresources: [],
  schema: undefined,
  columns: [],
  storage: { prefix: "", version: kind.version },
  origin: "custom",
  strategy: {},
  hasGeneration: true,
});

/** A write as plugins look at it, where no API server asks: `user` is who runs this process. */
export function plainRequest(
  kind: ResourceKind,
  operation: "CREATE" | "UPDATE",
  object: KubeObject,
  warn: (message: string) => void,
): AdmissionRequest & { readonly object: KubeObject } {
  return {
    operation,
    definition: plainDefinition(kind),
    object,
    oldObject: undefined,
    subresource: undefined,
    namespace: object.metadata.namespace,
    name: object.metadata.name ?? "",
    user: { name: "flotilla-controllers", uid: "", groups: [] },
    isDryRun: false,
    warn,
  };
}
