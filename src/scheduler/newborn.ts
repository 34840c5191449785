import { type AnyBinding, APPLIED_PLACEMENT, ClusterResourceBinding, ResourceBinding } from "#apis/karmada";
import { withAnnotations } from "#machinery";
import type { FirstPlacement, PlaceNew } from "./options.ts";
import { decisionKey, planPass } from "./pass.ts";
import { gather } from "./reconcile.ts";
import { mayDecide, priorityOf, type SchedulerContext, stateOf } from "./wakes.ts";
import { sayOf, statusPatch, writeStatus } from "./write.ts";

/** More waiting bindings than this are not looked through for one that goes before a new one. */
const WAITING_MAX = 64;
/** The generation of whatever has just been created. */
const FIRST_GENERATION = 1;

/** Gates whose decisions build on each other, or on what a write is refused for: those are the queue's. */
const QUEUE_GATES = ["WorkloadAffinity", "SchedulingOvercommitProtection", "FederatedQuotaEnforcement"];

/**
 * Places a binding as it is created, by what the scheduler knows at that moment, so that it is not written twice. Whatever is
 * not decided at once and for good, such as a binding that fits nowhere, one that others have to be asked about, or one that
 * another of higher priority waits before, is left to the queue.
 */
export function placeNew(context: SchedulerContext): PlaceNew {
  const { deps, signal } = context;
  const state = stateOf(context);
  const { pluginHosts = [], estimatorPool } = deps;
  const isForQueue = pluginHosts.length > 0 || QUEUE_GATES.some((gate) => deps.gates.has(gate));
  return (wanted) => {
    if (isForQueue || estimatorPool?.isEmpty === false || signal.aborted || !mayDecide(wanted, context))
      return undefined;
    if (isSurpassed(priorityOf(wanted, context), context)) return undefined;
    const startedMs = performance.now();
    const binding = { ...wanted, metadata: { ...wanted.metadata, generation: FIRST_GENERATION } } as AnyBinding;
    const plan = planPass({
      ...gather(binding, context, []),
      nowMs: context.clock.now(),
      explains: deps.decisions !== undefined,
    });
    const { clusters = [], appliedPlacement, condition } = plan;
    if (clusters.length === 0 || appliedPlacement === undefined || condition?.status !== "True") return undefined;
    const placed = withAnnotations(wanted, { [APPLIED_PLACEMENT]: appliedPlacement });
    const key = decisionKey(binding);
    const kind = (
      binding.kind === "ClusterResourceBinding" ? ClusterResourceBinding : ResourceBinding
    ) as typeof ResourceBinding;
    state.births.sent(key, clusters);
    const enqueue = () => {
      const { namespace, name = "" } = binding.metadata;
      context.enqueue({ kind, ...(namespace === undefined ? {} : { namespace }), name });
    };
    return {
      binding: { ...placed, spec: { ...placed.spec, clusters } } as AnyBinding,
      statusPatch: statusPatch({}, plan) ?? {},
      async created(now) {
        state.metrics.incoming("BindingAdd");
        if (plan.decision !== undefined) deps.decisions?.keep(plan.decision);
        const say = sayOf(now, context);
        for (const { type, reason, message } of plan.events) say(type, reason, message);
        if ((await writeStatus(now, plan, kind, context)) === "failed") enqueue();
        state.metrics.attempt("scheduled", plan.cause === "replicas", (performance.now() - startedMs) / 1000);
      },
      failed() {
        state.births.forget(key);
        // Whatever has its name instead may have been taken for it.
        enqueue();
      },
    } satisfies FirstPlacement;
  };
}

/** Whether a binding that is to be scheduled before one of this priority may be waiting. */
function isSurpassed(priority: number, context: SchedulerContext): boolean {
  const { records } = stateOf(context);
  if (records.size > WAITING_MAX) return true;
  for (const record of records.values()) if (record.parked === undefined && record.priority > priority) return true;
  return false;
}
