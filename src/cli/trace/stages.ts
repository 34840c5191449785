import {
  type AnyPropagationPolicy,
  CLAIMED_BY,
  CLUSTER_PROPAGATION_POLICY_NAME,
  clusterOfExecutionNamespace,
  DELETION_PROTECTED,
  executionNamespace,
  isReservedNamespace,
  KEPT,
  MANAGED,
  PROPAGATION_POLICY_NAME,
  type Work,
} from "#apis/karmada";
import { deepEqual } from "#base";
import { defaultGates } from "#config";
import { type Interpreter, createInterpreter, nativeSource, thirdPartySource } from "#interpreter";
import { getPath, type KubeObject, objectKey } from "#machinery";
import { applyOverrides, MATCHES_NONE, OverrideError, selectorsPriority } from "#override";
import { explainSchedule } from "#scheduler";
import { leavingText, nowhereHint, outageHint, toleratedText } from "./evictions.ts";
import { type Facts, timeOf } from "./facts.ts";

export type StageState = "ok" | "wait" | "blocked" | "unknown";

export interface Evidence {
  readonly text: string;
  readonly isWrong?: boolean;
}

/** One link of the chain from a template to its copies. */
export interface Stage {
  readonly name: string;
  readonly state: StageState;
  readonly summary: string;
  readonly evidence: readonly Evidence[];
  /** What to do next, where something is wrong. */
  readonly hint?: string;
}

const stage = (
  name: string,
  state: StageState,
  summary: string,
  evidence: readonly (Evidence | string)[] = [],
  hint?: string,
): Stage => ({
  name,
  state,
  summary,
  evidence: evidence.map((each) => (typeof each === "string" ? { text: each } : each)),
  ...(hint === undefined ? {} : { hint }),
});

interface Conditioned {
  readonly status?: {
    readonly conditions?: readonly {
      readonly type: string;
      readonly status: string;
      readonly reason?: string;
      readonly message?: string;
      readonly lastTransitionTime?: string;
    }[];
  };
}
const conditionOf = (object: unknown, type: string) =>
  ((object as Conditioned | undefined)?.status?.conditions ?? []).find((condition) => condition.type === type);
const titleOf = ({ kind, metadata }: KubeObject) =>
  `${kind} ${metadata.namespace === undefined ? "" : `${metadata.namespace}/`}${metadata.name}`;
const interpreter: Interpreter = createInterpreter([thirdPartySource, nativeSource]);

function templateStage({ template, kind, namespace, name }: Facts): Stage {
  if (template === undefined)
    return stage(
      "Template",
      "blocked",
      `${kind.kind} ${namespace === undefined ? "" : `${namespace}/`}${name} is not in the control plane`,
      [],
      "create it, or look for it with another name or namespace",
    );
  const evidence: Evidence[] = [];
  if (template.metadata.labels?.[DELETION_PROTECTED] === "Always")
    evidence.push({ text: "its deletion is denied (label deletion-protected)" });
  const claimedBy = template.metadata.labels?.[CLAIMED_BY];
  if (claimedBy)
    return stage(
      "Template",
      "blocked",
      `policies leave it alone: ${claimedBy} has taken it`,
      evidence,
      `look at the ${claimedBy} that names it`,
    );
  if (template.metadata.deletionTimestamp !== undefined)
    return stage("Template", "wait", "it is being deleted", evidence);
  if (namespace !== undefined && (isReservedNamespace(namespace) || /^kube-/.test(namespace)))
    return stage(
      "Template",
      "blocked",
      `nothing of namespace ${namespace} is propagated`,
      evidence,
      "use another namespace, or see --skipped-propagating-namespaces",
    );
  return stage("Template", "ok", titleOf(template), evidence);
}

const LEVELS = ["not at all", "as one of its kind", "by its labels", "by its name"] as const;

