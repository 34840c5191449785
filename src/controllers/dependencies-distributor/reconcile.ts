import {
  BINDING_DEPENDENCIES,
  bindingName,
  bindingReferenceKey,
  ClusterResourceBinding,
  DEPENDENCIES_FINALIZER,
  isReleasedBinding,
  ResourceBinding,
} from "#apis/karmada";
import { copyWithout, deepEqual } from "#base";
import { retryOnConflict } from "#client";
import { type Change, type ControllerContext, done, type Request, type Result, type Wakeup } from "#controller-runtime";
import {
  controllerOf,
  isNotFound,
  type KubeObject,
  objectKey,
  type ResourceKind,
  withAnnotations,
  withMetadata,
  withoutFinalizer,
} from "#machinery";
import { DEPENDED_BY_INDEX, DEPENDS_ON_INDEX, type DistributorDeps, type DistributorOptions } from "./context.ts";
import {
  type DependencyReference,
  detached,
  keysOfObject,
  matchesDependency,
  planAttached,
  recordedDependencies,
} from "./plan.ts";

type Context = ControllerContext<DistributorDeps, DistributorOptions>;

/** The kind of binding a namespaced or a cluster-scoped template has. */
const kindFor = (namespace: string | undefined) =>
  (namespace ? ResourceBinding : ClusterResourceBinding) as typeof ResourceBinding;

export async function reconcile(request: Request, context: Context): Promise<Result> {
  const binding = context.cache(kindFor(request.namespace)).get(request.key);
  if (binding === undefined) return done;
  const isMarked = (binding.metadata.finalizers ?? []).includes(DEPENDENCIES_FINALIZER);
  const isFollowed =
    binding.spec.propagateDeps === true && (Boolean(request.namespace) || context.options.clusterScopedDependencies);
  if (!isFollowed || binding.metadata.deletionTimestamp !== undefined) {
    if (!isMarked) return done;
    for (const attached of attachedTo(binding, context)) await detach(attached, binding, context);
    await change(
      binding,
      (latest) =>
        withoutFinalizer(withAnnotations(latest, { [BINDING_DEPENDENCIES]: undefined }), DEPENDENCIES_FINALIZER),
      context,
    );
    return done;
  }
  const { apiVersion, kind, namespace, name } = binding.spec.resource;
  const where = namespace ? { namespace } : {};
  const template = await context.deps.templateOf({ apiVersion, kind, ...where, name });
  if (template === undefined) throw new Error(`the template ${kind} ${objectKey(namespace, name)} is not there`);
  if (!context.deps.interpreter.hasHook(template, "InterpretDependency")) return done;
  const record = binding.metadata.annotations?.[BINDING_DEPENDENCIES];
  // What stands frozen in members goes on needing what it needed, whatever its template says by now.
  const isFrozen = context.options.unclaimedBindings === "freeze" && record !== undefined && isReleasedBinding(binding);
  const references = isFrozen ? recordedDependencies(record) : await dependenciesOf(template, binding, context);
  // First the record, so that changes of what is needed find their way here from now on.
  for (const reference of references) follow(reference, context);
  const text = isFrozen ? record : JSON.stringify(references);
  const current = await change(
    binding,
    (latest) =>
      withMetadata(withAnnotations(latest, { [BINDING_DEPENDENCIES]: text }), {
        finalizers: [...new Set([...(latest.metadata.finalizers ?? []), DEPENDENCIES_FINALIZER])],
      }),
    context,
  );
  if (current === undefined) return done;
  const events = context.events.from("dependencies-distributor");
  try {
    if (await distribute(current, references, context))
      events.normal(
        current,
        "SyncScheduleResultToDependenciesSucceed",
        "Sync schedule results to dependencies succeed.",
      );
  } catch (error) {
    events.warning(
      current,
      "SyncScheduleResultToDependenciesFailed",
      error instanceof Error ? error.message : String(error),
    );
    throw error;
  }
  return done;
}

