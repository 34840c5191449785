import {
  apiError,
  badRequest,
  type DeleteOptions,
  forbidden,
  formatTime,
  getPath,
  type KubeObject,
  type LabelSelector,
  matchesLabelSelector,
  notFound,
  objectKey,
  plainFailure,
  type ResourceRequest,
  setPath,
  withMetadata,
} from "#machinery";
import { type RequestContext, type ResourceDefinition, systemUser, unheard } from "../definition.ts";
import { admit } from "../admission.ts";
import { successStatus } from "../deletion.ts";
import { deleteOptions } from "../http/options.ts";
import { namespaceMismatch } from "../metadata.ts";
import { admissionRequest } from "./admission-request.ts";
import { admitBody, isKnownIn } from "./body.ts";
import { deleteObject, mustMeet } from "./deletion.ts";
import type { VerbHost } from "./host.ts";
import { modifyObject } from "./modification.ts";
import { ownView, subresourceKind } from "./subresource-kinds.ts";

const EVICTION = { group: "policy", version: "v1", kind: "Eviction" };
/** The version in which clients before Kubernetes 1.22 evict; nothing else of it is served. */
const BETA = "policy/v1beta1";
const BUDGETS = { group: "policy", version: "v1", resource: "poddisruptionbudgets" };
const SEVERAL = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
const REFUSED = "Cannot evict pod as it would violate the pod's disruption budget.";
/** How many evictions may wait to be noticed by whoever counts a budget's pods. */
const DISRUPTED_PODS_MAX = 2000;
const UNCOUNTED_RETRY_SECONDS = 10;

interface BudgetStatus {
  readonly observedGeneration?: number;
  readonly disruptionsAllowed?: number;
  readonly currentHealthy?: number;
  readonly desiredHealthy?: number;
  readonly disruptedPods?: Readonly<Record<string, string>>;
  readonly conditions?: readonly Condition[];
}

interface Condition {
  readonly type: string;
  readonly status: string;
}

/** Deletes a pod as far as the budget it falls under allows, as an Eviction asks for. */
export async function evictPod(
  host: VerbHost,
  definition: ResourceDefinition,
  request: Extract<ResourceRequest, { verb: "create" }>,
  context: RequestContext,
): Promise<KubeObject> {
  const { namespace, name = "", options = {} } = request;
  const kind = subresourceKind(definition, EVICTION, "io.k8s.api.policy.v1.Eviction");
  const { body } = request;
  const sent = body.apiVersion === BETA ? { ...body, apiVersion: "policy/v1" } : body;
  const eviction = admitBody(kind, sent, options, context, isKnownIn(host));
  if (eviction.metadata.namespace && eviction.metadata.namespace !== namespace) throw namespaceMismatch();
  if (eviction.metadata.name && eviction.metadata.name !== name)
    throw badRequest("name in URL does not match name in Eviction object");
  const asked = deleteOptions(
    new URLSearchParams(),
    (eviction as { readonly deleteOptions?: Readonly<Record<string, unknown>> }).deleteOptions ?? {},
  );
  const isDryRun = options.dryRun === true || asked.dryRun === true;
  const addressed = withMetadata(eviction, { name, ...(namespace === undefined ? {} : { namespace }) });
  await admit(
    host.admission,
    admissionRequest("CREATE", definition, addressed, undefined, "eviction", options, context, {
      view: ownView(EVICTION),
    }),
    (object) => object,
  );
  const pod = host.store(definition).get(objectKey(namespace, name))?.object;
  if (pod === undefined) throw notFound(definition.kind, name);
  if (!isCountedByNobody(pod)) await chargeBudget(host, pod, isDryRun);
  if (!isDryRun) await markPod(host, definition, request, asked, context);
  await deleteObject(host, definition, namespace, name, { ...asked, dryRun: isDryRun }, context);
  return successStatus(undefined, 201) as unknown as KubeObject;
}

const phaseOf = (pod: KubeObject) => getPath(pod, "status", "phase");

/** Pods that do not run, or do not for long, are no loss to any budget. */
const isCountedByNobody = (pod: KubeObject): boolean =>
  pod.metadata.deletionTimestamp !== undefined ||
  ["Succeeded", "Failed", "Pending"].includes(String(phaseOf(pod) ?? ""));

const isReady = (pod: KubeObject): boolean =>
  ((getPath(pod, "status", "conditions") ?? []) as readonly Condition[]).some(
    ({ type, status }) => type === "Ready" && status === "True",
  );

