import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Cluster, PropagationPolicy } from "#apis/karmada";
import { Deployment } from "#apis/kubernetes";
import { aDeployment, aPropagationPolicy } from "#testing";
import { type Bench, manyWriters, type Row } from "./measure.ts";
import { type RealFleet, startRealFleet, until } from "./real-fleet.ts";

const COUNT = 10_000;
const GOAL_S = 30;
const LIMIT_MS = 1_800_000;
/** Nothing has happened for so long: it is over. */
const QUIET_MS = 3_000;

/** The controllers that a workload goes through. */
const OF_WORKLOADS = [
  "detector",
  "scheduler",
  "binding-controller",
  "execution-controller",
  "work-status-controller",
  "resource-binding-status-controller",
];

/** Who writes to the member is told from its audit log: our account has a name of its own. */
const AUDIT_POLICY = {
  apiVersion: "audit.k8s.io/v1",
  kind: "Policy",
  omitStages: ["RequestReceived"],
  rules: [
    {
      level: "Metadata",
      users: ["system:serviceaccount:karmada-cluster:karmada-member1"],
      verbs: ["create", "update", "patch", "delete", "deletecollection"],
    },
    { level: "None" },
  ],
};

/** `npm run bench -- restart [--size COUNT]`: bound workloads in a real member, the control plane killed and started. */
export const restart: Bench = async ({ scratch, words }) => {
  const rows: Row[] = [];
  for (const count of words.length === 0 ? [COUNT] : words.map(Number)) {
    const folder = join(scratch, String(count));
    mkdirSync(folder, { recursive: true });
    const policy = join(folder, "audit-policy.yaml");
    const log = join(folder, "audit.log");
    writeFileSync(policy, JSON.stringify(AUDIT_POLICY));
    const audited = [`--audit-policy-file=${policy}`, `--audit-log-path=${log}`, "--audit-log-maxsize=1000"];
    // Workloads without replicas are propagated with this flag only; upstream's default is not to.
    const flags = ["--enable-empty-workload-propagation=true"];
    const fleet = await startRealFleet(folder, 1, { qps: 2_000, args: audited }, flags);
    try {
      rows.push(...(await measure(fleet, count, log)));
    } finally {
      await fleet.stop();
    }
  }
  return rows;
};

async function measure(fleet: RealFleet, count: number, log: string): Promise<readonly Row[]> {
  await fleet.plane.create(
    PropagationPolicy,
    aPropagationPolicy("all", { clusterAffinity: { clusterNames: ["member1"] } }),
  );
  // Without replicas: it is about objects that are there, not about pods.
  await manyWriters((n) => fleet.plane.create(Deployment, aDeployment(`app-${n}`, 0)), count);
  // Counted by the control plane: ten thousand Works read ten times a second would be most of its work.
  await until(
    async () => sumOf(await metricsOf(fleet), 'flotilla_works\\{member_cluster="member1",state="applied"') >= count,
    LIMIT_MS,
  );
  await quiet(fleet);
  const before = writesIn(log).length;
  const versionBefore = await newestVersion(fleet);

  await fleet.kill();
  const startedMs = performance.now();
  await fleet.start();
  const servingMs = performance.now() - startedMs;
  const drainedMs = (await quiet(fleet)) - startedMs;
  const cpuMs = fleet.cpuMs();
  const writes = writesIn(log).slice(before);
  const versionAfter = await newestVersion(fleet);
  for (const write of writes.slice(0, 10)) console.error(`  a write after the restart: ${write}`);
  const what = `${count} bound workloads, control plane killed and started`;
  return [
    {
      name: "restart",
      measure: `${what}: queues drained`,
      value: drainedMs / 1000,
      unit: "s",
      reference: `goal ${GOAL_S} s; API after ${(servingMs / 1000).toFixed(1)} s, ${(cpuMs / 1000).toFixed(1)} s of CPU time`,
      ratio: drainedMs / 1000 / GOAL_S,
    },
    { name: "restart", measure: `${what}: writes to the member`, value: writes.length, unit: "", reference: "goal 0" },
    {
      name: "restart",
      measure: `${what}: writes to the control plane's own store`,
      value: versionAfter - versionBefore,
      unit: "",
      reference: "Cluster status, events",
    },
  ];
}

async function metricsOf({ plane }: RealFleet): Promise<string> {
  const { body } = await plane.transport.raw({ method: "GET", path: "/metrics" });
  return Buffer.from(body).toString("utf8");
}

/** Of all lines of text metrics that begin so; `start` is a pattern. */
const sumOf = (metrics: string, start: string): number =>
  [...metrics.matchAll(new RegExp(`^${start}[^}]*\\} (\\S+)$`, "gm"))].reduce(
    (sum, [, value]) => sum + Number(value),
    0,
  );

/** Waits until every queue is empty and stays so; gives the moment from which it was. */
async function quiet(fleet: RealFleet): Promise<number> {
  let sinceMs: number | undefined;
  let adds = -1;
  await until(async () => {
    const nowMs = performance.now();
    const metrics = await metricsOf(fleet);
    // Of workloads alone: clusters are looked at every few seconds, whatever happens. Not one may come: a member whose
    // controllers are slow goes on to tell statuses long after everything is applied, and they are no work of a start.
    const seen = sumOf(metrics, `workqueue_adds_total\\{controller="(?:${OF_WORKLOADS.join("|")})"`);
    const isBusy = sumOf(metrics, "workqueue_depth\\{") > 0 || seen !== adds;
    adds = seen;
    const cluster = await fleet.plane.get(Cluster, { name: "member1" });
    const isReady =
      cluster.status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True") === true;
    if (isBusy || !isReady) sinceMs = undefined;
    else sinceMs ??= nowMs;
    return sinceMs !== undefined && nowMs - sinceMs >= QUIET_MS;
  }, LIMIT_MS);
  return sinceMs ?? performance.now();
}

interface AuditEvent {
  readonly verb?: string;
  readonly requestURI?: string;
}

function writesIn(log: string): readonly string[] {
  return readFileSync(log, "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const { verb, requestURI } = JSON.parse(line) as AuditEvent;
      return `${verb} ${requestURI}`;
    });
}

async function newestVersion({ plane }: RealFleet): Promise<number> {
  const { metadata } = await plane.transport.list({ group: "", version: "v1", resource: "namespaces", limit: 1 });
  return Number(metadata.resourceVersion);
}
