/** PodSecurity: the labels of a namespace say to which of the Pod Security Standards its pods are held. */
import { deepEqual } from "#base";
import { type FieldError, fieldInvalid, forbidden, invalid, type KubeObject } from "#machinery";
import type { AdmissionPlugin, AdmissionRequest } from "../admission.ts";
import type { PodSecurityConfiguration } from "../admission-configuration.ts";
import type { ApiServer } from "../server.ts";
import { valueAt } from "./checks.ts";
import type { Json } from "./pod-defaults.ts";
import { everyContainer } from "./pod-security.ts";
import { type Level, LEVELS, type Policy, podViolations, policyText } from "./pod-standards.ts";

const PREFIX = "pod-security.kubernetes.io/";
const MODES = ["enforce", "audit", "warn"] as const;
type Mode = (typeof MODES)[number];
type Labels = Readonly<Record<string, string>>;

const VERSION = /^v1\.(0|[1-9][0-9]{0,8})$/;
const isLevel = (text: string): text is Level => (LEVELS as readonly string[]).includes(text);
const isVersion = (text: string) => text === "latest" || VERSION.test(text);

/** What is held to where labels say nothing: to nothing, unless a configuration says otherwise. */
const NOTHING_ELSE: PodSecurityConfiguration = {
  defaults: {},
  exemptions: { usernames: [], runtimeClasses: [], namespaces: [] },
};

const isAsked = (labels: Labels, { defaults }: PodSecurityConfiguration) =>
  MODES.some((mode) => labels[PREFIX + mode] !== undefined || (defaults[mode] ?? "privileged") !== "privileged");

/**
 * What a namespace asks for. Without a level to warn by, it warns by the one it enforces. A level nobody knows, as only
 * older stores hold, is enforced as the strictest.
 */
function policyOf(labels: Labels, mode: Mode, { defaults }: PodSecurityConfiguration): Policy {
  const at = (name: Mode) => ({ level: labels[PREFIX + name], version: labels[`${PREFIX}${name}-version`] });
  const own = at(mode);
  const usual = defaults[mode] ?? "privileged";
  const enforced = at("enforce");
  const rank = (level: string | undefined) => (LEVELS as readonly (string | undefined)[]).indexOf(level);
  const isFollowed = mode === "warn" && own.level === undefined && rank(enforced.level) > rank(usual);
  const followed = isFollowed ? enforced : own;
  const { level = usual } = followed;
  const minor = VERSION.exec(own.version ?? followed.version ?? defaults[`${mode}-version`] ?? "")?.[1];
  const fallback = mode === "enforce" ? "restricted" : "privileged";
  return { level: isLevel(level) ? level : fallback, ...(minor === undefined ? {} : { minor: Number(minor) }) };
}

/** Labels that say nothing known; what was there before and did not change is no new mistake. */
function labelErrors(labels: Labels, old: Labels): FieldError[] {
  return MODES.flatMap((mode) =>
    (
      [
        [PREFIX + mode, isLevel, `must be one of ${LEVELS.join(", ")}`],
        [`${PREFIX}${mode}-version`, isVersion, 'must be "latest" or "v1.x"'],
      ] as const
    ).flatMap(([label, isKnown, text]) => {
      const value = labels[label];
      return value === undefined || isKnown(value) || value === old[label]
        ? []
        : [fieldInvalid(`metadata.labels[${label}]`, value, text)];
    }),
  );
}

/** Where kinds hold the pods they make; a pod is its own. */
const PLACES: Readonly<Record<string, string>> = {
  "/pods": "",
  "/replicationcontrollers": "spec.template",
  "/podtemplates": "template",
  "apps/deployments": "spec.template",
  "apps/replicasets": "spec.template",
  "apps/statefulsets": "spec.template",
  "apps/daemonsets": "spec.template",
  "batch/jobs": "spec.template",
  "batch/cronjobs": "spec.jobTemplate.spec.template",
};

const resourceOf = ({ definition: { kind } }: AdmissionRequest) => `${kind.group}/${kind.resource}`;

/** Whether an update of a pod may change what is said of it: of its spec little else than images can be changed. */
const isSignificant = (pod: KubeObject, old: KubeObject) => {
  const weighed = (one: KubeObject) =>
    everyContainer((valueAt(one, "spec") ?? {}) as Json).map(([place, { name, image }]) => ({ place, name, image }));
  return !deepEqual(weighed(pod), weighed(old));
};

const violationsOf = (policy: Policy, { metadata, spec }: { readonly metadata?: unknown; readonly spec?: unknown }) =>
  podViolations(policy, metadata as KubeObject["metadata"] | undefined, (spec ?? {}) as Json);

/** How a pod, or a template of one, breaks a policy; empty where it does not. */
function told(policy: Policy, subject: Json): string {
  const violations = violationsOf(policy, subject);
  return violations.length === 0
    ? ""
    : `"${policyText(policy)}": ${violations.map(({ reason, detail }) => `${reason} (${detail})`).join(", ")}`;
}

