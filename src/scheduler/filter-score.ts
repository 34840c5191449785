import type { Cluster } from "#apis/karmada";
import { noClusterFit, ScheduleError, schedulerError } from "./errors.ts";
import type { SchedulingInput } from "./facts.ts";
import { type Pass, passOf } from "./place.ts";
import type { SchedulerPlugin, Scores, Verdicts } from "./plugins/plugin.ts";
import type { AlgorithmOptions } from "./algorithm.ts";

/** A plugin's failure is the pass's failure, by the plugin's name; the queue goes on. */
function failureOf(plugin: SchedulerPlugin | undefined, error: unknown): ScheduleError {
  if (error instanceof ScheduleError) return error;
  return schedulerError(
    `plugin ${JSON.stringify(plugin?.name)} failed: ${error instanceof Error ? error.message : String(error)}`,
  );
}

function describe(value: unknown): string {
  const text = typeof value === "object" ? JSON.stringify(value) : String(value);
  return text.length > 100 ? `${text.slice(0, 100)}…` : text;
}

/** A plugin's filter for all clusters of a pass; what linked-in plugins answer is looked at. */
function verdictsOf(plugin: SchedulerPlugin, pass: Pass): Verdicts {
  if (plugin.prepareFilter !== undefined) return plugin.prepareFilter(pass);
  return (place) => {
    const reason: unknown = plugin.filter?.(pass, pass.clusters[place] as Cluster);
    if (reason === undefined || (typeof reason === "string" && reason !== "")) return reason;
    throw schedulerError(
      `plugin ${JSON.stringify(plugin.name)} must answer a reason or nothing when it filters, not ${describe(reason)}`,
    );
  };
}

const nothingRefused = () => undefined;

/** The places of clusters that pass every filter. Throws `NoClusterFit` when none does. */
export function feasiblePlaces(pass: Pass, { plugins, record, measure }: AlgorithmOptions): readonly number[] {
  const { names, leaving } = pass.fleet;
  const ran = measure?.ran === undefined ? undefined : measure;
  const feasible: number[] = [];
  const reasons = new Map<string, number>();
  let current: SchedulerPlugin | undefined;
  try {
    const filters: { readonly plugin: SchedulerPlugin; readonly verdictAt: (place: number) => string | undefined }[] =
      [];
    for (const plugin of plugins) {
      if (plugin.filter === undefined) continue;
      current = plugin;
      const verdicts = verdictsOf(plugin, pass);
      if (verdicts !== undefined || ran !== undefined) filters.push({ plugin, verdictAt: verdicts ?? nothingRefused });
    }
    for (let place = 0; place < names.length; place++) {
      if (leaving.size > 0 && leaving.has(names[place] as string)) continue;
      let reason: string | undefined;
      for (const { plugin, verdictAt } of filters) {
        current = plugin;
        const startedMs = ran === undefined ? 0 : ran.nowMs();
        reason = verdictAt(place);
        ran?.ran?.(plugin.name, "Filter", ran.nowMs() - startedMs, reason === undefined ? "Success" : "Unschedulable");
        if (reason === undefined) continue;
        record?.refused(names[place] as string, plugin.name, reason);
        break;
      }
      if (reason === undefined) feasible.push(place);
      else reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
    }
  } catch (error) {
    throw failureOf(current, error);
  }
  if (feasible.length > 0) return feasible;
  const parts = [...reasons].map(([reason, count]) => `${count} ${reason}`).sort();
  throw noClusterFit(
    `0/${names.length} clusters are available: ${parts.length === 0 ? "no cluster exists" : parts.join(", ")}.`,
  );
}

const SCORE_MAX = 100;

function scoresOf(plugin: SchedulerPlugin, pass: Pass): Scores {
  if (plugin.prepareScore !== undefined) return plugin.prepareScore(pass);
  return (place) => plugin.score?.(pass, pass.clusters[place] as Cluster) ?? Number.NaN;
}

function mustBeScore(plugin: SchedulerPlugin, score: unknown): void {
  if (typeof score !== "number" || !(score >= 0 && score <= SCORE_MAX))
    throw schedulerError(
      `plugin ${JSON.stringify(plugin.name)} must score from 0 to ${SCORE_MAX}, not ${describe(score)}`,
    );
}

/** Puts a plugin's normalised scores in the place of its raw ones. */
function normalise(
  plugin: SchedulerPlugin,
  pass: Pass,
  places: readonly number[],
  scores: Float64Array,
  ran: AlgorithmOptions["measure"],
): void {
  const { names } = pass.fleet;
  const raw = new Map(places.map((place, at) => [names[place] as string, scores[at] as number]));
  const startedMs = ran === undefined ? 0 : ran.nowMs();
  const normalised = plugin.normalizeScores?.(pass, raw);
  ran?.ran?.(plugin.name, "ScoreExtensionNormalize", ran.nowMs() - startedMs, "Success");
  for (const [at, place] of places.entries()) {
    const score = normalised?.get(names[place] as string);
    mustBeScore(plugin, score);
    scores[at] = score as number;
  }
}

/** The sum of all scores of each place in turn. */
export function scorePlaces(
  pass: Pass,
  places: readonly number[],
  { plugins, record, measure }: AlgorithmOptions,
): Float64Array {
  const totals = new Float64Array(places.length);
  const ran = measure?.ran === undefined ? undefined : measure;
  let current: SchedulerPlugin | undefined;
  try {
    for (const plugin of plugins) {
      if (plugin.score === undefined) continue;
      current = plugin;
      const prepared = scoresOf(plugin, pass);
      if (typeof prepared === "number" && ran === undefined) {
        record?.scored(plugin.name, prepared);
        if (prepared !== 0) for (let at = 0; at < totals.length; at++) totals[at] = (totals[at] as number) + prepared;
        continue;
      }
      const own = new Float64Array(places.length);
      for (let at = 0; at < places.length; at++) {
        const startedMs = ran === undefined ? 0 : ran.nowMs();
        const score: unknown = typeof prepared === "number" ? prepared : prepared(places[at] as number);
        ran?.ran?.(plugin.name, "Score", ran.nowMs() - startedMs, "Success");
        if (plugin.normalizeScores === undefined) mustBeScore(plugin, score);
        own[at] = score as number;
      }
      if (plugin.normalizeScores !== undefined) normalise(plugin, pass, places, own, ran);
      for (let at = 0; at < own.length; at++) totals[at] = (totals[at] as number) + (own[at] as number);
      record?.scored(plugin.name, own);
    }
  } catch (error) {
    throw failureOf(current, error);
  }
  return totals;
}

/** The clusters that pass every filter. Throws `NoClusterFit` when none does. */
export function feasibleClusters(input: SchedulingInput, options: AlgorithmOptions): readonly Cluster[] {
  const pass = passOf(input);
  return feasiblePlaces(pass, options).map((place) => pass.clusters[place] as Cluster);
}

/** The sum of all scores of each cluster in turn. */
export function scoreClusters(
  input: SchedulingInput,
  clusters: readonly Cluster[],
  options: AlgorithmOptions,
): readonly number[] {
  const pass = passOf({ ...input, clusters });
  const scores = scorePlaces(
    pass,
    pass.clusters.map((_, place) => place),
    options,
  );
  return clusters.map(({ metadata }) => scores[pass.fleet.placeOf(metadata.name ?? "") ?? -1] ?? 0);
}
