import { PriorityClass } from "#apis/kubernetes";
import {
  type AnyBinding,
  type AnyPropagationPolicy,
  bindingName,
  CLAIMED_BY,
  CLUSTER_PROPAGATION_POLICY_FINALIZER,
  CLUSTER_PROPAGATION_POLICY_ID,
  ClusterOverridePolicy,
  ClusterPropagationPolicy,
  ClusterResourceBinding,
  OverridePolicy,
  PROPAGATION_POLICY_FINALIZER,
  PROPAGATION_POLICY_ID,
  PropagationPolicy,
  ResourceBinding,
  claimOf,
  type Claim,
} from "#apis/karmada";
import { deepEqual } from "#base";
import { retryOnConflict } from "#client";
import { type ControllerContext, done, PRIORITY_LOW, type Request, type Result } from "#controller-runtime";
import {
  controllerOf,
  isConflict,
  isNotFound,
  type KubeObject,
  objectKey,
  type ResourceKind,
  withAnnotations,
  withoutFinalizer,
} from "#machinery";
import { MATCHES_NONE, selectorsPriority } from "#override";
import type { DetectorDeps, DetectorOptions } from "./context.ts";
import { type BindingInput, buildBinding, choosePolicy, claimed, idOf, isClusterPolicy, unclaimed } from "./plan.ts";
import { isLazy, TEMPLATE_DIGEST, userDigest } from "./lazy.ts";
import { withQuotaFacts } from "./quota-facts.ts";
import { WaitingTemplates } from "./waiting.ts";

type Context = ControllerContext<DetectorDeps, DetectorOptions>;

interface State {
  readonly waiting: WaitingTemplates;
  /** Kinds whose templates are watched. */
  readonly followed: Map<string, ResourceKind>;
  /** Versions to which templates were seen to change since their binding was last written, by namespace and request name. */
  readonly changed: Map<string, string>;
}

const states = new WeakMap<AbortSignal, State>();

export function stateOf(context: { readonly signal: AbortSignal }): State {
  let state = states.get(context.signal);
  if (state === undefined)
    states.set(context.signal, (state = { waiting: new WaitingTemplates(), followed: new Map(), changed: new Map() }));
  return state;
}

/** Seconds, doubling from a millisecond (wire). */
const STEPS = Array.from({ length: 12 }, (_, at) => 0.001 * 2 ** at);
const SEPARATOR = "\u0001";
/**
 * Templates of all kinds share one queue: the kind travels in the name, and with it whether the change was the control
 * plane's own (`marks`), which a lazily activated policy leaves alone, or a start or a policy that changed (`none`): by the time
 * the request is carried out, a lazy policy may have taken the template over. A template may wait once with each.
 */
export const requestName = (apiVersion: string, kind: string, name: string, change: TemplateChange = "user") =>
  [
    apiVersion.replaceAll("/", "\u0002"),
    kind,
    name.replaceAll("/", "\u0003"),
    ...(change === "user" ? [] : [change]),
  ].join(SEPARATOR);

/** Whose change a request came from; `none` where nobody changed the template. */
export type TemplateChange = "user" | "marks" | "none";

function parseRequest(request: Request): {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly isByUser: boolean;
} {
  const [apiVersion = "", kind = "", name = "", change] = request.name.split(SEPARATOR);
  return {
    apiVersion: apiVersion.replaceAll("\u0002", "/"),
    kind,
    name: name.replaceAll("\u0003", "/"),
    isByUser: change === undefined,
  };
}

export async function reconcile(request: Request, context: Context): Promise<Result> {
  if (request.kind.kind === "PropagationPolicy" || request.kind.kind === "ClusterPropagationPolicy")
    return reconcilePolicy(request, context);
  return reconcileTemplate(request, context);
}

