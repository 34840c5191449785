/**
 * Measures: `npm run bench [-- NAME…] [--json FILE]`. Each row stands beside a reference measured in the same run; the
 * ratio counts, absolute times belong to the machine. A benchmark is never a timed test.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Deployment } from "#apis/kubernetes";
import { PropagationPolicy, type Cluster, type ResourceBindingSpec } from "#apis/karmada";
import { seededRandom, systemClock } from "#base";
import { createClient, createHttpTransport } from "#client";
import { parseFlags } from "#config";
import { createLogger, startFleet } from "#controlplane";
import { parseKubeconfig, resolveContext } from "#certs";
import { builtinPlugins, schedule } from "#scheduler";
import { createMemoryBackend, openFileBackend } from "#store";
import { aDeployment, aPropagationPolicy, eventually } from "#testing";

interface Row {
  readonly name: string;
  readonly measure: string;
  readonly value: number;
  readonly unit: string;
  readonly reference?: string;
  readonly ratio?: number;
}

const scratch = mkdtempSync(join(tmpdir(), "flotilla-bench-"));
const perSecond = (count: number, startedMs: number) => count / ((performance.now() - startedMs) / 1000);

async function manyWriters(write: (number: number) => Promise<unknown>, count: number, writers = 32): Promise<number> {
  let next = 0;
  const startedMs = performance.now();
  await Promise.all(
    Array.from({ length: writers }, async () => {
      while (next < count) await write(next++);
    }),
  );
  return perSecond(count, startedMs);
}

const benches: Readonly<Record<string, () => Promise<Row[]>>> = {
  async store() {
    const value = Buffer.alloc(1024, 1);
    const memory = createMemoryBackend();
    const file = openFileBackend(join(scratch, "store"));
    const inMemory = await manyWriters(
      (n) => memory.txn([{ type: "put", key: `/b/${n}`, value, expected: 0 }]),
      50_000,
    );
    const onDisk = await manyWriters((n) => file.txn([{ type: "put", key: `/b/${n}`, value, expected: 0 }]), 20_000);
    await file.close();
    return [
      {
        name: "store",
        measure: "durable 1 KiB writes, 32 writers",
        value: onDisk,
        unit: "/s",
        reference: `memory driver ${Math.round(inMemory)}/s`,
        ratio: onDisk / inMemory,
      },
    ];
  },

  async start() {
    const rows: Row[] = [];
    const folder = join(scratch, "start");
    const startedMs = performance.now();
    const child = spawn(process.execPath, ["bin/flotilla.mjs", "server", `--data-dir=${folder}`, "--secure-port=0"], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    await new Promise<void>((resolve, reject) => {
      child.stderr.on("data", (chunk: Buffer) => /control plane is ready/.test(chunk.toString()) && resolve());
      child.on("exit", () => reject(new Error("the server ended; run npm run build first")));
    });
    rows.push({
      name: "start",
      measure: "process start to ready, empty folder",
      value: (performance.now() - startedMs) / 1000,
      unit: "s",
      reference: "goal 1 s",
      ratio: (performance.now() - startedMs) / 1000,
    });
    await new Promise((resolve) => setTimeout(resolve, 2000));
    const rss = Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${child.pid}/status`, "utf8"))?.[1] ?? 0) / 1024;
    rows.push({
      name: "start",
      measure: "memory, idle control plane",
      value: rss,
      unit: "MiB",
      reference: "goal 150 MiB",
      ratio: rss / 150,
    });
    child.removeAllListeners("exit");
    child.kill("SIGTERM");
    await new Promise((resolve) => child.on("exit", resolve));
    return rows;
  },

  async propagate() {
    const COUNT = 300;
    const config = parseFlags([`--data-dir=${join(scratch, "propagate")}`, "--secure-port=0"]);
    const fleet = await startFleet({
      config,
      clock: systemClock,
      random: seededRandom(1),
      log: createLogger("silent"),
      members: [{ name: "member1", region: "local", nodes: [{ count: 50, cpu: "64", memory: "256Gi" }] }],
    });
    try {
      const plane = createClient(fleet.controlPlane.transport);
      const member = createClient(fleet.members.get("member1")?.transport as never);
      await eventually(async () =>
        (
          await plane.list({
            group: "cluster.karmada.io",
            version: "v1alpha1",
            kind: "Cluster",
            resource: "clusters",
            namespaced: false,
          })
        ).items.every((cluster) => (cluster as Cluster).status?.resourceSummary !== undefined),
      );
      const direct = await manyWriters((n) => member.create(Deployment, aDeployment(`direct-${n}`, 1)), COUNT);
      await plane.create(
        PropagationPolicy,
        aPropagationPolicy("all", { clusterAffinity: { clusterNames: ["member1"] } }),
      );
      const startedMs = performance.now();
      await manyWriters((n) => plane.create(Deployment, aDeployment(`app-${n}`, 1)), COUNT);
      await eventually(
        async () =>
          (await member.list(Deployment)).items.filter(({ metadata }) => metadata.name?.startsWith("app-")).length ===
          COUNT,
        120_000,
      );
      const present = perSecond(COUNT, startedMs);
      await eventually(
        async () => (await plane.list(Deployment)).items.every(({ status }) => status?.readyReplicas === 1),
        120_000,
      );
      const statusMs = performance.now() - startedMs;
      return [
        {
          name: "propagate",
          measure: `${COUNT} Deployments, POST to present in a simulated member, durable`,
          value: present,
          unit: "/s",
          reference: `direct to the member ${Math.round(direct)}/s`,
          ratio: present / direct,
        },
        {
          name: "propagate",
          measure: `status of ${COUNT} back in the templates, from the first POST`,
          value: statusMs / 1000,
          unit: "s",
        },
      ];
    } finally {
      await fleet.stop();
    }
  },

  async api() {
    const COUNT = 3000;
    const config = parseFlags([`--data-dir=${join(scratch, "api")}`, "--secure-port=0"]);
    const fleet = await startFleet({
      config,
      clock: systemClock,
      random: seededRandom(1),
      log: createLogger("silent"),
      members: [],
    });
    try {
      const plane = createClient(fleet.controlPlane.transport);
      const ConfigMap = { group: "", version: "v1", kind: "ConfigMap", resource: "configmaps", namespaced: true };
      const make = (name: string) => ({
        apiVersion: "v1",
        kind: "ConfigMap",
        metadata: { namespace: "default", name },
        data: { a: "x".repeat(1000) },
      });
      const inProcess = await manyWriters((n) => plane.create(ConfigMap, make(`in-${n}`)), COUNT);
      const { namespace: _namespace, ...endpoint } = resolveContext(
        parseKubeconfig(fleet.kubeconfigs.get("flotilla") ?? ""),
      );
      const transport = createHttpTransport(endpoint);
      const remote = createClient(transport);
      const overHttps = await manyWriters((n) => remote.create(ConfigMap, make(`http-${n}`)), COUNT);
      const startedMs = performance.now();
      const { items } = await remote.list(ConfigMap, { namespace: "default" });
      const listed = perSecond(items.length, startedMs);
      await transport.close();
      return [
        {
          name: "api",
          measure: "creates over HTTPS, 32 writers, durable",
          value: overHttps,
          unit: "/s",
          reference: `in process ${Math.round(inProcess)}/s`,
          ratio: overHttps / inProcess,
        },
        { name: "api", measure: `list of ${items.length} over HTTPS`, value: listed, unit: "objects/s" },
      ];
    } finally {
      await fleet.stop();
    }
  },

  async schedule() {
    const clusters = Array.from({ length: 100 }, (_, at) => ({
      apiVersion: "cluster.karmada.io/v1alpha1",
      kind: "Cluster",
      metadata: { name: `c${at}` },
      spec: {
        syncMode: "Push",
        resourceModels: Array.from({ length: 9 }, (_g, grade) => ({
          grade,
          ranges: [
            { name: "cpu", min: String(2 ** grade), max: String(2 ** (grade + 1)) },
            { name: "memory", min: `${4 * 2 ** grade}Gi`, max: `${8 * 2 ** grade}Gi` },
          ],
        })),
      },
      status: {
        apiEnablements: [{ groupVersion: "apps/v1", resources: [{ name: "deployments", kind: "Deployment" }] }],
        resourceSummary: {
          allocatable: { pods: "50000", cpu: "9000", memory: "20Ti" },
          allocatableModelings: Array.from({ length: 9 }, (_g, grade) => ({ grade, count: 20 })),
        },
      },
    })) as unknown as Cluster[];
    const gates = new Set(["CustomizedClusterResourceModeling"]);
    const decide = (replicas: number) => {
      const placement = {
        replicaScheduling: {
          replicaSchedulingType: "Divided",
          replicaDivisionPreference: "Weighted",
          weightPreference: { dynamicWeight: "AvailableReplicas" },
        },
      };
      const spec = {
        resource: { apiVersion: "apps/v1", kind: "Deployment", namespace: "default", name: "a" },
        replicas,
        replicaRequirements: { resourceRequest: { cpu: "100m", memory: "128Mi" } },
        placement,
      } as unknown as ResourceBindingSpec;
      schedule(
        { spec, status: undefined, placement: placement as never, observedAffinityName: undefined, clusters, gates },
        { plugins: builtinPlugins },
      );
    };
    const rate = (replicas: number) => {
      for (let warm = 0; warm < 200; warm++) decide(replicas);
      const startedMs = performance.now();
      for (let run = 0; run < 1000; run++) decide(replicas);
      return perSecond(1000, startedMs);
    };
    const few = rate(10);
    const many = rate(10_000);
    return [
      {
        name: "schedule",
        measure: "decisions over 100 clusters with models, 10 000 replicas",
        value: many,
        unit: "/s",
        reference: `10 replicas ${Math.round(few)}/s`,
        ratio: many / few,
      },
    ];
  },
};

const words = process.argv.slice(2);
const jsonAt = words.indexOf("--json");
const file = jsonAt < 0 ? undefined : words[jsonAt + 1];
const wanted = words.filter((word, at) => !word.startsWith("--") && at !== jsonAt + 1);
const unknown = wanted.filter((name) => benches[name] === undefined);
if (unknown.length > 0)
  throw new Error(`no such benchmark: ${unknown.join(", ")}; there are ${Object.keys(benches).join(", ")}`);
const rows: Row[] = [];
for (const name of wanted.length > 0 ? wanted : Object.keys(benches)) {
  const found = await (benches[name] as () => Promise<Row[]>)();
  rows.push(...found);
  for (const row of found)
    console.log(
      `${row.name.padEnd(10)} ${row.measure.padEnd(66)} ${row.value.toFixed(row.value < 10 ? 2 : 0).padStart(8)} ${row.unit.padEnd(10)} ${row.reference ?? ""}${row.ratio === undefined ? "" : ` (× ${row.ratio.toFixed(2)})`}`,
    );
}
if (file !== undefined) writeFileSync(file, `${JSON.stringify(rows, null, 2)}\n`);
rmSync(scratch, { recursive: true, force: true });
process.exit(0);
