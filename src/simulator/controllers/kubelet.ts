import { Node, Pod } from "#apis/kubernetes";
import {
  type ControllerContext,
  defineController,
  done,
  type Request,
  requeueAfter,
  type Result,
  wake,
} from "#controller-runtime";
import { controllerOf, formatTime, isConflict, isNotFound, keyOf, parseTime } from "#machinery";
import { isReady } from "../placement.ts";
import { isPodReady, isPodTerminal } from "../pods.ts";

export interface KubeletOptions {
  /** From placement to Ready; default 100 ms. */
  readonly podReadyMs: number;
  /** From Ready to success for pods of Jobs; default 500 ms. */
  readonly jobPodMs: number;
  /** From the request to delete to the pod's end, never above its grace period; default 0. */
  readonly terminationMs: number;
  /** From a node's loss to its pods' eviction, the default toleration of Kubernetes; default 300 s. */
  readonly nodeLostEvictionMs: number;
}

/** Images below this prefix never become Ready: for showing what happens to an unhealthy workload. */
const FAKE_IMAGES = "fake/";
/** A Job pod whose container is given this environment variable fails instead of succeeding. */
const FAIL_VARIABLE = "SIMULATE_FAILURE";

/**
 * All kubelets of a member in one: runs what is placed on a node that lives, by writing the status a kubelet would. Pods
 * of a node that is lost stay as they are until they are evicted.
 */
export const kubelet = defineController<unknown, KubeletOptions>({
  name: "kubelet",
  reconciles: [Pod],
  when: (change) => change.type !== "deleted" && Boolean((change.object as Pod).spec?.nodeName),
  wakes: [
    wake(Node, (change, context: ControllerContext<unknown, unknown>) => {
      if (change.type === "added" && change.isInitial) return [];
      if (change.type === "updated" && isReady(change.object) === isReady(change.old)) return [];
      const name = change.object.metadata.name ?? "";
      return context
        .cache(Pod)
        .byIndex("node", name)
        .map((pod) => ({ namespace: pod.metadata.namespace, name: pod.metadata.name ?? "" }));
    }),
  ],
  indexes: [
    {
      kind: Pod,
      name: "node",
      of: (pod) => {
        const node = (pod as Pod).spec?.nodeName;
        return node === undefined || node === "" ? [] : [node];
      },
    },
  ],
  writes: [{ kind: Pod, verbs: ["update", "delete"], subresources: ["status"] }],
  options: { podReadyMs: 100, jobPodMs: 500, terminationMs: 0, nodeLostEvictionMs: 300_000 },
  concurrency: () => 64,
  reconcile,
});

async function reconcile(request: Request, context: ControllerContext<unknown, KubeletOptions>): Promise<Result> {
  const pod = context.cache(Pod).get(request.key);
  if (pod === undefined || isPodReady(pod) || pod.metadata.deletionTimestamp !== undefined)
    unready.get(context.signal)?.delete(request.key);
  if (pod === undefined || !pod.spec?.nodeName) return done;
  const node = context.cache(Node).get(pod.spec.nodeName);
  try {
    if (node === undefined || !isReady(node)) return await loseNode(pod, node, context);
    if (pod.metadata.deletionTimestamp !== undefined) return await terminate(pod, context);
    if (isPodTerminal(pod)) return done;
    return await run(pod, node, context);
  } catch (error) {
    if (isNotFound(error) || isConflict(error)) return done;
    throw error;
  }
}

async function terminate(pod: Pod, context: ControllerContext<unknown, KubeletOptions>): Promise<Result> {
  const graceMs = (pod.metadata.deletionGracePeriodSeconds ?? 30) * 1000;
  const sinceMs = (parseTime(pod.metadata.deletionTimestamp) ?? 0) - graceMs;
  const leftMs = sinceMs + Math.min(graceMs, context.options.terminationMs) - context.clock.now();
  if (leftMs > 0) return requeueAfter(leftMs);
  await context.client.delete(
    Pod,
    { namespace: pod.metadata.namespace, name: pod.metadata.name ?? "" },
    { gracePeriodSeconds: 0, preconditions: { uid: pod.metadata.uid ?? "" } },
  );
  return done;
}