/** Why a request is not looked at, if so: who asks, where, or what runs the pod. */
function exemptionOf(
  { namespace = "", user }: AdmissionRequest,
  subject: Json | undefined,
  { exemptions: { namespaces, usernames, runtimeClasses } }: PodSecurityConfiguration,
): "namespace" | "user" | "runtimeClass" | undefined {
  if (namespaces.includes(namespace)) return "namespace";
  if (usernames.includes(user.name)) return "user";
  const runtime = valueAt(subject, "spec.runtimeClassName");
  return typeof runtime === "string" && runtimeClasses.includes(runtime) ? "runtimeClass" : undefined;
}

function judge(request: AdmissionRequest, object: KubeObject, labels: Labels, held: PodSecurityConfiguration): void {
  const { definition, name, oldObject, warn, annotate } = request;
  const place = PLACES[resourceOf(request)] ?? "";
  const isPod = place === "";
  const exemption = exemptionOf(request, (isPod ? object : valueAt(object, place)) as Json | undefined, held);
  if (exemption !== undefined) {
    annotate?.(`${PREFIX}exempt`, exemption);
    return;
  }
  if (isPod && oldObject !== undefined && !isSignificant(object, oldObject)) return;
  const enforce = policyOf(labels, "enforce", held);
  if (isPod) annotate?.(`${PREFIX}enforce-policy`, policyText(enforce));
  if (!isAsked(labels, held)) return;
  const subject = (isPod ? object : valueAt(object, place)) as Json | undefined;
  if (subject === undefined || subject === null) return;
  const audit = policyOf(labels, "audit", held);
  const audited = told(audit, subject);
  if (audited !== "") annotate?.(`${PREFIX}audit-violations`, `would violate PodSecurity ${audited}`);
  const enforced = isPod ? told(enforce, subject) : "";
  if (enforced !== "") throw forbidden(definition.kind, name, `violates PodSecurity ${enforced}`);
  const warned = told(policyOf(labels, "warn", held), subject);
  if (warned !== "") warn(`would violate PodSecurity ${warned}`);
}

/** Pods that are looked at when a namespace becomes stricter. */
const PODS_MAX = 3000;

/** Tells of pods that are there and would not be let in any more. Those that break the same are told of together. */
function tellOfPods(
  pods: readonly KubeObject[],
  policy: Policy,
  namespace: string,
  warn: (text: string) => void,
): void {
  const groups = new Map<string, string[]>();
  for (const pod of pods.slice(0, PODS_MAX)) {
    const reasons = violationsOf(policy, pod as { spec?: unknown }).map(({ reason }) => reason);
    if (reasons.length === 0) continue;
    const key = reasons.join(", ");
    const group = groups.get(key);
    const { name = "" } = pod.metadata;
    if (group === undefined) groups.set(key, [name]);
    else group.push(name);
  }
  if (pods.length > PODS_MAX)
    warn(`new PodSecurity enforce level only checked against the first ${PODS_MAX} of ${pods.length} existing pods`);
  if (groups.size === 0) return;
  warn(`existing pods in namespace "${namespace}" violate the new PodSecurity enforce level "${policyText(policy)}"`);
  const lines = [...groups].map(([reasons, [first, ...others]]) => {
    const more = others.length === 0 ? "" : ` (and ${others.length} other pod${others.length === 1 ? "" : "s"})`;
    return `${first}${more}: ${reasons}`;
  });
  for (const line of lines.sort()) warn(line);
}

const rankOf = ({ level }: Policy) => LEVELS.indexOf(level);

/** Whether what is enforced may find something that was not found before. */
const isStricter = (policy: Policy, old: Policy) =>
  policy.level !== "privileged" && (policy.minor !== old.minor || rankOf(policy) > rankOf(old));

export function podSecurity(server: ApiServer, held = NOTHING_ELSE): AdmissionPlugin {
  const storeOf = async (resource: string) => {
    const definition = server.registry.find("", "v1", resource);
    const store = definition === undefined ? undefined : server.store(definition);
    await store?.load();
    return store;
  };
  const judgeNamespace = async ({ definition, name, object, oldObject, warn }: AdmissionRequest) => {
    const labels = object?.metadata.labels ?? {};
    const old = oldObject?.metadata.labels ?? {};
    const errors = labelErrors(labels, old);
    if (errors.length > 0) throw invalid(definition.kind, name, errors);
    const policy = policyOf(labels, "enforce", held);
    if (oldObject === undefined || held.exemptions.namespaces.includes(name)) return;
    if (!isStricter(policy, policyOf(old, "enforce", held))) return;
    const store = await storeOf("pods");
    if (store !== undefined)
      tellOfPods(
        [...store.range(name)].map(([, pod]) => pod.object),
        policy,
        name,
        warn,
      );
  };
  return {
    name: "PodSecurity",
    handles: (request) => {
      const { operation, subresource, namespace } = request;
      if (operation !== "CREATE" && operation !== "UPDATE") return false;
      const resource = resourceOf(request);
      if (subresource !== undefined) return resource === "/pods" && subresource === "ephemeralcontainers";
      return resource === "/namespaces" || (namespace !== undefined && PLACES[resource] !== undefined);
    },
    async validate(request) {
      const { object, namespace = "" } = request;
      if (object === undefined) return;
      if (resourceOf(request) === "/namespaces") return judgeNamespace(request);
      judge(request, object, (await storeOf("namespaces"))?.get(namespace)?.object.metadata.labels ?? {}, held);
    },
  };
}
