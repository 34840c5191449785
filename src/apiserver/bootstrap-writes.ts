import type { KubeObject, ResourceRequest } from "#machinery";
import { systemUser } from "./definition.ts";
import type { ApiServer } from "./server.ts";

/** Sends what the server writes for itself at its start: the fields are `kube-apiserver`'s, as in Kubernetes. */
export function asApiServer(server: ApiServer): (request: ResourceRequest) => Promise<KubeObject> {
  const context = { user: systemUser, warn: () => undefined, tracksFields: true };
  return (request) => {
    const isWrite = request.verb === "create" || request.verb === "update";
    const owned = isWrite ? { ...request, options: { ...request.options, fieldManager: "kube-apiserver" } } : request;
    return server.execute(owned as ResourceRequest, context);
  };
}
