import { Pod, ReplicaSet, STANDS_FOR, standsFor } from "#apis/kubernetes";
import { deepEqual } from "#base";
import {
  type ControllerContext,
  cacheIndex,
  defineController,
  done,
  type Request,
  type Result,
  wake,
} from "#controller-runtime";
import {
  controllerOf,
  formatTime,
  isAlreadyExists,
  isBeingDeleted,
  isConflict,
  isForbidden,
  isNotFound,
  keyOf,
  withAnnotations,
} from "#machinery";
import { Expectations } from "../expectations.ts";
import { byDeletionCost, isPodActive, isPodReady, isPodTerminal, podFromTemplate, selects } from "../pods.ts";

/** Children written at a time, so that one large workload does not hold up all others. */
const BURST = 500;

interface Deps {
  readonly expectations?: Expectations;
}

export interface ReplicaSetOptions {
  /** Whether one pod stands for all replicas that are alike, rather than each for itself; default false. */
  readonly groupsPods: boolean;
}

type Context = ControllerContext<Deps, ReplicaSetOptions>;

export const replicaSetController = defineController<Deps, ReplicaSetOptions>({
  name: "replicaset",
  reconciles: [ReplicaSet],
  wakes: [
    wake(Pod, (change) => {
      const owner = controllerOf(change.object);
      return owner?.kind === "ReplicaSet" ? [{ namespace: change.object.metadata.namespace, name: owner.name }] : [];
    }),
  ],
  indexes: [podsByController()],
  writes: [
    { kind: ReplicaSet, verbs: ["update"], subresources: ["status"] },
    { kind: Pod, verbs: ["create", "update", "delete"] },
  ],
  options: { groupsPods: false },
  concurrency: () => 64,
  reconcile,
});

/** Finds pods by the uid of the object that controls them. */
export function podsByController() {
  return cacheIndex(Pod, "controller", (pod: Pod) => {
    const owner = controllerOf(pod);
    return owner === undefined ? [] : [owner.uid];
  });
}

const expectationsOf = new WeakMap<object, Expectations>();

