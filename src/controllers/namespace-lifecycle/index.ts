/**
 * Namespace lifecycle: a namespace that is deleted takes its objects with it. Every namespaced kind the server serves is
 * emptied before the namespace's own finalizer goes, and so are its Events. It never touches a namespace that is not
 * being deleted.
 */
import { Event, Namespace } from "#apis/kubernetes";
import { deepEqual } from "#base";
import {
  type ControllerContext,
  defineController,
  done,
  type Request,
  requeueAfter,
  type Result,
} from "#controller-runtime";
import {
  ApiError,
  formatTime,
  isConflict,
  isNotFound,
  type KubeObject,
  parseTime,
  type ResourceKind,
} from "#machinery";
import { conditionsOf, type Remains } from "./conditions.ts";

interface Deps {
  readonly kinds: { list(): readonly ResourceKind[] };
}

const LOOK_AGAIN_MS = 100;
const LOOK_AGAIN_MAX_MS = 15_000;
/** What is looked at again waits for a part of the time it has taken already: all kinds are listed each time. */
const LOOK_AGAIN_PART = 4;
const ANY: ResourceKind = { group: "*", version: "*", kind: "*", resource: "*", namespaced: true };

export const namespaceLifecycle = defineController<Deps, Record<string, never>>({
  name: "namespace-lifecycle",
  reconciles: [Namespace],
  when: ({ type, object }) => type !== "deleted" && object.metadata.deletionTimestamp !== undefined,
  writes: [{ kind: ANY, verbs: ["delete", "update"] }],
  options: {},
  concurrency: () => 5,
  reconcile,
});

async function reconcile(request: Request, context: ControllerContext<Deps>): Promise<Result> {
  const namespace = context.cache(Namespace).get(request.key);
  if (namespace?.metadata.deletionTimestamp === undefined) return done;
  const { client } = context;
  try {
    const { left, ...remains } = await clear(request.name, context);
    if (left > 0) {
      await report(namespace, remains, context);
      return requeueAfter(waitMs(namespace, context.clock.now()));
    }
    const finalizers = (namespace.spec?.finalizers ?? []).filter((finalizer) => finalizer !== "kubernetes");
    await client.subresource(Namespace, { name: request.name }, "finalize", "update", {
      ...namespace,
      apiVersion: "v1",
      kind: "Namespace",
      spec: { finalizers },
    } as unknown as KubeObject);
    return done;
  } catch (error) {
    // What is gone may be one of its objects, deleted by somebody else between list and delete, and not the namespace.
    if (isNotFound(error))
      return (await client.find(Namespace, { name: request.name })) === undefined ? done : requeueAfter(LOOK_AGAIN_MS);
    if (isConflict(error)) return requeueAfter(1);
    throw error;
  }
}

/** Deletes what is there; a kind that cannot be deleted does not keep the others. `left` is how many objects were found. */
async function clear(
  namespace: string,
  { client, deps }: ControllerContext<Deps>,
): Promise<Remains & { readonly left: number }> {
  const remaining = new Map<ResourceKind, readonly KubeObject[]>();
  const failures: string[] = [];
  let left = 0;
  const served = deps.kinds.list().filter(({ namespaced }) => namespaced);
  for (const kind of [...served, Event as ResourceKind]) {
    const found = await client.list(kind, { namespace }).catch((error: unknown) => {
      if (!(error instanceof ApiError) || (error.status.code ?? 0) < 500) throw error;
      return error;
    });
    // A server beside ours that does not answer may hold something: the namespace waits for it, the other kinds do not.
    if (found instanceof Error) {
      left++;
      failures.push(`${kind.resource}.${kind.group}: ${found.message}`);
      continue;
    }
    const { items } = found;
    left += items.length;
    const held = items.filter(({ metadata }) => metadata.deletionTimestamp !== undefined);
    if (held.length > 0) remaining.set(kind, held);
    const deleted = await Promise.allSettled(
      items
        .filter((item) => !held.includes(item))
        .map(({ metadata: { name = "" } }) =>
          client.delete(kind, { namespace, name }, { propagationPolicy: "Background" }),
        ),
    );
    const failed = deleted.find(
      (result): result is PromiseRejectedResult => result.status === "rejected" && !isNotFound(result.reason),
    );
    if (failed !== undefined)
      failures.push(failed.reason instanceof Error ? failed.reason.message : String(failed.reason));
  }
  return { left, remaining, failures };
}

/** Says what holds the namespace up. One that empties at once is not written to. */
async function report(
  namespace: Namespace,
  remains: Remains,
  { client, clock }: ControllerContext<Deps>,
): Promise<void> {
  const before = namespace.status?.conditions ?? [];
  if (remains.remaining.size === 0 && remains.failures.length === 0 && before.length === 0) return;
  const conditions = conditionsOf(remains, before, formatTime(clock.now()));
  if (namespace.status?.phase === "Terminating" && deepEqual(conditions, before)) return;
  await client.updateStatus(Namespace, {
    ...namespace,
    status: { ...namespace.status, phase: "Terminating", conditions },
  });
}

function waitMs({ metadata }: KubeObject, nowMs: number): number {
  const sinceMs = nowMs - (parseTime(metadata.deletionTimestamp) ?? nowMs);
  return Math.min(LOOK_AGAIN_MAX_MS, Math.max(LOOK_AGAIN_MS, sinceMs / LOOK_AGAIN_PART));
}
