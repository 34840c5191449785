/** What benchmarks of whole fleets share: waiting, failing a member, and how far its workloads have come elsewhere. */
import { readFileSync } from "node:fs";
import { Cluster, ResourceBinding, Work } from "#apis/karmada";
import { Deployment } from "#apis/kubernetes";
import { seededRandom, systemClock } from "#base";
import { type Client, createClient } from "#client";
import { parseFlags } from "#config";
import { createLogger, type Fleet, startFleet } from "#controlplane";
import { aDeployment } from "#testing";

/** Looks every now and then: a look costs as much as there are workloads. */
export async function eventually(
  look: () => boolean | Promise<boolean>,
  limitMs: number,
  everyMs = LOOK_MS,
): Promise<void> {
  const endMs = performance.now() + limitMs;
  while (!(await look())) {
    if (performance.now() > endMs) throw new Error(`it never came true: ${look.toString()}`);
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}

export const LOOK_MS = 250;

/** A durable control plane in `folder` that evicts from what fails. Members stand for clusters elsewhere: their store costs nothing. */
export const startStormFleet = (folder: string, members: Parameters<typeof startFleet>[0]["members"]): Promise<Fleet> =>
  startFleet({
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
    membersInMemory: true,
    members,
  });

export async function taint(plane: Client, name: string): Promise<void> {
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

export async function countReady(plane: Client): Promise<number> {
  return (await plane.list(Deployment)).items.filter(
    ({ spec, status }) => (status?.readyReplicas ?? 0) >= (spec?.replicas ?? 1),
  ).length;
}

/** Bindings that name the dead cluster no more. */
export function countEvicted(fleet: Fleet, victim: string): number {
  return bindings(fleet)
    .list()
    .filter(({ spec }) => !(spec.clusters ?? []).some(({ name }) => name === victim)).length;
}

/** Bindings that are placed in full, with each of their Works applied. */
export function countApplied(fleet: Fleet, names: readonly string[], victim: string): number {
  const applied = new Set<string>();
  for (const name of names) {
    if (name === victim) continue;
    for (const { metadata, status } of works(fleet).list(`karmada-es-${name}`))
      if (status?.conditions?.some(({ type, status: is }) => type === "Applied" && is === "True"))
        applied.add(`${name}/${metadata.annotations?.["resourcebinding.karmada.io/name"] ?? ""}`);
  }
  return bindings(fleet)
    .list()
    .filter(({ metadata, spec }) => {
      const targets = spec.clusters ?? [];
      const placed = targets.reduce((sum, { replicas = 0 }) => sum + replicas, 0);
      return placed === spec.replicas && targets.every(({ name }) => applied.has(`${name}/${metadata.name}`));
    }).length;
}

/** Workloads that run in full where they are now. */
export async function countHealthy(fleet: Fleet, names: readonly string[], victim: string): Promise<number> {
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

const p99Of = (values: readonly number[]) => [...values].sort((a, b) => a - b)[Math.floor(values.length * 0.99)] ?? 0;

/** Asks the API server something small over and over, as a user would. */
export function startProbe(fleet: Fleet) {
  const client = createClient(fleet.controlPlane.transport);
  let latencies: number[] = [];
  let cpuTimes: number[] = [];
  let isStopped = false;
  const ask = async () => {
    while (!isStopped) {
      const startedMs = performance.now();
      const cpu = process.cpuUsage();
      // Through the event loop, as a request over the network comes: what keeps the loop busy counts.
      await new Promise((resolve) => setTimeout(resolve, 10));
      await client.find(Cluster, { name: "m2" });
      latencies.push(performance.now() - startedMs - 10);
      const { user, system } = process.cpuUsage(cpu);
      cpuTimes.push((user + system) / 1000);
    }
  };
  void ask();
  return {
    reset: () => {
      latencies = [];
      cpuTimes = [];
    },
    p99: () => p99Of(latencies),
    /** What this process computed while a request was under way: its latency on a machine that nobody else uses. */
    p99ByCpu: () => p99Of(cpuTimes),
    stop: () => {
      isStopped = true;
    },
  };
}

/** Memory of this process by the kernel's account: all of it, and its pages of mapped files, which it may drop at any time. */
export function residentMiB(of: "RSS" | "file" = "RSS"): number {
  const status = readFileSync("/proc/self/status", "utf8");
  const field = of === "RSS" ? /VmRSS:\s+(\d+) kB/ : /RssFile:\s+(\d+) kB/;
  return Number(field.exec(status)?.[1] ?? 0) / 1024;
}

/** Pods that ask for little, so that members hold them all. */
export function small(name: string, replicas: number, labels: Readonly<Record<string, string>> = {}): Deployment {
  const made = aDeployment(name, replicas);
  const own = { workload: name };
  return {
    ...made,
    metadata: { ...made.metadata, labels: { ...made.metadata.labels, ...labels } },
    spec: {
      ...made.spec,
      selector: { matchLabels: own },
      template: {
        metadata: { labels: own },
        spec: { containers: [{ name: "app", image: "nginx:1.29", resources: { requests: { cpu: "10m" } } }] },
      },
    },
  } as Deployment;
}
