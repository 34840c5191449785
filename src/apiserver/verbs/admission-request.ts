import type { KubeObject } from "#machinery";
import type { AdmissionRequest } from "../admission.ts";
import type { RequestContext, ResourceDefinition } from "../definition.ts";

export function admissionRequest(
  operation: AdmissionRequest["operation"],
  definition: ResourceDefinition,
  object: KubeObject | undefined,
  oldObject: KubeObject | undefined,
  subresource: string | undefined,
  isDryRun: boolean,
  context: RequestContext,
): AdmissionRequest {
  const metadata = (object ?? oldObject)?.metadata ?? {};
  return {
    operation,
    definition,
    object,
    oldObject,
    subresource,
    namespace: metadata.namespace,
    name: metadata.name ?? "",
    user: context.user,
    isDryRun,
    warn: context.warn,
  };
}