async function reconcileTemplate(request: Request, context: Context): Promise<Result> {
  const { apiVersion, kind: kindName, name, isByUser } = parseRequest(request);
  const kind = context.deps.templates.find(apiVersion, kindName);
  if (kind === undefined) return done;
  const { waiting } = stateOf(context);
  const waitingKey = `${request.namespace ?? ""}/${requestName(apiVersion, kindName, name)}`;
  // Most templates are looked at once and found to be nobody's.
  const template = context.cache(kind).glimpse(objectKey(kind.namespaced ? request.namespace : undefined, name));
  if (template === undefined || template.metadata.labels?.[CLAIMED_BY]) {
    waiting.delete(waitingKey, { apiVersion, kind: kindName });
    return done;
  }
  // What is being deleted gets no new claim; its binding goes with it.
  if (template.metadata.deletionTimestamp !== undefined) return done;
  const claim = claimOf(template);
  let policy: AnyPropagationPolicy | undefined;
  if (claim !== undefined) {
    const policyKind = claim.kind === "PropagationPolicy" ? PropagationPolicy : ClusterPropagationPolicy;
    const key = claim.kind === "PropagationPolicy" ? `${claim.namespace}/${claim.name}` : claim.name;
    policy = context.cache(policyKind as typeof PropagationPolicy).get(key);
    if (policy === undefined || policy.metadata.deletionTimestamp !== undefined) {
      if (policy === undefined) await release(kind, template, claim, context);
      return done;
    }
    // A template that left its policy's selectors is handed back at once and looks for another one.
    if (selectorsPriority(policy.spec.resourceSelectors, template) === MATCHES_NONE) {
      await release(kind, template, claim, context);
      return done;
    }
  } else {
    const namespace = template.metadata.namespace;
    const startedMs = context.clock.monotonicMs();
    policy =
      namespace === undefined ? undefined : choosePolicy(context.cache(PropagationPolicy).list(namespace), template);
    policy ??= choosePolicy(context.cache(ClusterPropagationPolicy).list(), template);
    if (policy !== undefined)
      context.metrics
        .histogram("resource_match_policy_duration_seconds", "Duration of finding a policy", [], STEPS)
        .observe((context.clock.monotonicMs() - startedMs) / 1000);
  }
  if (policy === undefined) {
    waiting.set(waitingKey, template);
    return done;
  }
  // Until its overrides are there it waits like one without a policy; their coming wakes the policy.
  waiting.set(waitingKey, template);
  mustHaveOverrides(policy, context);
  waiting.delete(waitingKey, template);
  await apply(kind, template, policy, isByUser, context);
  return done;
}

/** A policy may name overrides that must be there before it takes effect. */
function mustHaveOverrides(policy: AnyPropagationPolicy, context: Context): void {
  for (const name of policy.spec.dependentOverrides ?? []) {
    const isThere = isClusterPolicy(policy)
      ? context.cache(ClusterOverridePolicy).get(name) !== undefined
      : context.cache(OverridePolicy).get(`${policy.metadata.namespace}/${name}`) !== undefined;
    if (!isThere) throw new Error("waiting for dependent overrides");
  }
}

const describePolicy = (policy: AnyPropagationPolicy) =>
  isClusterPolicy(policy)
    ? `cluster policy(${policy.metadata.name})`
    : `policy(${policy.metadata.namespace}/${policy.metadata.name})`;

async function apply(
  kind: ResourceKind,
  template: KubeObject,
  policy: AnyPropagationPolicy,
  isByUser: boolean,
  context: Context,
): Promise<void> {
  const events = context.events.from("resource-detector");
  const startedMs = context.clock.monotonicMs();
  const measured = (result: "success" | "error") => {
    const { metrics, clock } = context;
    metrics
      .counter("policy_apply_attempts_total", "Attempts to apply a policy to a template", ["result"])
      .add(1, { result });
    metrics
      .histogram("resource_apply_policy_duration_seconds", "Duration of applying a policy", ["result"], STEPS)
      .observe((clock.monotonicMs() - startedMs) / 1000, { result });
  };
  try {
    const waits = !isByUser && isLazy(policy);
    const marked = withDigest(claimed(template, policy), waits, context);
    const current = marked === template ? template : await context.client.update(kind, marked);
    if (waits) {
      await noteSeen(current, context);
      return;
    }
    if (await writeBinding(current, policy, context))
      events.normal(template, "ApplyPolicySucceed", `Apply ${describePolicy(policy)} succeed`);
    measured("success");
  } catch (error) {
    if (isNotFound(error) || isConflict(error)) {
      if (isConflict(error)) throw error;
      return;
    }
    measured("error");
    events.warning(
      template,
      "ApplyPolicyFailed",
      `Apply ${describePolicy(policy)} failed: ${error instanceof Error ? error.message : String(error)}`,
    );
    throw error;
  }
}

