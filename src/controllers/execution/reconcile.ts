import {
  Cluster,
  clusterOfExecutionNamespace,
  EXECUTION_FINALIZER,
  MANAGED,
  TEMPLATE_UID,
  Work,
  WORK_NAME,
  WORK_NAMESPACE,
} from "#apis/karmada";
import { type ControllerContext, done, type Request, type Result, terminal } from "#controller-runtime";
import {
  isAlreadyExists,
  isConflict,
  isNotFound,
  keyOf,
  type KubeObject,
  type ResourceKind,
  withMetadata,
  withoutFinalizer,
} from "#machinery";
import type { Member, MemberPool } from "#member";
import type { Interpreter } from "#interpreter";
import { type Contested, type Contests, contestMessage, yieldFields } from "./contest.ts";
import type { DeletionBrake } from "./deletion-brake.ts";
import {
  contentDigest,
  MANIFEST_DIGEST,
  planManifest,
  releasedObject,
  withCondition,
  type WorkCondition,
} from "./plan.ts";
import type { VersionRecord } from "./version-record.ts";

type Context = ControllerContext<
  { readonly members: MemberPool; readonly interpreter: Interpreter; readonly own?: string },
  unknown
>;
type Follow = (member: Member, kind: ResourceKind) => void;

export const isClusterReady = (cluster: Cluster): boolean =>
  cluster.status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True") ?? false;

/** Seconds, doubling from a millisecond (wire). */
const STEPS = Array.from({ length: 12 }, (_, at) => 0.001 * 2 ** at);

/** What execution remembers between reconciles; all of it is a shortcut that a restart may lose. */
interface Memory {
  readonly versions: VersionRecord;
  readonly contests: Contests;
  readonly brake: DeletionBrake;
}

/** On a Cluster: the time until which deletions beyond the brake's share go on. */
export const RELEASE_DELETIONS = "execution.flotilla.io/release-deletions-until";
const HELD = "DeletionHeld";

export async function reconcile(request: Request, context: Context, record: Memory, follow: Follow): Promise<Result> {
  const work = context.cache(Work).get(request.key);
  if (work === undefined) return done;
  const clusterName = clusterOfExecutionNamespace(request.namespace);
  if (clusterName === undefined) return terminal(`the namespace ${request.namespace} is no execution namespace`);
  const cluster = context.cache(Cluster).get(clusterName);
  if (work.metadata.deletionTimestamp !== undefined) return finalize(work, clusterName, cluster, context, record);
  if (cluster === undefined) throw new Error(`clusters.cluster.karmada.io "${clusterName}" not found`);
  if (!isOurs(cluster, context)) return done;
  const isSuspended = work.spec?.suspendDispatching === true;
  const dispatching: WorkCondition = isSuspended
    ? {
        type: "Dispatching",
        status: "False",
        reason: "SuspendDispatching",
        message: "Work dispatching is in a suspended state.",
      }
    : {
        type: "Dispatching",
        status: "True",
        reason: "Dispatching",
        message: "Work is being dispatched to member clusters.",
      };
  const before = work.status?.conditions?.find(({ type }) => type === "Dispatching");
  if (before?.status !== dispatching.status)
    context.events.from("execution-controller").normal(work, "WorkDispatching", dispatching.message);
  if (isSuspended) {
    await writeConditions(work, [dispatching], context);
    return done;
  }
  const member = context.deps.members.get(clusterName);
  if (!isClusterReady(cluster) || member === undefined) {
    if (before?.status !== dispatching.status) await writeConditions(work, [dispatching], context);
    throw new Error(`cluster(${clusterName}) not ready`);
  }
  const manifests = (work.spec?.workload?.manifests ?? []) as unknown as readonly KubeObject[];
  const startedMs = context.clock.monotonicMs();
  const errors: string[] = [];
  const events = context.events.from("execution-controller");
  await Promise.all(
    manifests.map(async (manifest) => {
      try {
        const isWritten = await apply(manifest, member, context, record, follow);
        const about = templateOf(manifest);
        if (isWritten && about !== undefined)
          events.normal(
            about,
            "SyncSucceed",
            `Successfully applied resource(${describe(manifest)}) to cluster ${clusterName}`,
          );
      } catch (error) {
        const message = error instanceof Error ? error.message : String(error);
        errors.push(message);
        const about = templateOf(manifest);
        if (about !== undefined)
          events.warning(
            about,
            "SyncFailed",
            `Failed to create or update resource(${describe(manifest)}) in member cluster(${clusterName}): ${message}`,
          );
      }
    }),
  );
  const isApplied = errors.length === 0;
  context.metrics
    .histogram("work_sync_workload_duration_seconds", "Duration of bringing a Work into its member", ["result"], STEPS)
    .observe((context.clock.monotonicMs() - startedMs) / 1000, { result: isApplied ? "success" : "error" });
  const applied: WorkCondition = isApplied
    ? {
        type: "Applied",
        status: "True",
        reason: "AppliedSuccessful",
        message: "Manifest has been successfully applied",
      }
    : {
        type: "Applied",
        status: "False",
        reason: "AppliedFailed",
        message: `Failed to apply all manifests (${manifests.length - errors.length}/${manifests.length}): ${errors.length === 1 ? errors[0] : `[${errors.join(", ")}]`}`,
      };
  const wasApplied = work.status?.conditions?.find(({ type }) => type === "Applied")?.status;
  await writeConditions(work, [dispatching, applied, ...contestedCondition(work, member, record)], context);
  if (!isApplied) {
    events.warning(
      work,
      "SyncFailed",
      `Failed to sync work(${keyOf(work)}) to cluster(${clusterName}), err: ${errors.join(", ")}`,
    );
    throw new Error(applied.message);
  }
  if (wasApplied !== "True")
    events.normal(work, "SyncSucceed", `Sync work(${keyOf(work)}) to cluster(${clusterName}) successful.`);
  return done;
}

