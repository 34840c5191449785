import { Cluster, PropagationPolicy } from "#apis/karmada";
import { Deployment } from "#apis/kubernetes";
import { createClient } from "#client";
import type { Fleet } from "#controlplane";
import { aPropagationPolicy } from "#testing";
import {
  countReady,
  eventually,
  followMoves,
  residentMiB,
  small,
  startProbe,
  startStormFleet,
  taint,
} from "./fleet-watch.ts";
import { bySize, manyWriters, type Row } from "./measure.ts";

/** A fleet that stands for a while, and of which one member then fails. */
interface Size {
  readonly members: number;
  /** Of each member, in two classes. */
  readonly nodes: number;
  /** At home on each member. */
  readonly deployments: number;
  readonly replicas: number;
  readonly heldS: number;
}

/** `npm run bench -- fleet --size large`: upstream's published test bed, with nodes by classes and pods by counts. */
const SIZES: Readonly<Record<string, Size>> = {
  small: { members: 10, nodes: 500, deployments: 10, replicas: 200, heldS: 20 },
  medium: { members: 30, nodes: 5_000, deployments: 100, replicas: 200, heldS: 30 },
  large: { members: 100, nodes: 5_000, deployments: 100, replicas: 200, heldS: 600 },
};

const GOAL_MEMORY_MIB = 8_192;
const LOOK_MS = 2_000;
const PATIENCE_MS = 7_200_000;

export const fleet = bySize(SIZES, run);

const million = (count: number) => (count >= 1_000_000 ? `${count / 1_000_000} M` : String(count));

async function run(word: string, size: Size, folder: string): Promise<Row[]> {
  const names = Array.from({ length: size.members }, (_, at) => `m${at + 1}`);
  const total = size.members * size.deployments;
  const startedMs = performance.now();
  const running = await startStormFleet(
    folder,
    names.map((name, at) => ({
      name,
      region: `region-${at % 10}`,
      isSummarised: true,
      nodes: [
        { count: size.nodes / 2, cpu: "16", memory: "64Gi" },
        { count: size.nodes / 2, cpu: "64", memory: "256Gi", labels: { size: "large" } },
      ],
    })),
  );
  const probe = startProbe(running);
  const row = (measure: string, value: number, unit: string, goal?: number): Row => ({
    name: "fleet",
    measure,
    value,
    unit,
    ...(goal === undefined ? {} : { reference: `goal ${goal} ${unit}`, ratio: value / goal }),
  });
  try {
    const startS = (performance.now() - startedMs) / 1000;
    const emptyMiB = residentMiB();
    const fillS = await fill(running, names, size, total);
    probe.reset();
    const held = await hold(size.heldS);
    const heldP99 = probe.p99();
    probe.reset();
    const moved = await fail(running, names[0] as string);
    return [
      row(
        `${word}: ${size.members} members, ${million(size.members * size.nodes)} nodes, ${million(total * size.replicas)} pods: started`,
        startS,
        "s",
      ),
      row("  memory of the empty fleet", emptyMiB, "MiB"),
      row(`  all pods of ${total} Deployments ready`, fillS, "s"),
      row(`  held for ${size.heldS} s: most memory, control plane and members`, held.mostMiB, "MiB", GOAL_MEMORY_MIB),
      row("  – share of one core that was idle", held.idleShare * 100, "%"),
      row("  – API latency, p99", heldP99, "ms", 200),
      row(`  one member fails: all new copies of its ${size.deployments} Deployments applied`, moved.appliedS, "s", 60),
      row("  – all ready again", moved.readyS, "s", 90),
      row("  – API latency meanwhile, p99", probe.p99(), "ms", 200),
      row("  – memory then", residentMiB(), "MiB", GOAL_MEMORY_MIB),
    ];
  } finally {
    probe.stop();
    await running.stop();
  }
}

/** Every member's own workloads, with the whole fleet to fall back to; gives the seconds until all run. */
async function fill(running: Fleet, names: readonly string[], size: Size, total: number): Promise<number> {
  const plane = createClient(running.controlPlane.transport);
  await eventually(
    async () => (await plane.list(Cluster)).items.every(({ status }) => status?.resourceSummary !== undefined),
    PATIENCE_MS,
  );
  const startedMs = performance.now();
  for (const home of names) {
    const policy = aPropagationPolicy(`of-${home}`, {
      clusterAffinities: [
        { affinityName: "home", clusterNames: [home] },
        { affinityName: "anywhere", exclude: [home] },
      ],
      replicaScheduling: { replicaSchedulingType: "Divided", replicaDivisionPreference: "Aggregated" },
    });
    const resourceSelectors = [{ apiVersion: "apps/v1", kind: "Deployment", labelSelector: { matchLabels: { home } } }];
    await plane.create(PropagationPolicy, { ...policy, spec: { ...policy.spec, resourceSelectors } });
  }
  await manyWriters(
    (n) => plane.create(Deployment, small(`app-${n}`, size.replicas, { home: names[n % names.length] as string })),
    total,
  );
  await eventually(async () => (await countReady(plane)) === total, PATIENCE_MS, LOOK_MS);
  return (performance.now() - startedMs) / 1000;
}

async function hold(heldS: number): Promise<{ readonly mostMiB: number; readonly idleShare: number }> {
  let mostMiB = 0;
  const startedMs = performance.now();
  const cpu = process.cpuUsage();
  while (performance.now() - startedMs < heldS * 1000) {
    mostMiB = Math.max(mostMiB, residentMiB());
    await new Promise((resolve) => setTimeout(resolve, 1_000));
  }
  const { user, system } = process.cpuUsage(cpu);
  return { mostMiB, idleShare: Math.max(0, 1 - (user + system) / 1000 / (performance.now() - startedMs)) };
}

/** Lets a member die; gives the seconds until its workloads are applied and run elsewhere. */
async function fail(running: Fleet, victim: string) {
  const moves = followMoves(running, victim);
  await taint(createClient(running.controlPlane.transport), victim);
  const startedMs = performance.now();
  running.members.get(victim)?.setFaults({ isDown: true });
  await eventually(() => moves.evicted() === moves.total && moves.applied() === moves.total, PATIENCE_MS);
  const appliedS = (performance.now() - startedMs) / 1000;
  await eventually(async () => (await moves.healthy()) === moves.total, PATIENCE_MS, LOOK_MS);
  return { appliedS, readyS: (performance.now() - startedMs) / 1000 };
}