async function dependenciesOf(
  template: KubeObject,
  binding: ResourceBinding,
  context: Context,
): Promise<readonly DependencyReference[]> {
  const events = context.events.from("dependencies-distributor");
  try {
    const found = ((await context.deps.interpreter.ask((interpreter) => interpreter.dependencies(template))) ??
      []) as readonly DependencyReference[];
    // Said once per change: a binding is looked at far more often than its dependencies change.
    if (binding.metadata.annotations?.[BINDING_DEPENDENCIES] !== JSON.stringify(found))
      events.normal(template, "GetDependenciesSucceed", `Get dependencies(${JSON.stringify(found)}) succeed.`);
    return found;
  } catch (error) {
    events.warning(template, "GetDependenciesFailed", error instanceof Error ? error.message : String(error));
    throw error;
  }
}

/** Brings attached bindings in line; true when one was written. One that fails does not stop the others. */
async function distribute(
  independent: ResourceBinding,
  references: readonly DependencyReference[],
  context: Context,
): Promise<boolean> {
  const wanted = new Map<string, KubeObject>();
  for (const reference of references)
    for (const template of await templatesOf(reference, context)) {
      // Cluster-scoped dependencies have no binding beside the workload's.
      if (!template.metadata.namespace) continue;
      wanted.set(
        objectKey(template.metadata.namespace, bindingName(template.kind, template.metadata.name ?? "")),
        template,
      );
    }
  const errors: string[] = [];
  let isChanged = false;
  const guarded = async (step: () => Promise<boolean>) => {
    try {
      if (await step()) isChanged = true;
    } catch (error) {
      errors.push(error instanceof Error ? error.message : String(error));
    }
  };
  const orphans = attachedTo(independent, context).filter(
    (attached) => !wanted.has(objectKey(attached.metadata.namespace, attached.metadata.name ?? "")),
  );
  await Promise.all(orphans.map((attached) => guarded(() => detach(attached, independent, context))));
  await Promise.all([...wanted.values()].map((template) => guarded(() => attach(template, independent, context))));
  if (errors.length > 0) throw new Error(errors.length === 1 ? errors[0] : `[${errors.join(", ")}]`);
  return isChanged;
}

async function templatesOf(reference: DependencyReference, context: Context): Promise<readonly KubeObject[]> {
  const { apiVersion, kind: kindName, namespace, name } = reference;
  const kind = context.deps.kindOf(apiVersion, kindName);
  if (kind === undefined)
    throw new Error(`no matches for kind ${JSON.stringify(kindName)} in version ${JSON.stringify(apiVersion)}`);
  await context.cache(kind).whenSynced();
  if (name) {
    const found = context.cache(kind).get(objectKey(kind.namespaced ? namespace : undefined, name));
    return found === undefined || found.metadata.deletionTimestamp !== undefined ? [] : [found];
  }
  return context
    .cache(kind)
    .list(kind.namespaced ? namespace : undefined)
    .filter((object) => matchesDependency(reference, object));
}

const attachedTo = ({ metadata }: KubeObject, context: Context) =>
  context
    .cache(ResourceBinding)
    .byIndex(DEPENDED_BY_INDEX, bindingReferenceKey(metadata.namespace, metadata.name ?? ""));
const reader = (context: Context) => (namespace: string, name: string) =>
  context.cache(kindFor(namespace)).get(objectKey(namespace || undefined, name));

function attach(template: KubeObject, independent: ResourceBinding, context: Context): Promise<boolean> {
  const at = { namespace: template.metadata.namespace, name: bindingName(template.kind, template.metadata.name ?? "") };
  return retryOnConflict(async (tryNumber) => {
    const present =
      tryNumber === 0
        ? context.cache(ResourceBinding).get(objectKey(at.namespace, at.name))
        : await context.client.find(ResourceBinding, at);
    const owner = present === undefined ? undefined : controllerOf(present);
    if (owner !== undefined && owner.uid !== template.metadata.uid)
      throw new Error(`binding ${at.namespace}/${at.name} has a different owner reference UID ${owner.uid}`);
    const { binding, conflict } = planAttached({ independent, template, present, read: reader(context) });
    if (present !== undefined && deepEqual(present, binding)) return false;
    const written =
      present === undefined
        ? await context.client.create(ResourceBinding, binding)
        : await context.client.update(ResourceBinding, binding);
    if (conflict !== undefined)
      context.events.from("dependencies-distributor").warning(written, "DependencyPolicyConflict", conflict);
    return true;
  });
}

