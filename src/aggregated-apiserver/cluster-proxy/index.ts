import type { Connect, FrontOutcome, FrontRequest, User } from "#apiserver";
import { acrossClusters } from "./all-clusters.ts";
import { innerRequest } from "./inner-path.ts";
import { type ClusterSource, findCluster, memberTarget } from "./target.ts";

export type { ClusterSource } from "./target.ts";

/**
 * The cluster proxy: `clusters/NAME/proxy/PATH` goes to the member as the caller, streams and protocol upgrades included;
 * the name `*` means whichever member has what is asked. Rights on `clusters/proxy` were checked before.
 */
export function clusterProxy(
  source: ClusterSource,
  askControlPlane: (request: FrontRequest, user: User) => Promise<FrontOutcome>,
): Connect {
  return async (request, path, user) => {
    if (path.group !== "cluster.karmada.io" || path.resource !== "clusters" || path.subresource !== "proxy")
      return undefined;
    const inner = innerRequest(request.method, request.url);
    if (path.name === "*") return acrossClusters(source, request, inner, user, askControlPlane);
    const cluster = await findCluster(source, path.name ?? "");
    const target = await memberTarget(source, cluster, inner, user);
    if (inner.path === "" && (request.method === "GET" || request.method === "HEAD")) {
      const [where = "", search] = request.url.split("?");
      return {
        status: 301,
        headers: { location: `${where}/${search === undefined ? "" : `?${search}`}` },
        body: Buffer.alloc(0),
      };
    }
    return { forward: target };
  };
}