const bindingOf = (template: KubeObject, context: Context): AnyBinding | undefined => {
  const { namespace, name = "" } = template.metadata;
  const kind = (namespace ? ResourceBinding : ClusterResourceBinding) as typeof ResourceBinding;
  return context.cache(kind).get(objectKey(namespace, bindingName(template.kind, name)));
};

/** A template that waits for its user and has no binding yet says itself what he had said by then. */
function withDigest(template: KubeObject, waits: boolean, context: Context): KubeObject {
  const before = template.metadata.annotations?.[TEMPLATE_DIGEST];
  const digest = waits && bindingOf(template, context) === undefined ? (before ?? userDigest(template)) : undefined;
  return before === digest ? template : withAnnotations(template, { [TEMPLATE_DIGEST]: digest });
}

/** A policy that was switched to lazy: from now on the binding tells what the user had said of the template by then. */
async function noteSeen(template: KubeObject, context: Context): Promise<void> {
  const kind = (template.metadata.namespace ? ResourceBinding : ClusterResourceBinding) as typeof ResourceBinding;
  const present = bindingOf(template, context) as ResourceBinding | undefined;
  if (present === undefined || present.metadata.annotations?.[TEMPLATE_DIGEST] !== undefined) return;
  await context.client.update(kind, withAnnotations(present, { [TEMPLATE_DIGEST]: userDigest(template) }));
}

async function writeBinding(template: KubeObject, policy: AnyPropagationPolicy, context: Context): Promise<boolean> {
  const { client } = context;
  const isCluster = !template.metadata.namespace;
  const kind = (isCluster ? ClusterResourceBinding : ResourceBinding) as typeof ResourceBinding;
  const name = bindingName(template.kind, template.metadata.name ?? "");
  const at = { namespace: template.metadata.namespace, name };
  const { components, replicas } = await interpretReplicas(template, context);
  const priority = priorityOf(policy, context);
  return retryOnConflict(async (tryNumber) => {
    const present = (
      tryNumber === 0 ? context.cache(kind).get(objectKey(at.namespace, name)) : await client.find(kind, at)
    ) as AnyBinding | undefined;
    const owner = present === undefined ? undefined : controllerOf(present);
    if (owner !== undefined && owner.uid !== template.metadata.uid)
      throw new Error(`binding ${objectKey(at.namespace, name)} has a different owner reference UID ${owner.uid}`);
    const wanted = buildBinding({
      template,
      policy,
      present,
      replicas,
      ...(components === undefined ? {} : { components }),
      ...(priority === undefined ? {} : { priority }),
    }) as ResourceBinding;
    if (present !== undefined && deepEqual(present, wanted)) return settleChange(template, context);
    if (present !== undefined && isSameBesidesVersion(present, wanted) && !isChanged(template, context)) return false;
    const events = context.events.from("resource-detector");
    if (components !== undefined)
      events.normal(template, "GetComponentsSucceed", "Get components of resource template successfully.");
    else if (replicas !== undefined)
      events.normal(template, "GetReplicasSucceed", "Get replicas of resource template successfully.");
    if (present === undefined) await createBinding(kind, wanted, context);
    else await client.update(kind, wanted);
    settleChange(template, context);
    return true;
  });
}

