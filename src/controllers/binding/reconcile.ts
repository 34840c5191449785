import {
  type AnyBinding,
  BINDING_FINALIZER,
  Cluster,
  claimOf,
  CLUSTER_BINDING_FINALIZER,
  ClusterPropagationPolicy,
  PropagationPolicy,
  ClusterOverridePolicy,
  ClusterResourceBinding,
  clusterOfExecutionNamespace,
  isReleasedBinding,
  NO_LONGER_NEEDED_IN,
  OverridePolicy,
  ResourceBinding,
  Work,
} from "#apis/karmada";
import { deepEqual } from "#base";
import { isDefinitionLeaving, retryOnConflict } from "#client";
import { type ControllerContext, done, type Request, requeueAfter, type Result } from "#controller-runtime";
import {
  isAlreadyExists,
  isConflict,
  isNotFound,
  keyOf,
  type KubeObject,
  parseTime,
  type ResourceKind,
  withAnnotations,
  withoutFinalizer,
} from "#machinery";
import { BINDING_ID_INDEX, type BindingDeps, type BindingOptions } from "./context.ts";
import {
  bindingIdLabel,
  describeBinding,
  deletedWhenUnused,
  handedBack,
  isOfDefinition,
  isOfNamespace,
  kept,
  mustWaitForPurge,
  planOrphans,
  planRenamed,
  planUnpreserved,
  renderWorks,
  targetsOf,
  withdrawnOverrides,
} from "./plan.ts";

/** A purge that must come first is looked at again after this time, should its event be missed. */
const PURGE_RETRY_MS = 5_000;
/** Seconds, doubling from a millisecond (wire). */
const STEPS = Array.from({ length: 12 }, (_, at) => 0.001 * 2 ** at);

export async function reconcile(
  request: Request,
  context: ControllerContext<BindingDeps, BindingOptions>,
): Promise<Result> {
  const kind = request.kind as ResourceKind<ResourceBinding>;
  const binding = context.cache(kind).get(request.key) as AnyBinding | undefined;
  if (binding === undefined) return done;
  const id = binding.metadata.labels?.[bindingIdLabel(binding)];
  const works = id === undefined ? [] : context.cache(Work).byIndex(BINDING_ID_INDEX, id);
  const { client } = context;
  const events = context.events.from(
    binding.kind === "ClusterResourceBinding" ? "cluster-resource-binding-controller" : "binding-controller",
  );
  const remove = async (work: Work) => {
    if (binding.kind === "ClusterResourceBinding" && isOfNamespace(work))
      return quietly(client.update(Work, handedBack(work)));
    if (!isOfDefinition(work))
      return quietly(client.delete(Work, { namespace: work.metadata.namespace, name: work.metadata.name ?? "" }));
    const leaving = deletedWhenUnused(work);
    if (!deepEqual(leaving, work)) await quietly(client.update(Work, leaving));
  };
  if (binding.metadata.deletionTimestamp !== undefined) {
    const present = works.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
    switch (await goneBecause(binding, context)) {
      case "deletion":
        await Promise.all(present.map(remove));
        break;
      case "kind":
        await Promise.all(
          present.map(async (work) => {
            await quietly(client.update(Work, kept(work)));
            const { kind: of } = binding.spec.resource;
            events.warning(
              work,
              "KindVanished",
              `The kind ${of} went from the control plane and took the template along. This copy stays: create the template again to take it over, or release it to withdraw it.`,
            );
          }),
        );
        break;
      case "bindings":
        // Works stand as they are: bindings that come back find them by name.
        break;
    }
    const finalizer = binding.kind === "ClusterResourceBinding" ? CLUSTER_BINDING_FINALIZER : BINDING_FINALIZER;
    await quietly(client.update(kind, withoutFinalizer(binding as ResourceBinding, finalizer)));
    return done;
  }
  if (id === undefined) return done;
  const isFrozen = context.options.unclaimedBindings === "freeze" && isReleasedBinding(binding);
  const left = binding.metadata.annotations?.[NO_LONGER_NEEDED_IN];
  if (isFrozen && left === undefined) return done;
  // Not placed yet, and nothing to clean up: its placement brings it back.
  if (works.length === 0 && targetsOf(binding).length === 0 && left === undefined) return done;
  // What stands frozen gives up what it was given for others only.
  const orphans = planOrphans(binding, works, isFrozen ? left?.split(",") : undefined);
  try {
    if (!isFrozen) await Promise.all(planUnpreserved(binding, works).map((work) => client.update(Work, work)));
    await Promise.all(orphans.map(remove));
    if (left !== undefined) await forgetLeft(binding, left, context);
  } catch (error) {
    events.warning(binding, "CleanupWorkFailed", error instanceof Error ? error.message : String(error));
    throw error;
  }
  if (isFrozen) return done;
  const isReady = (name: string) =>
    context
      .cache(Cluster)
      .get(name)
      ?.status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True") ?? false;
  if (mustWaitForPurge(binding, works, isReady)) return requeueAfter(PURGE_RETRY_MS);
  const template = await context.deps.templateOf(binding.spec.resource);
  if (template === undefined) return done;
  const startedMs = context.clock.now();
  const {
    works: wanted,
    overrideEvents,
    errors,
  } = await context.deps.interpreter.ask((interpreter) =>
    renderWorks({
      binding,
      template,
      clusterOf: (name) => context.cache(Cluster).get(name),
      overridePolicies: context.cache(OverridePolicy).list(template.metadata.namespace ?? "\u0000"),
      clusterOverridePolicies: context.cache(ClusterOverridePolicy).list(),
      interpreter,
      workOf: (namespace, name) => context.cache(Work).get(`${namespace}/${name}`),
      gates: context.deps.gates,
    }),
  );
  const before = (work: Work) => works.find(({ metadata }) => metadata.namespace === work.metadata.namespace);
  // Policy and override may go together, and news of the override may come first: what is about to be released is not rendered
  // without it.
  const losesOverrides = wanted.some((work) => withdrawnOverrides(before(work), work).length > 0);
  if (losesOverrides && context.options.unclaimedBindings === "freeze" && !(await isPolicyStaying(binding, context)))
    return done;
  const overrideManager = events.from("override-manager");
  for (const { type, reason, message } of overrideEvents)
    (type === "Normal" ? overrideManager.normal : overrideManager.warning)(template, reason, message);
  const failures = [...errors];
  let isWritten = false;
  await Promise.all(
    wanted.map(async (work) => {
      try {
        if (!(await write(work, context))) return;
        isWritten = true;
        for (const policy of withdrawnOverrides(before(work), work))
          overrideManager.warning(
            template,
            "OverridePolicyWithdrawn",
            `The copy in cluster(${clusterOfExecutionNamespace(work.metadata.namespace)}) is rendered without ${policy} now.`,
          );
      } catch (error) {
        failures.push(error instanceof Error ? error.message : String(error));
      }
    }),
  );
  // Only when the new one is written: the member must not be without.
  if (failures.length === 0) await Promise.all(planRenamed(works, wanted).map(remove));
  const what = describeBinding(binding);
  context.metrics
    .histogram("binding_sync_work_duration_seconds", "Duration of rendering a binding's Works", ["result"], STEPS)
    .observe((context.clock.now() - startedMs) / 1000, { result: failures.length > 0 ? "error" : "success" });
  if (failures.length > 0) {
    const message = failures.length === 1 ? (failures[0] as string) : `[${failures.join(", ")}]`;
    for (const about of [binding, template]) events.warning(about, "SyncWorkFailed", message);
    throw new Error(message);
  }
  if (isWritten)
    for (const about of [binding, template])
      events.normal(about, "SyncWorkSucceed", `Sync work of ${what} successful.`);
  return done;
}

