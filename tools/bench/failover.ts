import { join } from "node:path";
import { readFileSync } from "node:fs";
import { Deployment } from "#apis/kubernetes";
import { Cluster, PropagationPolicy, ResourceBinding, Work } from "#apis/karmada";
import { seededRandom, systemClock } from "#base";
import { type Client, createClient } from "#client";
import { parseFlags } from "#config";
import { createLogger, type Fleet, startFleet } from "#controlplane";
import { aDeployment, aPropagationPolicy } from "#testing";
import { type Bench, manyWriters, type Row } from "./measure.ts";

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

/** Looks every now and then: a look costs as much as there are workloads. */
async function eventually(look: () => boolean | Promise<boolean>, limitMs: number): Promise<void> {
  const endMs = performance.now() + limitMs;
  while (!(await look())) {
    if (performance.now() > endMs) throw new Error(`it never came true: ${look.toString()}`);
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

const LOOK_MS = 250;
const GOAL_APPLIED_S = 60;
const GOAL_READY_S = 90;

/** A member with thousands of pods dies: how long until all its workloads stand, and run, elsewhere. */
export const failover: Bench = async ({ scratch, words }) => {
  const rows: Row[] = [];
  for (const word of words.length === 0 ? ["small"] : words) {
    const storm = SIZES[word];
    if (storm === undefined) throw new Error(`no such size: ${word}; there are ${Object.keys(SIZES).join(", ")}`);
    rows.push(...(await run(word, storm, join(scratch, word))));
  }
  return rows;
};

async function run(size: string, storm: Storm, folder: string): Promise<Row[]> {
  const names = Array.from({ length: storm.members }, (_, at) => `m${at + 1}`);
  const victim = names[0] as string;
  const fleet = await startFleet({
    config: parseFlags([
      `--data-dir=${folder}`,
      "--secure-port=0",
      "--feature-gates=Failover=true",
      "--enable-no-execute-taint-eviction=true",
      "--allow-no-execute-taint-policy=true",
    ]),
    clock: systemClock,
    random: seededRandom(1),
    log: createLogger("silent"),
    members: names.map((name) => ({
      name,
      region: "local",
      nodes: [{ count: storm.nodes, cpu: "64", memory: "256Gi" }],
    })),
  });
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
    const cpuBefore = process.cpuUsage();
    probe.reset();
    await taint(plane, victim);
    const startedMs = performance.now();
    fleet.members.get(victim)?.setFaults({ isDown: true });
    await eventually(() => isEvicted(fleet, total, victim), 3_600_000);
    const evictedS = (performance.now() - startedMs) / 1000;
    await eventually(() => isApplied(fleet, total, names, victim), 3_600_000);
    const appliedS = (performance.now() - startedMs) / 1000;
    await eventually(async () => (await countHealthy(fleet, names, victim)) === total, 3_600_000);
    const readyS = (performance.now() - startedMs) / 1000;
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
      row(`${what}: all evicted`, evictedS, "s"),
      row("  all new copies applied", appliedS, "s", GOAL_APPLIED_S),
      row("  all pods ready", readyS, "s", GOAL_READY_S),
      row("  CPU time for each binding", (cpu.user + cpu.system) / 1000 / total, "ms"),
      row("  API latency meanwhile, p99", probe.p99(), "ms", 200),
      row("  memory, control plane and members", residentMiB(), "MiB", 2_048),
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

/** Pods that ask for little, so that members hold them all. */
function small(name: string, replicas: number): Deployment {
  const made = aDeployment(name, replicas);
  const labels = { workload: name };
  return {
    ...made,
    spec: {
      ...made.spec,
      selector: { matchLabels: labels },
      template: {
        metadata: { labels },
        spec: { containers: [{ name: "app", image: "nginx:1.29", resources: { requests: { cpu: "10m" } } }] },
      },
    },
  } as Deployment;
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

async function taint(plane: Client, name: string): Promise<void> {
  for (;;)
    try {
      const cluster = await plane.get(Cluster, { name });
      const taints = [{ key: "example.com/dead", effect: "NoExecute" }];
      await plane.update(Cluster, { ...cluster, spec: { ...cluster.spec, taints } } as Cluster);
      return;
    } catch (error) {
      if (!/modified/.test(String(error))) throw error;
    }
}

const bindings = (fleet: Fleet) => fleet.controlPlane.manager.informers.of(ResourceBinding);
const works = (fleet: Fleet) => fleet.controlPlane.manager.informers.of(Work);

async function countReady(plane: Client): Promise<number> {
  return (await plane.list(Deployment)).items.filter(
    ({ spec, status }) => (status?.readyReplicas ?? 0) >= (spec?.replicas ?? 1),
  ).length;
}

function isEvicted(fleet: Fleet, total: number, victim: string): boolean {
  const all = bindings(fleet).list();
  return all.length === total && all.every(({ spec }) => !(spec.clusters ?? []).some(({ name }) => name === victim));
}

/** Every binding is placed in full, and each of its Works is applied. */
function isApplied(fleet: Fleet, total: number, names: readonly string[], victim: string): boolean {
  const applied = new Set<string>();
  for (const name of names) {
    if (name === victim) continue;
    for (const { metadata, status } of works(fleet).list(`karmada-es-${name}`))
      if (status?.conditions?.some(({ type, status: is }) => type === "Applied" && is === "True"))
        applied.add(`${name}/${metadata.annotations?.["resourcebinding.karmada.io/name"] ?? ""}`);
  }
  const all = bindings(fleet).list();
  return (
    all.length === total &&
    all.every(({ metadata, spec }) => {
      const targets = spec.clusters ?? [];
      const placed = targets.reduce((sum, { replicas = 0 }) => sum + replicas, 0);
      return placed === spec.replicas && targets.every(({ name }) => applied.has(`${name}/${metadata.name}`));
    })
  );
}

/** Workloads that run in full where they are now. */
async function countHealthy(fleet: Fleet, names: readonly string[], victim: string): Promise<number> {
  const ready = new Map<string, number>();
  for (const name of names) {
    if (name === victim) continue;
    const { items } = await createClient(fleet.members.get(name)?.transport as never).list(Deployment, {
      namespace: "default",
    });
    for (const { metadata, status } of items)
      ready.set(metadata.name ?? "", (ready.get(metadata.name ?? "") ?? 0) + (status?.readyReplicas ?? 0));
  }
  return bindings(fleet)
    .list()
    .filter(({ spec }) => (ready.get(spec.resource.name) ?? 0) >= (spec.replicas ?? 1)).length;
}

/** Asks the API server something small over and over, as a user would. */
function startProbe(fleet: Fleet) {
  const client = createClient(fleet.controlPlane.transport);
  let latencies: number[] = [];
  let isStopped = false;
  const ask = async () => {
    while (!isStopped) {
      const startedMs = performance.now();
      // Through the event loop, as a request over the network comes: what keeps the loop busy counts.
      await new Promise((resolve) => setTimeout(resolve, 10));
      await client.find(Cluster, { name: "m2" });
      latencies.push(performance.now() - startedMs - 10);
    }
  };
  void ask();
  return {
    reset: () => {
      latencies = [];
    },
    p99: () => [...latencies].sort((a, b) => a - b)[Math.floor(latencies.length * 0.99)] ?? 0,
    stop: () => {
      isStopped = true;
    },
  };
}

const residentMiB = () => Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? 0) / 1024;
