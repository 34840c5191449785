import type { Candidate } from "./candidates.ts";
import type { Decision, DecisionRecorder } from "./schedule.ts";
import type { RegionScore } from "./select.ts";

/** Why bindings are where they are: the newest decision of each, for as many bindings as there is room. */
export interface DecisionLog {
  get(bindingKey: string): Decision | undefined;
  /** A recorder of one pass; `finish` keeps what it saw. */
  begin(bindingKey: string): DecisionRecorder & { finish(end: Pick<Decision, "result" | "error">): void };
}

const DECISIONS_MAX = 10_000;
/** Clusters whose refusal is kept a decision; beyond it the count in the message must do. */
const REFUSALS_MAX = 200;

export function createDecisionLog(size = DECISIONS_MAX): DecisionLog {
  const decisions = new Map<string, Decision>();
  return {
    get: (bindingKey) => decisions.get(bindingKey),
    begin(bindingKey) {
      const refused: Record<string, { plugin: string; reason: string }> = {};
      const scores = new Map<string, Record<string, number>>();
      let refusals = 0;
      let candidates: readonly Candidate[] = [];
      let selected: readonly Candidate[] = [];
      let regions: readonly RegionScore[] | undefined;
      return {
        refused(cluster, plugin, reason) {
          if (refusals++ < REFUSALS_MAX) refused[cluster] = { plugin, reason };
        },
        scored(cluster, plugin, score) {
          const own = scores.get(cluster);
          if (own === undefined) scores.set(cluster, { [plugin]: score });
          else own[plugin] = score;
        },
        candidates(found) {
          candidates = found;
        },
        selected(chosen, found) {
          selected = chosen;
          regions = found;
        },
        finish(end) {
          decisions.delete(bindingKey);
          if (decisions.size >= size) for (const oldest of decisions.keys()) {
            decisions.delete(oldest);
            break;
          }
          decisions.set(bindingKey, {
            refused,
            candidates: candidates.map(({ name, score, allocatable, available }) => ({ cluster: name, scores: scores.get(name) ?? {}, score, allocatable, available })),
            ...(regions === undefined ? {} : { regions }),
            selected: selected.map(({ name }) => name),
            ...end,
          });
        },
      };
    },
  };
}
