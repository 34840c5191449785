import type { TargetCluster } from "#apis/karmada";
import type { Candidate } from "./candidates.ts";
import type { RegionScore } from "./select.ts";

/** How replicas were divided: all anew, only those missing, all over what is there, or not at all. */
export type DivisionMode = "duplicated" | "static" | "fresh" | "scale-up" | "scale-down" | "steady";

/** A cluster that may be used, with what spoke for it. */
export interface DecidedCandidate {
  readonly cluster: string;
  /** By plugin. */
  readonly scores: Readonly<Record<string, number>>;
  readonly score: number;
  /** Replicas (or component sets) it has room for, by estimator; −1 is "does not know". */
  readonly estimates: Readonly<Record<string, number>>;
  readonly allocatable: number;
  readonly available: number;
  /** Overflow tier; 0 is the term's own affinity. */
  readonly overflowOrder: number;
}

/** How replicas were divided, once a tier. */
export interface Division {
  readonly mode: DivisionMode;
  readonly replicas: number;
  readonly weights: readonly { readonly name: string; readonly weight: number }[];
}

/** One run of the algorithm: one affinity term, or the single affinity. */
export interface TermDecision {
  readonly affinityName?: string;
  readonly refused: readonly { readonly cluster: string; readonly plugin: string; readonly reason: string }[];
  readonly candidates: readonly DecidedCandidate[];
  /** Clusters left out of the lists above to keep the record small. */
  readonly omitted?: number;
  /** Estimators that failed as a whole, with their error. */
  readonly failedEstimators?: Readonly<Record<string, string>>;
  readonly regions?: readonly RegionScore[];
  readonly selected: readonly string[];
  readonly divisions?: readonly Division[];
  readonly result?: readonly TargetCluster[];
  readonly error?: string;
}

export type ScheduleCause = "placement" | "replicas" | "trigger" | "always" | "terminating";

/** Why a binding is where it is: what one pass looked at and what came of it. */
export interface Decision {
  /** `ResourceBinding/<namespace>/<name>` or `ClusterResourceBinding/<name>`. */
  readonly binding: string;
  readonly time: string;
  readonly generation: number;
  readonly cause: ScheduleCause;
  /** Clusters known at the time, those on their way out included. */
  readonly clusters: number;
  readonly terms: readonly TermDecision[];
  readonly result?: readonly TargetCluster[];
  readonly reason?: string;
  readonly error?: string;
}

/** Told what one run of the algorithm sees. Every call must be cheap: decisions are made by the thousand. */
export interface TermRecorder {
  refused(cluster: string, plugin: string, reason: string): void;
  /** A plugin's score of each candidate in turn, or of all of them. */
  scored(plugin: string, scores: ArrayLike<number> | number): void;
  /** An estimator's answers, of each candidate in turn or by name, or why it gave none. */
  estimated(estimator: string, answers: ReadonlyMap<string, number> | Float64Array | string): void;
  candidates(candidates: readonly Candidate[]): void;
  selected(candidates: readonly Candidate[], regions: readonly RegionScore[] | undefined): void;
  divided(
    mode: DivisionMode,
    replicas: number,
    weights: readonly { readonly name: string; readonly weight: number }[],
  ): void;
}

/** Clusters described one by one in each list of a record. */
const DESCRIBED_MAX = 100;

/** Collects one run and makes its record. */
export function recordTerm(
  affinityName: string | undefined,
): TermRecorder & { finish(end: Pick<TermDecision, "result" | "error">): TermDecision } {
  const refused: { cluster: string; plugin: string; reason: string }[] = [];
  const scores: { readonly plugin: string; readonly of: ArrayLike<number> | number }[] = [];
  const estimates: { readonly name: string; readonly answers: ReadonlyMap<string, number> | Float64Array }[] = [];
  const failed: Record<string, string> = {};
  const divisions: Division[] = [];
  let refusals = 0;
  let candidates: readonly Candidate[] = [];
  let selected: readonly string[] = [];
  let regions: readonly RegionScore[] | undefined;
  return {
    refused(cluster, plugin, reason) {
      if (refusals++ < DESCRIBED_MAX) refused.push({ cluster, plugin, reason });
    },
    scored(plugin, of) {
      scores.push({ plugin, of });
    },
    estimated(name, answers) {
      if (typeof answers === "string") failed[name] = answers;
      else estimates.push({ name, answers });
    },
    candidates(found) {
      candidates = found;
    },
    selected(chosen, found) {
      selected = chosen.map(({ name }) => name);
      regions = found;
    },
    divided(mode, replicas, weights) {
      divisions.push({ mode, replicas, weights: weights.slice(0, DESCRIBED_MAX) });
    },
    finish(end) {
      // Made for every decision: plain loops, and nothing kept of the clusters themselves, which would outlive them here.
      const described: DecidedCandidate[] = [];
      for (let at = 0; at < candidates.length && at < DESCRIBED_MAX; at++) {
        const { name, score, allocatable, available, overflowOrder } = candidates[at] as Candidate;
        const answers: Record<string, number> = {};
        for (const estimate of estimates) {
          const answer =
            estimate.answers instanceof Map ? estimate.answers.get(name) : (estimate.answers as Float64Array)[at];
          if (answer !== undefined) answers[estimate.name] = answer;
        }
        const own: Record<string, number> = {};
        for (const { plugin, of } of scores) own[plugin] = typeof of === "number" ? of : (of[at] as number);
        described.push({
          cluster: name,
          scores: own,
          score,
          estimates: answers,
          allocatable,
          available,
          overflowOrder,
        });
      }
      const omitted = Math.max(0, refusals - DESCRIBED_MAX) + Math.max(0, candidates.length - DESCRIBED_MAX);
      return {
        ...(affinityName === undefined ? {} : { affinityName }),
        refused,
        candidates: described,
        ...(omitted === 0 ? {} : { omitted }),
        ...(Object.keys(failed).length === 0 ? {} : { failedEstimators: failed }),
        ...(regions === undefined ? {} : { regions }),
        selected,
        ...(divisions.length === 0 ? {} : { divisions }),
        ...end,
      };
    },
  };
}
