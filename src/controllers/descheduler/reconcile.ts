import { ResourceBinding } from "#apis/karmada";
import { sleep } from "#base";
import { type ControllerContext, done, type Request, type Result } from "#controller-runtime";
import { isNotFound, type KubeObject } from "#machinery";
import type { DeschedulerDeps, DeschedulerOptions } from "./options.ts";
import { isDeschedulable, planDeschedule, undesiredClusters } from "./plan.ts";

type Context = ControllerContext<DeschedulerDeps, DeschedulerOptions>;

/** The source of events (wire). */
const COMPONENT = "karmada-descheduler";

/** Queues all bindings that may be descheduled, once an interval, until the controller stops. */
export function startSweeps(context: Context): void {
  void (async () => {
    while (!context.signal.aborted) {
      await sleep(context.clock, context.options.deschedulingIntervalMs, context.signal);
      if (context.signal.aborted) return;
      for (const binding of context.cache(ResourceBinding).list()) {
        if (isDeschedulable(binding))
          context.enqueue({ namespace: binding.metadata.namespace, name: binding.metadata.name ?? "" });
      }
    }
  })();
}

export async function reconcile(request: Request, context: Context): Promise<Result> {
  const binding = context.cache(ResourceBinding).get(request.key);
  if (binding === undefined || binding.metadata.deletionTimestamp !== undefined || !isDeschedulable(binding))
    return done;
  const clusters = undesiredClusters(binding);
  if (clusters.length === 0) return done;
  const { apiVersion, kind, namespace, name } = binding.spec.resource;
  const workload = { apiVersion, kind, name, ...(namespace === undefined ? {} : { namespace }) };
  const answers = await context.deps.estimators.unschedulableReplicas(
    workload,
    context.options.unschedulableThresholdMs,
    { clusters, object: workload },
  );
  const plan = planDeschedule(binding, answers);
  if (plan === undefined) return done;
  const events = context.events.from(COMPONENT);
  const about: readonly KubeObject[] = [binding, resourceOf(binding)];
  try {
    await context.client.update(ResourceBinding, { ...binding, spec: { ...binding.spec, clusters: plan.clusters } });
  } catch (error) {
    if (isNotFound(error)) return done;
    for (const object of about)
      events.warning(object, "DescheduleBindingFailed", error instanceof Error ? error.message : String(error));
    throw error;
  }
  for (const object of about) events.normal(object, "DescheduleBindingSucceed", plan.message);
  context.log.info("descheduled replicas", { binding: request.key, result: plan.message });
  return done;
}

function resourceOf(binding: ResourceBinding): KubeObject {
  const { apiVersion, kind, namespace, name, uid } = binding.spec.resource;
  return { apiVersion, kind, metadata: { name, ...(namespace ? { namespace } : {}), ...(uid ? { uid } : {}) } };
}
