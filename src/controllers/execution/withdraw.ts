import { CASCADE, Cluster, EXECUTION_FINALIZER, MANAGED, Work, WORK_NAME, WORK_NAMESPACE } from "#apis/karmada";
import { isDefinitionLeaving } from "#client";
import { done, requeueAfter, type Result } from "#controller-runtime";
import { isConflict, isNotFound, keyOf, type KubeObject, withMetadata, withoutFinalizer } from "#machinery";
import { IMPERSONATOR, type Member } from "#member";
import type { Context, Memory } from "./context.ts";
import { usedIn } from "./definitions.ts";
import type { DeletionBrake } from "./deletion-brake.ts";
import { releasedObject, isSaid, withCondition, type WorkCondition } from "./plan.ts";
import type { VersionRecord } from "./version-record.ts";

export const isClusterReady = (cluster: Cluster): boolean =>
  cluster.status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True") ?? false;

/** On a Cluster: the time until which deletions beyond the brake's share go on. */
export const RELEASE_DELETIONS = "execution.flotilla.io/release-deletions-until";
const HELD = "DeletionHeld";

/** A Work that is wanted again after its deletion was held. */
export const noLongerHeld = (work: Work): readonly WorkCondition[] =>
  work.status?.conditions?.some(({ type, status }) => type === HELD && status === "True")
    ? [{ type: HELD, status: "False", reason: "Wanted", message: "it is wanted again" }]
    : [];

/** Looks again after this time whether a namespace is empty. */
const CONTENT_RETRY_MS = 2_000;
/** Looks again after this time whether objects of a kind that is to go are left in a member. */
const IN_USE_RETRY_MS = 10_000;

