import { Cluster, clusterOfExecutionNamespace, TEMPLATE_UID, Work } from "#apis/karmada";
import type { Informer } from "#client";
import { done, type Request, type Result, terminal } from "#controller-runtime";
import {
  isAlreadyExists,
  isConflict,
  isNotFound,
  isTooManyRequests,
  keyOf,
  type KubeObject,
  objectKey,
  type ResourceKind,
} from "#machinery";
import { isMemberBusy, type Member } from "#member";
import { CONTESTED_FIELDS, type Contested, contestMessage, rememberedText, yieldFields } from "./contest.ts";
import type { Context, Memory } from "./context.ts";
import { delayedCondition, isTurnedAway, noLongerDelayed } from "./delay.ts";
import { isDeletedWhenUnused } from "./definitions.ts";
import { contentDigest, MANIFEST_DIGEST, planManifest, type WorkCondition } from "./plan.ts";
import {
  deleteWhenUnused,
  finalize,
  isClusterReady,
  isOurs,
  noLongerHeld,
  saysAll,
  writeConditions,
} from "./withdraw.ts";

type Follow = (member: Member, kind: ResourceKind) => void;

/** Seconds, doubling from a millisecond (wire). */
const STEPS = Array.from({ length: 12 }, (_, at) => 0.001 * 2 ** at);

/** A member that is busy for so long is told of; before, the next try is likely to succeed. */
const BUSY_TOLD_MS = 10_000;

