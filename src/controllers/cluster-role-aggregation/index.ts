/**
 * ClusterRole aggregation: a ClusterRole with an `aggregationRule` has the rules of all ClusterRoles its selectors choose.
 * Roles without one are never written.
 */
import { ClusterRole } from "#apis/kubernetes";
import { deepEqual } from "#base";
import {
  type ControllerContext,
  defineController,
  done,
  requeueAfter,
  type Request,
  type Result,
  wake,
} from "#controller-runtime";
import { isConflict, isNotFound, matchesLabelSelector } from "#machinery";

export const clusterRoleAggregation = defineController<unknown, Record<string, never>>({
  name: "clusterrole-aggregation",
  reconciles: [ClusterRole],
  when: ({ type, object }) => type !== "deleted" && gathers(object as ClusterRole),
  wakes: [
    wake(ClusterRole, (change, context: ControllerContext<unknown, unknown>) => {
      const labels = [
        change.object.metadata.labels,
        change.type === "updated" ? change.old.metadata.labels : undefined,
      ];
      return context
        .cache(ClusterRole)
        .list()
        .filter((role) => gathers(role) && labels.some((own) => own !== undefined && isChosen(role, own)))
        .map(({ metadata }) => ({ name: metadata.name ?? "" }));
    }),
  ],
  writes: [{ kind: ClusterRole, verbs: ["update"] }],
  options: {},
  concurrency: () => 1,
  reconcile,
});

const selectorsOf = (role: ClusterRole) => role.aggregationRule?.clusterRoleSelectors ?? [];
const gathers = (role: ClusterRole) => selectorsOf(role).length > 0;
const isChosen = (role: ClusterRole, labels: Readonly<Record<string, string>> | undefined) =>
  selectorsOf(role).some((selector) => matchesLabelSelector(selector as never, labels));

async function reconcile(request: Request, context: ControllerContext): Promise<Result> {
  const role = context.cache(ClusterRole).get(request.key);
  if (role === undefined || role.metadata.deletionTimestamp !== undefined || !gathers(role)) return done;
  const sources = context
    .cache(ClusterRole)
    .list()
    .filter(({ metadata }) => metadata.name !== request.name && isChosen(role, metadata.labels))
    .sort((left, right) => ((left.metadata.name ?? "") < (right.metadata.name ?? "") ? -1 : 1));
  const rules = new Map(sources.flatMap(({ rules: own }) => (own ?? []).map((rule) => [JSON.stringify(rule), rule])));
  const wanted = [...rules.values()];
  if (deepEqual(wanted, role.rules ?? [])) return done;
  try {
    await context.client.update(ClusterRole, { ...role, rules: wanted });
  } catch (error) {
    if (isConflict(error)) return requeueAfter(1);
    if (!isNotFound(error)) throw error;
  }
  return done;
}
