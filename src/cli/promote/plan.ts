import {
  CLUSTER_PROPAGATION_POLICY_ID,
  CLUSTER_PROPAGATION_POLICY_NAME,
  ClusterPropagationPolicy,
  PROPAGATION_POLICY_ID,
  PROPAGATION_POLICY_NAME,
  PropagationPolicy,
} from "#apis/karmada";
import { deepEqual } from "#base";
import { apiVersionOf, getPath, type KubeObject, type ResourceKind } from "#machinery";
import { formatTable } from "../table.ts";
import {
  isSameSelector,
  isSameTemplate,
  policyExists,
  policyNameOf,
  policyOf,
  type Selector,
  selectorOf,
} from "./template.ts";

export type Action = "create" | "skip" | "conflict" | "blocked";
export const POLICY_MODES = ["per-resource", "per-namespace", "per-app", "none"] as const;
export type PolicyMode = (typeof POLICY_MODES)[number];

/** What is to become of one object of the member. */
export interface PlanItem {
  readonly action: Action;
  readonly apiVersion: string;
  readonly kind: string;
  readonly resource: string;
  readonly namespace?: string | undefined;
  readonly name: string;
  /** Name of the policy that is to claim it. */
  readonly policy?: string | undefined;
  readonly note?: string | undefined;
  /** The template stands there: only its policy is to be made. */
  readonly hasTemplate?: boolean;
  readonly template?: KubeObject | undefined;
}

export interface Plan {
  readonly apiVersion: "cli.karmada.io/v1";
  readonly kind: "PromotePlan";
  readonly cluster: string;
  readonly policyMode: PolicyMode;
  readonly withDependencies: boolean;
  readonly items: readonly PlanItem[];
}

/** An object that is wanted as a template, and what was found of it. */
export interface Candidate {
  readonly kind: ResourceKind<KubeObject>;
  readonly template: KubeObject;
  /** What the control plane has under its name. */
  readonly present?: KubeObject | undefined;
  /** Why it cannot become one. */
  readonly obstacle?: string | undefined;
  /** The member's object is a copy already, and may be overridden there. */
  readonly isCopy?: boolean;
  /** Only what something else depends on: the policy of that takes it along. */
  readonly isDependency?: boolean;
}

export interface PlanOptions {
  readonly cluster: string;
  readonly policyMode: PolicyMode;
  readonly withDependencies: boolean;
  /** Policies that are in the control plane, by `policyKey`. */
  readonly policies: ReadonlyMap<string, KubeObject>;
}

const INSTANCE = "app.kubernetes.io/instance";

const PHASES: readonly (readonly string[])[] = [
  ["CustomResourceDefinition"],
  ["Namespace"],
  [],
  [
    "ConfigMap",
    "Secret",
    "ServiceAccount",
    "Role",
    "RoleBinding",
    "ClusterRole",
    "ClusterRoleBinding",
    "PersistentVolumeClaim",
  ],
  ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job", "CronJob", "Pod"],
  ["Service", "Ingress"],
];
const CLUSTER_SCOPED = 2;

/** When an object is made: kinds before what is of them, namespaces before what lies in them, and so on. */
export function phaseOf({ kind, namespace }: Pick<PlanItem, "kind" | "namespace">): number {
  const own = PHASES.findIndex((kinds) => kinds.includes(kind));
  if (own >= 0) return own;
  return namespace === undefined ? CLUSTER_SCOPED : PHASES.length;
}

/** The policy that is to claim a template; none where none is wanted. */
export function policyFor(template: KubeObject, { cluster, policyMode }: Pick<PlanOptions, "cluster" | "policyMode">) {
  const { namespace, labels = {} } = template.metadata;
  const app = policyMode === "per-app" ? labels[INSTANCE] : undefined;
  if (policyMode === "none") return undefined;
  if (policyMode === "per-namespace") return { namespace, name: `promoted-${cluster}` };
  // What has no such label is no part of an application.
  return app
    ? { namespace, name: `promoted-${cluster}-${app.toLowerCase().replaceAll("_", "-")}` }
    : { namespace, name: policyNameOf(template) };
}

export const policyKey = ({ namespace, name }: { readonly namespace?: string | undefined; readonly name?: string }) =>
  `${namespace ?? ""}/${name ?? ""}`;

export const policyKind = (namespace: string | undefined): ResourceKind<KubeObject> =>
  (namespace === undefined ? ClusterPropagationPolicy : PropagationPolicy) as unknown as ResourceKind<KubeObject>;

export const selectorsOf = (policy: KubeObject): readonly Selector[] =>
  (getPath(policy, "spec", "resourceSelectors") ?? []) as readonly Selector[];

export const hasSelector = (policy: KubeObject, template: KubeObject): boolean =>
  selectorsOf(policy).some((selector) => isSameSelector(selector, selectorOf(template)));

/** Whether a policy keeps what it claims in one member, as those of promote do: it may be given more. */
export const isExtensible = (policy: KubeObject, cluster: string): boolean => {
  const placement = getPath(policy, "spec", "placement");
  const wanted = getPath(policyOf("", undefined, [], cluster, false), "spec", "placement");
  return deepEqual(placement, wanted) && getPath(policy, "spec", "preserveResourcesOnDeletion") === true;
};