/** Policies that select a template, the one that should have it first, and why each other lost. */
export function rankPolicies(
  template: KubeObject,
  policies: readonly AnyPropagationPolicy[],
): readonly { readonly policy: AnyPropagationPolicy; readonly level: number; readonly lost?: string }[] {
  const priority = (policy: AnyPropagationPolicy) => policy.spec.priority ?? 0;
  const isWide = ({ kind }: AnyPropagationPolicy) => kind === "ClusterPropagationPolicy";
  const ranked = policies
    .map((policy) => ({ policy, level: selectorsPriority(policy.spec.resourceSelectors, template) as number }))
    .filter(({ level }) => level !== MATCHES_NONE)
    .sort(
      (a, b) =>
        Number(a.policy.metadata.deletionTimestamp !== undefined) -
          Number(b.policy.metadata.deletionTimestamp !== undefined) ||
        Number(isWide(a.policy)) - Number(isWide(b.policy)) ||
        priority(b.policy) - priority(a.policy) ||
        b.level - a.level ||
        ((a.policy.metadata.name ?? "") < (b.policy.metadata.name ?? "") ? -1 : 1),
    );
  const [first] = ranked;
  return ranked.map((each) => {
    if (first === undefined || each === first) return each;
    const { policy, level } = each;
    const lost =
      policy.metadata.deletionTimestamp !== undefined
        ? "it is being deleted"
        : isWide(policy) && !isWide(first.policy)
          ? "policies of the namespace come before cluster-wide ones"
          : priority(policy) !== priority(first.policy)
            ? `its priority ${priority(policy)} is lower than ${priority(first.policy)}`
            : level !== first.level
              ? `it selects ${LEVELS[level]}, the other ${LEVELS[first.level]}`
              : "its name comes later";
    return { ...each, lost };
  });
}

const NEAR_MISSES_MAX = 5;

/** Policies that speak of the kind and yet do not select the object, and why not. */
function nearMisses(template: KubeObject, policies: readonly AnyPropagationPolicy[]): readonly string[] {
  const { namespace, name, labels = {} } = template.metadata;
  return policies
    .flatMap((policy) => {
      const own = policy.spec.resourceSelectors.filter(({ kind }) => kind === template.kind);
      const [selector] = own;
      if (selector === undefined) return [];
      const why =
        selector.apiVersion !== template.apiVersion
          ? `it selects ${selector.apiVersion}, this is ${template.apiVersion}`
          : selector.namespace && selector.namespace !== namespace
            ? `it selects namespace ${selector.namespace}`
            : selector.name && own.every((each) => each.name !== name)
              ? `it selects ${own.map((each) => each.name).join(", ")}`
              : `its label selector ${JSON.stringify(selector.labelSelector)} does not match ${JSON.stringify(labels)}`;
      return [`${titleOf(policy)} speaks of ${template.kind}s, but ${why}`];
    })
    .slice(0, NEAR_MISSES_MAX);
}

/** Whether a binding says what its policy says, as far as a policy decides where and how. */
function isInEffect({ spec }: AnyPropagationPolicy, binding: NonNullable<Facts["binding"]>): boolean {
  const { scheduling: _own, ...suspension } = (binding.spec.suspension ?? {}) as Readonly<Record<string, unknown>>;
  const said = { ...binding.spec, suspension } as Readonly<Record<string, unknown>>;
  const wanted = spec as unknown as Readonly<Record<string, unknown>>;
  return [
    "placement",
    "failover",
    "conflictResolution",
    "propagateDeps",
    "preserveResourcesOnDeletion",
    "suspension",
  ].every((field) => deepEqual(said[field] || {}, wanted[field] || {}));
}