const describe = ({ metadata }: KubeObject) => `${metadata.namespace ?? ""}/${metadata.name ?? ""}`;

/** The template a manifest was made from, as far as events need it. */
function templateOf(manifest: KubeObject): KubeObject | undefined {
  const uid = manifest.metadata.annotations?.[TEMPLATE_UID];
  const { name = "", namespace } = manifest.metadata;
  return uid
    ? {
        apiVersion: manifest.apiVersion,
        kind: manifest.kind,
        metadata: { name, ...(namespace === undefined ? {} : { namespace }), uid },
      }
    : undefined;
}

async function writeConditions(work: Work, conditions: readonly WorkCondition[], context: Context): Promise<void> {
  const write = async (latest: Work) => {
    let status = latest.status ?? {};
    for (const condition of conditions)
      status = withCondition({ ...latest, status } as Work, condition, context.clock.now());
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
    if (latest !== undefined) await write(latest);
  }
}

async function kindIn(member: Member, manifest: KubeObject): Promise<ResourceKind> {
  const kind = await member.kinds.find(manifest.apiVersion, manifest.kind);
  if (kind === undefined)
    throw new Error(
      `no matches for kind ${JSON.stringify(manifest.kind)} in version ${JSON.stringify(manifest.apiVersion)}`,
    );
  return kind;
}

async function observe(member: Member, kind: ResourceKind, object: KubeObject): Promise<KubeObject | undefined> {
  const informer = member.informers.of(kind);
  const at = { namespace: kind.namespaced ? object.metadata.namespace : undefined, name: object.metadata.name ?? "" };
  if (informer.isHealthy) return informer.get(at.namespace === undefined ? at.name : `${at.namespace}/${at.name}`);
  return member.client.find(kind, at);
}

