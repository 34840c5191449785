/**
 * Work status: how a Work's object fares in its member. Follows the kinds of applied Works in every member and keeps
 * `manifestStatuses` with status and health as the interpreter reads them. It polls nothing and writes no member.
 */
import {
  Cluster,
  clusterOfExecutionNamespace,
  executionNamespace,
  type ManifestStatus,
  Work,
  WORK_NAME,
  WORK_NAMESPACE,
} from "#apis/karmada";
import { deepEqual } from "#base";
import {
  type ControllerContext,
  defineController,
  done,
  type Request,
  requeueAfter,
  type Result,
  Settling,
  wake,
} from "#controller-runtime";
import type { Interpreter } from "#interpreter";
import { gvkOf, isConflict, isNotFound, type KubeObject, type ResourceKind } from "#machinery";
import type { Member, MemberPool } from "#member";

interface Deps {
  readonly members: MemberPool;
  readonly interpreter: Interpreter;
}

interface Options {
  readonly concurrentWorkSyncs: number;
}

/** A rollout moves an object's status many times in a row; what comes within this time is written once. */
const GATHER_MS = 25;

type Context = ControllerContext<Deps, Options>;
const isApplied = (work: Work) =>
  work.status?.conditions?.some(({ type, status }) => type === "Applied" && status === "True") ?? false;

export const workStatus = defineController<Deps, Options>({
  name: "workStatus",
  reconciles: [Work],
  reconcilers: ["work-status-controller"],
  when: (change) =>
    change.type !== "deleted" &&
    isApplied(change.object as Work) &&
    (change.type === "added" ||
      !isApplied(change.old as Work) ||
      change.object.metadata.generation !== change.old.metadata.generation),
  wakes: [wake(Cluster, () => [])],
  writes: [{ kind: Work, verbs: ["update"], subresources: ["status"] }],
  options: { concurrentWorkSyncs: 256 },
  urgency: "background",
  concurrency: ({ concurrentWorkSyncs }) => concurrentWorkSyncs,
  start: (context) => {
    // A new connection has new caches: what was followed before is followed again.
    const stop = context.deps.members.follow(({ type, member }) => {
      if (type !== "connected") return;
      for (const work of context.cache(Work).list(executionNamespace(member.name)))
        if (isApplied(work)) context.enqueue({ namespace: work.metadata.namespace, name: work.metadata.name ?? "" });
    });
    context.signal.addEventListener("abort", stop, { once: true });
  },
  reconcile,
});

const followed = new WeakMap<Member, Set<string>>();

function follow(member: Member, kind: ResourceKind, context: Context): void {
  let kinds = followed.get(member);
  if (kinds === undefined) followed.set(member, (kinds = new Set()));
  const key = `${kind.group}/${kind.version}/${kind.resource}`;
  if (kinds.has(key)) return;
  kinds.add(key);
  const enqueueFor = (object: KubeObject) => {
    const annotations = object.metadata.annotations ?? {};
    const namespace = annotations[WORK_NAMESPACE];
    const name = annotations[WORK_NAME];
    if (namespace && name && clusterOfExecutionNamespace(namespace) === member.name)
      context.enqueue({ namespace, name, afterMs: GATHER_MS });
  };
  const stop = member.informers.of(kind).handle({ add: enqueueFor, update: enqueueFor, delete: enqueueFor });
  member.signal.addEventListener("abort", stop, { once: true });
  context.signal.addEventListener("abort", stop, { once: true });
}

const settlings = new WeakMap<AbortSignal, Settling>();

function settlingOf({ signal }: Context): Settling {
  let settling = settlings.get(signal);
  if (settling === undefined) settlings.set(signal, (settling = new Settling()));
  return settling;
}

async function reconcile(request: Request, context: Context): Promise<Result> {
  const settling = settlingOf(context);
  const statuses = await observe(request, context);
  const work = context.cache(Work).get(request.key);
  if (statuses === undefined || work === undefined || deepEqual(statuses, work.status?.manifestStatuses ?? [])) {
    settling.forget(request.key);
    return done;
  }
  // What is missing for a moment is about to be made again.
  if (statuses.some(({ health, status }) => health === "Unhealthy" || (health === "Unknown" && status === undefined))) {
    const leftMs = settling.holdMs(request.key, context.clock.monotonicMs());
    if (leftMs > 0) return requeueAfter(leftMs);
  }
  settling.forget(request.key);
  const write = (latest: Work) =>
    context.client.updateStatus(Work, { ...latest, status: { ...latest.status, manifestStatuses: statuses } } as Work);
  try {
    await write(work);
  } catch (error) {
    if (isNotFound(error)) return done;
    if (!isConflict(error)) throw error;
    const latest = await context.client.find(Work, { namespace: request.namespace, name: request.name });
    if (latest !== undefined) await write(latest);
  }
  return done;
}

