import { copyWith, copyWithout } from "#base";
import type { DeleteOptions, KubeObject, WriteOptions } from "#machinery";
import type { AdmissionRequest, AdmissionView, WrittenAlongside } from "../admission.ts";
import type { RequestContext, ResourceDefinition } from "../definition.ts";

interface AdmissionExtras {
  /** Takes what plugins want written beside the object. */
  readonly alongside?: WrittenAlongside[];
  readonly view?: AdmissionView | undefined;
  /** Whether the request names no object, as one for a collection. */
  readonly isNameless?: boolean;
}

/** Members of the options that say how the server is to write, not what the client asked for. */
const OWN_OPTIONS = ["dryRun", "statusPatch", "hasDefaultManager"] as const;

export function admissionRequest(
  operation: AdmissionRequest["operation"],
  definition: ResourceDefinition,
  object: KubeObject | undefined,
  oldObject: KubeObject | undefined,
  subresource: string | undefined,
  options: WriteOptions | DeleteOptions,
  context: RequestContext,
  { alongside, view, isNameless = false }: AdmissionExtras = {},
): AdmissionRequest {
  const metadata = (object ?? oldObject)?.metadata ?? {};
  const request = {
    operation,
    definition,
    object,
    oldObject,
    subresource,
    namespace: metadata.namespace,
    name: isNameless ? "" : (metadata.name ?? ""),
    user: context.user,
    isDryRun: options.dryRun ?? false,
    warn: context.warn,
    options: shownOptions(options),
  };
  const more: { -readonly [K in "alongside" | "annotate" | "view"]?: Exclude<AdmissionRequest[K], undefined> } = {};
  if (view !== undefined) more.view = view;
  if (alongside !== undefined) more.alongside = (write) => void alongside.push(write);
  if (context.annotate !== undefined) more.annotate = context.annotate;
  return copyWith(request, more);
}

/** The options as the client gave them. */
function shownOptions(options: WriteOptions | DeleteOptions): Readonly<Record<string, unknown>> {
  const given = copyWithout(options as WriteOptions & DeleteOptions, ...OWN_OPTIONS);
  const hasDefault = (options as WriteOptions).hasDefaultManager === true;
  return hasDefault ? copyWithout(given, "fieldManager", "force") : copyWithout(given, "force");
}