/** Creates or updates one manifest; true when the member was written. */
async function apply(
  manifest: KubeObject,
  member: Member,
  context: Context,
  record: Memory,
  follow: Follow,
): Promise<boolean> {
  const kind = await kindIn(member, manifest);
  follow(member, kind);
  const labels = { apiversion: manifest.apiVersion, kind: manifest.kind, member_cluster: member.name };
  let observed = await observe(member, kind, manifest);
  for (let tries = 0; ; tries++) {
    const present = observed;
    const contested = record.contests.yieldedFor(contestKey(member, manifest), manifest);
    // Once something is left to the member, only what the template says is compared.
    const settled = contested.length > 0 ? undefined : record.versions.digestOf(member.name, manifest);
    const plan = await context.deps.interpreter.ask((interpreter) =>
      planManifest(manifest, present, member.name, interpreter, settled, (desired) =>
        present === undefined ? desired : yieldFields(desired, present, contested),
      ),
    );
    try {
      switch (plan.action) {
        case "none":
          if (observed !== undefined) record.versions.set(member.name, observed);
          return false;
        case "refuse":
          throw new Error(plan.message);
        case "create":
          record.versions.set(member.name, await member.client.create(kind, plan.object));
          context.metrics
            .counter("create_resource_to_cluster", "Number of creation operations against a target member cluster", [
              "result",
              "apiversion",
              "kind",
              "member_cluster",
              "recreate",
            ])
            .add(1, { ...labels, result: "success", recreate: "false" });
          return true;
        case "update": {
          const nowMs = context.clock.monotonicMs();
          const isContestable = present !== undefined && isRepair(manifest, present);
          const key = contestKey(member, manifest);
          if (isContestable) {
            const fresh = record.contests.yieldNow(key, manifest, plan.object, present, nowMs);
            // From now on the member's value is what is desired.
            if (fresh.length > 0) {
              tellContest(manifest, member, fresh, context);
              continue;
            }
          }
          record.versions.set(member.name, await member.client.update(kind, plan.object));
          if (isContestable) record.contests.noteRepair(key, manifest, plan.object, present, nowMs);
          context.metrics
            .counter("update_resource_to_cluster", "Number of updating operations against a target member cluster", [
              "result",
              "apiversion",
              "kind",
              "member_cluster",
              "operationResult",
            ])
            .add(1, { ...labels, result: "success", operationResult: "updated" });
          return true;
        }
      }
    } catch (error) {
      const isStale = isConflict(error) || isAlreadyExists(error) || isNotFound(error);
      if (!isStale || tries >= 4 || plan.action === "refuse") throw error;
      const at = {
        namespace: kind.namespaced ? manifest.metadata.namespace : undefined,
        name: manifest.metadata.name ?? "",
      };
      const live = await member.client.find(kind, at);
      // A namespace that is missing is no stale cache.
      if (live === undefined && observed === undefined) throw error;
      observed = live;
    }
  }
}

const contestKey = (member: Member, manifest: KubeObject) =>
  `${member.name} ${manifest.apiVersion}/${manifest.kind} ${keyOf(manifest)}`;

/** Whether an object was written from this very manifest: what differs now, somebody else changed. */
const isRepair = (manifest: KubeObject, observed: KubeObject): boolean =>
  observed.metadata.annotations?.[MANIFEST_DIGEST] === contentDigest(manifest);

function tellContest(manifest: KubeObject, member: Member, fresh: readonly Contested[], context: Context): void {
  const message = contestMessage(manifest, fresh);
  context.log.warn("left contested fields to the member", { cluster: member.name, message });
  context.metrics
    .counter("flotilla_contested_fields_total", "Fields left to a member because they flipped", ["member_cluster"])
    .add(fresh.length, { member_cluster: member.name });
  const about = templateOf(manifest);
  if (about !== undefined)
    context.events
      .from("execution-controller")
      .warning(about, "FieldContested", `In member cluster(${member.name}) ${message}`);
}

/** What a Work says of contested fields; nothing where there never were any. */
function contestedCondition(work: Work, member: Member, record: Memory): readonly WorkCondition[] {
  const manifests = (work.spec?.workload?.manifests ?? []) as unknown as readonly KubeObject[];
  const messages = manifests.flatMap((manifest) => {
    const contested = record.contests.yieldedFor(contestKey(member, manifest), manifest);
    return contested.length === 0 ? [] : [contestMessage(manifest, contested)];
  });
  if (messages.length > 0)
    return [{ type: "Contested", status: "True", reason: "FieldFlips", message: messages.join("; ") }];
  const wasContested = work.status?.conditions?.some(({ type, status }) => type === "Contested" && status === "True");
  return wasContested === true
    ? [{ type: "Contested", status: "False", reason: "ManifestChanged", message: "no field is left to the member" }]
    : [];
}

async function finalize(
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
  if (
    isReady &&
    !isLeaving &&
    work.spec?.preserveResourcesOnDeletion !== true &&
    (await isHeld(work, clusterName, cluster, context, record.brake))
  )
    return done;
  if (isReady) for (const manifest of manifests) await withdraw(work, manifest, member, context, record);
  else if (!isLeaving) throw new Error(`cluster(${clusterName}) not ready`);
  try {
    await context.client.update(Work, withoutFinalizer(work, EXECUTION_FINALIZER));
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
  return done;
}

/** Works of pull clusters are carried out by the agent in the member; where that is gone, `cluster` lets go of them. */
const isOurs = (cluster: Cluster, { deps }: Context): boolean =>
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
  const isReleased = Date.parse(cluster.metadata.annotations?.[RELEASE_DELETIONS] ?? "") > context.clock.now();
  const wasHeld = work.status?.conditions?.some(({ type, status }) => type === HELD && status === "True") ?? false;
  if (
    isReleased ||
    (!wasHeld &&
      brake.admits(
        clusterName,
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
  if (work.spec?.preserveResourcesOnDeletion === true) {
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
