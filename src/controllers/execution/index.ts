/**
 * Execution: what a Work says stands in its member. Creates, updates and deletes member objects, keeps what members may
 * keep, repairs drift, and never touches an object that is not ours. It reports `Dispatching` and `Applied` on the Work.
 */
import {
  Cluster,
  clusterOfExecutionNamespace,
  DELETE_WHEN_UNUSED,
  executionNamespace,
  MANAGED,
  Work,
  WORK_NAME,
  WORK_NAMESPACE,
} from "#apis/karmada";
import {
  type ControllerContext,
  defineController,
  done,
  PRIORITY_LOW,
  type Request,
  type Result,
  wake,
} from "#controller-runtime";
import type { Interpreter } from "#interpreter";
import { gvkOf, type KubeObject, type ResourceKind } from "#machinery";
import type { Member, MemberPool } from "#member";
import { type BrakeOptions, DeletionBrake } from "./deletion-brake.ts";
import type { Memory } from "./context.ts";
import { watchAside } from "./delay.ts";
import { mayDrift } from "./drift.ts";
import { reconcile } from "./reconcile.ts";
import { isClusterReady, RELEASE_DELETIONS } from "./withdraw.ts";
import { Contests } from "./contest.ts";
import { StepCounts } from "./in-step.ts";
import { VersionRecord } from "./version-record.ts";

export { RELEASE_DELETIONS } from "./withdraw.ts";

export interface ExecutionDeps {
  readonly members: MemberPool;
  readonly interpreter: Interpreter;
  /** In an agent: the cluster it runs in. The control plane carries out the Works of push members, an agent its own. */
  readonly own?: string;
}

export interface ExecutionOptions extends BrakeOptions {
  readonly concurrentWorkSyncs: number;
}

export type ExecutionContext = ControllerContext<ExecutionDeps, ExecutionOptions>;

const records = new WeakMap<
  AbortSignal,
  {
    readonly versions: VersionRecord;
    readonly brake: DeletionBrake;
    readonly steps: StepCounts;
    readonly contests: Contests;
    readonly untold: Memory["untold"];
    readonly busySinceMs: Memory["busySinceMs"];
    readonly unlisted: Memory["unlisted"];
    readonly watched: Memory["watched"];
    readonly followed: Set<string>;
  }
>();

export function recordOf(context: { readonly signal: AbortSignal; readonly options: BrakeOptions }) {
  let record = records.get(context.signal);
  if (record === undefined)
    records.set(
      context.signal,
      (record = {
        versions: new VersionRecord(),
        brake: new DeletionBrake(context.options),
        steps: new StepCounts(),
        contests: new Contests(),
        untold: new Map(),
        busySinceMs: new Map(),
        unlisted: new Map(),
        watched: new Set(),
        followed: new Set(),
      }),
    );
  return record;
}

export const execution = defineController<ExecutionDeps, ExecutionOptions>({
  name: "execution",
  reconciles: [Work],
  reconcilers: ["execution-controller"],
  when: (change) =>
    change.type !== "deleted" &&
    (change.type === "added" ||
      change.object.metadata.generation !== change.old.metadata.generation ||
      change.object.metadata.annotations?.[DELETE_WHEN_UNUSED] !==
        change.old.metadata.annotations?.[DELETE_WHEN_UNUSED]),
  wakes: [
    // Counts only: nothing is woken.
    wake(Work, (change, context: ControllerContext<unknown, unknown>) => {
      recordOf(context as ExecutionContext).steps.note(change, context);
      return [];
    }),
    // A cluster that turns ready gets its Works at once instead of after a long backoff.
    wake(Cluster, (change, context: ControllerContext<unknown, unknown>) =>
      change.type === "updated" &&
      isClusterReady(change.object) &&
      (!isClusterReady(change.old) || isRelease(change.object, change.old))
        ? context
            .cache(Work)
            .list(executionNamespace(change.object.metadata.name ?? ""))
            .map(({ metadata }) => ({ namespace: metadata.namespace, name: metadata.name ?? "" }))
        : [],
    ),
  ],
  writes: [{ kind: Work, verbs: ["update", "patch", "delete"], subresources: ["status"] }],
  options: { concurrentWorkSyncs: 256, massDeletionShare: 0, massDeletionWindowMs: 600_000, massDeletionFloor: 20 },
  urgency: "last",
  concurrency: ({ concurrentWorkSyncs }) => concurrentWorkSyncs,
  start: (context) => {
    // A new connection may lead to another cluster under the old name: what is to stand there is compared anew.
    const stop = context.deps.members.follow(({ type, member }) => {
      if (type !== "connected") return;
      for (const { metadata } of context.cache(Work).list(executionNamespace(member.name)))
        context.enqueue({ namespace: metadata.namespace, name: metadata.name ?? "", priority: PRIORITY_LOW });
    });
    context.signal.addEventListener("abort", stop, { once: true });
  },
  reconcile: async (request: Request, context: ExecutionContext): Promise<Result> => {
    const cluster = clusterOfExecutionNamespace(request.namespace);
    const member = cluster === undefined ? undefined : context.deps.members.get(cluster);
    const room = member?.room;
    if (room?.standAside(request.key, () => context.enqueue(request)) === true) {
      if (member !== undefined) void watchAside(member, recordOf(context), context);
      return done;
    }
    try {
      return await reconcile(request, context, recordOf(context), (member, kind) => follow(member, kind, context));
    } finally {
      room?.leave();
    }
  },
});

