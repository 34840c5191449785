/** The machine's time is set by an hour while a control plane runs: a process of its own, with members of its own. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Cluster, PropagationPolicy, ResourceBinding } from "#apis/karmada";
import { Deployment, Event } from "#apis/kubernetes";
import { parseKubeconfig, resolveContext } from "#certs";
import type { Client } from "#client";
import { aDeployment, aPropagationPolicy, eventually, kubeconfigClients } from "#testing";
import { bundleProgram, type Program, type Running } from "../program.ts";
import { registered } from "../registered.ts";

const HOUR_MS = 3_600_000;
const PATIENCE_MS = 90_000;
const folder = mkdtempSync(join(tmpdir(), "flotilla-clock-"));
const shift = join(folder, "shift");
const admin = join(folder, "plane", "admin.kubeconfig");
const agentKubeconfig = join(folder, "agent.kubeconfig");
const { connect, close: closeClients } = kubeconfigClients();
let program: Program;
let server: Running;
let agent: Running;
let plane: Client;
/** Any at first; after a restart the same, for the agent has it in its kubeconfig. */
let port = "0";

/** Loaded before the program: the time it reads is set whenever it gets a signal, as an administrator sets a machine's. */
const SET_TIME = `
import { readFileSync } from "node:fs";
const real = globalThis.Date;
let shiftMs = Number(readFileSync(${JSON.stringify(shift)}, "utf8"));
process.on("SIGUSR2", () => {
  shiftMs = Number(readFileSync(${JSON.stringify(shift)}, "utf8"));
  console.error("the time is set to " + new Date().toISOString());
});
const now = () => real.now() + shiftMs;
globalThis.Date = new Proxy(real, {
  construct: (target, words, self) => Reflect.construct(target, words.length === 0 ? [now()] : words, self),
  get: (target, name) => (name === "now" ? now : Reflect.get(target, name)),
});
`;

beforeAll(async () => {
  program = await bundleProgram();
  writeFileSync(shift, "0");
  writeFileSync(join(folder, "set-time.mjs"), SET_TIME);
  await start();
  plane = connect(admin);
  for (const name of ["push", "pull"])
    await program.start(
      ["simulate", "member", name, "--nodes=1", `--data-dir=${join(folder, name)}`],
      new RegExp(`${name} is ready`),
    );
  const joined = await program.run("join", "push", "--kubeconfig", admin, "--cluster-kubeconfig", kubeconfigOf("push"));
  expect(joined).toMatchObject({ code: 0 });
  await registered(program, {
    cluster: "pull",
    admin,
    memberKubeconfig: kubeconfigOf("pull"),
    member: connect(kubeconfigOf("pull")),
    agentKubeconfig,
  });
  await startAgent();
});
afterAll(async () => {
  await closeClients();
  await program?.close();
  rmSync(folder, { recursive: true, force: true });
});

const kubeconfigOf = (name: string) => join(folder, name, `${name}.kubeconfig`);

async function startAgent(): Promise<void> {
  agent = await program.start(
    [
      "agent",
      "--cluster-name=pull",
      `--karmada-kubeconfig=${agentKubeconfig}`,
      `--kubeconfig=${kubeconfigOf("pull")}`,
      "--metrics-bind-address=0",
      "--health-probe-bind-address=0",
      "--cluster-status-update-frequency=500ms",
      "--cluster-success-threshold=1s",
    ],
    /the agent looks after its member/,
  );
}

async function start(): Promise<void> {
  server = await program.start(
    [
      "server",
      `--data-dir=${join(folder, "plane")}`,
      `--secure-port=${port}`,
      "--cluster-status-update-frequency=500ms",
      "--cluster-success-threshold=1s",
      // A cluster that is taken for lost loses its workloads at once.
      "--enable-no-execute-taint-eviction=true",
      "--feature-gates=Failover=true",
      "--default-not-ready-toleration-seconds=1",
      "--default-unreachable-toleration-seconds=1",
    ],
    /control plane is ready/,
    ["--import", pathToFileURL(join(folder, "set-time.mjs")).href],
  );
  ({ port } = new URL(resolveContext(parseKubeconfig(admin)).server));
}

async function setTime(hours: number): Promise<void> {
  writeFileSync(shift, String(hours * HOUR_MS));
  const said = server.output().length;
  server.signal("SIGUSR2");
  await eventually(() => server.output().slice(said).includes("the time is set to"), PATIENCE_MS);
}

const at = (name: string) => ({ namespace: "default", name });
const copy = (member: string, name: string) => connect(kubeconfigOf(member)).find(Deployment, at(name));

/** A new workload runs in both members, is scaled, and its status is told: everything works. */
async function works(name: string): Promise<void> {
  await plane.create(Deployment, aDeployment(name, 1));
  const readyReplicas = async () => (await plane.get(Deployment, at(name))).status?.readyReplicas;
  await eventually(async () => (await readyReplicas()) === 2, PATIENCE_MS);
  await plane.patch(Deployment, at(name), "application/merge-patch+json", { spec: { replicas: 2 } });
  await eventually(async () => (await readyReplicas()) === 4, PATIENCE_MS);
}

test("clock jumps of an hour, ahead and back: no cluster is lost, no workload moves or is made anew, and work goes on, also over a restart", {
  timeout: 300_000,
}, async () => {
  await eventually(async () => {
    const { items } = await plane.list(Cluster);
    return (
      items.length === 2 &&
      items.every(({ status }) => status?.conditions?.some(({ type, status: is }) => type === "Ready" && is === "True"))
    );
  }, PATIENCE_MS);
  await plane.create(PropagationPolicy, aPropagationPolicy("all", {}));
  await works("before");
  const uids = async () =>
    Promise.all(["push", "pull"].map(async (name) => (await copy(name, "before"))?.metadata.uid));
  const uidsBefore = await uids();
  const troubles: string[] = [];
  const { metadata } = await plane.list(Cluster);
  const watch = plane.watch(
    Cluster,
    { resourceVersion: metadata.resourceVersion ?? "" },
    {
      event(_type, object) {
        const {
          metadata: { name },
          spec,
          status,
        } = object as Cluster;
        for (const { key } of spec?.taints ?? []) troubles.push(`${name} has the taint ${key}`);
        for (const { type, status: is } of status?.conditions ?? [])
          if (type === "Ready" && is !== "True") troubles.push(`${name} is ${is}`);
      },
      closed() {},
    },
  );
  for (const [name, hours] of [
    ["ahead", 1],
    ["back", 0],
    ["behind", -1],
  ] as const) {
    await setTime(hours);
    await works(name);
  }
  watch.stop();
  expect(troubles).toEqual([]);
  // What was written an hour ago by its own time, it finds in the future.
  await setTime(1);
  await works("again-ahead");
  await agent.end();
  await server.end("SIGKILL");
  writeFileSync(shift, String(-HOUR_MS));
  await start();
  plane = connect(admin);
  await startAgent();
  await works("restarted");
  expect(await uids()).toEqual(uidsBefore);
  for (const { metadata: found, spec } of (await plane.list(ResourceBinding)).items)
    expect([found.name, spec.clusters?.length, spec.gracefulEvictionTasks ?? []]).toEqual([found.name, 2, []]);
  const evicted = (await plane.list(Event)).items.filter(({ reason }) => /Evict|NotReady/.test(reason ?? ""));
  expect(evicted.map(({ message }) => message)).toEqual([]);
});
