/**
 * Binding status: what the Works of a binding say, on the binding and on the template. Keeps `aggregatedStatus`,
 * `FullyApplied` and, for kinds that can be summed up, the template's own status. Switched off by
 * `--controllers=-bindingStatus`; `writesTemplateStatus: false` leaves all templates
 * alone and nothing else, the annotation `status.flotilla.io/template-status: Keep` a single one.
 */
import {
  type AnyBinding,
  CLUSTER_RESOURCE_BINDING_ID,
  CLUSTER_RESOURCE_BINDING_NAME,
  ClusterResourceBinding,
  RESOURCE_BINDING_ID,
  RESOURCE_BINDING_NAME,
  RESOURCE_BINDING_NAMESPACE,
  ResourceBinding,
  Work,
} from "#apis/karmada";
import { deepEqual } from "#base";
import { retryOnConflict } from "#client";
import {
  type Change,
  type ControllerContext,
  cacheIndex,
  defineController,
  done,
  type Request,
  requeueAfter,
  type Result,
  Settling,
  wake,
} from "#controller-runtime";
import { type Interpreter, planBindingStatus } from "#interpreter";
import { isConflict, isNotFound, type KubeObject, type ResourceKind } from "#machinery";

interface Deps {
  readonly interpreter: Interpreter;
  readonly kindOf: (apiVersion: string, kind: string) => ResourceKind | undefined;
}

interface Options {
  readonly writesTemplateStatus: boolean;
}

/** On a template: `Keep` leaves its own status alone; the binding shows what members report all the same. */
export const TEMPLATE_STATUS = "status.flotilla.io/template-status";

/** Works of one binding report one after the other; what comes within this time is summed up once. */
const GATHER_MS = 25;

type Context = ControllerContext<Deps, Options>;
const KEYS = [RESOURCE_BINDING_ID, CLUSTER_RESOURCE_BINDING_ID] as const;

export const bindingStatus = defineController<Deps, Options>({
  name: "bindingStatus",
  reconciles: [ResourceBinding, ClusterResourceBinding],
  reconcilers: ["resource-binding-status-controller", "cluster-resource-binding-status-controller"],
  when: (change) => {
    if (change.type === "deleted") return false;
    const now = change.object as AnyBinding;
    if (now.status?.lastScheduledTime === undefined) return false;
    if (change.type === "added") return true;
    const old = change.old as AnyBinding;
    return (
      old.spec.resource.resourceVersion !== now.spec.resource.resourceVersion ||
      !deepEqual(old.spec.clusters, now.spec.clusters) ||
      !deepEqual(old.spec.gracefulEvictionTasks, now.spec.gracefulEvictionTasks)
    );
  },
  wakes: [wake(Work, bindingOf)],
  indexes: [
    cacheIndex(Work, "bindingId", ({ metadata }: Work) =>
      KEYS.flatMap((key) => (metadata.labels?.[key] ? [metadata.labels[key]] : [])),
    ),
  ],
  writes: [
    { kind: ResourceBinding, verbs: ["update"], subresources: ["status"] },
    { kind: ClusterResourceBinding, verbs: ["update"], subresources: ["status"] },
    {
      kind: { group: "*", version: "*", kind: "*", resource: "*", namespaced: true },
      verbs: ["update"],
      subresources: ["status"],
    },
  ],
  options: { writesTemplateStatus: true },
  urgency: "background",
  concurrency: () => 256,
  reconcile,
});

function bindingOf(change: Change<Work>) {
  if (change.type === "added") return [];
  if (
    change.type === "updated" &&
    change.object.status === change.old.status &&
    change.object.metadata.deletionTimestamp === change.old.metadata.deletionTimestamp &&
    // A binding may take over a Work that was there before it.
    KEYS.every((key) => change.object.metadata.labels?.[key] === change.old.metadata.labels?.[key])
  )
    return [];
  const annotations = change.object.metadata.annotations ?? {};
  const name = annotations[RESOURCE_BINDING_NAME];
  if (name !== undefined)
    return [
      {
        kind: ResourceBinding,
        namespace: annotations[RESOURCE_BINDING_NAMESPACE],
        name,
        afterMs: GATHER_MS,
      },
    ];
  const clusterName = annotations[CLUSTER_RESOURCE_BINDING_NAME];
  return clusterName === undefined ? [] : [{ kind: ClusterResourceBinding, name: clusterName, afterMs: GATHER_MS }];
}

