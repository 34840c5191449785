import { Deployment, type Pod, ReplicaSet, StatefulSet } from "#apis/kubernetes";
import type { Informer } from "#client";
import { controllerOf, type KubeObject, type ResourceKind } from "#machinery";
import { loadOf, type Usage, usageOf } from "./usage.ts";

/** Reads shared caches. */
export interface Caches {
  cache<T extends KubeObject>(kind: ResourceKind<T>): Pick<Informer<T>, "get">;
}

const OWNERS: Readonly<Record<string, ResourceKind>> = { ReplicaSet, StatefulSet, Deployment };

/**
 * What a pod uses, with the load its workload shares out: that of its controller, or of the controller's own. `ready` is how
 * many share it, for who has counted them; default what the workload's status says.
 */
export function podUsage(pod: Pod, caches: Caches, ready?: number): Usage {
  let owner = controllerOf(pod);
  for (let depth = 0; owner !== undefined && depth < 2; depth++) {
    const kind = OWNERS[owner.kind];
    if (kind === undefined) break;
    const workload = caches.cache(kind).get(`${pod.metadata.namespace}/${owner.name}`);
    const load = loadOf(workload);
    if (load !== undefined) return usageOf(pod, ready === undefined ? load : { ...load, readyReplicas: ready });
    owner = workload === undefined ? undefined : controllerOf(workload);
  }
  return usageOf(pod, undefined);
}
