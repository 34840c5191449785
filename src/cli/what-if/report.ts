import type { TargetCluster } from "#apis/karmada";
import type { SimulatedBinding, Simulation } from "#scheduler";
import { formatTable } from "../table.ts";

const shown = (targets: readonly TargetCluster[]): string =>
  targets.length === 0 ? "-" : targets.map(({ name, replicas = 0 }) => `${name}:${replicas}`).join(",");

/** Where a workload runs, and where it would. */
export type Placed = Pick<SimulatedBinding, "before" | "after">;

/** Replicas on each cluster before and after. */
function totals(clusters: readonly string[], bindings: readonly Placed[]): readonly (readonly string[])[] {
  const count = (which: "before" | "after") => {
    const sums = new Map<string, number>();
    for (const binding of bindings)
      for (const { name, replicas = 0 } of binding[which]) sums.set(name, (sums.get(name) ?? 0) + replicas);
    return sums;
  };
  const [before, after] = [count("before"), count("after")];
  const present = new Set(clusters);
  return [...new Set([...clusters, ...before.keys(), ...after.keys()])]
    .sort()
    .map((name) => [
      name,
      String(before.get(name) ?? 0),
      present.has(name) ? String(after.get(name) ?? 0) : "(removed)",
    ]);
}

const OUTCOMES: Readonly<Record<SimulatedBinding["outcome"], string>> = {
  changed: "would change",
  unchanged: "would stay",
  failed: "would not fit",
  held: "held",
};

/**
 * A simulation as a table for people; only what changes or fails unless `isComplete`. `all` is what runs on the clusters,
 * where that is more than what was simulated.
 */
export function simulationTable(
  simulation: Simulation,
  unclaimed: readonly string[],
  isComplete: boolean,
  all: readonly Placed[] = simulation.bindings,
): string {
  const { bindings, clusters } = simulation;
  const rows = bindings
    .filter(({ outcome }) => isComplete || outcome === "changed" || outcome === "failed")
    .map(({ resource, before, after, outcome, message }) => [
      resource,
      shown(before),
      shown(after),
      OUTCOMES[outcome],
      message ?? "",
    ]);
  const parts: string[] = [];
  if (rows.length > 0) parts.push(formatTable(["WORKLOAD", "NOW", "THEN", "OUTCOME", ""], rows));
  parts.push(formatTable(["CLUSTER", "REPLICAS NOW", "THEN"], totals(clusters, all)));
  const count = (outcome: SimulatedBinding["outcome"]) => bindings.filter((one) => one.outcome === outcome).length;
  const counted = (["changed", "unchanged", "failed", "held"] as const)
    .filter((outcome) => count(outcome) > 0 || outcome === "changed")
    .map((outcome) => `${count(outcome)} ${OUTCOMES[outcome]}`);
  parts.push(
    `${bindings.length} workload${bindings.length === 1 ? "" : "s"}: ${counted.join(", ")}. Nothing was changed.\n`,
  );
  for (const one of unclaimed) parts.push(`no policy selects ${one}: it would be placed nowhere\n`);
  return parts.join("\n");
}