const isClaimed = ({ metadata: { labels = {} } }: KubeObject): boolean =>
  labels[PROPAGATION_POLICY_ID] !== undefined || labels[CLUSTER_PROPAGATION_POLICY_ID] !== undefined;

/** The policy that has claimed a template. */
const claimantOf = ({ metadata: { annotations = {} } }: KubeObject): string | undefined =>
  annotations[PROPAGATION_POLICY_NAME] ?? annotations[CLUSTER_PROPAGATION_POLICY_NAME];

/** What is to be done, in the order in which it is done. */
export function planPromotion(candidates: readonly Candidate[], options: PlanOptions): Plan {
  const { cluster, policyMode, withDependencies } = options;
  const items = candidates.map((candidate) => planItem(candidate, options));
  const inOrder = items
    .map((item, at) => ({ item, at }))
    .sort((a, b) => phaseOf(a.item) - phaseOf(b.item) || a.at - b.at)
    .map(({ item }) => item);
  return {
    apiVersion: "cli.karmada.io/v1",
    kind: "PromotePlan",
    cluster,
    policyMode,
    withDependencies,
    items: inOrder,
  };
}

function planItem(
  { kind, template, present, obstacle, isCopy, isDependency }: Candidate,
  options: PlanOptions,
): PlanItem {
  const { namespace, name = "" } = template.metadata;
  const own = isDependency === true ? undefined : policyFor(template, options);
  const say = (action: Action, note?: string, policy?: string): PlanItem => ({
    action,
    apiVersion: apiVersionOf(kind),
    kind: kind.kind,
    resource: kind.resource,
    ...(namespace === undefined ? {} : { namespace }),
    name,
    ...(policy === undefined ? {} : { policy }),
    ...(note === undefined ? {} : { note }),
    template,
  });
  if (obstacle !== undefined) return say("blocked", obstacle);
  if (present !== undefined && isCopy !== true && !isSameTemplate(present, template))
    return say("conflict", "the control plane has another one of this name");
  const isDone = present !== undefined && (own === undefined || isClaimed(present));
  if (isDone) return say("skip", "it is in the control plane", claimantOf(present));
  if (own === undefined) return say("create");
  const policy = options.policies.get(policyKey(own));
  if (policy !== undefined && !hasSelector(policy, template)) {
    const isGrouped = own.name !== policyNameOf(template);
    if (!isGrouped || !isExtensible(policy, options.cluster)) return say("blocked", policyExists(policy), own.name);
  }
  if (present === undefined) return say("create", undefined, own.name);
  return policy !== undefined && hasSelector(policy, template)
    ? say("skip", "it is in the control plane", own.name)
    : { ...say("create", "it is in the control plane: only its policy is made", own.name), hasTemplate: true };
}

/** The policies that items ask for, each with what it is to claim. */
export function policiesOf(plan: Plan, items: readonly PlanItem[]): readonly KubeObject[] {
  const groups = new Map<
    string,
    { readonly name: string; readonly namespace: string | undefined; selectors: Selector[] }
  >();
  for (const { policy: name, namespace, template } of items) {
    if (name === undefined || template === undefined) continue;
    const key = policyKey({ namespace, name });
    const group = groups.get(key) ?? { name, namespace, selectors: [] };
    group.selectors.push(selectorOf(template));
    groups.set(key, group);
  }
  return [...groups.values()].map(({ name, namespace, selectors }) =>
    policyOf(name, namespace, selectors, plan.cluster, plan.withDependencies),
  );
}

export function planText({ items }: Plan): string {
  if (items.length === 0) return "No resources found\n";
  return formatTable(
    ["ACTION", "KIND", "NAMESPACE", "NAME", "POLICY", "NOTE"],
    items.map(({ action, kind, namespace = "", name, policy = "", note = "" }) => [
      action,
      kind,
      namespace,
      name,
      policy,
      note,
    ]),
  );
}

/** Without the manifests: what is to be done, for a script. */
export const withoutTemplates = (plan: Plan) => ({
  ...plan,
  items: plan.items.map(({ template: _template, ...item }) => item),
});

/** Reads a plan that was saved. Throws, naming what is wrong, when it is none. */
export function parsePlan(text: string, file: string): Plan {
  const refuse = (why: string) => new Error(`${file} is no plan of promote: ${why}`);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw refuse("it is no JSON");
  }
  const plan = value as Partial<Plan> | null;
  if (plan?.kind !== "PromotePlan") throw refuse("its kind is not PromotePlan");
  if (plan.apiVersion !== "cli.karmada.io/v1") throw refuse(`its apiVersion is ${JSON.stringify(plan.apiVersion)}`);
  if (!plan.cluster) throw refuse("it names no cluster");
  if (!POLICY_MODES.some((mode) => mode === plan.policyMode)) throw refuse("its policyMode is unknown");
  if (!Array.isArray(plan.items)) throw refuse("it has no items");
  for (const [at, item] of plan.items.entries()) {
    const { metadata } = (item as PlanItem | null)?.template ?? {};
    if (typeof metadata?.name !== "string") throw refuse(`items[${at}] has no template`);
  }
  return plan as Plan;
}