/** Deletes a definition's Work when its member has no object of the kind, or when somebody releases deletions. */
export async function deleteWhenUnused(
  work: Work,
  manifests: readonly KubeObject[],
  member: Member,
  cluster: Cluster,
  context: Context,
): Promise<Result> {
  const [manifest] = manifests;
  const found =
    manifest === undefined || isReleased(cluster, context.clock.now()) ? undefined : await usedIn(member, manifest);
  if (found !== undefined) {
    const message = `${manifest?.metadata.name} is no longer wanted in cluster ${member.name}, but ${found} is there: deleting the definition would delete it. Delete what uses it, or annotate the cluster with ${RELEASE_DELETIONS}=<time>.`;
    const wasHeld = work.status?.conditions?.some(({ type, status }) => type === HELD && status === "True");
    if (wasHeld !== true) context.events.from("execution-controller").warning(work, "DefinitionInUse", message);
    await writeConditions(work, [{ type: HELD, status: "True", reason: "InUse", message }], context);
    return requeueAfter(IN_USE_RETRY_MS);
  }
  try {
    await context.client.delete(
      Work,
      { namespace: work.metadata.namespace, name: work.metadata.name ?? "" },
      { preconditions: { uid: work.metadata.uid ?? "", resourceVersion: work.metadata.resourceVersion ?? "" } },
    );
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
  return done;
}

const isReleased = (cluster: Cluster, nowMs: number): boolean =>
  (Date.parse(cluster.metadata.annotations?.[RELEASE_DELETIONS] ?? "") || 0) > nowMs;

/** The status of a Work with conditions; the very same where it says them already. */
function statusWith(work: Work, conditions: readonly WorkCondition[], nowMs: number): Work["status"] {
  let status = work.status ?? {};
  for (const condition of conditions) status = withCondition({ ...work, status } as Work, condition, nowMs);
  return status;
}

/** Whether a Work says conditions already. */
export const saysAll = (work: Work, conditions: readonly WorkCondition[]): boolean =>
  conditions.every((condition) => {
    const said = work.status?.conditions?.find(({ type }) => type === condition.type);
    return said !== undefined && isSaid(condition, said);
  });

/** Writes conditions if they are news, as long as they are `stillWanted` when another writer was faster. */
export async function writeConditions(
  work: Work,
  conditions: readonly WorkCondition[],
  context: Context,
  stillWanted: () => boolean = () => true,
): Promise<void> {
  const write = async (latest: Work) => {
    const status = statusWith(latest, conditions, context.clock.now());
    if (status === latest.status) return;
    await context.client.updateStatus(Work, { ...latest, status } as Work);
  };
  try {
    await write(work);
  } catch (error) {
    if (isNotFound(error)) return;
    if (!isConflict(error)) throw error;
    const latest = await context.client.find(Work, {
      namespace: work.metadata.namespace,
      name: work.metadata.name ?? "",
    });
    if (latest !== undefined && stillWanted()) await write(latest);
  }
}

export async function finalize(
  work: Work,
  clusterName: string,
  cluster: Cluster | undefined,
  context: Context,
  record: Memory,
): Promise<Result> {
  if (!(work.metadata.finalizers ?? []).includes(EXECUTION_FINALIZER)) return done;
  const manifests = (work.spec?.workload?.manifests ?? []) as unknown as readonly KubeObject[];
  const member = context.deps.members.get(clusterName);
  const isReady = cluster !== undefined && isClusterReady(cluster) && member !== undefined;
  const isLeaving = cluster === undefined || cluster.metadata.deletionTimestamp !== undefined;
  if (cluster !== undefined && !isOurs(cluster, context)) return done;
  if (isReady && !isLeaving && work.spec?.preserveResourcesOnDeletion !== true) {
    if (record.brake.isOn && !isReleased(cluster, context.clock.now())) {
      const left = contentOf(work, manifests, context);
      if (left > 0) return waitForContent(work, clusterName, left, context);
    }
    if (await isHeld(work, clusterName, cluster, context, record.brake)) return done;
  }
  // Works go because their kind goes, for instance in an upgrade: nobody has decided anything about what they made.
  const isLettingGo = await isDefinitionLeaving(context.client, Work);
  if (isLettingGo) context.log.warn("let go of a Work whose kind is being deleted", { work: keyOf(work) });
  else if (isReady) {
    const isOrphaning = cluster.metadata.annotations?.[CASCADE] === "orphan" && (await isGoing(cluster, context));
    for (const manifest of manifests) await withdraw(work, manifest, member, context, record, isOrphaning);
  } else if (!isLeaving) throw new Error(`cluster(${clusterName}) not ready`);
  try {
    await context.client.update(Work, withoutFinalizer(work, EXECUTION_FINALIZER));
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
  return done;
}

/** A cache that lags behind must not cost the objects of a member. */
async function isGoing(cluster: Cluster, { client }: Context): Promise<boolean> {
  if (cluster.metadata.deletionTimestamp !== undefined) return true;
  const latest = await client.find(Cluster, { name: cluster.metadata.name ?? "" });
  return latest === undefined || latest.metadata.deletionTimestamp !== undefined;
}

/** Works of the same cluster that stand in the namespace a Work is about; its deletion would take them along, uncounted. */
function contentOf(work: Work, manifests: readonly KubeObject[], context: Context): number {
  const [manifest] = manifests;
  if (manifest?.kind !== "Namespace" || manifest.apiVersion !== "v1") return 0;
  return context
    .cache(Work)
    .list(work.metadata.namespace)
    .filter(({ spec }) =>
      ((spec?.workload?.manifests ?? []) as unknown as readonly KubeObject[]).some(
        ({ metadata }) => metadata.namespace === manifest.metadata.name,
      ),
    ).length;
}

/** A namespace goes after what stands in it, so that the brake holds it with its content. */
async function waitForContent(work: Work, clusterName: string, left: number, context: Context): Promise<Result> {
  const message = `${left} objects of this namespace are still looked after in cluster ${clusterName}; it goes after them. To delete it with them, annotate the cluster with ${RELEASE_DELETIONS}=<time>.`;
  await writeConditions(work, [{ type: HELD, status: "True", reason: "HasContent", message }], context);
  return requeueAfter(CONTENT_RETRY_MS);
}

/** Works of pull clusters are carried out by the agent in the member; where that is gone, `cluster` lets go of them. */
export const isOurs = (cluster: Cluster, { deps }: Context): boolean =>
  deps.own === undefined ? cluster.spec?.syncMode !== "Pull" : cluster.metadata.name === deps.own;

/** Whether a deletion must wait for somebody to release it; it then says so. */
async function isHeld(
  work: Work,
  clusterName: string,
  cluster: Cluster,
  context: Context,
  brake: DeletionBrake,
): Promise<boolean> {
  if (!brake.isOn) return false;
  const gauge = context.metrics.gauge(
    "flotilla_held_deletions",
    "Deletions in a member held by the mass-deletion brake",
    ["member_cluster"],
  );
  const nowMs = context.clock.now();
  const wasHeld =
    work.status?.conditions?.some(
      ({ type, status, reason }) => type === HELD && status === "True" && reason === "MassDeletion",
    ) ?? false;
  if (
    isReleased(cluster, nowMs) ||
    (!wasHeld &&
      brake.admits(
        clusterName,
        work.metadata.uid ?? "",
        () => context.cache(Work).list(work.metadata.namespace).length,
        context.clock.monotonicMs(),
      ))
  ) {
    const left = brake.letGo(clusterName, keyOf(work));
    if (left !== undefined) gauge.set(left, { member_cluster: clusterName });
    return false;
  }
  gauge.set(brake.hold(clusterName, keyOf(work)), { member_cluster: clusterName });
  if (wasHeld) return true;
  const message = `Too many deletions in cluster ${clusterName} at once; annotate the cluster with ${RELEASE_DELETIONS}=<time> to let them go on.`;
  context.events.from("execution-controller").warning(work, "MassDeletionHeld", message);
  context.log.warn("held a deletion", { cluster: clusterName, work: keyOf(work) });
  await writeConditions(work, [{ type: HELD, status: "True", reason: "MassDeletion", message }], context);
  return true;
}

/** Deletes the member's object if it is ours, or releases it where the Work says to preserve it. */
async function withdraw(
  work: Work,
  manifest: KubeObject,
  member: Member,
  context: Context,
  record: { readonly versions: VersionRecord },
  isOrphaning: boolean,
): Promise<void> {
  const kind = await member.kinds.find(manifest.apiVersion, manifest.kind);
  if (kind === undefined) return;
  const at = {
    namespace: kind.namespaced ? manifest.metadata.namespace : undefined,
    name: manifest.metadata.name ?? "",
  };
  // Deleting needs a fresh look: a cache may still show an object that was replaced by somebody's own.
  const observed = await member.client.find(kind, at);
  if (observed === undefined || observed.metadata.labels?.[MANAGED] !== "true") return;
  // Another Work has taken the object over meanwhile, for instance after a rename: it is that Work's to delete.
  const { [WORK_NAME]: name = work.metadata.name, [WORK_NAMESPACE]: namespace = work.metadata.namespace } =
    observed.metadata.annotations ?? {};
  if (name !== work.metadata.name || namespace !== work.metadata.namespace) return;
  record.versions.delete(member.name, observed);
  // Rights to be impersonated are the control plane's own, and nobody's to keep.
  const isKept = isOrphaning && manifest.metadata.name !== IMPERSONATOR;
  if (isKept || work.spec?.preserveResourcesOnDeletion === true) {
    await member.client.update(kind, withMetadata(releasedObject(observed), { managedFields: undefined }));
    return;
  }
  await member.client.delete(kind, at, {
    propagationPolicy: "Background",
    preconditions: { uid: observed.metadata.uid ?? "" },
  });
  context.metrics
    .counter("delete_resource_from_cluster", "Number of deletion operations against a target member cluster", [
      "result",
      "apiversion",
      "kind",
      "member_cluster",
    ])
    .add(1, { result: "success", apiversion: manifest.apiVersion, kind: manifest.kind, member_cluster: member.name });
}
