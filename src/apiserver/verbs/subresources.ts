import {
  conflict,
  type DeleteOptions,
  formatTime,
  getPath,
  invalid,
  type KubeObject,
  methodNotSupported,
  type ResourceRequest,
  setPath,
} from "#machinery";
import type { RequestContext, ResourceDefinition } from "../definition.ts";
import { successStatus } from "../deletion.ts";
import { deleteObject } from "./deletion.ts";
import type { VerbHost } from "./host.ts";
import { modifyObject } from "./modification.ts";
import { readStored } from "./reading.ts";

/** Posts to a subresource: binding, eviction, token and the like. */
export async function createSubresource(
  host: VerbHost,
  definition: ResourceDefinition,
  request: Extract<ResourceRequest, { verb: "create" }>,
  context: RequestContext,
): Promise<KubeObject> {
  const { namespace, subresource, body } = request;
  const name = request.name ?? "";
  if (subresource === "binding" && definition.kind.resource === "pods") {
    const node = getPath(body, "target", "name");
    if (typeof node !== "string" || node === "")
      throw invalid({ group: "", kind: "Binding" }, name, [
        { type: "FieldValueRequired", field: "target.name", message: "Required value" },
      ]);
    await modifyObject(
      host,
      definition,
      { ...request, name, subresource: "binding" },
      {},
      context,
      (old) => {
        const present = getPath(old, "spec", "nodeName");
        if (present)
          throw conflict(
            { group: "", resource: "pods/binding" },
            name,
            `pod ${name} is already assigned to node ${JSON.stringify(present)}`,
          );
        if (old.metadata.deletionTimestamp !== undefined)
          throw conflict(
            { group: "", resource: "pods/binding" },
            name,
            `pod ${name} is being deleted, cannot be assigned to a host`,
          );
        const conditions = (getPath(old, "status", "conditions") as readonly { type: string }[] | undefined) ?? [];
        const scheduled = {
          type: "PodScheduled",
          status: "True",
          lastProbeTime: null,
          lastTransitionTime: formatTime(host.clock.now()),
        };
        const bound = setPath(old, ["spec", "nodeName"], node);
        return setPath(
          bound,
          ["status", "conditions"],
          [...conditions.filter(({ type }) => type !== "PodScheduled"), scheduled],
        );
      },
      undefined,
    );
    return successStatus(undefined, 201) as unknown as KubeObject;
  }
  if (subresource === "eviction" && definition.kind.resource === "pods") {
    await deleteObject(
      host,
      definition,
      namespace,
      name,
      (body as { deleteOptions?: DeleteOptions }).deleteOptions ?? {},
      context,
    );
    return successStatus(undefined, 201) as unknown as KubeObject;
  }
  const handler = host.connect.get(`${definition.kind.group}/${definition.kind.resource}/${subresource}`);
  if (handler !== undefined) return handler(readStored(host, definition, namespace, name).object, body, context);
  throw methodNotSupported(definition.kind, "create");
}