async function run(pod: Pod, node: Node, context: ControllerContext<unknown, KubeletOptions>): Promise<Result> {
  const nowMs = context.clock.now();
  const { podReadyMs, jobPodMs } = context.options;
  const isUnpullable = (pod.spec?.containers ?? []).some(({ image }) => image?.startsWith(FAKE_IMAGES));
  if (isUnpullable) {
    const waiting = pod.status?.containerStatuses?.[0]?.state?.waiting;
    if (waiting?.reason === "ImagePullBackOff") return done;
    await context.client.updateStatus(Pod, { ...pod, status: pullStatus(pod, node, nowMs) } as Pod);
    context.events.from("kubelet").warning(pod, "Failed", `Failed to pull image "${pod.spec?.containers?.[0]?.image}"`);
    return done;
  }
  if (!isPodReady(pod)) {
    const placedMs = firstSeen(context.signal, pod, nowMs);
    const leftMs = placedMs + podReadyMs - nowMs;
    if (leftMs > 0) return requeueAfter(leftMs);
    await context.client.updateStatus(Pod, { ...pod, status: runningStatus(pod, node, nowMs) } as Pod);
    return isJobPod(pod) ? requeueAfter(jobPodMs) : done;
  }
  if (!isJobPod(pod)) return done;
  const readyMs = parseTime(pod.status?.conditions?.find(({ type }) => type === "Ready")?.lastTransitionTime) ?? nowMs;
  const leftMs = readyMs + jobPodMs - nowMs;
  if (leftMs > 0) return requeueAfter(leftMs);
  await context.client.updateStatus(Pod, { ...pod, status: finishedStatus(pod, nowMs) } as Pod);
  return done;
}

/**
 * When the pods that are not ready yet were first seen on their nodes, by the revision that was: a pod's own times have whole
 * seconds only.
 */
const unready = new WeakMap<
  AbortSignal,
  Map<string, { readonly version: string | undefined; readonly atMs: number }>
>();

function firstSeen(signal: AbortSignal, { metadata }: Pod, nowMs: number): number {
  let own = unready.get(signal);
  if (own === undefined) unready.set(signal, (own = new Map()));
  const key = keyOf({ metadata });
  const known = own.get(key);
  if (known !== undefined && known.version === metadata.resourceVersion) return known.atMs;
  own.set(key, { version: metadata.resourceVersion, atMs: nowMs });
  return nowMs;
}

function isJobPod(pod: Pod): boolean {
  return pod.spec?.restartPolicy !== "Always" && controllerOf(pod)?.kind === "Job";
}

async function loseNode(
  pod: Pod,
  node: Node | undefined,
  context: ControllerContext<unknown, KubeletOptions>,
): Promise<Result> {
  if (node === undefined) {
    await context.client.delete(
      Pod,
      { namespace: pod.metadata.namespace, name: pod.metadata.name ?? "" },
      { gracePeriodSeconds: 0 },
    );
    return done;
  }
  const nowMs = context.clock.now();
  if (isPodReady(pod)) {
    await context.client.updateStatus(Pod, {
      ...pod,
      status: {
        ...pod.status,
        conditions: (pod.status?.conditions ?? []).map((condition) =>
          condition.type === "Ready"
            ? { ...condition, status: "False", reason: "NodeNotReady", lastTransitionTime: formatTime(nowMs) }
            : condition,
        ),
      },
    } as Pod);
  }
  const lostMs = parseTime(node.status?.conditions?.find(({ type }) => type === "Ready")?.lastTransitionTime) ?? nowMs;
  const leftMs = lostMs + context.options.nodeLostEvictionMs - nowMs;
  if (leftMs > 0) return requeueAfter(leftMs);
  const isDaemon = controllerOf(pod)?.kind === "DaemonSet";
  if (!isDaemon && pod.metadata.deletionTimestamp === undefined)
    await context.client.delete(Pod, { namespace: pod.metadata.namespace, name: pod.metadata.name ?? "" });
  return done;
}

