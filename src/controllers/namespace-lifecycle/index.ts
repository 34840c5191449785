/**
 * Namespace lifecycle: a namespace that is deleted takes its objects with it. Every namespaced kind the server serves is
 * emptied before the namespace's own finalizer goes, and so are its Events. It never touches a namespace that is not
 * being deleted.
 */
import { Event, Namespace } from "#apis/kubernetes";
import {
  type ControllerContext,
  defineController,
  done,
  type Request,
  requeueAfter,
  type Result,
} from "#controller-runtime";
import { formatTime, isConflict, isNotFound, type KubeObject, parseTime, type ResourceKind } from "#machinery";

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
    let left = 0;
    const served = context.deps.kinds.list().filter(({ namespaced }) => namespaced);
    for (const kind of [...served, Event as ResourceKind]) {
      const { items } = await client.list(kind, { namespace: request.name });
      left += items.length;
      await Promise.all(
        items
          .filter(({ metadata }) => metadata.deletionTimestamp === undefined)
          .map(({ metadata }) =>
            client.delete(
              kind,
              { namespace: request.name, name: metadata.name ?? "" },
              { propagationPolicy: "Background" },
            ),
          ),
      );
    }
    if (left > 0) {
      if (namespace.status?.phase !== "Terminating") {
        const condition = {
          type: "NamespaceContentRemaining",
          status: "True",
          reason: "SomeResourcesRemain",
          message: `Some resources are remaining: ${left} resource instances`,
          lastTransitionTime: formatTime(context.clock.now()),
        };
        await client.updateStatus(Namespace, {
          ...namespace,
          status: { ...namespace.status, phase: "Terminating", conditions: [condition] },
        });
      }
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

function waitMs({ metadata }: KubeObject, nowMs: number): number {
  const sinceMs = nowMs - (parseTime(metadata.deletionTimestamp) ?? nowMs);
  return Math.min(LOOK_AGAIN_MAX_MS, Math.max(LOOK_AGAIN_MS, sinceMs / LOOK_AGAIN_PART));
}
