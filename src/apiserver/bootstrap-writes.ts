import type { KubeObject, ResourceRequest } from "#machinery";
import { systemUser } from "./definition.ts";
import type { ApiServer } from "./server.ts";

/** Sends what the server writes for itself: the fields are `kube-apiserver`'s, as in Kubernetes, or another part's of it. */
export function asApiServer(
  server: ApiServer,
  fieldManager = "kube-apiserver",
): (request: ResourceRequest) => Promise<KubeObject> {
  const context = { user: systemUser, warn: () => undefined, tracksFields: true };
  return (request) => {
    const isWrite = request.verb === "create" || request.verb === "update" || request.verb === "patch";
    const owned = isWrite ? { ...request, options: { fieldManager, ...request.options } } : request;
    return server.execute(owned as ResourceRequest, context);
  };
}
