/**
 * Remedy: what is to be done about clusters in a certain state, as Remedies say. It publishes the union of their actions in
 * the cluster's status and does nothing else: who steers traffic reads it there.
 */
import { Cluster, Remedy } from "#apis/karmada";
import { deepEqual } from "#base";
import {
  type ControllerContext,
  defineController,
  done,
  type Request,
  requeueAfter,
  type Result,
  wake,
} from "#controller-runtime";
import { isConflict, isNotFound } from "#machinery";
import { concerns, planActions } from "./plan.ts";

export const remedy = defineController<unknown, Record<string, never>>({
  name: "remedy",
  reconciles: [Cluster],
  reconcilers: ["remedy-controller"],
  when: (change) =>
    change.type === "added" ||
    (change.type === "updated" &&
      (!deepEqual((change.object as Cluster).status?.conditions, (change.old as Cluster).status?.conditions) ||
        !deepEqual((change.object as Cluster).status?.remedyActions, (change.old as Cluster).status?.remedyActions))),
  wakes: [
    wake(Remedy, (change, context: ControllerContext<unknown, unknown>) =>
      context
        .cache(Cluster)
        .list()
        .map(({ metadata }) => ({ name: metadata.name ?? "" }))
        .filter(
          ({ name }) => concerns(change.object, name) || (change.type === "updated" && concerns(change.old, name)),
        ),
    ),
  ],
  writes: [{ kind: Cluster, verbs: ["update"], subresources: ["status"] }],
  options: {},
  concurrency: () => 1,
  reconcile,
});

async function reconcile(request: Request, context: ControllerContext): Promise<Result> {
  const cluster = context.cache(Cluster).get(request.key);
  if (cluster === undefined || cluster.metadata.deletionTimestamp !== undefined) return done;
  const actions = planActions(cluster, context.cache(Remedy).list());
  if (deepEqual(actions, cluster.status?.remedyActions ?? [])) return done;
  const { remedyActions: _before, ...status } = cluster.status ?? {};
  try {
    await context.client.updateStatus(Cluster, {
      ...cluster,
      status: { ...status, ...(actions.length === 0 ? {} : { remedyActions: actions }) },
    } as Cluster);
  } catch (error) {
    if (isNotFound(error)) return done;
    if (isConflict(error)) return requeueAfter(1);
    throw error;
  }
  return done;
}