function policyStage({ template, policies, binding }: Facts): Stage {
  if (template === undefined) return stage("Policy", "unknown", "there is no template");
  const ranked = rankPolicies(template, policies);
  const annotations = template.metadata.annotations ?? {};
  const marked = annotations[PROPAGATION_POLICY_NAME] ?? annotations[CLUSTER_PROPAGATION_POLICY_NAME];
  const claimed = ranked.find(({ policy }) => policy.metadata.name === marked);
  const evidence = ranked.map(({ policy, level, lost }): Evidence => {
    const how = `${titleOf(policy)} selects it ${LEVELS[level]}, priority ${policy.spec.priority ?? 0}`;
    if (policy === claimed?.policy)
      return {
        text: `${how}: has it${lost === undefined ? "" : `, for it came first (${lost}, but nobody preempts)`}`,
      };
    return { text: `${how}: ${lost === undefined ? "would have it, but does not preempt" : `lost: ${lost}`}` };
  });
  const near = nearMisses(template, policies);
  const owners = (binding?.spec.requiredBy ?? []).map(({ namespace, name }) => objectKey(namespace, name));
  if (ranked.length === 0 && owners.length > 0)
    return stage("Policy", "ok", `none of its own: it follows ${owners.join(", ")}, which need it`, near);
  if (ranked.length === 0)
    return binding === undefined
      ? stage(
          "Policy",
          "blocked",
          "no policy selects it",
          near,
          "create a PropagationPolicy or ClusterPropagationPolicy that selects it",
        )
      : stage(
          "Policy",
          "blocked",
          "no policy selects it any more: its copies are frozen as last rendered",
          near,
          "create a policy that selects it, or delete the template to withdraw the copies",
        );
  if (claimed === undefined)
    return stage(
      "Policy",
      "wait",
      `${titleOf((ranked[0] as (typeof ranked)[number]).policy)} is about to claim it`,
      evidence,
    );
  const { spec } = claimed.policy;
  if (spec.activationPreference === "Lazy" && binding === undefined)
    return stage(
      "Policy",
      "blocked",
      `${titleOf(claimed.policy)} is lazy: it waits until the template changes`,
      evidence,
      "change the template, for instance by an annotation",
    );
  if (spec.activationPreference === "Lazy" && binding !== undefined && !isInEffect(claimed.policy, binding))
    return stage(
      "Policy",
      "blocked",
      `${titleOf(claimed.policy)} is lazy and has not taken effect: what was said before holds until the template changes`,
      evidence,
      "change the template, for instance by an annotation",
    );
  return stage("Policy", "ok", titleOf(claimed.policy), evidence);
}

function bindingStage({ binding, events }: Facts): Stage {
  if (binding === undefined) {
    const failed = events.find(({ reason }) => ["ApplyPolicyFailed", "GetReplicasFailed"].includes(reason ?? ""));
    return stage(
      "Binding",
      failed === undefined ? "wait" : "blocked",
      "there is none",
      failed === undefined ? [] : [{ text: `${failed.reason}: ${failed.message}`, isWrong: true }],
    );
  }
  const evidence: Evidence[] = [];
  const { suspension, replicas, schedulePriority } = binding.spec as typeof binding.spec & {
    readonly suspension?: { readonly scheduling?: boolean; readonly dispatching?: boolean };
  };
  if (replicas !== undefined) evidence.push({ text: `${replicas} replicas` });
  if (schedulePriority !== undefined)
    evidence.push({ text: `schedule priority ${(schedulePriority as { readonly priority?: number }).priority ?? 0}` });
  const applied = conditionOf(binding, "FullyApplied");
  if (applied !== undefined)
    evidence.push({
      text: `FullyApplied ${applied.status}: ${applied.message ?? ""}`,
      isWrong: applied.status !== "True",
    });
  if (suspension?.scheduling === true)
    return stage(
      "Binding",
      "blocked",
      "its scheduling is suspended",
      evidence,
      "set spec.suspension.scheduling of the binding to false",
    );
  if (suspension?.dispatching === true)
    return stage(
      "Binding",
      "blocked",
      "its dispatching is suspended",
      evidence,
      "set spec.suspension.dispatching of the policy to false",
    );
  return stage("Binding", "ok", titleOf(binding), evidence);
}