/** Takes the eviction off the budget of the pod. Throws 429 where there is nothing left, and 500 for several budgets. */
async function chargeBudget(host: VerbHost, pod: KubeObject, isDryRun: boolean): Promise<void> {
  const { namespace, name = "" } = pod.metadata;
  const definition = host.definition(BUDGETS);
  const store = host.store(definition);
  await store.load();
  const budgets = [...store.range(namespace)].flatMap(([, { object }]) => (covers(object, pod) ? [object] : []));
  if (budgets.length > 1) throw plainFailure(SEVERAL);
  const [budget] = budgets;
  if (budget === undefined || (!isReady(pod) && mayGoUnready(budget))) return;
  await modifyObject(
    host,
    definition,
    { ...BUDGETS, namespace: namespace ?? "", name: budget.metadata.name ?? "", subresource: "status" },
    { dryRun: isDryRun, fieldManager: "kube-apiserver" },
    { user: systemUser, warn: unheard, tracksFields: true },
    (present) => charged(present, name, host.clock.now()),
  );
}

function covers(budget: KubeObject, pod: KubeObject): boolean {
  const selector = getPath(budget, "spec", "selector") as LabelSelector | undefined;
  return selector !== undefined && matchesLabelSelector(selector, pod.metadata.labels);
}

const statusOf = (budget: KubeObject): BudgetStatus => (getPath(budget, "status") ?? {}) as BudgetStatus;

/** Whether a pod that is not ready, and so not among the healthy ones, may go without being counted. */
function mayGoUnready(budget: KubeObject): boolean {
  if (getPath(budget, "spec", "unhealthyPodEvictionPolicy") === "AlwaysAllow") return true;
  const { currentHealthy = 0, desiredHealthy = 0 } = statusOf(budget);
  return desiredHealthy > 0 && currentHealthy >= desiredHealthy;
}

/** The budget with one disruption fewer. */
function charged(budget: KubeObject, pod: string, nowMs: number): KubeObject {
  const { name = "", generation = 0 } = budget.metadata;
  const status = statusOf(budget);
  const { observedGeneration = 0, disruptionsAllowed = 0, currentHealthy = 0, desiredHealthy = 0 } = status;
  if (observedGeneration < generation)
    throw refused(`The disruption budget ${name} is still being processed by the server.`, UNCOUNTED_RETRY_SECONDS);
  const disruptedPods = status.disruptedPods ?? {};
  const deny = (why: string) => forbidden({ group: "policy", resource: "poddisruptionbudget" }, name, why);
  if (disruptionsAllowed < 0) throw deny("pdb disruptions allowed is negative");
  if (Object.keys(disruptedPods).length > DISRUPTED_PODS_MAX)
    throw deny("DisruptedPods map too big - too many evictions not confirmed by PDB controller");
  if (disruptionsAllowed === 0)
    throw refused(
      currentHealthy > desiredHealthy
        ? `The disruption budget ${name} does not allow evicting pods currently`
        : `The disruption budget ${name} needs ${desiredHealthy} healthy pods and has ${currentHealthy} currently`,
    );
  const time = formatTime(nowMs);
  const next = {
    ...status,
    disruptionsAllowed: disruptionsAllowed - 1,
    disruptedPods: { ...disruptedPods, [pod]: time },
    ...(disruptionsAllowed === 1
      ? {
          conditions: withCondition(status.conditions ?? [], {
            type: "DisruptionAllowed",
            status: "False",
            observedGeneration,
            lastTransitionTime: time,
            reason: "InsufficientPods",
            message: "",
          }),
        }
      : {}),
  };
  return setPath(budget, ["status"], next);
}

const refused = (why: string, retryAfterSeconds?: number) =>
  apiError(429, "TooManyRequests", REFUSED, {
    causes: [{ reason: "DisruptionBudget", message: why }],
    ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }),
  });

/** Says on the pod why it goes, for as long as it is still there. */
async function markPod(
  host: VerbHost,
  definition: ResourceDefinition,
  { group, version, resource, namespace, name = "" }: Extract<ResourceRequest, { verb: "create" }>,
  { preconditions }: DeleteOptions,
  context: RequestContext,
): Promise<void> {
  const time = formatTime(host.clock.now());
  await modifyObject(
    host,
    definition,
    { group, version, resource, namespace: namespace ?? "", name, subresource: "status" },
    {},
    context,
    (pod) => {
      mustMeet(definition, pod, preconditions);
      const present = (getPath(pod, "status", "conditions") ?? []) as readonly Condition[];
      const conditions = withCondition(present, {
        type: "DisruptionTarget",
        status: "True",
        lastProbeTime: null,
        lastTransitionTime: time,
        reason: "EvictionByEvictionAPI",
        message: "Eviction API: evicting",
      });
      return setPath(pod, ["status", "conditions"], conditions);
    },
    { isUntracked: true },
  );
}

/** Conditions with this one; one that says the same already stays as it is. */
function withCondition<T extends Condition>(present: readonly Condition[], condition: T): readonly Condition[] {
  const at = present.findIndex(({ type }) => type === condition.type);
  if (at < 0) return [...present, condition];
  const { lastTransitionTime: then } = present[at] as Condition & { readonly lastTransitionTime?: string };
  const kept =
    present[at]?.status === condition.status && then ? { ...condition, lastTransitionTime: then } : condition;
  return present.map((one, place) => (place === at ? kept : one));
}