const isRelease = (now: Cluster, old: Cluster) =>
  now.metadata.annotations?.[RELEASE_DELETIONS] !== old.metadata.annotations?.[RELEASE_DELETIONS];

/** Watches a kind in a member for drift: changes that are not our own bring the Work back. */
function follow(member: Member, kind: ResourceKind, context: ExecutionContext): void {
  const record = recordOf(context);
  const key = `${member.name} ${kind.group}/${kind.version}/${kind.resource}`;
  if (record.followed.has(key)) return;
  record.followed.add(key);
  const enqueueFor = (object: KubeObject) => {
    const { labels = {}, annotations = {} } = object.metadata;
    const namespace = annotations[WORK_NAMESPACE];
    const name = annotations[WORK_NAME];
    if (labels[MANAGED] === "true" && namespace && name && clusterOfExecutionNamespace(namespace) === member.name)
      context.enqueue({ namespace, name });
  };
  const informer = member.informers.of(kind);
  const stop = informer.handle({
    // Written before the first list came, and changed by somebody in between.
    add: (object) => {
      const written = record.versions.get(member.name, object);
      if (written !== undefined && written !== object.metadata.resourceVersion) enqueueFor(object);
    },
    update: (object, old) => {
      const written = record.versions.get(member.name, old);
      if (mayDrift(object, old, written, () => manifestOf(old, context))) enqueueFor(old);
    },
    delete: (object) => {
      record.versions.delete(member.name, object);
      enqueueFor(object);
    },
  });
  member.signal.addEventListener("abort", () => {
    stop();
    record.followed.delete(key);
  });
  void informer.whenSynced().then(() => {
    if (!member.signal.aborted && !context.signal.aborted) enqueueMissing(member, kind, context);
  });
}

/** The manifest an object was written from; nothing where its Work says something else by now. */
function manifestOf(object: KubeObject, context: ExecutionContext): KubeObject | undefined {
  const { name, namespace, annotations = {} } = object.metadata;
  const work = context.cache(Work).get(`${annotations[WORK_NAMESPACE]}/${annotations[WORK_NAME]}`);
  const manifests = (work?.spec?.workload?.manifests ?? []) as unknown as readonly KubeObject[];
  return manifests.find(
    (manifest) =>
      manifest.kind === object.kind && manifest.metadata.name === name && manifest.metadata.namespace === namespace,
  );
}

/** What was applied before the first list of its kind and is not in it was deleted in between: no event says so. */
function enqueueMissing(member: Member, kind: ResourceKind, context: ExecutionContext): void {
  const informer = member.informers.of(kind);
  for (const work of context.cache(Work).list(executionNamespace(member.name))) {
    const isApplied = work.status?.conditions?.some(({ type, status }) => type === "Applied" && status === "True");
    if (isApplied !== true || work.metadata.deletionTimestamp !== undefined) continue;
    const manifests = (work.spec?.workload?.manifests ?? []) as unknown as readonly KubeObject[];
    const isMissing = manifests.some((manifest) => {
      const { group, version } = gvkOf(manifest);
      if (manifest.kind !== kind.kind || group !== kind.group || version !== kind.version) return false;
      const { namespace, name = "" } = manifest.metadata;
      return informer.get(kind.namespaced && namespace !== undefined ? `${namespace}/${name}` : name) === undefined;
    });
    if (isMissing) context.enqueue({ namespace: work.metadata.namespace, name: work.metadata.name ?? "" });
  }
}