function schedulingStage({ binding, clusters, nowMs }: Facts): Stage {
  if (binding === undefined) return stage("Scheduling", "unknown", "there is no binding");
  const targets = binding.spec.clusters ?? [];
  const scheduled = conditionOf(binding, "Scheduled");
  const evidence: Evidence[] = targets.map(({ name, replicas }) => ({
    text: `${name}: in${replicas === undefined ? "" : `, ${replicas} replicas`}`,
  }));
  const refused: { readonly plugin: string; readonly reason: string }[] = [];
  try {
    const decision = explainSchedule(binding, { clusters, bindings: [binding] }, { gates: defaultGates(), nowMs });
    for (const term of decision?.terms ?? [])
      for (const { cluster, plugin, reason } of term.refused) {
        refused.push({ plugin, reason });
        evidence.push({ text: `${cluster}: out, refused by ${plugin}: ${reason}` });
      }
  } catch (error) {
    evidence.push({
      text: `the filters could not be asked again: ${error instanceof Error ? error.message : String(error)}`,
    });
  }
  if (scheduled?.status === "False")
    return stage(
      "Scheduling",
      "blocked",
      `${scheduled.reason ?? ""}: ${scheduled.message ?? ""}`,
      evidence,
      nowhereHint(refused),
    );
  if (targets.length === 0 && (binding.spec.requiredBy ?? []).length === 0)
    return stage("Scheduling", "wait", "no cluster has been chosen yet", evidence);
  return stage(
    "Scheduling",
    "ok",
    targets.map(({ name }) => name).join(", ") || "follows those that need it",
    evidence,
  );
}

function overrideStage({ template, overrides, clusters, members }: Facts): Stage {
  if (template === undefined) return stage("Override", "unknown", "there is no template");
  const evidence: Evidence[] = [];
  let failed: string | undefined;
  for (const { cluster: name } of members) {
    const cluster = clusters.find(({ metadata }) => metadata.name === name);
    if (cluster === undefined) continue;
    try {
      const result = applyOverrides(template, cluster, {
        clusterOverridePolicies: overrides.filter(({ kind }) => kind === "ClusterOverridePolicy") as never,
        overridePolicies: overrides.filter(({ kind }) => kind === "OverridePolicy") as never,
      });
      const applied = [...result.appliedClusterOverrides, ...result.appliedOverrides];
      for (const { policyName, overriders } of applied)
        evidence.push({ text: `${name}: ${policyName} ${JSON.stringify(overriders)}` });
    } catch (error) {
      failed = `${name}: ${error instanceof Error ? error.message : String(error)}`;
      const said = error instanceof OverrideError ? error.events.at(-1)?.message : undefined;
      evidence.push({ text: `${failed}${said === undefined ? "" : ` (${said})`}`, isWrong: true });
    }
  }
  return failed === undefined
    ? stage(
        "Override",
        "ok",
        evidence.length === 0
          ? "none applies"
          : evidence.length === 1
            ? "one applies"
            : `${evidence.length} apply, in this order`,
        evidence,
      )
    : stage(
        "Override",
        "blocked",
        "an override cannot be applied",
        evidence,
        "correct the path or value of the override policy",
      );
}

/** How it reads when a member did not come to a decision about an object. */
const SILENCE = /no answer|no connection|cannot be reached|is busy|ECONN|that is no object|timed out/;

const LATE_HINT = "the member cluster is behind; it goes on by itself as soon as it has room";

