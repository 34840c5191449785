import { clusterOfExecutionNamespace, type Work } from "#apis/karmada";
import type { Change, ControllerContext } from "#controller-runtime";

const STATES = ["applied", "failed", "pending"] as const;
type State = (typeof STATES)[number];

const stateOf = (work: Work): State => {
  const applied = work.status?.conditions?.find(({ type }) => type === "Applied")?.status;
  return applied === "True" ? "applied" : applied === "False" ? "failed" : "pending";
};

/** Counts each cluster's Works by whether they are in step, from changes alone. */
export class StepCounts {
  readonly #counts = new Map<string, Record<State, number>>();

  /** Takes a change of a Work into the gauge. */
  note(change: Change<Work>, context: Pick<ControllerContext<unknown, unknown>, "metrics">): void {
    const cluster = clusterOfExecutionNamespace(change.object.metadata.namespace);
    if (cluster === undefined) return;
    const before =
      change.type === "added" ? undefined : stateOf(change.type === "updated" ? change.old : change.object);
    const now = change.type === "deleted" ? undefined : stateOf(change.object);
    if (before === now) return;
    let counts = this.#counts.get(cluster);
    if (counts === undefined) {
      counts = { applied: 0, failed: 0, pending: 0 };
      this.#counts.set(cluster, counts);
    }
    if (before !== undefined) counts[before]--;
    if (now !== undefined) counts[now]++;
    const gauge = context.metrics.gauge("flotilla_works", "Works of a cluster by whether they are in step with it", [
      "member_cluster",
      "state",
    ]);
    const isEmpty = STATES.every((state) => counts[state] === 0);
    if (isEmpty) this.#counts.delete(cluster);
    for (const state of STATES)
      if (isEmpty) gauge.remove({ member_cluster: cluster, state });
      else gauge.set(counts[state], { member_cluster: cluster, state });
  }
}
