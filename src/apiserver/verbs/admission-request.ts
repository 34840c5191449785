import { copyWith, copyWithout } from "#base";
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
  const request = {
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
    options: copyWithout(options, "dryRun"),
  };
  const more: { -readonly [K in "alongside" | "annotate"]?: Exclude<AdmissionRequest[K], undefined> } = {};
  if (alongside !== undefined) more.alongside = (write) => void alongside.push(write);
  if (context.annotate !== undefined) more.annotate = context.annotate;
  return copyWith(request, more);
}