function workStage(facts: Facts): Stage {
  const { works, members, binding } = facts;
  if (binding === undefined && works.length === 0) return stage("Work", "unknown", "there is no binding");
  let state: StageState = "ok";
  let hint: string | undefined;
  const evidence = members.map(({ cluster }): Evidence => {
    const work = works.find(({ metadata }) => metadata.namespace === executionNamespace(cluster));
    if (work === undefined) {
      state = state === "ok" ? "wait" : state;
      return { text: `${cluster}: there is none yet`, isWrong: true };
    }
    const applied = conditionOf(work, "Applied");
    const dispatching = conditionOf(work, "Dispatching");
    if (dispatching?.status === "False") {
      state = "blocked";
      hint = "resume dispatching in the policy's spec.suspension";
      return { text: `${cluster}: ${dispatching.message ?? "suspended"}`, isWrong: true };
    }
    const late = [work, facts.clusters.find(({ metadata }) => metadata.name === cluster)]
      .map((object) => conditionOf(object, "SynchronizationDelayed"))
      .find((condition) => condition?.status === "True");
    const isLate = conditionOf(work, "SynchronizationDelayed")?.status === "True";
    if (applied?.status === "True" && isLate) {
      state = state === "ok" ? "wait" : state;
      hint ??= LATE_HINT;
      return { text: `${cluster}: applied as it was, ${late?.message ?? "changes wait"}`, isWrong: true };
    }
    if (applied?.status === "True") {
      const fight = conditionOf(work, "Contested");
      if (fight?.status !== "True") return { text: `${cluster}: applied` };
      state = "blocked";
      hint ??=
        "let the template say what the member wants, keep the field by a retention rule, or stop whoever sets it there";
      return { text: `${cluster}: applied, but ${fight.message ?? "a field is contested"}`, isWrong: true };
    }
    if (applied?.status !== "False" || isLate) {
      state = state === "ok" ? "wait" : state;
      if (late === undefined) return { text: `${cluster}: not applied yet` };
      hint ??= LATE_HINT;
      return { text: `${cluster}: not applied yet, ${late.message ?? "the cluster is behind"}`, isWrong: true };
    }
    state = "blocked";
    const isConflict = applied.message?.includes("Karmada will not manage this resource") === true;
    hint = isConflict
      ? "take the member's object over with conflictResolution: Overwrite, or remove it"
      : SILENCE.test(applied.message ?? "")
        ? "see the message; the member did not answer as it should"
        : "see the message; the member refused the object";
    return { text: `${cluster}: ${applied.message ?? "failed"}`, isWrong: true };
  });
  const leaving = leavingWorks(facts);
  if (leaving.some(({ isHeld }) => isHeld)) {
    state = "blocked";
    hint ??= `let it go on by flotilla release ${leaving.find(({ isHeld }) => isHeld)?.release ?? "deletions"} CLUSTER`;
  } else if (leaving.length > 0 && state === "ok") state = "wait";
  const wanted = works.length - leaving.length;
  return stage(
    "Work",
    state,
    `${wanted} of ${members.length}${leaving.length === 0 ? "" : `, ${leaving.length} to be withdrawn`}`,
    [...evidence, ...leaving.map(({ text, isHeld }) => ({ text, isWrong: isHeld }))],
    hint,
  );
}

/** Works in clusters that are no targets any more: on their way out, held back, or kept. */
function leavingWorks(facts: Facts) {
  const { works, members } = facts;
  const targets = new Set(members.map(({ cluster }) => executionNamespace(cluster)));
  return works
    .filter(({ metadata }) => !targets.has(metadata.namespace ?? ""))
    .map((work) => {
      const cluster = clusterOfExecutionNamespace(work.metadata.namespace) ?? "";
      const held = conditionOf(work, "DeletionHeld");
      if (work.metadata.annotations?.[KEPT] !== undefined)
        return {
          text: `${cluster}: kept, for its kind vanished from the control plane`,
          isHeld: true,
          release: "kept",
        };
      return held?.status === "True"
        ? { text: `${cluster}: its deletion is held: ${held.message ?? ""}`, isHeld: true, release: "deletions" }
        : {
            text: leavingText(
              cluster,
              facts.binding,
              facts.clusters.find(({ metadata }) => metadata.name === cluster),
              facts.nowMs,
            ),
            isHeld: false,
            release: "deletions",
          };
    });
}

/** What the last event says of why a cluster is not ready: its condition only says that it is not. */
function causeOf(
  events: Facts["events"],
  name: string,
  ready: { readonly reason?: string; readonly message?: string },
) {
  const said = events.findLast(
    ({ involvedObject, reason }) =>
      involvedObject.kind === "Cluster" && involvedObject.name === name && reason === ready.reason,
  )?.message;
  const start = `${ready.message}: `;
  return said?.startsWith(start) === true ? ` (${said.slice(start.length)})` : "";
}

