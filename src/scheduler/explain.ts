import type { AnyBinding, ResourceBinding } from "#apis/karmada";
import type { EstimatorPool } from "#estimator";
import { askAccurate } from "./accurate.ts";
import type { Decision } from "./decision.ts";
import { ScheduleError } from "./errors.ts";
import { assignedReplicas } from "./facts.ts";
import { failedPlan, type PassPlan, planPass } from "./pass.ts";
import { builtinPlugins } from "./plugins/index.ts";
import type { HostedPlugin, PluginHost } from "./plugins/plugin.ts";
import type { AlgorithmOptions } from "./algorithm.ts";
import type { FleetSnapshot, SimulationOptions } from "./simulate.ts";

/** Why a binding would be placed as it would: a decision on the present fleet, whether or not anything calls for one. */
export function explainSchedule(
  binding: AnyBinding,
  snapshot: FleetSnapshot,
  options: SimulationOptions,
): Decision | undefined {
  return forced(binding, snapshot, options, algorithmOf(options)).decision;
}

const algorithmOf = (options: SimulationOptions): AlgorithmOptions => ({
  plugins: options.plugins ?? builtinPlugins,
  estimators: options.estimators ?? [],
  propagatesEmptyWorkloads: options.propagatesEmptyWorkloads ?? false,
});

const peersIn = ({ bindings }: FleetSnapshot) =>
  bindings.filter(({ kind }) => kind === "ResourceBinding") as readonly ResourceBinding[];

function forced(
  binding: AnyBinding,
  snapshot: FleetSnapshot,
  { gates, nowMs }: SimulationOptions,
  algorithm: AlgorithmOptions,
): PassPlan {
  const { clusters } = snapshot;
  return planPass({
    binding,
    clusters,
    peers: peersIn(snapshot),
    gates,
    algorithm,
    nowMs,
    explains: true,
    isForced: true,
  });
}

/** What may be asked besides the snapshot. */
export interface LiveParts {
  readonly estimatorPool?: EstimatorPool | undefined;
  readonly pluginHosts?: readonly PluginHost[] | undefined;
}

/**
 * The same with users' plugins and accurate estimators asked, as a running scheduler would. `plugins` must name the hosted
 * ones that are wanted. `error` is set when a plugin gave no answer.
 */
export async function explainLive(
  binding: AnyBinding,
  snapshot: FleetSnapshot,
  options: SimulationOptions,
  { estimatorPool, pluginHosts = [] }: LiveParts,
): Promise<{ readonly decision?: Decision; readonly error?: string }> {
  const { clusters } = snapshot;
  const { gates } = options;
  const plugins = options.plugins ?? builtinPlugins;
  try {
    const wanted = pluginHosts.filter(({ name }) => plugins.some((plugin) => plugin.name === name));
    const hosted: readonly HostedPlugin[] = await Promise.all(wanted.map((host) => host.ask(binding, clusters)));
    const estimates = hosted.flatMap(({ name, estimates: answers }) =>
      answers === undefined ? [] : [{ name, replicas: () => answers, sets: () => answers }],
    );
    const algorithm: AlgorithmOptions = {
      ...algorithmOf(options),
      plugins: plugins.map((plugin) => hosted.find(({ name }) => name === plugin.name) ?? plugin),
      estimators: [...(options.estimators ?? []), ...estimates],
    };
    const question = { binding, clusters, peers: peersIn(snapshot), gates, algorithm };
    const accurate = estimatorPool === undefined ? undefined : await askAccurate(estimatorPool, question);
    const estimators = [...(algorithm.estimators ?? []), ...(accurate === undefined ? [] : [accurate])];
    const { decision, condition } = forced(binding, snapshot, options, { ...algorithm, estimators });
    return { ...(decision === undefined ? { error: condition?.message ?? "nothing to decide" } : { decision }) };
  } catch (error) {
    if (!(error instanceof ScheduleError)) throw error;
    return { error: failedPlan(binding, error, options.nowMs).condition?.message ?? error.message };
  }
}

const CAUSES: Readonly<Record<Decision["cause"], string>> = {
  placement: "the placement changed",
  replicas: "replicas and targets differ",
  trigger: "a rebalance was asked for",
  always: "resources of this kind are placed on every pass",
  terminating: "a target cluster is being removed",
};

/** A decision in sentences, one a line, for terminals. */
export function describeDecision(decision: Decision): readonly string[] {
  const lines = [
    `${decision.binding}: decided at ${decision.time} for generation ${decision.generation}, because ${CAUSES[decision.cause]}.`,
  ];
  for (const term of decision.terms) {
    lines.push(
      `${term.affinityName === undefined ? "Placement" : `Affinity term ${term.affinityName}`}: ${term.candidates.length} of ${decision.clusters} clusters may be used.`,
    );
    for (const { cluster, plugin, reason } of term.refused) lines.push(`  ${cluster}: refused by ${plugin}: ${reason}`);
    for (const { cluster, score, scores, estimates, available, overflowOrder } of term.candidates) {
      const parts = Object.entries(scores).map(([plugin, value]) => `${plugin} ${value}`);
      const rooms = Object.entries(estimates).map(
        ([estimator, value]) => `${estimator} ${value < 0 ? "does not know" : value}`,
      );
      lines.push(
        `  ${cluster}: score ${score} (${parts.join(", ")}), available ${available}${rooms.length > 0 ? ` (${rooms.join(", ")})` : ""}${overflowOrder > 0 ? `, overflow tier ${overflowOrder}` : ""}`,
      );
    }
    for (const { name, score } of term.regions ?? []) lines.push(`  region ${name}: score ${score}`);
    if (term.selected.length > 0) lines.push(`  selected: ${term.selected.join(", ")}`);
    for (const { mode, replicas, weights } of term.divisions ?? [])
      lines.push(
        `  ${mode}: ${replicas} replicas${weights.length > 0 ? ` by ${weights.map(({ name, weight }) => `${name}:${weight}`).join(", ")}` : ""}`,
      );
    if (term.error !== undefined) lines.push(`  failed: ${term.error}`);
  }
  const { result = [] } = decision;
  if (decision.error !== undefined) lines.push(`Result: ${decision.reason}: ${decision.error}`);
  else
    lines.push(
      `Result: ${result.map(({ name, replicas = 0 }) => `${name}:${replicas}`).join(", ") || "no cluster"} (${assignedReplicas(result)} replicas)`,
    );
  return lines;
}
