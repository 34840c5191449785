import { Node, Pod, STANDS_FOR, standsFor } from "#apis/kubernetes";
import { type ControllerContext, defineController, done, type Request, type Result, wake } from "#controller-runtime";
import { formatTime, isConflict, isNotFound, type KubeObject, withAnnotations } from "#machinery";
import { isPodTerminal } from "../pods.ts";
import { Placement } from "../placement.ts";

/**
 * Places pods on nodes, as kube-scheduler would: filters by resources, selectors, affinity and taints, prefers the node
 * with the most room. What it placed is counted at once, so that a burst of pods does not pile up on one node.
 */
export const podScheduler = defineController<unknown, Record<string, never>>({
  name: "pod-scheduler",
  reconciles: [Pod],
  when: (change, context) => {
    const placement = placementOf(context);
    const pod = change.object as Pod;
    if (change.type === "deleted" || isPodTerminal(pod)) {
      retryWaiting(context, placement, placement.release(pod));
      return false;
    }
    if (pod.spec?.nodeName) {
      placement.occupy(pod, pod.spec.nodeName);
      return false;
    }
    return pod.metadata.deletionTimestamp === undefined;
  },
  wakes: [
    wake(Node, (change, context: ControllerContext<unknown, unknown>) => {
      const placement = placementOf(context);
      const name = change.object.metadata.name ?? "";
      if (change.type === "deleted") placement.removeNode(name);
      else if (placement.putNode(change.object)) retryWaiting(context, placement, name);
      return [];
    }),
  ],
  writes: [{ kind: Pod, verbs: ["create", "update"], subresources: ["binding", "status"] }],
  options: {},
  concurrency: () => 64,
  reconcile,
});

const placements = new WeakMap<object, Placement>();

function placementOf(context: { readonly signal: AbortSignal }): Placement {
  let placement = placements.get(context.signal);
  if (placement === undefined) placements.set(context.signal, (placement = new Placement()));
  return placement;
}

/** Brings back pods that a node has room for now. */
function retryWaiting(
  context: ControllerContext<unknown, unknown>,
  placement: Placement,
  node: string | undefined,
): void {
  if (node !== undefined) for (const waiting of placement.takeWaiting(node)) context.enqueue(waiting);
}

async function reconcile(request: Request, context: ControllerContext): Promise<Result> {
  const pod = context.cache(Pod).get(request.key);
  if (pod === undefined || pod.spec?.nodeName || pod.metadata.deletionTimestamp !== undefined || isPodTerminal(pod))
    return done;
  if ((pod.spec?.schedulerName ?? "default-scheduler") !== "default-scheduler") return done;
  const placement = placementOf(context);
  const choice = placement.place(pod);
  if (choice.node !== undefined) {
    try {
      await context.client.subresource(Pod, { namespace: request.namespace, name: request.name }, "binding", "create", {
        apiVersion: "v1",
        kind: "Binding",
        metadata: { name: request.name, ...(request.namespace === undefined ? {} : { namespace: request.namespace }) },
        target: { apiVersion: "v1", kind: "Node", name: choice.node },
      } as KubeObject);
    } catch (error) {
      retryWaiting(context, placement, placement.release(pod));
      if (isNotFound(error) || isConflict(error)) return done;
      throw error;
    }
    return done;
  }
  const part = standsFor(pod) > 1 ? placement.fittingPart(pod) : 0;
  if (part > 0) return shrink(pod, part, context);
  placement.wait(pod);
  const message = choice.why;
  const present = pod.status?.conditions?.find(({ type }) => type === "PodScheduled");
  if (present?.status === "False" && present.message === message) return done;
  context.events.from("default-scheduler").warning(pod, "FailedScheduling", message);
  try {
    await context.client.updateStatus(Pod, {
      ...pod,
      status: {
        ...pod.status,
        phase: "Pending",
        conditions: [
          ...(pod.status?.conditions ?? []).filter(({ type }) => type !== "PodScheduled"),
          {
            type: "PodScheduled",
            status: "False",
            reason: "Unschedulable",
            message,
            lastProbeTime: null,
            lastTransitionTime: present?.lastTransitionTime ?? formatTime(context.clock.now()),
          },
        ],
      },
    } as unknown as Pod);
  } catch (error) {
    if (!isNotFound(error) && !isConflict(error)) throw error;
  }
  return done;
}

/** Lets a group stand for as many as fit somewhere; its workload makes another one for the rest. */
async function shrink(pod: Pod, count: number, context: ControllerContext): Promise<Result> {
  try {
    await context.client.update(Pod, withAnnotations(pod, { [STANDS_FOR]: String(count) }));
  } catch (error) {
    if (!isNotFound(error) && !isConflict(error)) throw error;
  }
  return done;
}