function clusterStage({ members, clusters, binding, events, nowMs }: Facts): Stage {
  if (members.length === 0) return stage("Cluster", "unknown", "there are no targets");
  let state: StageState = "ok";
  const evidence = members.map(({ cluster: name }): Evidence => {
    const cluster = clusters.find(({ metadata }) => metadata.name === name);
    const ready = conditionOf(cluster, "Ready");
    const taints = (cluster?.spec?.taints ?? []).map(({ key, effect }) => `${key}:${effect}`);
    const tolerated = toleratedText(binding, cluster, nowMs);
    const text = `${name}: ${ready?.status === "True" ? "ready" : `not ready${since(ready, nowMs)}: ${ready?.reason ?? "unknown"} ${ready?.message ?? ""}${ready === undefined ? "" : causeOf(events, name, ready)}`}${taints.length > 0 ? `, taints ${taints.join(", ")}` : ""}${tolerated === undefined ? "" : `, ${tolerated}`}`;
    if (ready?.status !== "True") state = "blocked";
    return { text, isWrong: ready?.status !== "True" };
  });
  const targets = members.map(({ cluster }) => clusters.find(({ metadata }) => metadata.name === cluster));
  const hint = state === "ok" ? undefined : outageHint(targets, binding);
  return stage("Cluster", state, state === "ok" ? "all targets are ready" : "a target is not ready", evidence, hint);
}

function memberStage({ members, template, works }: Facts): Stage {
  let state: StageState = "ok";
  const worse = (next: StageState) => {
    if (state === "ok" || next === "blocked") state = next;
  };
  const evidence = members.flatMap(({ cluster, object, error, complaints = [] }): Evidence | Evidence[] => {
    if (error !== undefined) {
      worse("unknown");
      return { text: `${cluster}: cannot be looked at: ${error}` };
    }
    if (object === undefined) {
      worse("blocked");
      return { text: `${cluster}: there is no copy`, isWrong: true };
    }
    if (object.metadata.labels?.[MANAGED] !== "true") {
      worse("blocked");
      return { text: `${cluster}: an object of that name is there that is not managed`, isWrong: true };
    }
    const isHealthy = healthOf(object, works, cluster);
    const replicas = getPath(object, "spec", "replicas");
    const ready = getPath(object, "status", "readyReplicas");
    const numbers = replicas === undefined ? "" : `, ${String(ready ?? 0)} of ${String(replicas)} replicas ready`;
    if (isHealthy === false) worse("wait");
    return [
      {
        text: `${cluster}: present${numbers}${isHealthy === false ? ", not healthy yet" : ""}`,
        isWrong: isHealthy === false,
      },
      ...(isHealthy === false ? complaints.map((text) => ({ text: `${cluster}: ${text}`, isWrong: true })) : []),
    ];
  });
  if (template === undefined || members.length === 0) return stage("Member", "unknown", "there are no targets");
  return stage("Member", state, state === "ok" ? "every copy is there" : "not every copy is well", evidence);
}

/** What was reflected last, by whatever rules count for the kind, else what built-in rules say of the object now. */
function healthOf(object: KubeObject, works: readonly Work[], cluster: string): boolean | undefined {
  const work = works.find(({ metadata }) => metadata.namespace === executionNamespace(cluster));
  const reflected = work?.status?.manifestStatuses?.[0]?.health;
  if (reflected === "Healthy" || reflected === "Unhealthy") return reflected === "Healthy";
  try {
    return interpreter.health(object);
  } catch {
    return undefined;
  }
}

/** How long a condition has been as it is, in words; nothing where it does not say. */
function since(condition: { readonly lastTransitionTime?: string } | undefined, nowMs: number): string {
  const sinceMs = Date.parse(condition?.lastTransitionTime ?? "");
  if (Number.isNaN(sinceMs)) return "";
  const seconds = Math.max(0, Math.round((nowMs - sinceMs) / 1000));
  return ` for ${seconds < 120 ? `${seconds}s` : seconds < 7200 ? `${Math.round(seconds / 60)}m` : `${Math.round(seconds / 3600)}h`}`;
}

