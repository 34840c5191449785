import { Deployment, ReplicaSet } from "#apis/kubernetes";
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
  controllerReference,
  formatTime,
  isAlreadyExists,
  isBeingDeleted,
  isConflict,
  isNotFound,
  withAnnotations,
} from "#machinery";
import { templateHash } from "../pods.ts";

const REVISION = "deployment.kubernetes.io/revision";
const HASH = "pod-template-hash";

export const deploymentController = defineController<unknown, Record<string, never>>({
  name: "deployment",
  reconciles: [Deployment],
  wakes: [
    wake(ReplicaSet, (change) => {
      const owner = controllerOf(change.object);
      return owner?.kind === "Deployment" ? [{ namespace: change.object.metadata.namespace, name: owner.name }] : [];
    }),
  ],
  indexes: [
    cacheIndex(ReplicaSet, "controller", (set: ReplicaSet) => {
      const owner = controllerOf(set);
      return owner === undefined ? [] : [owner.uid];
    }),
  ],
  writes: [
    { kind: Deployment, verbs: ["update"], subresources: ["status"] },
    { kind: ReplicaSet, verbs: ["create", "update", "delete"] },
  ],
  options: {},
  concurrency: () => 64,
  reconcile,
});

async function reconcile(request: Request, context: ControllerContext): Promise<Result> {
  const deployment = context.cache(Deployment).get(request.key);
  if (deployment === undefined) return done;
  const owned = context.cache(ReplicaSet).byIndex("controller", deployment.metadata.uid ?? "");
  if (!isBeingDeleted(deployment)) {
    const hash = templateHash(deployment.spec?.template);
    const name = `${deployment.metadata.name}-${hash}`;
    const current = owned.find((set) => set.metadata.name === name);
    try {
      if (current === undefined && !deployment.spec?.paused) {
        const made = await context.client.create(ReplicaSet, newReplicaSet(deployment, owned, hash));
        return roll(deployment, [...owned, made], made, context);
      }
      return await roll(deployment, owned, current, context);
    } catch (error) {
      // A conflict or a twin means that the cache was behind; its next event brings the request back.
      if (isConflict(error) || isAlreadyExists(error)) return { outcome: "requeue", afterMs: 5 };
      if (isNotFound(error)) return done;
      throw error;
    }
  }
  return done;
}

function revisionOf(set: ReplicaSet | Deployment): number {
  return Number(set.metadata.annotations?.[REVISION] ?? 0) || 0;
}

function newReplicaSet(deployment: Deployment, owned: readonly ReplicaSet[], hash: string): ReplicaSet {
  const plan = planSizes(deployment, owned, undefined);
  const template = deployment.spec?.template;
  const labels = { ...template?.metadata?.labels, [HASH]: hash };
  return {
    apiVersion: "apps/v1",
    kind: "ReplicaSet",
    metadata: {
      name: `${deployment.metadata.name}-${hash}`,
      ...(deployment.metadata.namespace === undefined ? {} : { namespace: deployment.metadata.namespace }),
      labels,
      annotations: { [REVISION]: String(Math.max(0, ...owned.map(revisionOf)) + 1) },
      ownerReferences: [controllerReference(deployment)],
    },
    spec: {
      replicas: plan.newSize,
      ...(deployment.spec?.minReadySeconds === undefined ? {} : { minReadySeconds: deployment.spec.minReadySeconds }),
      selector: {
        ...deployment.spec?.selector,
        matchLabels: { ...deployment.spec?.selector?.matchLabels, [HASH]: hash },
      },
      template: { ...template, metadata: { ...template?.metadata, labels } },
    },
  } as ReplicaSet;
}

function bound(value: string | number | undefined, total: number, fallback: number, roundUp: boolean): number {
  if (value === undefined) return fallback;
  if (typeof value === "number") return value;
  if (!value.endsWith("%")) return Number(value) || 0;
  const part = (total * Number(value.slice(0, -1))) / 100;
  return roundUp ? Math.ceil(part) : Math.floor(part);
}