const settlings = new WeakMap<AbortSignal, Settling>();

function settlingOf({ signal }: Context): Settling {
  let settling = settlings.get(signal);
  if (settling === undefined) settlings.set(signal, (settling = new Settling()));
  return settling;
}

/** Whether a copy is still on its way: more is going to be said of it in a moment. */
const isMoving = ({ status }: ReturnType<typeof planBindingStatus>): boolean =>
  (status.aggregatedStatus ?? []).some(({ applied, health }) => applied !== true || health !== "Healthy");

async function reconcile(request: Request, context: Context): Promise<Result> {
  const settling = settlingOf(context);
  const kind = request.kind as ResourceKind<ResourceBinding>;
  const binding = context.cache(kind).get(request.key) as AnyBinding | undefined;
  if (binding === undefined || binding.metadata.deletionTimestamp !== undefined) return done;
  const id = KEYS.map((key) => binding.metadata.labels?.[key]).find((value) => value !== undefined);
  if (id === undefined) return done;
  const works = context.cache(Work).byIndex("bindingId", id);
  let plan: ReturnType<typeof planBindingStatus>;
  try {
    plan = planBindingStatus(binding, works, context.clock.now());
  } catch {
    // A Work that does not carry the resource yet is being rendered anew.
    return done;
  }
  const events = context.events.from(statusController(binding));
  const what =
    binding.kind === "ClusterResourceBinding"
      ? `ClusterResourceBinding(${binding.metadata.name})`
      : `ResourceBinding(${binding.metadata.namespace}/${binding.metadata.name})`;
  const key = `${request.kind.resource} ${request.key}`;
  if (plan.isChanged && isMoving(plan)) {
    const leftMs = settling.holdMs(key, context.clock.monotonicMs());
    if (leftMs > 0) return requeueAfter(leftMs);
  }
  settling.forget(key);
  if (plan.isChanged) {
    try {
      await context.client.updateStatus(kind, { ...binding, status: plan.status } as ResourceBinding);
    } catch (error) {
      if (isNotFound(error)) return done;
      if (!isConflict(error)) {
        events.warning(binding, "AggregateStatusFailed", error instanceof Error ? error.message : String(error));
        throw error;
      }
      const latest = await context.client.find(kind, request);
      if (latest === undefined) return done;
      const again = planBindingStatus(latest, works, context.clock.now());
      if (again.isChanged)
        await context.client.updateStatus(kind, { ...latest, status: again.status } as ResourceBinding);
    }
    events.normal(binding, "AggregateStatusSucceed", `Update ${what} with AggregatedStatus successfully.`);
  }
  if (context.options.writesTemplateStatus) await writeTemplate(binding, plan.status, context);
  return done;
}

/** The source of events (wire). */
const statusController = ({ kind }: AnyBinding) =>
  kind === "ClusterResourceBinding"
    ? "cluster-resource-binding-status-controller"
    : "resource-binding-status-controller";

/** The members' parts summed up in the template's status. A failure is said on the template. */

async function writeTemplate(
  binding: AnyBinding,
  status: NonNullable<AnyBinding["status"]>,
  context: Context,
): Promise<void> {
  const { interpreter, kindOf } = context.deps;
  const { apiVersion, kind: kindName, namespace, name } = binding.spec.resource;
  if (!interpreter.hasHook({ apiVersion, kind: kindName }, "AggregateStatus")) return;
  const kind = kindOf(apiVersion, kindName);
  if (kind === undefined) return;
  const events = context.events.from(statusController(binding));
  const items = (status.aggregatedStatus ?? []) as unknown as Parameters<Interpreter["aggregate"]>[1];
  await retryOnConflict(async () => {
    const template = await context.client.find(kind, { namespace, name });
    if (template === undefined || template.metadata.annotations?.[TEMPLATE_STATUS] === "Keep") return;
    try {
      const next = await interpreter.ask((asked) => asked.templateStatus(template, items, context.clock.now()));
      const before = (template as { readonly status?: unknown }).status;
      if (next === undefined || deepEqual(settled(before), settled(next))) return;
      await context.client.updateStatus(kind, { ...template, status: next } as KubeObject);
      events.normal(template, "AggregateStatusSucceed", "Update Resource with AggregatedStatus successfully.");
    } catch (error) {
      if (!isConflict(error))
        events.warning(template, "AggregateStatusFailed", error instanceof Error ? error.message : String(error));
      throw error;
    }
  });
}

const settled = (status: unknown) => status ?? {};
