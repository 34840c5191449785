import { apiVersionOf, formatTime, type KubeObject, type WriteOptions } from "#machinery";
import { trackUpdate } from "../apply/apply.ts";
import type { RequestContext, ResourceDefinition } from "../definition.ts";
import type { VerbHost } from "./host.ts";

/** Keeps the owners of fields: for clients outside always, for our own writes where somebody cares already. */
export function trackFields(
  host: VerbHost,
  definition: ResourceDefinition,
  old: KubeObject | undefined,
  object: KubeObject,
  options: WriteOptions,
  subresource: string | undefined,
  context: RequestContext,
): KubeObject {
  const isApplied = old === undefined && object.metadata.managedFields?.some(({ operation }) => operation === "Apply");
  if (isApplied || (!context.tracksFields && old?.metadata.managedFields === undefined)) return object;
  return trackUpdate(old, object, definition.schema, {
    manager: options.fieldManager ?? "unknown",
    apiVersion: apiVersionOf(definition.kind),
    subresource,
    time: formatTime(host.clock.now()),
    force: false,
  });
}