/** The next size of the new ReplicaSet and of each old one, holding maxSurge and maxUnavailable. */
export function planSizes(
  deployment: Deployment,
  owned: readonly ReplicaSet[],
  current: ReplicaSet | undefined,
): { readonly newSize: number; readonly oldSizes: ReadonlyMap<string, number> } {
  const wanted = deployment.spec?.replicas ?? 1;
  const others = owned.filter((set) => set !== current);
  const sizeOf = (set: ReplicaSet) => set.spec?.replicas ?? 0;
  const oldTotal = others.reduce((sum, set) => sum + sizeOf(set), 0);
  const oldPods = others.reduce((sum, set) => sum + (set.status?.replicas ?? 0), 0);
  const oldSizes = new Map(others.map((set) => [set.metadata.name ?? "", sizeOf(set)]));
  const strategy = deployment.spec?.strategy;
  if (strategy?.type === "Recreate") {
    for (const name of oldSizes.keys()) oldSizes.set(name, 0);
    return { newSize: oldTotal + oldPods > 0 ? (current === undefined ? 0 : sizeOf(current)) : wanted, oldSizes };
  }
  let surge = bound(
    strategy?.rollingUpdate?.maxSurge as string | number | undefined,
    wanted,
    Math.ceil(wanted / 4),
    true,
  );
  let gap = bound(
    strategy?.rollingUpdate?.maxUnavailable as string | number | undefined,
    wanted,
    Math.floor(wanted / 4),
    false,
  );
  if (surge === 0 && gap === 0) gap = 1;
  if (wanted === 0) surge = 0;
  const present = current === undefined ? 0 : sizeOf(current);
  // Without old pods there is nothing to roll: scale at once.
  const newSize = oldTotal === 0 ? wanted : Math.min(wanted, Math.max(present, wanted + surge - oldTotal));
  const newAvailable = current?.status?.availableReplicas ?? 0;
  const oldAvailable = others.reduce((sum, set) => sum + (set.status?.availableReplicas ?? 0), 0);
  // Unhealthy old replicas go first: they keep nobody available.
  const unhealthy = Math.max(0, oldTotal - oldAvailable);
  let removable = Math.min(oldTotal, Math.max(0, newAvailable + oldAvailable - (wanted - gap)) + unhealthy);
  if (newSize >= wanted && newAvailable >= wanted) removable = oldTotal;
  for (const set of [...others].sort((a, b) => revisionOf(a) - revisionOf(b))) {
    const cut = Math.min(removable, sizeOf(set));
    removable -= cut;
    oldSizes.set(set.metadata.name ?? "", sizeOf(set) - cut);
  }
  return { newSize, oldSizes };
}

async function roll(
  deployment: Deployment,
  owned: readonly ReplicaSet[],
  current: ReplicaSet | undefined,
  context: ControllerContext,
): Promise<Result> {
  if (!deployment.spec?.paused) {
    const { newSize, oldSizes } = planSizes(deployment, owned, current);
    for (const set of owned) {
      const size = set === current ? newSize : (oldSizes.get(set.metadata.name ?? "") ?? 0);
      if ((set.spec?.replicas ?? 0) !== size)
        await context.client.update(ReplicaSet, { ...set, spec: { ...set.spec, replicas: size } } as ReplicaSet);
    }
    const kept = deployment.spec?.revisionHistoryLimit ?? 10;
    const idle = owned
      .filter((set) => set !== current && (set.spec?.replicas ?? 0) === 0 && (set.status?.replicas ?? 0) === 0)
      .sort((a, b) => revisionOf(a) - revisionOf(b));
    for (const set of idle.slice(0, Math.max(0, idle.length - kept)))
      await context.client.delete(ReplicaSet, { namespace: set.metadata.namespace, name: set.metadata.name ?? "" });
  } else if (
    current !== undefined &&
    (current.spec?.replicas ?? 0) !== (deployment.spec?.replicas ?? 1) &&
    owned.length === 1
  )
    await context.client.update(ReplicaSet, {
      ...current,
      spec: { ...current.spec, replicas: deployment.spec?.replicas ?? 1 },
    } as ReplicaSet);
  await writeStatus(deployment, owned, current, context);
  return done;
}