/** Creates a binding with its first placement where that is known, and without where it is not. */
async function createBinding(
  kind: typeof ResourceBinding,
  wanted: ResourceBinding,
  { client, deps }: Context,
): Promise<void> {
  const placed = deps.placeNew?.(wanted);
  if (placed === undefined) {
    await client.create(kind, wanted);
    return;
  }
  const { binding, statusPatch } = placed;
  let created: ResourceBinding;
  try {
    created = await client.create(kind, binding as ResourceBinding, { statusPatch });
  } catch (error) {
    placed.failed();
    throw error;
  }
  await placed.created(created);
}

const templateKeyOf = ({ apiVersion, kind, metadata }: KubeObject): string =>
  `${metadata.namespace ?? ""}/${requestName(apiVersion, kind, metadata.name ?? "")}`;

const isChanged = (template: KubeObject, context: Context): boolean =>
  stateOf(context).changed.has(templateKeyOf(template));

/** The binding says what this version of the template says; a later change is still to be told. */
function settleChange(template: KubeObject, context: Context): false {
  const { changed } = stateOf(context);
  const key = templateKeyOf(template);
  if (Number(changed.get(key) ?? 0) <= Number(template.metadata.resourceVersion)) changed.delete(key);
  return false;
}

/**
 * Whether a binding would only be given another version of its template. Where the template itself was not seen to change,
 * as at a start, that is the version of a status: Works are rendered from what the template says now, whatever it says.
 */
function isSameBesidesVersion(present: AnyBinding, wanted: ResourceBinding): boolean {
  const { resourceVersion } = present.spec.resource;
  const resource = { ...wanted.spec.resource, resourceVersion };
  return deepEqual(present, { ...wanted, spec: { ...wanted.spec, resource } });
}

/** What the template asks for. A failure is said on the template. */
async function interpretReplicas(
  template: KubeObject,
  context: Context,
): Promise<Pick<BindingInput, "components" | "replicas">> {
  const { interpreter, gates } = context.deps;
  const isOfComponents =
    gates.has("MultiplePodTemplatesScheduling") && interpreter.hasHook(template, "InterpretComponent");
  try {
    return await interpreter.ask((asked): Pick<BindingInput, "components" | "replicas"> => {
      const components = isOfComponents ? asked.components(template) : undefined;
      if (components !== undefined) return { components, replicas: undefined };
      const replicas = isOfComponents ? undefined : asked.replicas(template);
      return { replicas: gates.has("ResourceQuotaEstimate") ? withQuotaFacts(template, replicas) : replicas };
    });
  } catch (error) {
    context.events
      .from("resource-detector")
      .warning(
        template,
        isOfComponents ? "GetComponentsFailed" : "GetReplicasFailed",
        error instanceof Error ? error.message : String(error),
      );
    throw error;
  }
}

function priorityOf(policy: AnyPropagationPolicy, context: Context): number | undefined {
  const priority = policy.spec.schedulePriority;
  if (priority === undefined || !context.deps.gates.has("PriorityBasedScheduling")) return undefined;
  if (priority.priorityClassSource !== "KubePriorityClass")
    throw new Error(`unsupported priority class source ${JSON.stringify(priority.priorityClassSource)}`);
  const found = context.cache(PriorityClass).get(priority.priorityClassName);
  if (found === undefined)
    throw new Error(`priorityclasses.scheduling.k8s.io ${JSON.stringify(priority.priorityClassName)} not found`);
  return (found as { readonly value?: number }).value ?? 0;
}

/**
 * Takes the marks of one policy off: the binding first, so that nothing is scheduled in between, then the template. Marks
 * of another policy, which may have taken over meanwhile, stay.
 */
async function release(
  kind: ResourceKind,
  template: KubeObject,
  claim: Pick<Claim, "kind" | "id">,
  context: Context,
): Promise<void> {
  const bindingKind = (
    template.metadata.namespace ? ResourceBinding : ClusterResourceBinding
  ) as typeof ResourceBinding;
  const { client } = context;
  const strip = async (
    objectKind: ResourceKind,
    at: { readonly namespace?: string | undefined; readonly name: string },
  ) => {
    await retryOnConflict(async () => {
      const present = await client.find(objectKind, at);
      if (present === undefined || !isMarkedBy(present, claim)) return;
      await client.update(objectKind, unclaimed(present, claim.kind));
    });
  };
  const { namespace, name = "" } = template.metadata;
  await strip(bindingKind, { namespace, name: bindingName(template.kind, name) });
  await strip(kind, { namespace, name });
}

