/**
 * Deployment replicas syncer (off unless named in `--controllers`): where autoscalers in the members decide how many
 * replicas run, the template follows them. It writes `spec.replicas` of divided Deployments with the `retain-replicas`
 * label, only once every cluster has reported, and never anything else.
 */
import { bindingName, ResourceBinding, RETAIN_REPLICAS } from "#apis/karmada";
import { Deployment } from "#apis/kubernetes";
import {
  type Change,
  type ControllerContext,
  defineController,
  done,
  type Request,
  requeueAfter,
  type Result,
} from "#controller-runtime";
import { isConflict, isNotFound } from "#machinery";

const RETRY_MS = 1_000;

/** What to make of a Deployment and its binding: a new number, nothing, or another look later. */
export type ReplicasPlan =
  | { readonly action: "none" }
  | { readonly action: "wait" }
  | { readonly action: "set"; readonly replicas: number };

export function planReplicas(deployment: Deployment, binding: ResourceBinding | undefined): ReplicasPlan {
  const wanted = deployment.spec?.replicas ?? 1;
  const actual = deployment.status?.replicas ?? 0;
  if (deployment.metadata.labels?.[RETAIN_REPLICAS] !== "true" || binding === undefined) return { action: "none" };
  if (binding.spec.placement?.replicaScheduling?.replicaSchedulingType !== "Divided" || wanted === actual)
    return { action: "none" };
  const items = binding.status?.aggregatedStatus ?? [];
  const counts = items.map(({ status }) => (status as { readonly replicas?: number } | undefined)?.replicas ?? 0);
  const isCollected =
    binding.spec.replicas === wanted &&
    binding.metadata.generation === binding.status?.schedulerObservedGeneration &&
    items.length === (binding.spec.clusters ?? []).length &&
    counts.every((count) => count > 0) &&
    counts.reduce((sum, count) => sum + count, 0) === actual;
  return isCollected ? { action: "set", replicas: actual } : { action: "wait" };
}

export const deploymentReplicasSyncer = defineController<unknown, object>({
  name: "deploymentReplicasSyncer",
  reconciles: [Deployment],
  reconcilers: ["deployment-replicas-syncer"],
  when: isConcerned,
  reads: [ResourceBinding],
  writes: [{ kind: Deployment, verbs: ["update"] }],
  options: {},
  reconcile,
});

function isConcerned(change: Change): boolean {
  if (change.type !== "updated" || change.object.metadata.labels?.[RETAIN_REPLICAS] !== "true") return false;
  const now = change.object as Deployment;
  const old = change.old as Deployment;
  return (
    old.metadata.labels?.[RETAIN_REPLICAS] !== "true" ||
    old.spec?.replicas !== now.spec?.replicas ||
    old.status?.replicas !== now.status?.replicas
  );
}

async function reconcile(request: Request, context: ControllerContext<unknown, object>): Promise<Result> {
  const deployment = context.cache(Deployment).get(request.key);
  if (deployment === undefined) return done;
  const plan = planReplicas(
    deployment,
    context.cache(ResourceBinding).get(`${request.namespace}/${bindingName("Deployment", request.name)}`),
  );
  switch (plan.action) {
    case "none":
      return done;
    case "wait":
      return requeueAfter(RETRY_MS);
    case "set":
      try {
        await context.client.update(Deployment, {
          ...deployment,
          spec: { ...deployment.spec, replicas: plan.replicas },
        } as Deployment);
      } catch (error) {
        if (!isNotFound(error) && !isConflict(error)) throw error;
        if (isConflict(error)) return requeueAfter(RETRY_MS);
      }
      return done;
  }
}
