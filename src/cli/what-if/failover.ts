import {
  type AnyBinding,
  APPLIED_PLACEMENT,
  type Cluster,
  type ClusterTaintPolicy,
  type Placement,
  TAINT_NOT_READY,
} from "#apis/karmada";
import { tolerates } from "#machinery";
import type { Simulation } from "#scheduler";
import { type Placed, simulationTable } from "./report.ts";
import type { Simulate } from "./scheduler-flags.ts";

/** What is known of the control plane's settings; the defaults are those of `flotilla server`. */
export interface FailoverSettings {
  /** The scheduler that places anew what moves. */
  readonly simulate: Simulate;
  /** Evictions a second, all workers together. */
  readonly evictionsPerSecond: number;
  readonly brakeShare: number;
}

/** What the loss of clusters would do. */
export interface FailoverForecast {
  readonly failed: readonly string[];
  /** What would be placed anew, and what would fit nowhere; only workloads that leave a failed cluster. */
  readonly simulation: Simulation;
  /** Everything that runs in the fleet, and where it would. */
  readonly placed: readonly Placed[];
  /** Workloads that tolerate the outage for ever and stay where they are. */
  readonly staying: readonly string[];
  /** Seconds until the first and the last workload leave, from the moment the NoExecute taint is there. */
  readonly firstSeconds: number;
  readonly lastSeconds: number;
  /** Whether so many clusters would fail that evictions are held. */
  readonly isHeld: boolean;
}

const TAINT = { key: TAINT_NOT_READY, effect: "NoExecute" };

const describe = ({ spec }: AnyBinding) =>
  `${spec.resource.kind} ${spec.resource.namespace ? `${spec.resource.namespace}/` : ""}${spec.resource.name}`;

function placementOf(binding: AnyBinding): Placement | undefined {
  try {
    return JSON.parse(binding.metadata.annotations?.[APPLIED_PLACEMENT] ?? "") as Placement;
  } catch {
    return binding.spec.placement as Placement | undefined;
  }
}

/** Seconds for which a binding tolerates a cluster that is not ready; infinite where it always does. */
function toleratedSeconds(binding: AnyBinding): number {
  const match = (placementOf(binding)?.clusterTolerations ?? []).find((toleration) => tolerates(toleration, TAINT));
  if (match === undefined) return 0;
  return match.tolerationSeconds === undefined ? Number.POSITIVE_INFINITY : Math.max(0, match.tolerationSeconds);
}

/** Foretells a failover by the scheduler's own code. It changes nothing. */
export async function forecastFailover(
  fleet: { readonly clusters: readonly Cluster[]; readonly bindings: readonly AnyBinding[] },
  failed: readonly string[],
  settings: FailoverSettings,
): Promise<FailoverForecast> {
  for (const name of failed)
    if (!fleet.clusters.some(({ metadata }) => metadata.name === name))
      throw new Error(`there is no cluster ${JSON.stringify(name)}`);
  const gone = new Set(failed);
  const hit = fleet.bindings.filter(({ spec }) => (spec.clusters ?? []).some(({ name }) => gone.has(name)));
  const staying = hit.filter((binding) => toleratedSeconds(binding) === Number.POSITIVE_INFINITY);
  const moving = hit.filter((binding) => !staying.includes(binding));
  const keys = new Set(moving.map(keyOf));
  const whole = await settings.simulate(
    { clusters: fleet.clusters, bindings: fleet.bindings.filter((binding) => !staying.includes(binding)) },
    { removeClusters: failed },
  );
  const simulation = { ...whole, bindings: whole.bindings.filter(({ binding }) => keys.has(binding)) };
  const waits = moving.map(toleratedSeconds).sort((left, right) => left - right);
  // The n-th in line has waited out its toleration and n turns.
  const pause = settings.evictionsPerSecond > 0 ? 1 / settings.evictionsPerSecond : Number.POSITIVE_INFINITY;
  let atSeconds = 0;
  const leaves = waits.map((wait) => {
    const leaveSeconds = Math.max(atSeconds, wait);
    atSeconds = leaveSeconds + pause;
    return leaveSeconds;
  });
  const stays = staying.map(({ spec: { clusters = [] } }) => ({ before: clusters, after: clusters }));
  return {
    failed,
    simulation,
    placed: [...whole.bindings, ...stays],
    staying: staying.map(describe),
    firstSeconds: leaves[0] ?? 0,
    lastSeconds: leaves.at(-1) ?? 0,
    isHeld: fleet.clusters.length > 0 && gone.size / fleet.clusters.length > settings.brakeShare,
  };
}

function keyOf(binding: AnyBinding): string {
  const { namespace, name } = binding.metadata;
  return namespace === undefined ? `${binding.kind}/${name}` : `${binding.kind}/${namespace}/${name}`;
}

const seconds = (value: number) =>
  Number.isFinite(value) ? (value < 120 ? `${Math.ceil(value)} s` : `${Math.ceil(value / 60)} min`) : "never";

/** Whether a policy taints clusters that fail so that workloads leave them. */
export function meansOutages({ spec }: ClusterTaintPolicy): boolean {
  return (
    spec.taints.some(({ effect }) => effect === "NoExecute") &&
    (spec.addOnConditions ?? []).some(({ conditionType }) => conditionType === "Ready")
  );
}

/** A forecast in words, for people. */
export function forecastText(forecast: FailoverForecast): string {
  const { failed, simulation, placed, staying, firstSeconds, lastSeconds, isHeld } = forecast;
  const parts = [simulationTable(simulation, [], false, placed).replace(" Nothing was changed.", "")];
  for (const workload of staying) parts.push(`${workload} tolerates the outage and stays where it is\n`);
  if (isHeld)
    parts.push(
      "So many clusters at once would hold all evictions until they are back or released: flotilla release evictions CLUSTER.\n",
    );
  if (simulation.bindings.length > 0)
    parts.push(
      `${isHeld ? "Once released, with" : "With"} the NoExecute taint on ${failed.join(", ")}, the first workload leaves after ${seconds(firstSeconds)} and the last after ${seconds(lastSeconds)}. Old copies go when the new ones are healthy, at the latest after their grace period.\n`,
    );
  parts.push("Nothing was changed.\n");
  return parts.join("");
}
