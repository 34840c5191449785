/**
 * Cluster taint policy: taints that follow from a cluster's conditions, as ClusterTaintPolicies say (gate `Failover`). A
 * policy that goes leaves the taints it made.
 */
import { Cluster, ClusterTaintPolicy } from "#apis/karmada";
import {
  type ControllerContext,
  defineController,
  done,
  type Request,
  requeueAfter,
  type Result,
  wake,
} from "#controller-runtime";
import { deepEqual } from "#base";
import { isConflict, isNotFound } from "#machinery";
import { planPolicyTaints } from "./plan.ts";

export { planPolicyTaints } from "./plan.ts";

export const clusterTaintPolicy = defineController<unknown, Record<string, never>>({
  name: "clustertaintpolicy",
  reconciles: [Cluster],
  reconcilers: ["cluster-taint-policy-controller"],
  when: (change) =>
    change.type !== "deleted" &&
    (change.type === "added" ||
      !deepEqual((change.object as Cluster).status?.conditions, (change.old as Cluster).status?.conditions)),
  wakes: [
    wake(ClusterTaintPolicy, (change, context: ControllerContext<unknown, unknown>) =>
      change.type === "deleted" ||
      (change.type === "updated" && change.object.metadata.generation === change.old.metadata.generation)
        ? []
        : context
            .cache(Cluster)
            .list()
            .map(({ metadata }) => ({ name: metadata.name ?? "" })),
    ),
  ],
  writes: [{ kind: Cluster, verbs: ["update"] }],
  options: {},
  reconcile,
});

async function reconcile(request: Request, context: ControllerContext): Promise<Result> {
  const cluster = context.cache(Cluster).get(request.key);
  if (cluster === undefined || cluster.metadata.deletionTimestamp !== undefined) return done;
  const taints = planPolicyTaints(cluster, context.cache(ClusterTaintPolicy).list(), context.clock.now());
  if (taints === cluster.spec?.taints || (taints.length === 0 && cluster.spec?.taints === undefined)) return done;
  const { taints: _before, ...spec } = (cluster.spec ?? {}) as NonNullable<Cluster["spec"]>;
  try {
    await context.client.update(Cluster, {
      ...cluster,
      spec: { ...spec, ...(taints.length === 0 ? {} : { taints }) },
    } as Cluster);
  } catch (error) {
    if (isNotFound(error)) return done;
    if (isConflict(error)) return requeueAfter(1);
    context.events
      .from("cluster-taint-policy-controller")
      .warning(cluster, "TaintClusterFailed", error instanceof Error ? error.message : String(error));
    throw error;
  }
  const text =
    taints.length === 0
      ? "cluster now does not have taints"
      : `cluster now has taints([${taints.map(({ key, value, effect }) => `{Key:${key},${value ? `Value:${value},` : ""}Effect:${effect}}`).join(",")}])`;
  context.events
    .from("cluster-taint-policy-controller")
    .normal(cluster, "TaintClusterSucceed", `Update Cluster(${request.name}) with taints(${text}) succeed`);
  return done;
}
