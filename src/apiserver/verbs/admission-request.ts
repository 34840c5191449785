import type { DeleteOptions, KubeObject, WriteOptions } from "#machinery";
import type { AdmissionRequest, WrittenAlongside } from "../admission.ts";
import type { RequestContext, ResourceDefinition } from "../definition.ts";

export function admissionRequest(
  operation: AdmissionRequest["operation"],
  definition: ResourceDefinition,
  object: KubeObject | undefined,
  oldObject: KubeObject | undefined,
  subresource: string | undefined,
  options: WriteOptions | DeleteOptions,
  context: RequestContext,
  alongside?: WrittenAlongside[],
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
    isDryRun: options.dryRun ?? false,
    warn: context.warn,
    options: withoutDryRun(options),
    ...(alongside === undefined ? {} : { alongside: (write: WrittenAlongside) => void alongside.push(write) }),
    ...(context.annotate === undefined ? {} : { annotate: context.annotate }),
  };
}

function withoutDryRun({ dryRun: _dryRun, ...rest }: WriteOptions | DeleteOptions): Readonly<Record<string, unknown>> {
  return rest;
}
