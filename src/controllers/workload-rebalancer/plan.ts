import type { WorkloadRebalancer } from "#apis/karmada";

type Observed = NonNullable<NonNullable<WorkloadRebalancer["status"]>["observedWorkloads"]>[number];
type Reference = Observed["workload"];

/** `apiVersion kind namespace name`, by which workloads are told apart and sorted. */
export const keyOfWorkload = ({ apiVersion, kind, namespace = "", name }: Reference): string =>
  `${apiVersion} ${kind} ${namespace} ${name}`;

/** The list to work through: what is asked for, what was done before, and successes that are no longer asked for. */
export function planObserved(rebalancer: WorkloadRebalancer): readonly Observed[] {
  const wanted = new Map(rebalancer.spec.workloads.map((workload) => [keyOfWorkload(workload), workload]));
  const before = new Map(
    (rebalancer.status?.observedWorkloads ?? []).map((observed) => [keyOfWorkload(observed.workload), observed]),
  );
  const list: Observed[] = [...wanted].map(([key, workload]) => before.get(key) ?? { workload });
  for (const [key, observed] of before) if (!wanted.has(key) && observed.result === "Successful") list.push(observed);
  return list.sort((left, right) => (keyOfWorkload(left.workload) < keyOfWorkload(right.workload) ? -1 : 1));
}