function addressOf(uid: string, octet: number): string {
  let hash = 0;
  for (let at = 0; at < uid.length; at++) hash = (Math.imul(hash, 31) + uid.charCodeAt(at)) >>> 0;
  return `${octet}.${(hash >>> 16) & 255}.${(hash >>> 8) & 255}.${hash & 255 || 1}`;
}

function baseStatus(pod: Pod, node: Node, nowMs: number) {
  const hostIP =
    node.status?.addresses?.find(({ type }) => type === "InternalIP")?.address ??
    addressOf(node.metadata.uid ?? "", 172);
  const podIP = pod.spec?.hostNetwork ? hostIP : addressOf(pod.metadata.uid ?? "", 10);
  return {
    ...pod.status,
    hostIP,
    hostIPs: [{ ip: hostIP }],
    podIP,
    podIPs: [{ ip: podIP }],
    startTime: pod.status?.startTime ?? formatTime(nowMs),
  };
}

function conditionsOf(isReadyNow: boolean, reason: string | undefined, nowMs: number) {
  const time = formatTime(nowMs);
  const state = isReadyNow ? "True" : "False";
  const why = reason === undefined ? {} : { reason };
  return [
    { type: "PodReadyToStartContainers", status: "True", lastProbeTime: null, lastTransitionTime: time },
    { type: "Initialized", status: "True", lastProbeTime: null, lastTransitionTime: time },
    { type: "Ready", status: state, ...why, lastProbeTime: null, lastTransitionTime: time },
    { type: "ContainersReady", status: state, ...why, lastProbeTime: null, lastTransitionTime: time },
    { type: "PodScheduled", status: "True", lastProbeTime: null, lastTransitionTime: time },
  ];
}

function runningStatus(pod: Pod, node: Node, nowMs: number) {
  return {
    ...baseStatus(pod, node, nowMs),
    phase: "Running",
    conditions: conditionsOf(true, undefined, nowMs),
    containerStatuses: (pod.spec?.containers ?? []).map((container) => ({
      name: container.name,
      image: container.image ?? "",
      imageID: "",
      containerID: `simulated://${pod.metadata.uid}/${container.name}`,
      ready: true,
      started: true,
      restartCount: 0,
      state: { running: { startedAt: formatTime(nowMs) } },
      lastState: {},
    })),
  };
}

function pullStatus(pod: Pod, node: Node, nowMs: number) {
  return {
    ...baseStatus(pod, node, nowMs),
    phase: "Pending",
    conditions: conditionsOf(false, "ContainersNotReady", nowMs),
    containerStatuses: (pod.spec?.containers ?? []).map((container) => ({
      name: container.name,
      image: container.image ?? "",
      imageID: "",
      ready: false,
      started: false,
      restartCount: 0,
      state: {
        waiting: { reason: "ImagePullBackOff", message: `Back-off pulling image "${container.image}"` },
      },
      lastState: {},
    })),
  };
}

function finishedStatus(pod: Pod, nowMs: number) {
  const isFailure = (pod.spec?.containers ?? []).some((container) =>
    (container.env ?? []).some(({ name, value }) => name === FAIL_VARIABLE && value === "true"),
  );
  return {
    ...pod.status,
    phase: isFailure ? "Failed" : "Succeeded",
    conditions: conditionsOf(false, isFailure ? "PodFailed" : "PodCompleted", nowMs),
    containerStatuses: (pod.status?.containerStatuses ?? []).map((status) => ({
      ...status,
      ready: false,
      started: false,
      state: {
        terminated: {
          exitCode: isFailure ? 1 : 0,
          reason: isFailure ? "Error" : "Completed",
          startedAt: status.state?.running?.startedAt ?? formatTime(nowMs),
          finishedAt: formatTime(nowMs),
        },
      },
    })),
  };
}