/** What the member's objects of a Work say now; nothing where there is nothing to say of it. */
async function observe(request: Request, context: Context): Promise<readonly ManifestStatus[] | undefined> {
  const work = context.cache(Work).get(request.key);
  if (work === undefined || work.metadata.deletionTimestamp !== undefined) return undefined;
  const clusterName = clusterOfExecutionNamespace(request.namespace);
  const member = clusterName === undefined ? undefined : context.deps.members.get(clusterName);
  if (member === undefined) return undefined;
  const isReported = isApplied(work) && work.spec?.suspendDispatching !== true;
  const manifests = (work.spec?.workload?.manifests ?? []) as unknown as readonly KubeObject[];
  const statuses: ManifestStatus[] = [];
  for (const [ordinal, manifest] of manifests.entries()) {
    const before = work.status?.manifestStatuses?.find(({ identifier }) => identifier.ordinal === ordinal);
    const kind = await member.kinds.find(manifest.apiVersion, manifest.kind);
    if (kind !== undefined && isApplied(work)) follow(member, kind, context);
    const seen = kind === undefined ? "unseen" : look(member, kind, manifest);
    if (seen === "unseen" || (typeof seen === "object" && !isReported)) {
      if (before !== undefined) statuses.push(before);
    } else if (typeof seen === "object") statuses.push(await statusOf(work, seen, ordinal, before, context));
    // What it said when it was last seen holds no longer.
    else if (before !== undefined)
      statuses.push({ identifier: before.identifier, health: "Unknown" } as unknown as ManifestStatus);
  }
  return statuses.length === 0 ? undefined : statuses;
}

/** A manifest's object as a member's cache has it; `unseen` while the cache knows nothing: its first list brings the next request. */
function look(member: Member, kind: ResourceKind, { metadata }: KubeObject): KubeObject | "missing" | "unseen" {
  const informer = member.informers.of(kind);
  if (!informer.hasSynced) return "unseen";
  const { namespace, name = "" } = metadata;
  const object = informer.get(kind.namespaced && namespace !== undefined ? `${namespace}/${name}` : name);
  return object ?? (informer.isHealthy ? "missing" : "unseen");
}

async function statusOf(
  work: Work,
  object: KubeObject,
  ordinal: number,
  before: ManifestStatus | undefined,
  context: Context,
): Promise<ManifestStatus> {
  const { interpreter } = context.deps;
  const events = context.events.from("work-status-controller");
  const { group, version, kind } = gvkOf(object);
  const { namespace, name = "" } = object.metadata;
  const what = `${kind}/${namespace ?? ""}/${name}`;
  let status: unknown;
  try {
    status = await interpreter.ask((asked) => asked.reflect(object));
  } catch (error) {
    events.warning(
      work,
      "ReflectStatusFailed",
      `Reflect status for object(${what}) failed, err: ${error instanceof Error ? error.message : String(error)}.`,
    );
    throw error;
  }
  // Said once: a status moves far more often than anybody wants to read of.
  if (before === undefined) events.normal(work, "ReflectStatusSucceed", `Reflect status for object(${what}) succeed.`);
  let health: string;
  try {
    const isHealthy = await interpreter.ask((asked) => asked.health(object));
    health = isHealthy === undefined || isHealthy ? "Healthy" : "Unhealthy";
    if (health !== before?.health)
      events.normal(work, "InterpretHealthSucceed", `Interpret health of object(${what}) as ${health.toLowerCase()}.`);
  } catch (error) {
    health = "Unknown";
    events.warning(
      work,
      "InterpretHealthFailed",
      `Interpret health of object(${what}) failed, err: ${error instanceof Error ? error.message : String(error)}.`,
    );
  }
  return {
    identifier: {
      ordinal,
      ...(group === "" ? {} : { group }),
      version,
      kind,
      resource: "",
      ...(namespace === undefined ? {} : { namespace }),
      name,
    },
    ...(status === undefined ? {} : { status }),
    health,
  } as unknown as ManifestStatus;
}