export async function reconcile(request: Request, context: Context, record: Memory, follow: Follow): Promise<Result> {
  // What an earlier look led to is not said any more; this one says what holds now.
  record.untold.delete(request.key);
  const busySinceMs = record.busySinceMs.get(request.key);
  record.busySinceMs.delete(request.key);
  const work = context.cache(Work).get(request.key);
  if (work === undefined) return done;
  const clusterName = clusterOfExecutionNamespace(request.namespace);
  if (clusterName === undefined) return terminal(`the namespace ${request.namespace} is no execution namespace`);
  const cluster = context.cache(Cluster).get(clusterName);
  if (work.metadata.deletionTimestamp !== undefined) return finalize(work, clusterName, cluster, context, record);
  if (cluster === undefined) throw new Error(`clusters.cluster.karmada.io "${clusterName}" not found`);
  if (!isOurs(cluster, context)) return done;
  const isSuspended = work.spec?.suspendDispatching === true;
  const member = context.deps.members.get(clusterName);
  const manifests = (work.spec?.workload?.manifests ?? []) as unknown as readonly KubeObject[];
  if (!isSuspended && member !== undefined && isClusterReady(cluster) && !isDeletedWhenUnused(work)) {
    const unlisted = await findUnlisted(manifests, member, follow);
    if (unlisted !== undefined) {
      // The list waits for the same member: the time it is busy goes on.
      if (busySinceMs !== undefined) record.busySinceMs.set(request.key, busySinceMs);
      resumeWhenListed(unlisted, request, context, record);
      return done;
    }
  }
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
  if (!isClusterReady(cluster) || member === undefined) {
    if (before?.status !== dispatching.status) await writeConditions(work, [dispatching], context);
    throw new Error(`cluster(${clusterName}) not ready`);
  }
  if (isDeletedWhenUnused(work)) return deleteWhenUnused(work, manifests, member, cluster, context);
  const startedMs = context.clock.monotonicMs();
  const failures: { readonly manifest: KubeObject; readonly error: unknown; readonly isWrite: boolean }[] = [];
  const events = context.events.from("execution-controller");
  await Promise.all(
    manifests.map(async (manifest) => {
      const attempt: Attempt = { isWriting: false };
      try {
        record.contests.restore(contestKey(member, manifest), manifest, work.metadata.annotations?.[CONTESTED_FIELDS]);
        const isWritten = await apply(manifest, member, context, record, follow, attempt);
        const about = templateOf(manifest);
        if (isWritten && about !== undefined)
          events.normal(
            about,
            "SyncSucceed",
            `Successfully applied resource(${describe(manifest)}) to cluster ${clusterName}`,
          );
      } catch (error) {
        failures.push({ manifest, error, isWrite: attempt.isWriting });
      }
    }),
  );
  const wasApplied = work.status?.conditions?.find(({ type }) => type === "Applied")?.status;
  const errors = failures.map(({ error }) => (error instanceof Error ? error.message : String(error)));
  const isDelayed = failures.length > 0 && failures.every(({ error }) => isTurnedAway(error));
  let delay: readonly WorkCondition[] = noLongerDelayed(work);
  if (isDelayed) {
    const nowMs = context.clock.monotonicMs();
    record.busySinceMs.set(request.key, busySinceMs ?? nowMs);
    if (nowMs - (busySinceMs ?? nowMs) < BUSY_TOLD_MS) throw failures[0]?.error;
    delay = delayedCondition(work, member, failures[0]?.error);
    // What was carried out before stays so: that a member has much to do says nothing about it.
    if (wasApplied === "True") {
      // One that was only to be looked at waits for nothing.
      if (failures.some(({ isWrite }) => isWrite)) await writeConditions(work, delay, context);
      throw failures[0]?.error;
    }
  }
  for (const [number, { manifest }] of failures.entries()) {
    const about = templateOf(manifest);
    if (about !== undefined)
      events.warning(
        about,
        "SyncFailed",
        `Failed to create or update resource(${describe(manifest)}) in member cluster(${clusterName}): ${errors[number]}`,
      );
  }
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
  const conditions = [
    dispatching,
    applied,
    ...delay,
    ...noLongerHeld(work),
    ...contestedCondition(work, member, record),
  ];
  if (isApplied) tellLater(request, work, conditions, record, context);
  else await writeConditions(work, conditions, context);
  await rememberContests(work, manifests, member, record, context);
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

/** A success is told when there is time: the member has what it is to have, and a start finds that out again. */
function tellLater(
  request: Request,
  work: Work,
  conditions: readonly WorkCondition[],
  { untold }: Memory,
  context: Context,
): void {
  if (saysAll(work, conditions)) return;
  untold.set(request.key, conditions);
  const isCurrent = () => untold.get(request.key) === conditions;
  context.report(request, async () => {
    const latest = context.cache(Work).get(request.key) ?? work;
    if (!isCurrent() || latest.metadata.uid !== work.metadata.uid) return;
    await writeConditions(latest, conditions, context, isCurrent);
    if (isCurrent()) untold.delete(request.key);
  });
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

async function kindIn(member: Member, manifest: KubeObject): Promise<ResourceKind> {
  const kind = await member.kinds.find(manifest.apiVersion, manifest.kind);
  if (kind === undefined)
    throw new Error(
      `no matches for kind ${JSON.stringify(manifest.kind)} in version ${JSON.stringify(manifest.apiVersion)}`,
    );
  return kind;
}

/** A list that brings nothing for so long is not waited for: each object is asked for, and says what is wrong. */
const LIST_PATIENCE_MS = 20_000;

/** A cache a Work needs whose first list is under way: at a start one list spares thousands of questions. */
async function findUnlisted(
  manifests: readonly KubeObject[],
  member: Member,
  follow: Follow,
): Promise<Informer | undefined> {
  for (const { apiVersion, kind: name } of manifests) {
    const kind =
      member.kinds.known(apiVersion, name) ?? (await member.kinds.find(apiVersion, name).catch(() => undefined));
    if (kind === undefined) continue;
    const informer = member.informers.of(kind);
    if (informer.hasSynced) continue;
    follow(member, kind);
    const { listFailure } = informer;
    const isUnderWay = listFailure === undefined || isMemberBusy(listFailure) || isTooManyRequests(listFailure);
    if (isUnderWay && informer.listSilentMs < LIST_PATIENCE_MS) return informer;
  }
  return undefined;
}

/** No worker waits meanwhile: other members' Works go on. */
function resumeWhenListed(informer: Informer, request: Request, context: Context, { unlisted }: Memory): void {
  const present = unlisted.get(informer);
  if (present !== undefined) {
    present.set(request.key, request);
    return;
  }
  const waiting = new Map([[request.key, request]]);
  unlisted.set(informer, waiting);
  void informer.whenTried(LIST_PATIENCE_MS - informer.listSilentMs).then(() => {
    unlisted.delete(informer);
    if (!context.signal.aborted) for (const resumed of waiting.values()) context.enqueue(resumed);
  });
}

async function observe(member: Member, kind: ResourceKind, object: KubeObject): Promise<KubeObject | undefined> {
  const informer = member.informers.of(kind);
  const { namespace, name = "" } = object.metadata;
  if (informer.isHealthy) return informer.get(objectKey(kind.namespaced ? namespace : undefined, name));
  return live(member, kind, object);
}

/** What the member itself says of an object. */
const live = (member: Member, kind: ResourceKind, { metadata }: KubeObject): Promise<KubeObject | undefined> =>
  member.client.find(kind, {
    namespace: kind.namespaced ? metadata.namespace : undefined,
    name: metadata.name ?? "",
  });

/** How far a manifest came. */
interface Attempt {
  isWriting: boolean;
}

/** Creates or updates one manifest; true when the member was written. */
async function apply(
  manifest: KubeObject,
  member: Member,
  context: Context,
  record: Memory,
  follow: Follow,
  attempt: Attempt,
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
    attempt.isWriting = plan.action === "create" || plan.action === "update";
    try {
      switch (plan.action) {
        case "none":
          if (observed !== undefined) record.versions.set(member.name, observed);
          return false;
        case "refuse":
          throw new Error(plan.message);
        case "create":
          await write("create", kind, plan.object, member, record);
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
            // Caches of foreign members leave managers out.
            const witness = record.contests.isPressing(key) ? await live(member, kind, manifest) : undefined;
            const fresh = record.contests.yieldNow(key, manifest, plan.object, present, nowMs, witness);
            // From now on the member's value is what is desired.
            if (fresh.length > 0) {
              tellContest(manifest, member, fresh, context);
              continue;
            }
          }
          await write("update", kind, plan.object, member, record);
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
      const found = await live(member, kind, manifest);
      // A namespace that is missing is no stale cache.
      if (found === undefined && observed === undefined) throw error;
      observed = found;
    }
  }
}

/** Writes to the member, and notes what it made of the object: that is read when there is time. */
async function write(
  verb: "create" | "update",
  kind: ResourceKind,
  object: KubeObject,
  member: Member,
  { versions }: Memory,
): Promise<void> {
  let unread: (() => KubeObject) | undefined;
  const answer = await member.client[verb](kind, object, { unread: (read) => (unread = read) });
  if (unread === undefined) versions.set(member.name, answer);
  else versions.setUnread(member.name, object, unread);
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

/** Keeps on the Work what is left to its member, and takes it off when nothing is. */
async function rememberContests(
  work: Work,
  manifests: readonly KubeObject[],
  member: Member,
  { contests }: Memory,
  { client }: Context,
): Promise<void> {
  const text = rememberedText(
    manifests.map((manifest) => ({ manifest, fields: contests.yieldedFor(contestKey(member, manifest), manifest) })),
  );
  if (text === work.metadata.annotations?.[CONTESTED_FIELDS]) return;
  try {
    await client.patch(
      Work,
      { namespace: work.metadata.namespace, name: work.metadata.name ?? "" },
      "application/merge-patch+json",
      { metadata: { annotations: { [CONTESTED_FIELDS]: text ?? null } } },
    );
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
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