/** A lazy policy that has taken the template over already notes on the binding what its user had said by then. */
function withNoteOfSuccessor<B extends AnyBinding>(stripped: B, { spec, metadata }: B, context: Context): B {
  const { apiVersion, kind: kindName, namespace, name } = spec.resource;
  const kind = context.deps.templates.find(apiVersion, kindName);
  const template = kind === undefined ? undefined : context.cache(kind).get(objectKey(namespace || undefined, name));
  if (template === undefined || !isClaimedLazily(template, context)) return stripped;
  return withAnnotations(stripped, { [TEMPLATE_DIGEST]: metadata.annotations?.[TEMPLATE_DIGEST] });
}

const isMarkedBy = ({ metadata }: KubeObject, { kind, id }: Pick<Claim, "kind" | "id">): boolean =>
  metadata.labels?.[kind === "PropagationPolicy" ? PROPAGATION_POLICY_ID : CLUSTER_PROPAGATION_POLICY_ID] === id;

/** Whether the policy that claims a template waits for the template's user. */
export function isClaimedLazily(object: KubeObject, context: Context): boolean {
  const claim = claimOf(object);
  if (claim === undefined) return false;
  const policy =
    claim.kind === "PropagationPolicy"
      ? context.cache(PropagationPolicy).get(`${claim.namespace}/${claim.name}`)
      : context.cache(ClusterPropagationPolicy).get(claim.name);
  return policy !== undefined && isLazy(policy);
}

