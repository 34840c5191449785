/**
 * Garbage collector: what is owned goes with its owner. Background and foreground deletion and orphaning, by owner
 * references, for every kind an API server serves; new kinds are followed as they appear. It deletes an object only when
 * every owner it names is known to be gone.
 */
import { type ControllerContext, defineController, done, type Request, type Result } from "#controller-runtime";
import { isConflict, isNotFound, type KubeObject, type ResourceKind, withMetadata, withoutFinalizer } from "#machinery";
import { OwnerGraph } from "./owner-graph.ts";

/** What an API server serves, as far as the collector must know. */
export interface ServedKinds {
  list(): readonly ResourceKind[];
  onChange(react: () => void): () => void;
}

const ORPHAN = "orphan";
const FOREGROUND = "foregroundDeletion";
const ANY: ResourceKind = { group: "*", version: "*", kind: "*", resource: "*", namespaced: false };

interface Deps {
  readonly kinds: ServedKinds;
}

export const garbageCollector = defineController<Deps, Record<string, never>>({
  name: "garbagecollector",
  reconciles: [ANY],
  writes: [{ kind: ANY, verbs: ["update", "delete"] }],
  options: {},
  concurrency: () => 32,
  start: (context) => {
    const graph = new OwnerGraph();
    graphs.set(context.signal, graph);
    const followed = new Map<string, { stop(): void }>();
    const followAll = () => {
      const served = new Map(context.deps.kinds.list().map((kind) => [`${kind.group}/${kind.resource}`, kind]));
      for (const [key, kind] of served)
        if (!followed.has(key))
          followed.set(
            key,
            context.follow(kind, (change) =>
              graph.apply(change.type, kind, change.object).map((uid) => ({ name: uid })),
            ),
          );
      for (const [key, { stop }] of followed)
        if (!served.has(key)) {
          stop();
          followed.delete(key);
        }
    };
    followAll();
    const stop = context.deps.kinds.onChange(followAll);
    context.signal.addEventListener("abort", stop, { once: true });
  },
  reconcile,
});

const graphs = new WeakMap<AbortSignal, OwnerGraph>();

async function reconcile(request: Request, context: ControllerContext<Deps>): Promise<Result> {
  const graph = graphs.get(context.signal);
  if (graph === undefined) return done;
  const uid = request.name;
  const node = graph.get(uid);
  const { client } = context;
  const at = (object: KubeObject) => ({ namespace: object.metadata.namespace, name: object.metadata.name ?? "" });
  const quietly = async (work: Promise<unknown>) => {
    try {
      await work;
    } catch (error) {
      if (!isNotFound(error) && !isConflict(error)) throw error;
    }
  };
  if (node === undefined) {
    await Promise.all(
      graph.dependentsOf(uid).map(async ({ kind, object }) => {
        const owners = object.metadata.ownerReferences ?? [];
        const alive = owners.filter((owner) => graph.get(owner.uid) !== undefined);
        if (alive.length > 0) {
          await quietly(client.update(kind, withMetadata(object, { ownerReferences: alive })));
          return;
        }
        // The caches may be behind: an owner they do not know is asked for before anything is deleted.
        for (const owner of owners) {
          if (graph.isGone(owner.uid)) continue;
          const ownerKind = context.deps.kinds
            .list()
            .find((served) => served.kind === owner.kind && owner.apiVersion.startsWith(served.group));
          if (ownerKind === undefined) return;
          const live = await client.find(ownerKind, { namespace: object.metadata.namespace, name: owner.name });
          if (live?.metadata.uid === owner.uid) return;
        }
        if (object.metadata.deletionTimestamp !== undefined) return;
        await quietly(
          client.delete(kind, at(object), {
            propagationPolicy: "Background",
            preconditions: { uid: object.metadata.uid ?? "" },
          }),
        );
      }),
    );
    return done;
  }
  const { kind, object } = node;
  if (object.metadata.deletionTimestamp === undefined) return done;
  const finalizers = object.metadata.finalizers ?? [];
  if (finalizers.includes(ORPHAN)) {
    await Promise.all(
      graph.dependentsOf(uid).map(({ kind: dependentKind, object: dependent }) => {
        const left = (dependent.metadata.ownerReferences ?? []).filter((owner) => owner.uid !== uid);
        return quietly(
          client.update(
            dependentKind,
            withMetadata(dependent, { ownerReferences: left.length === 0 ? undefined : left }),
          ),
        );
      }),
    );
    await quietly(client.update(kind, withoutFinalizer(object, ORPHAN)));
  } else if (finalizers.includes(FOREGROUND)) {
    const dependents = graph.dependentsOf(uid);
    const blocking = dependents.filter(({ object: dependent }) =>
      dependent.metadata.ownerReferences?.some((owner) => owner.uid === uid && owner.blockOwnerDeletion === true),
    );
    await Promise.all(
      dependents
        .filter(({ object: dependent }) => dependent.metadata.deletionTimestamp === undefined)
        .map(({ kind: dependentKind, object: dependent }) =>
          quietly(client.delete(dependentKind, at(dependent), { propagationPolicy: "Foreground" })),
        ),
    );
    if (blocking.length === 0) await quietly(client.update(kind, withoutFinalizer(object, FOREGROUND)));
  }
  return done;
}
