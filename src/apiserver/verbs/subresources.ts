import { badRequest, type DeleteOptions, type KubeObject, methodNotSupported, type ResourceRequest } from "#machinery";
import type { RequestContext, ResourceDefinition } from "../definition.ts";
import { successStatus } from "../deletion.ts";
import { namespaceMismatch } from "../metadata.ts";
import { bindPod } from "./binding.ts";
import { admitBody, isKnownIn } from "./body.ts";
import { deleteObject } from "./deletion.ts";
import type { VerbHost } from "./host.ts";
import { readStored } from "./reading.ts";
import { subresourceKind } from "./subresource-kinds.ts";

const EVICTION = { group: "policy", version: "v1", kind: "Eviction" };

/** Posts to a subresource: binding, eviction, token and the like. */
export async function createSubresource(
  host: VerbHost,
  definition: ResourceDefinition,
  request: Extract<ResourceRequest, { verb: "create" }>,
  context: RequestContext,
): Promise<KubeObject> {
  const { namespace, subresource, body } = request;
  const name = request.name ?? "";
  if (subresource === "binding" && definition.kind.resource === "pods")
    return bindPod(host, definition, request, context);
  if (subresource === "eviction" && definition.kind.resource === "pods") {
    const kind = subresourceKind(definition, EVICTION, "io.k8s.api.policy.v1.Eviction");
    const eviction = admitBody(kind, body, request.options ?? {}, context, isKnownIn(host));
    if (eviction.metadata.namespace && eviction.metadata.namespace !== namespace) throw namespaceMismatch();
    if (eviction.metadata.name && eviction.metadata.name !== name)
      throw badRequest("name in URL does not match name in Eviction object");
    const asked = (eviction as { deleteOptions?: DeleteOptions & { readonly dryRun?: unknown } }).deleteOptions ?? {};
    const isDryRun = request.options?.dryRun === true || (Array.isArray(asked.dryRun) && asked.dryRun.length > 0);
    await deleteObject(host, definition, namespace, name, { ...asked, dryRun: isDryRun }, context);
    return successStatus(undefined, 201) as unknown as KubeObject;
  }
  const handler = host.connect.get(`${definition.kind.group}/${definition.kind.resource}/${subresource}`);
  if (handler !== undefined) return handler(readStored(host, definition, namespace, name).object, body, context);
  throw methodNotSupported(definition.kind, "create");
}