async function detach(attached: ResourceBinding, independent: ResourceBinding, context: Context): Promise<boolean> {
  const before = attached.metadata.resourceVersion;
  return (
    (await change(attached, (latest) => detached(latest, independent, reader(context)), context))?.metadata
      .resourceVersion !== before
  );
}

/** Writes what `edit` makes of a binding, if that is something else; read again on conflict. Absence is success. */
async function change(
  binding: ResourceBinding,
  edit: (latest: ResourceBinding) => ResourceBinding,
  context: Context,
): Promise<ResourceBinding | undefined> {
  const at = { namespace: binding.metadata.namespace, name: binding.metadata.name ?? "" };
  const kind = kindFor(at.namespace);
  return retryOnConflict(async (tryNumber) => {
    const latest = tryNumber === 0 ? binding : await context.client.find(kind, at);
    if (latest === undefined) return undefined;
    const wanted = edit(latest);
    if (deepEqual(latest, wanted)) return latest;
    try {
      return await context.client.update(kind, wanted);
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  });
}

const followed = new WeakMap<AbortSignal, Set<string>>();

/** Watches a kind some binding depends on: objects that come, go or change bring back the bindings that need them. */
function follow(reference: DependencyReference, context: Context): void {
  const kind = context.deps.kindOf(reference.apiVersion, reference.kind);
  if (kind === undefined) return;
  let kinds = followed.get(context.signal);
  if (kinds === undefined) followed.set(context.signal, (kinds = new Set()));
  const key = `${kind.group}/${kind.version}/${kind.resource}`;
  if (kinds.has(key)) return;
  kinds.add(key);
  context.follow(kind as ResourceKind, (seen) => bindingsThatNeed(seen, context));
}

function* bindingsThatNeed(seen: Change, context: Context): Iterable<Wakeup> {
  if (seen.type === "added" && seen.isInitial) return;
  if (
    seen.type === "updated" &&
    seen.object.metadata.deletionTimestamp === seen.old.metadata.deletionTimestamp &&
    !isSpecified(seen.object, seen.old)
  )
    return;
  const objects =
    seen.type === "updated" && seen.object.metadata.labels !== seen.old.metadata.labels
      ? [seen.object, seen.old]
      : [seen.object];
  const bindings = new Set<ResourceBinding>();
  for (const object of objects) {
    const { named, selected } = keysOfObject(object);
    const needing = (key: string) =>
      [ResourceBinding, ClusterResourceBinding as typeof ResourceBinding].flatMap((kind) =>
        context.cache(kind).byIndex(DEPENDS_ON_INDEX, key),
      );
    for (const binding of needing(named)) bindings.add(binding);
    for (const binding of needing(selected))
      if (
        recordedDependencies(binding.metadata.annotations?.[BINDING_DEPENDENCIES]).some((reference) =>
          matchesDependency(reference, object),
        )
      )
        bindings.add(binding);
  }
  for (const { metadata } of bindings)
    if (metadata.deletionTimestamp === undefined)
      yield { kind: kindFor(metadata.namespace), namespace: metadata.namespace, name: metadata.name ?? "" };
}

/** Whether what a user says of an object changed, apart from status and bookkeeping. */
function isSpecified(now: KubeObject, old: KubeObject): boolean {
  const settled = (object: KubeObject) =>
    withMetadata(copyWithout(object, "status"), { managedFields: undefined, resourceVersion: undefined });
  return !deepEqual(settled(now), settled(old));
}
