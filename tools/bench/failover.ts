import { Deployment } from "#apis/kubernetes";
import { Cluster, PropagationPolicy, ResourceBinding } from "#apis/karmada";
import { type Client, createClient } from "#client";
import { aPropagationPolicy } from "#testing";
import {
  countReady,
  eventually,
  followMoves,
  LOOK_MS,
  residentMiB,
  small,
  startProbe,
  startStormFleet,
  taint,
} from "./fleet-watch.ts";
import { bySize, manyWriters, type Row } from "./measure.ts";

/** One storm: workloads on one member, which dies. */
interface Storm {
  readonly members: number;
  readonly nodes: number;
  /** Deployments by their replicas. */
  readonly workloads: readonly { readonly count: number; readonly replicas: number }[];
}

/** `npm run bench -- failover --size small` for a machine that is shared; `large` is what the goals are about. */
const SIZES: Readonly<Record<string, Storm>> = {
  small: {
    members: 3,
    nodes: 100,
    workloads: [
      { count: 200, replicas: 10 },
      { count: 20, replicas: 100 },
    ],
  },
  medium: {
    members: 5,
    nodes: 500,
    workloads: [
      { count: 1_000, replicas: 10 },
      { count: 100, replicas: 100 },
    ],
  },
  large: { members: 5, nodes: 2_000, workloads: [{ count: 4_000, replicas: 10 }] },
  wide: { members: 5, nodes: 2_000, workloads: [{ count: 400, replicas: 100 }] },
  bindings: { members: 20, nodes: 50, workloads: [{ count: 5_000, replicas: 1 }] },
};

const MANY = 2_000;
const GOAL_APPLIED_S = 60;
const GOAL_READY_S = 90;

/** A member with thousands of pods dies: how long until all its workloads stand, and run, elsewhere. */
export const failover = bySize(SIZES, run);

async function run(size: string, storm: Storm, folder: string): Promise<Row[]> {
  const names = Array.from({ length: storm.members }, (_, at) => `m${at + 1}`);
  const victim = names[0] as string;
  const fleet = await startStormFleet(
    folder,
    names.map((name) => ({
      name,
      region: "local",
      nodes: [{ count: storm.nodes, cpu: "64", memory: "256Gi" }],
    })),
  );
  const probe = startProbe(fleet);
  try {
    const plane = createClient(fleet.controlPlane.transport);
    await eventually(
      async () => (await plane.list(Cluster)).items.every(({ status }) => status?.resourceSummary !== undefined),
      600_000,
    );
    const total = storm.workloads.reduce((sum, { count }) => sum + count, 0);
    const pods = storm.workloads.reduce((sum, { count, replicas }) => sum + count * replicas, 0);
    await fill(plane, storm, victim, total);
    await eventually(async () => (await countReady(plane)) === total, 3_600_000);
    await widen(plane, names);
    const moves = followMoves(fleet, victim);
    const cpuBefore = process.cpuUsage();
    probe.reset();
    await taint(plane, victim);
    const startedMs = performance.now();
    fleet.members.get(victim)?.setFaults({ isDown: true });
    // A look at thousands of objects takes its time from what is looked at.
    const lookMs = total > MANY ? 1_000 : LOOK_MS;
    const curve: (readonly [seconds: number, evicted: number, applied: number, ready: number])[] = [];
    const since = (at: 1 | 2 | 3) => curve.find((moment) => moment[at] === total)?.[0] ?? Number.NaN;
    await eventually(
      async () => {
        const [evicted, applied] = [moves.evicted(), moves.applied()];
        const ready = await moves.healthy();
        curve.push([(performance.now() - startedMs) / 1000, evicted, applied, ready]);
        return [evicted, applied, ready].every((count) => count === total);
      },
      3_600_000,
      lookMs,
    );
    const [evictedS, appliedS, readyS] = [since(1), since(2), since(3)];
    const cpu = process.cpuUsage(cpuBefore);
    const what = `${size}: ${pods} pods of ${total} Deployments leave a member of ${storm.nodes} nodes`;
    const row = (measure: string, value: number, unit: string, goal?: number): Row => ({
      name: "failover",
      measure,
      value,
      unit,
      ...(goal === undefined ? {} : { reference: `goal ${goal} ${unit}`, ratio: value / goal }),
    });
    return [
      { ...row(`${what}: all evicted`, evictedS, "s"), curve },
      row("  all new copies applied", appliedS, "s", GOAL_APPLIED_S),
      row("  all pods ready", readyS, "s", GOAL_READY_S),
      row("  CPU time for each binding", (cpu.user + cpu.system) / 1000 / total, "ms"),
      row("  API latency meanwhile, p99", probe.p99(), "ms", 200),
      row("  – by CPU time spent while a request was under way, p99", probe.p99ByCpu(), "ms", 200),
      row("  memory, control plane and members", residentMiB(), "MiB", 2_048),
      row("  – of it, pages of the stores' mapped files", residentMiB("file"), "MiB"),
    ];
  } finally {
    probe.stop();
    await fleet.stop();
  }
}

/** All workloads on one member. */
async function fill(plane: Client, storm: Storm, victim: string, total: number): Promise<void> {
  await plane.create(
    PropagationPolicy,
    aPropagationPolicy("all", {
      clusterAffinity: { clusterNames: [victim] },
      replicaScheduling: { replicaSchedulingType: "Divided", replicaDivisionPreference: "Aggregated" },
    }),
  );
  const sizes = storm.workloads.flatMap(({ count, replicas }) => Array.from({ length: count }, () => replicas));
  await manyWriters((n) => plane.create(Deployment, small(`app-${n}`, sizes[n] ?? 1)), total);
}

/** Lets them run anywhere from now on; they stay where they are. */
async function widen(plane: Client, names: readonly string[]): Promise<void> {
  const policy = await plane.get(PropagationPolicy, { namespace: "default", name: "all" });
  await plane.update(PropagationPolicy, {
    ...policy,
    spec: { ...policy.spec, placement: { ...policy.spec.placement, clusterAffinity: { clusterNames: names } } },
  } as PropagationPolicy);
  await eventually(
    async () =>
      (await plane.list(ResourceBinding)).items.every(
        ({ metadata, status, spec }) =>
          spec.placement?.clusterAffinity?.clusterNames?.length === names.length &&
          status?.schedulerObservedGeneration === metadata.generation,
      ),
    3_600_000,
  );
}
