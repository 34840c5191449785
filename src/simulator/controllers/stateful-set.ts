import { PersistentVolumeClaim, Pod, StatefulSet } from "#apis/kubernetes";
import { deepEqual } from "#base";
import { type ControllerContext, defineController, done, type Request, type Result, wake } from "#controller-runtime";
import { controllerOf, isAlreadyExists, isBeingDeleted, isConflict, isNotFound } from "#machinery";
import { isPodReady, isPodTerminal, podFromTemplate, templateHash } from "../pods.ts";
import { podsByController } from "./replica-set.ts";

const REVISION = "controller-revision-hash";
const POD_NAME = "statefulset.kubernetes.io/pod-name";
const POD_INDEX = "apps.kubernetes.io/pod-index";

export const statefulSetController = defineController<unknown, Record<string, never>>({
  name: "statefulset",
  reconciles: [StatefulSet],
  wakes: [
    wake(Pod, (change) => {
      const owner = controllerOf(change.object);
      return owner?.kind === "StatefulSet" ? [{ namespace: change.object.metadata.namespace, name: owner.name }] : [];
    }),
  ],
  indexes: [podsByController()],
  writes: [
    { kind: StatefulSet, verbs: ["update"], subresources: ["status"] },
    { kind: Pod, verbs: ["create", "delete"] },
    { kind: PersistentVolumeClaim, verbs: ["create"] },
  ],
  options: {},
  concurrency: () => 16,
  reconcile,
});

const ordinalOf = (pod: Pod) => Number(/-(\d+)$/.exec(pod.metadata.name ?? "")?.[1] ?? -1);

async function reconcile(request: Request, context: ControllerContext): Promise<Result> {
  const set = context.cache(StatefulSet).get(request.key);
  if (set === undefined || isBeingDeleted(set)) return done;
  const revision = `${set.metadata.name}-${templateHash(set.spec?.template)}`;
  const pods = context.cache(Pod).byIndex("controller", set.metadata.uid ?? "");
  const byOrdinal = new Map(pods.map((pod) => [ordinalOf(pod), pod]));
  const wanted = set.spec?.replicas ?? 1;
  const isParallel = set.spec?.podManagementPolicy === "Parallel";
  try {
    for (let ordinal = 0; ordinal < wanted; ordinal++) {
      const pod = byOrdinal.get(ordinal);
      if (pod !== undefined && isPodTerminal(pod)) await remove(pod, context);
      if (pod === undefined) await create(set, ordinal, revision, context);
      if (!isParallel && (pod === undefined || !isPodReady(pod))) break;
    }
    const surplus = pods
      .filter((pod) => ordinalOf(pod) >= wanted && !isBeingDeleted(pod))
      .sort((a, b) => ordinalOf(b) - ordinalOf(a));
    for (const pod of isParallel ? surplus : surplus.slice(0, 1)) await remove(pod, context);
    const outdated = pods
      .filter((pod) => pod.metadata.labels?.[REVISION] !== revision && ordinalOf(pod) < wanted)
      .sort((a, b) => ordinalOf(b) - ordinalOf(a));
    const partition = set.spec?.updateStrategy?.rollingUpdate?.partition ?? 0;
    const allReady = pods.length >= wanted && pods.every((pod) => isPodReady(pod) && !isBeingDeleted(pod));
    const next = outdated.find((pod) => ordinalOf(pod) >= partition);
    if (
      set.spec?.updateStrategy?.type !== "OnDelete" &&
      next !== undefined &&
      (allReady || !isPodReady(next)) &&
      !isBeingDeleted(next)
    )
      await remove(next, context);
    const live = pods.filter((pod) => !isBeingDeleted(pod));
    const ready = live.filter(isPodReady).length;
    const updated = live.filter((pod) => pod.metadata.labels?.[REVISION] === revision).length;
    const isDone = updated === live.length;
    const currentRevision = isDone ? revision : (set.status?.currentRevision ?? revision);
    const status = {
      observedGeneration: set.metadata.generation ?? 0,
      replicas: live.length,
      ...(ready === 0 ? {} : { readyReplicas: ready }),
      availableReplicas: ready,
      currentReplicas: live.filter((pod) => pod.metadata.labels?.[REVISION] === currentRevision).length,
      updatedReplicas: updated,
      currentRevision,
      updateRevision: revision,
      collisionCount: 0,
    };
    if (!deepEqual(set.status ?? {}, status))
      await context.client.updateStatus(StatefulSet, { ...set, status } as StatefulSet);
  } catch (error) {
    if (isConflict(error) || isAlreadyExists(error)) return { outcome: "requeue", afterMs: 5 };
    if (!isNotFound(error)) throw error;
  }
  return done;
}

function remove(pod: Pod, context: ControllerContext): Promise<boolean> {
  return context.client.delete(Pod, { namespace: pod.metadata.namespace, name: pod.metadata.name ?? "" });
}

async function create(set: StatefulSet, ordinal: number, revision: string, context: ControllerContext): Promise<void> {
  const name = `${set.metadata.name}-${ordinal}`;
  const volumes = [];
  for (const template of set.spec?.volumeClaimTemplates ?? []) {
    const claim = `${template.metadata.name}-${name}`;
    volumes.push({ name: template.metadata.name ?? "", persistentVolumeClaim: { claimName: claim } });
    try {
      await context.client.create(PersistentVolumeClaim, {
        apiVersion: "v1",
        kind: "PersistentVolumeClaim",
        metadata: {
          name: claim,
          ...(set.metadata.namespace === undefined ? {} : { namespace: set.metadata.namespace }),
          ...(template.metadata.labels === undefined ? {} : { labels: template.metadata.labels }),
        },
        ...(template.spec === undefined ? {} : { spec: template.spec }),
      });
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
    }
  }
  const present = set.spec?.template.spec?.volumes ?? [];
  await context.client.create(
    Pod,
    podFromTemplate(
      set,
      set.spec?.template,
      { name },
      {
        labels: { [REVISION]: revision, [POD_NAME]: name, [POD_INDEX]: String(ordinal) },
        spec: {
          hostname: name,
          ...(set.spec?.serviceName === undefined ? {} : { subdomain: set.spec.serviceName }),
          ...(volumes.length === 0 ? {} : { volumes: [...present, ...volumes] }),
        } as never,
      },
    ),
  );
}