async function writeStatus(
  deployment: Deployment,
  owned: readonly ReplicaSet[],
  current: ReplicaSet | undefined,
  context: ControllerContext,
): Promise<void> {
  const sum = (of: (set: ReplicaSet) => number | undefined) => owned.reduce((total, set) => total + (of(set) ?? 0), 0);
  const replicas = sum((set) => set.status?.replicas);
  const ready = sum((set) => set.status?.readyReplicas);
  const available = sum((set) => set.status?.availableReplicas);
  const updated = current?.status?.replicas ?? 0;
  const wanted = deployment.spec?.replicas ?? 1;
  const unavailable = Math.max(0, Math.max(wanted, replicas) - available);
  const gap = bound(
    deployment.spec?.strategy?.rollingUpdate?.maxUnavailable as string | number | undefined,
    wanted,
    Math.floor(wanted / 4),
    false,
  );
  const isAvailable = available >= wanted - gap;
  const isComplete = updated === wanted && replicas === wanted && available === wanted;
  const now = formatTime(context.clock.now());
  const setName = current?.metadata.name ?? "";
  const conditions = [
    condition(
      deployment,
      "Available",
      isAvailable ? "True" : "False",
      isAvailable ? "MinimumReplicasAvailable" : "MinimumReplicasUnavailable",
      isAvailable ? "Deployment has minimum availability." : "Deployment does not have minimum availability.",
      now,
    ),
    condition(
      deployment,
      "Progressing",
      "True",
      isComplete ? "NewReplicaSetAvailable" : "ReplicaSetUpdated",
      isComplete ? `ReplicaSet "${setName}" has successfully progressed.` : `ReplicaSet "${setName}" is progressing.`,
      now,
    ),
    ...owned
      .flatMap((set) => set.status?.conditions ?? [])
      .filter(({ type, status }) => type === "ReplicaFailure" && status === "True")
      .slice(0, 1)
      .map(({ reason = "", message = "" }) => condition(deployment, "ReplicaFailure", "True", reason, message, now)),
  ];
  const status = {
    observedGeneration: deployment.metadata.generation ?? 0,
    ...(replicas === 0 ? {} : { replicas }),
    ...(updated === 0 ? {} : { updatedReplicas: updated }),
    ...(ready === 0 ? {} : { readyReplicas: ready }),
    ...(available === 0 ? {} : { availableReplicas: available }),
    ...(unavailable === 0 ? {} : { unavailableReplicas: unavailable }),
    conditions,
  };
  const revision = current?.metadata.annotations?.[REVISION];
  let written = deployment;
  if (revision !== undefined && deployment.metadata.annotations?.[REVISION] !== revision)
    written = await context.client.update(Deployment, withAnnotations(deployment, { [REVISION]: revision }));
  // Of a ReplicaSet nobody has looked at yet there is nothing to say; its first status brings the request back.
  if (current !== undefined && current.status?.observedGeneration !== current.metadata.generation) return;
  if (!deepEqual(written.status ?? {}, status))
    await context.client.updateStatus(Deployment, { ...written, status } as Deployment);
}

function condition(
  deployment: Deployment,
  type: string,
  status: "True" | "False",
  reason: string,
  message: string,
  now: string,
) {
  const old = deployment.status?.conditions?.find((other) => other.type === type);
  if (old !== undefined && old.status === status && old.reason === reason && old.message === message) return old;
  return {
    type,
    status,
    reason,
    message,
    lastUpdateTime: now,
    lastTransitionTime: old?.status === status ? (old.lastTransitionTime ?? now) : now,
  };
}