async function reconcile(request: Request, context: Context): Promise<Result> {
  const set = context.cache(ReplicaSet).get(request.key);
  let expectations = expectationsOf.get(context);
  if (expectations === undefined)
    expectationsOf.set(context, (expectations = new Expectations(() => context.clock.now())));
  if (set === undefined) {
    expectations.forget(request.key);
    return done;
  }
  const uid = set.metadata.uid ?? "";
  const cache = context.cache(Pod);
  const { groupsPods } = context.options;
  const count = (list: readonly Pod[]) =>
    groupsPods ? list.reduce((sum, pod) => sum + standsFor(pod), 0) : list.length;
  const unended = () => cache.byIndex("controller", uid).filter((pod) => !isPodTerminal(pod));
  let pods = unended();
  let failure: unknown;
  if (!isBeingDeleted(set)) {
    expectations.settleDeleted(request.key, (key) => cache.get(key) !== undefined);
    const active = pods.filter((pod) => isPodActive(pod) && !expectations.isDeleted(request.key, keyOf(pod)));
    const unseen = expectations.missing(request.key, (key) => cache.get(key) !== undefined);
    const difference = (set.spec?.replicas ?? 1) - count(active) - unseen;
    if (groupsPods) {
      // A group that is not seen yet may be any size: its event brings the request back.
      if (difference > 0 && unseen === 0)
        failure = await createGroup(set, difference, context, expectations, request.key);
      else if (difference < 0 && unseen === 0)
        await removeGroups(active, -difference, context, expectations, request.key);
    } else if (difference > 0)
      failure = await create(set, Math.min(difference, BURST), context, expectations, request.key);
    else if (difference < 0) await remove(active, -difference, context, expectations, request.key);
    // What was just made is there already, so that one status says it all.
    if (difference > 0) pods = unended();
  }
  const live = pods.filter(isPodActive);
  const templateLabels = set.spec?.template?.metadata?.labels;
  const minReadyMs = (set.spec?.minReadySeconds ?? 0) * 1000;
  const ready = live.filter(isPodReady);
  const available = ready.filter((pod) => isAvailable(pod, minReadyMs, context.clock.now()));
  const status = {
    replicas: count(live),
    ...(live.length === 0
      ? {}
      : {
          fullyLabeledReplicas: count(
            live.filter((pod) => selects({ matchLabels: templateLabels ?? {} }, pod.metadata.labels)),
          ),
        }),
    ...(ready.length === 0 ? {} : { readyReplicas: count(ready) }),
    ...(available.length === 0 ? {} : { availableReplicas: count(available) }),
    observedGeneration: set.metadata.generation ?? 0,
  };
  const conditions = conditionsOf(set, failure, context.clock.now());
  const next = { ...status, ...(conditions.length === 0 ? {} : { conditions }) };
  if (!deepEqual(set.status ?? { replicas: 0 }, next)) {
    try {
      await context.client.updateStatus(ReplicaSet, { ...set, status: next });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }
  // Thrown only now, so that what could be made is counted; the queue tries again with patience.
  if (failure !== undefined) throw failure;
  return ready.length > available.length ? { outcome: "requeue", afterMs: 1000 } : done;
}

/** Says that pods cannot be made, until they can. */
function conditionsOf(set: ReplicaSet, failure: unknown, nowMs: number) {
  const present = set.status?.conditions ?? [];
  const others = present.filter(({ type }) => type !== "ReplicaFailure");
  if (failure === undefined) return others;
  const old = present.find(({ type }) => type === "ReplicaFailure");
  const message = failure instanceof Error ? failure.message : String(failure);
  // Which pod of many was refused changes from try to try; the condition stays until there is none.
  if (old !== undefined) return present;
  return [
    ...others,
    { type: "ReplicaFailure", status: "True", reason: "FailedCreate", message, lastTransitionTime: formatTime(nowMs) },
  ];
}

/** Ready for at least `minReadyMs`. */
export function isAvailable(pod: Pod, minReadyMs: number, nowMs: number): boolean {
  if (minReadyMs === 0) return true;
  const since = pod.status?.conditions?.find(({ type }) => type === "Ready")?.lastTransitionTime;
  return typeof since === "string" && nowMs - Date.parse(since) >= minReadyMs;
}

/** Makes one pod that stands for several; gives what stood in the way. */
function createGroup(
  set: ReplicaSet,
  count: number,
  context: Context,
  expectations: Expectations,
  owner: string,
): Promise<unknown> {
  return create(set, 1, context, expectations, owner, { [STANDS_FOR]: String(count) });
}

/** Removes whole groups, and lets one stand for fewer. */
async function removeGroups(
  active: readonly Pod[],
  count: number,
  context: Context,
  expectations: Expectations,
  owner: string,
): Promise<void> {
  let left = count;
  for (const pod of [...active].sort(byDeletionCost)) {
    if (left === 0) return;
    const size = standsFor(pod);
    if (size <= left) await remove([pod], 1, context, expectations, owner);
    else
      try {
        await context.client.update(Pod, withAnnotations(pod, { [STANDS_FOR]: String(size - left) }));
      } catch (error) {
        if (!isNotFound(error) && !isConflict(error)) throw error;
      }
    left -= Math.min(size, left);
  }
}

/** Makes pods; gives what stood in the way. */
async function create(
  set: ReplicaSet,
  count: number,
  context: Context,
  expectations: Expectations,
  owner: string,
  annotations?: Readonly<Record<string, string>>,
): Promise<unknown> {
  const pod = podFromTemplate(
    set,
    set.spec?.template,
    { generateName: `${set.metadata.name}-` },
    annotations && { annotations },
  );
  const results = await Promise.allSettled(
    Array.from({ length: count }, async () => {
      const made = await context.client.create(Pod, pod);
      expectations.expectCreated(owner, keyOf(made));
    }),
  );
  const failed = results.find((result) => result.status === "rejected");
  if (failed === undefined) {
    if (count === BURST) context.enqueue({ namespace: set.metadata.namespace, name: set.metadata.name ?? "" });
    return undefined;
  }
  const error: unknown = failed.reason;
  if (isAlreadyExists(error) || isNotFound(error)) return undefined;
  if (isForbidden(error)) context.events.warning(set, "FailedCreate", `Error creating: ${error.message}`);
  return error;
}

async function remove(
  active: readonly Pod[],
  count: number,
  context: Context,
  expectations: Expectations,
  owner: string,
): Promise<void> {
  const doomed = [...active].sort(byDeletionCost).slice(0, count);
  for (const pod of doomed) expectations.expectDeleted(owner, keyOf(pod));
  await Promise.all(
    doomed.map((pod) =>
      context.client.delete(Pod, { namespace: pod.metadata.namespace, name: pod.metadata.name ?? "" }),
    ),
  );
}