function statusStage({ binding, members, events }: Facts): Stage {
  if (binding === undefined) return stage("Status", "unknown", "there is no binding");
  const items = binding.status?.aggregatedStatus ?? [];
  const evidence = items.map(
    ({ clusterName, health, applied }): Evidence => ({
      text: `${clusterName}: ${applied === true ? "applied" : "not applied"}, ${health ?? "Unknown"}`,
      isWrong: applied !== true || health !== "Healthy",
    }),
  );
  const unknown = items.filter(({ applied, health }) => applied === true && (health ?? "Unknown") === "Unknown");
  const failed = events.filter(({ reason }) =>
    ["InterpretHealthFailed", "ReflectStatusFailed", "AggregateStatusFailed"].includes(reason ?? ""),
  );
  const last = failed.at(-1);
  if (unknown.length > 0 && last !== undefined)
    return stage(
      "Status",
      "blocked",
      "it cannot be told how copies fare",
      [...evidence, { text: `${last.reason}: ${last.message}`, isWrong: true }],
      "correct the ResourceInterpreterCustomization, webhook or plugin for its kind (flotilla interpret --check)",
    );
  const isComplete = items.length >= members.length && items.every(({ applied }) => applied === true);
  return stage(
    "Status",
    isComplete ? "ok" : "wait",
    isComplete ? "collected from every member" : "not collected from every member yet",
    evidence,
  );
}

/** The chain, link by link. */
export function traceStages(facts: Facts): readonly Stage[] {
  return [
    templateStage(facts),
    policyStage(facts),
    bindingStage(facts),
    schedulingStage(facts),
    overrideStage(facts),
    clusterStage(facts),
    workStage(facts),
    memberStage(facts),
    statusStage(facts),
  ];
}

/** The first link that is broken, or the first that is not done. */
export const firstBroken = (stages: readonly Stage[]): Stage | undefined =>
  stages.find(({ state }) => state === "blocked") ?? stages.find(({ state }) => state === "wait");

/** 0 all is well, 2 something is blocked, 3 it is in progress. */
export function exitCodeOf(stages: readonly Stage[]): number {
  if (stages.some(({ state }) => state === "blocked")) return 2;
  return stages.some(({ state }) => state === "wait") ? 3 : 0;
}

export const recentEvents = ({ events, nowMs }: Facts, sinceMs: number): Facts["events"] =>
  events.filter((event) => nowMs - Date.parse(timeOf(event)) <= sinceMs);

/** What happened in the last `sinceMs`, a line an event. */
export function historyText(facts: Facts, sinceMs: number): string {
  const rows = recentEvents(facts, sinceMs).map((event) => {
    const { type, reason, message, involvedObject, source, count = 1 } = event;
    const about = `${involvedObject.kind} ${involvedObject.namespace ? `${involvedObject.namespace}/` : ""}${involvedObject.name}`;
    return `  ${timeOf(event)} ${type === "Warning" ? "✗" : " "} ${about} ${reason}: ${message} (${source?.component ?? ""}${count > 1 ? `, ${count} times` : ""})`;
  });
  return `\n${rows.length === 0 ? "Nothing happened in that time." : ["What happened:", ...rows].join("\n")}\n`;
}

const MARKS: Readonly<Record<StageState, string>> = { ok: "✓", wait: "…", blocked: "✗", unknown: "?" };

/** The chain as a tree, the first broken link marked, and one sentence on what to do. */
export function traceText(stages: readonly Stage[]): string {
  const broken = firstBroken(stages);
  const lines: string[] = [];
  for (const each of stages) {
    lines.push(`${MARKS[each.state]} ${each.name.padEnd(11)}${each.summary}${each === broken ? "   ← here" : ""}`);
    for (const [at, { text, isWrong }] of each.evidence.entries())
      lines.push(`  ${at === each.evidence.length - 1 ? "└" : "├"} ${isWrong === true ? "✗ " : ""}${text}`);
  }
  lines.push("");
  if (broken === undefined) lines.push("All is well.");
  else if (broken.state === "wait") lines.push(`It is in progress at ${broken.name}: ${broken.summary}.`);
  else
    lines.push(
      `It stops at ${broken.name}: ${broken.summary.replace(/\.$/, "")}.${broken.hint === undefined ? "" : ` Next: ${broken.hint}.`}`,
    );
  return `${lines.join("\n")}\n`;
}