async function reconcilePolicy(request: Request, context: Context): Promise<Result> {
  const isCluster = request.kind.kind === "ClusterPropagationPolicy";
  const policyKind = (isCluster ? ClusterPropagationPolicy : PropagationPolicy) as typeof PropagationPolicy;
  const policy = context.cache(policyKind).get(request.key) as AnyPropagationPolicy | undefined;
  if (policy === undefined) return done;
  const claimKind = isCluster ? "ClusterPropagationPolicy" : "PropagationPolicy";
  const id = idOf(policy);
  const claim = { kind: claimKind, id } as const;
  const bindings = [ResourceBinding, ...(isCluster ? [ClusterResourceBinding] : [])].flatMap(
    (kind) => context.cache(kind as typeof ResourceBinding).byIndex("claim", id) as readonly AnyBinding[],
  );
  // Of every kind, not only those it selects now: it may have been changed a moment ago.
  const claimedTemplates = [...stateOf(context).followed.values()].flatMap((kind) =>
    context
      .cache(kind)
      .byIndex("claim", id)
      .map((template) => ({ kind, template })),
  );
  if (policy.metadata.deletionTimestamp !== undefined) {
    await Promise.all(claimedTemplates.map(({ kind, template }) => release(kind, template, claim, context)));
    await Promise.all(
      bindings.map(async (binding) => {
        const kind = (binding.metadata.namespace ? ResourceBinding : ClusterResourceBinding) as typeof ResourceBinding;
        const present = await context.client.find(kind, {
          namespace: binding.metadata.namespace,
          name: binding.metadata.name ?? "",
        });
        if (present === undefined || !isMarkedBy(present, claim)) return;
        await context.client.update(kind, withNoteOfSuccessor(unclaimed(present, claimKind), present, context));
      }),
    );
    try {
      await context.client.update(
        policyKind,
        withoutFinalizer(
          policy as PropagationPolicy,
          isCluster ? CLUSTER_PROPAGATION_POLICY_FINALIZER : PROPAGATION_POLICY_FINALIZER,
        ),
      );
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
    return done;
  }
  const enqueue = (apiVersion: string, kindName: string, namespace: string | undefined, name: string) => {
    const kind = context.deps.templates.find(apiVersion, kindName);
    const template = kind === undefined ? undefined : context.cache(kind).get(objectKey(namespace || undefined, name));
    // A binding may still carry this policy's mark while the template went to a policy that waits for its user.
    const isClaimed = template !== undefined && claimOf(template) !== undefined;
    const change = isClaimed ? "none" : isLazy(policy) ? "marks" : "user";
    context.enqueue({
      ...(namespace ? { namespace } : {}),
      name: requestName(apiVersion, kindName, name, change),
      priority: PRIORITY_LOW,
    });
  };
  // A template may carry the mark while its binding is still being written.
  for (const { template } of claimedTemplates)
    enqueue(template.apiVersion, template.kind, template.metadata.namespace, template.metadata.name ?? "");
  for (const { spec } of bindings)
    enqueue(spec.resource.apiVersion, spec.resource.kind, spec.resource.namespace, spec.resource.name);
  for (const template of stateOf(context).waiting.selectable(policy.spec.resourceSelectors)) {
    if (!isCluster && template.metadata.namespace !== policy.metadata.namespace) continue;
    if (selectorsPriority(policy.spec.resourceSelectors, template) === MATCHES_NONE) continue;
    enqueue(template.apiVersion, template.kind, template.metadata.namespace, template.metadata.name ?? "");
  }
  if (policy.spec.preemption === "Always" && context.deps.gates.has("PropagationPolicyPreemption"))
    await preempt(policy, context);
  return done;
}

/** Takes templates from policies of lower priority, and, for a namespaced policy, from every cluster-wide one. */
async function preempt(policy: AnyPropagationPolicy, context: Context): Promise<void> {
  const events = context.events.from("resource-detector");
  for (const selector of policy.spec.resourceSelectors) {
    const kind = context.deps.templates.find(selector.apiVersion, selector.kind);
    if (kind === undefined || !selector.name) continue;
    const namespace = isClusterPolicy(policy) ? selector.namespace : policy.metadata.namespace;
    const template = context.cache(kind).get(objectKey(kind.namespaced ? namespace : undefined, selector.name));
    const claim = template === undefined ? undefined : claimOf(template);
    if (template === undefined || template.metadata.deletionTimestamp !== undefined || claim === undefined) continue;
    const isSame =
      claim.name === policy.metadata.name &&
      (claim.kind === "PropagationPolicy"
        ? claim.namespace === policy.metadata.namespace && !isClusterPolicy(policy)
        : isClusterPolicy(policy));
    if (isSame || (isClusterPolicy(policy) && claim.kind === "PropagationPolicy")) continue;
    if (claim.kind === policy.kind) {
      const key = claim.kind === "PropagationPolicy" ? `${claim.namespace}/${claim.name}` : claim.name;
      const other = context
        .cache(
          (claim.kind === "PropagationPolicy"
            ? PropagationPolicy
            : ClusterPropagationPolicy) as typeof PropagationPolicy,
        )
        .get(key);
      if (other === undefined) throw new Error(`the policy ${key} that claims ${selector.name} cannot be read`);
      if ((policy.spec.priority ?? 0) <= (other.spec.priority ?? 0)) continue;
    }
    const title = (of: {
      readonly kind: string;
      readonly namespace?: string | undefined;
      readonly name?: string | undefined;
    }) =>
      of.kind === "PropagationPolicy"
        ? `propagation policy(${of.namespace}/${of.name})`
        : `cluster propagation policy(${of.name})`;
    const mine = title({ kind: policy.kind, ...policy.metadata });
    const text = `${mine.charAt(0).toUpperCase()}${mine.slice(1)}`;
    const measured = (result: "success" | "error") =>
      context.metrics
        .counter("policy_preemption_total", "Templates taken from another policy", ["result"])
        .add(1, { result });
    try {
      await context.client.update(kind, claimed(template, policy));
      measured("success");
      events.normal(template, "PreemptPolicySucceed", `${text} preempted ${title(claim)} successfully`);
    } catch (error) {
      measured("error");
      events.warning(
        template,
        "PreemptPolicyFailed",
        `${text} failed to preempt ${title(claim)}: ${error instanceof Error ? error.message : String(error)}`,
      );
      throw error;
    }
  }
}