/** Strikes out the clusters that were cleared, unless more have come to them meanwhile. */
function forgetLeft(
  { kind, metadata: { namespace, name = "" } }: AnyBinding,
  left: string,
  { client }: ControllerContext<BindingDeps, BindingOptions>,
): Promise<void> {
  const of = (kind === "ClusterResourceBinding" ? ClusterResourceBinding : ResourceBinding) as typeof ResourceBinding;
  return retryOnConflict(async () => {
    const latest = await client.find(of, { namespace, name });
    if (latest?.metadata.annotations?.[NO_LONGER_NEEDED_IN] === left)
      await client.update(of, withAnnotations(latest, { [NO_LONGER_NEEDED_IN]: undefined }));
  });
}

/** Whether the policy that claims a binding is there to stay, by what is stored now; true where no policy does. */
async function isPolicyStaying(
  binding: AnyBinding,
  { client }: ControllerContext<BindingDeps, BindingOptions>,
): Promise<boolean> {
  const claim = claimOf(binding);
  if (claim === undefined) return true;
  const policy = await (claim.kind === "PropagationPolicy"
    ? client.find(PropagationPolicy, claim)
    : client.find(ClusterPropagationPolicy, claim));
  return policy !== undefined && policy.metadata.deletionTimestamp === undefined;
}

/**
 * Why a binding goes: somebody deleted it or its template, or a definition vanished, the template's or its own, for instance
 * in an upgrade. Then nobody has decided anything about the copies, and they stay.
 */
async function goneBecause(
  binding: AnyBinding,
  { client, deps }: ControllerContext<BindingDeps, BindingOptions>,
): Promise<"deletion" | "kind" | "bindings"> {
  const own = binding.kind === "ClusterResourceBinding" ? ClusterResourceBinding : ResourceBinding;
  if (await isDefinitionLeaving(client, own)) return "bindings";
  const { apiVersion, kind: kindName } = binding.spec.resource;
  const kind = deps.kindOf(apiVersion, kindName);
  const madeMs = parseTime(binding.metadata.creationTimestamp);
  return kind === undefined || (await isDefinitionLeaving(client, kind, madeMs)) ? "kind" : "deletion";
}

/** Writes a Work if it differs from the one that is there; true when something was written. */
async function write(work: Work, context: ControllerContext<BindingDeps, BindingOptions>): Promise<boolean> {
  const { client } = context;
  const present = context.cache(Work).get(keyOf(work));
  if (present === undefined) {
    try {
      await client.create(Work, work);
    } catch (error) {
      // A cache that was behind: the next event brings the binding back.
      if (isAlreadyExists(error)) throw new Error(`work ${keyOf(work)} already exists`, { cause: error });
      throw error;
    }
    return true;
  }
  if (isSameWork(present, work)) return false;
  try {
    await client.update(Work, work);
  } catch (error) {
    if (!isConflict(error)) throw error;
    const latest = await client.get(Work, { namespace: work.metadata.namespace, name: work.metadata.name ?? "" });
    await client.update(Work, { ...work, metadata: { ...work.metadata, ...pick(latest) } } as Work);
  }
  return true;
}

const pick = ({ metadata }: KubeObject) =>
  metadata.resourceVersion === undefined ? {} : { resourceVersion: metadata.resourceVersion };

function isSameWork(present: Work, wanted: Work): boolean {
  return (
    deepEqual(present.spec, wanted.spec) &&
    deepEqual(present.metadata.labels, wanted.metadata.labels) &&
    deepEqual(present.metadata.annotations, wanted.metadata.annotations) &&
    deepEqual(present.metadata.finalizers, wanted.metadata.finalizers)
  );
}

async function quietly(work: Promise<unknown>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
}
