/** What benchmarks of whole fleets share: waiting, failing a member, and how far its workloads have come elsewhere. */
import { readFileSync } from "node:fs";
import { Cluster, clusterOfExecutionNamespace, RESOURCE_BINDING_ID, ResourceBinding, Work } from "#apis/karmada";
import { Deployment } from "#apis/kubernetes";
import { seededRandom, systemClock } from "#base";
import { type Client, createClient } from "#client";
import { parseFlags } from "#config";
import { createLogger, type Fleet, startFleet } from "#controlplane";
import { keyOf } from "#machinery";
import { aDeployment } from "#testing";
import { percentile } from "./measure.ts";

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

/** How far workloads have come that leave a failed member. What has arrived once is not looked at again. */
export interface Moves {
  readonly total: number;
  /** Bindings that name the dead cluster no more. */
  evicted(): number;
  /** Bindings that are placed in full, with each of their Works applied. */
  applied(): number;
  /** Workloads that run in full where they are now. */
  healthy(): Promise<number>;
}

/** So many looks at members follow each other before others have a turn. */
const LOOKS = 25;

/** Follows what runs on `victim` at present; a look costs as much as is still on its way, and holds nobody up. */
export function followMoves(fleet: Fleet, victim: string): Moves {
  const isThere = ({ spec }: ResourceBinding) => (spec.clusters ?? []).some(({ name }) => name === victim);
  const keys = bindings(fleet).list().filter(isThere).map(keyOf);
  const [staying, coming, starting] = [new Set(keys), new Set(keys), new Set(keys)];
  const settle = (left: Set<string>, isDone: (binding: ResourceBinding) => boolean): number => {
    for (const key of left) {
      const binding = bindings(fleet).get(key);
      if (binding !== undefined && !isThere(binding) && isDone(binding)) left.delete(key);
    }
    return keys.length - left.size;
  };
  const isApplied = ({ metadata, spec }: ResourceBinding): boolean => {
    const targets = spec.clusters ?? [];
    if (targets.reduce((sum, { replicas = 0 }) => sum + replicas, 0) !== spec.replicas) return false;
    const applied = new Set(
      works(fleet)
        .byIndex("bindingId", metadata.labels?.[RESOURCE_BINDING_ID] ?? "")
        .filter(({ status }) => status?.conditions?.some(({ type, status: is }) => type === "Applied" && is === "True"))
        .map((work) => clusterOfExecutionNamespace(work.metadata.namespace)),
    );
    return targets.every(({ name }) => applied.has(name));
  };
  const clients = new Map([...fleet.members].map(([name, member]) => [name, createClient(member.transport)]));
  return {
    total: keys.length,
    evicted: () => settle(staying, () => true),
    applied: () => settle(coming, isApplied),
    async healthy() {
      let looks = 0;
      for (const key of starting) {
        if (coming.has(key)) continue;
        if (++looks % LOOKS === 0) await new Promise((resolve) => setImmediate(resolve));
        const { spec } = bindings(fleet).get(key) as ResourceBinding;
        const { namespace, name } = spec.resource;
        let ready = 0;
        for (const target of spec.clusters ?? [])
          ready += (await clients.get(target.name)?.find(Deployment, { namespace, name }))?.status?.readyReplicas ?? 0;
        if (ready >= (spec.replicas ?? 1)) starting.delete(key);
      }
      return keys.length - starting.size;
    },
  };
}

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
    p99: () => percentile(latencies, 0.99),
    /** What this process computed while a request was under way: its latency on a machine that nobody else uses. */
    p99ByCpu: () => percentile(cpuTimes, 0.99),
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
