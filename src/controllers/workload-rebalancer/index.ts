/**
 * Workload rebalancer: asks the scheduler to place workloads anew, as if they had never been placed. It writes the moment
 * of the wish into their bindings and reports per workload; it moves nothing itself.
 */
import { bindingName, ClusterResourceBinding, ResourceBinding, WorkloadRebalancer } from "#apis/karmada";
import { deepEqual } from "#base";
import {
  type ControllerContext,
  defineController,
  done,
  type Request,
  requeueAfter,
  type Result,
} from "#controller-runtime";
import { formatTime, isConflict, isNotFound, parseTime, type ResourceKind } from "#machinery";
import { planObserved } from "./plan.ts";

export const workloadRebalancer = defineController<unknown, Record<string, never>>({
  name: "workloadRebalancer",
  reconciles: [WorkloadRebalancer],
  reconcilers: ["workload-rebalancer"],
  when: (change) =>
    change.type === "added" ||
    (change.type === "updated" && change.object.metadata.generation !== change.old.metadata.generation),
  reads: [ResourceBinding, ClusterResourceBinding],
  writes: [
    { kind: WorkloadRebalancer, verbs: ["update", "delete"], subresources: ["status"] },
    { kind: ResourceBinding, verbs: ["patch"] },
    { kind: ClusterResourceBinding, verbs: ["patch"] },
  ],
  options: {},
  concurrency: () => 1,
  reconcile,
});

type Observed = ReturnType<typeof planObserved>[number];

async function reconcile(request: Request, context: ControllerContext): Promise<Result> {
  const rebalancer = await context.client.find(WorkloadRebalancer, { name: request.name });
  if (rebalancer === undefined || rebalancer.metadata.deletionTimestamp !== undefined) return done;
  let failures = 0;
  const observedWorkloads: Observed[] = [];
  for (const observed of planObserved(rebalancer)) {
    if (observed.result !== undefined) {
      observedWorkloads.push(observed);
      continue;
    }
    try {
      observedWorkloads.push({ workload: observed.workload, ...(await trigger(observed, rebalancer, context)) });
    } catch (error) {
      failures++;
      context.log.warn("could not ask for a rebalance", { rebalancer: request.name, error });
      observedWorkloads.push({ workload: observed.workload });
    }
  }
  const written = await writeStatus(rebalancer, observedWorkloads, failures === 0, context);
  if (failures > 0) throw new Error(`${failures} resource reschedule triggered failed and need retry`);
  return written === undefined ? done : expire(written, context);
}

/** Notes the wish in the workload's binding; a workload without one is not propagated, and stays so. */
async function trigger(
  { workload }: Observed,
  rebalancer: WorkloadRebalancer,
  context: ControllerContext,
): Promise<{ readonly result: string; readonly reason?: string }> {
  const { namespace, kind, name } = workload;
  const bindingKind = (namespace ? ResourceBinding : ClusterResourceBinding) as ResourceKind<ResourceBinding>;
  const at = { ...(namespace ? { namespace } : {}), name: bindingName(kind, name) };
  const binding = await context.client.find(bindingKind, at);
  if (binding === undefined) return { result: "Failed", reason: "ReferencedBindingNotFound" };
  const wishMs = parseTime(rebalancer.metadata.creationTimestamp) ?? 0;
  const knownMs = parseTime(binding.spec.rescheduleTriggeredAt) ?? Number.NEGATIVE_INFINITY;
  if (knownMs < wishMs)
    await context.client.patch(bindingKind, at, "application/merge-patch+json", {
      spec: { rescheduleTriggeredAt: rebalancer.metadata.creationTimestamp },
    });
  return { result: "Successful" };
}

/** Writes what differs; absent when the rebalancer is gone. */
async function writeStatus(
  rebalancer: WorkloadRebalancer,
  observedWorkloads: readonly Observed[],
  isFinished: boolean,
  context: ControllerContext,
): Promise<WorkloadRebalancer | undefined> {
  const before = rebalancer.status ?? {};
  const { generation = 0 } = rebalancer.metadata;
  const isChanged =
    !deepEqual(observedWorkloads, before.observedWorkloads ?? []) || before.observedGeneration !== generation;
  const needsTime = isFinished && before.finishTime === undefined;
  if (!isChanged && !needsTime) return rebalancer;
  const finishTime = isFinished ? formatTime(context.clock.now()) : before.finishTime;
  try {
    return await context.client.updateStatus(WorkloadRebalancer, {
      ...rebalancer,
      status: {
        observedWorkloads,
        observedGeneration: generation,
        ...(finishTime === undefined ? {} : { finishTime }),
      },
    } as WorkloadRebalancer);
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

/** Deletes a finished rebalancer when its time is over, unless it was changed meanwhile. */
async function expire(rebalancer: WorkloadRebalancer, context: ControllerContext): Promise<Result> {
  const { ttlSecondsAfterFinished } = rebalancer.spec;
  const finishedMs = parseTime(rebalancer.status?.finishTime);
  if (ttlSecondsAfterFinished === undefined || finishedMs === undefined) return done;
  const leftMs = finishedMs + ttlSecondsAfterFinished * 1000 - context.clock.now();
  if (leftMs > 0) return requeueAfter(leftMs);
  const { name = "", uid = "", resourceVersion = "" } = rebalancer.metadata;
  try {
    await context.client.delete(WorkloadRebalancer, { name }, { preconditions: { uid, resourceVersion } });
  } catch (error) {
    if (isConflict(error)) return requeueAfter(1);
    if (!isNotFound(error)) throw error;
  }
  return done;
}
