import type { Decision } from "./decision.ts";

/** Why bindings are where they are: the newest decision of each, for as many bindings as there is room. */
export interface DecisionLog {
  /** `kind/namespace/name`, or `kind/name` for cluster-scoped bindings. */
  get(bindingKey: string): Decision | undefined;
  keep(decision: Decision): void;
  forget(bindingKey: string): void;
  /** Newest last. */
  list(): readonly Decision[];
  readonly size: number;
}

const DECISIONS_MAX = 10_000;
/** Clusters described in all records together: what really takes memory. */
const DESCRIBED_MAX = 200_000;

function weightOf({ terms, result = [] }: Decision): number {
  return terms.reduce(
    (sum, { refused, candidates, selected }) => sum + refused.length + candidates.length + selected.length,
    1 + result.length,
  );
}

/** A log bounded by decisions and by what they describe; the oldest go first. */
export function createDecisionLog(decisionsMax = DECISIONS_MAX, describedMax = DESCRIBED_MAX): DecisionLog {
  const decisions = new Map<string, Decision>();
  let described = 0;
  const forget = (key: string): void => {
    const known = decisions.get(key);
    if (known === undefined) return;
    described -= weightOf(known);
    decisions.delete(key);
  };
  return {
    get: (key) => decisions.get(key),
    keep(decision) {
      forget(decision.binding);
      decisions.set(decision.binding, decision);
      described += weightOf(decision);
      for (const oldest of decisions.keys()) {
        if (decisions.size <= decisionsMax && described <= describedMax) break;
        if (oldest !== decision.binding) forget(oldest);
      }
    },
    forget,
    list: () => [...decisions.values()],
    get size() {
      return decisions.size;
    },
  };
}
