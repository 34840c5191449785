import { join } from "node:path";
import { PropagationPolicy } from "#apis/karmada";
import { Deployment, Namespace } from "#apis/kubernetes";
import type { Client } from "#client";
import type { RealMember } from "#lab";
import { aDeployment, aPropagationPolicy } from "#testing";
import { type Bench, manyWriters, type Row } from "./measure.ts";
import { type RealFleet, startRealFleet, until } from "./real-fleet.ts";

/** Deployments and members, as `--size 300x1`. */
const SIZES = ["300x1", "300x3", "2000x1", "2000x3"];
const LIMIT_MS = 900_000;
const GOAL_SHARE = 0.5;
const GOAL_STATUS_S = 2;
/** What each Deployment runs, in each member. */
const REPLICAS = 1;

/** `npm run bench -- propagate --real [--size COUNTxMEMBERS]`: through the control plane into real members. */
export const propagateReal: Bench = async ({ scratch, words }) => {
  const rows: Row[] = [];
  for (const size of words.length === 0 ? SIZES : words) {
    const [count = Number.NaN, members = Number.NaN] = size.split("x").map(Number);
    if (!Number.isInteger(count) || !Number.isInteger(members) || count < 1 || members < 1)
      throw new Error(`--size ${size}: give DEPLOYMENTSxMEMBERS, such as ${SIZES[0]}`);
    const fleet = await startRealFleet(join(scratch, size), members, {
      nodes: 4,
      nodeCapacity: { cpu: "10000", memory: "40Ti", pods: "20000" },
      // With their own limits the members would start twenty pods a second, and nothing else would be seen.
      qps: 2_000,
    });
    try {
      rows.push(...(await measure(fleet, count)));
    } finally {
      await fleet.stop();
    }
  }
  return rows;
};

async function measure(fleet: RealFleet, count: number): Promise<readonly Row[]> {
  const members = fleet.members.map((member) => fleet.inMember(member));
  const all = count * members.length;
  const direct = await writeDirectly(members, count);
  const { plane } = fleet;
  const clusterNames = fleet.members.map(({ name }: RealMember) => name);
  await plane.create(PropagationPolicy, aPropagationPolicy("all", { clusterAffinity: { clusterNames } }));

  const followers = members.map((member) => follow(member, "default"));
  const templates = follow(plane, "default", members.length * REPLICAS);
  const cpuMs = fleet.cpuMs();
  const startedMs = performance.now();
  await manyWriters((n) => plane.create(Deployment, aDeployment(`app-${n}`, REPLICAS)), count);
  const writtenMs = performance.now() - startedMs;
  await until(() => followers.every(({ present }) => present.size >= count), LIMIT_MS);
  const presentMs = Math.max(...followers.map((follower) => follower.presentMs())) - startedMs;
  await until(() => followers.every(({ ready }) => ready.size >= count), LIMIT_MS);
  await until(() => templates.ready.size >= count, LIMIT_MS);
  const readyMs = Math.max(...followers.map((follower) => follower.readyMs()));
  const spentMs = fleet.cpuMs() - cpuMs;
  for (const follower of [...followers, templates]) follower.stop();
  const rate = all / (presentMs / 1000);
  const lagS = Math.max(0, templates.readyMs() - readyMs) / 1000;
  const what = `${count} Deployments into ${members.length} real member${members.length === 1 ? "" : "s"}`;
  return [
    {
      name: "propagate",
      measure: `${what}, first POST to present in all`,
      value: rate,
      unit: "/s",
      reference: `direct to the members ${Math.round(direct)}/s, goal × ${GOAL_SHARE}; written to the control plane in ${(writtenMs / 1000).toFixed(1)} s`,
      ratio: rate / direct,
    },
    {
      name: "propagate",
      measure: `${what}: status of all back in the templates after the last is Ready`,
      value: lagS,
      unit: "s",
      reference: `goal ${GOAL_STATUS_S} s; ready after ${((readyMs - startedMs) / 1000).toFixed(1)} s`,
      ratio: lagS / GOAL_STATUS_S,
    },
    {
      name: "propagate",
      measure: `${what}: CPU time of the control plane for each copy`,
      value: spentMs / all,
      unit: "ms",
    },
  ];
}

/** The same objects straight to all members by the same client; copies a second. The members are empty again afterwards. */
async function writeDirectly(members: readonly Client[], count: number): Promise<number> {
  const namespace = "direct";
  for (const member of members)
    await member.create(Namespace, { apiVersion: "v1", kind: "Namespace", metadata: { name: namespace } });
  const followers = members.map((member) => follow(member, namespace));
  const startedMs = performance.now();
  await Promise.all(
    members.map((member) =>
      manyWriters((n) => {
        const deployment = aDeployment(`direct-${n}`, REPLICAS);
        return member.create(Deployment, { ...deployment, metadata: { ...deployment.metadata, namespace } });
      }, count),
    ),
  );
  await until(() => followers.every(({ present }) => present.size >= count), LIMIT_MS);
  const tookMs = Math.max(...followers.map((follower) => follower.presentMs())) - startedMs;
  await until(() => followers.every(({ ready }) => ready.size >= count), LIMIT_MS);
  for (const follower of followers) follower.stop();
  for (const member of members) await member.delete(Namespace, { name: namespace });
  for (const member of members)
    await until(async () => (await member.find(Namespace, { name: namespace })) === undefined, LIMIT_MS);
  return (count * members.length) / (tookMs / 1000);
}

/** Follows the Deployments of a namespace: which are there, which have all their replicas, and since when all of it. */
function follow(client: Client, namespace: string, replicas = REPLICAS) {
  const present = new Set<string>();
  const ready = new Set<string>();
  let presentMs = 0;
  let readyMs = 0;
  const open = (): { stop(): void } =>
    client.transport.watch(
      { group: "apps", version: "v1", resource: "deployments", namespace },
      {
        event: (type, object) => {
          const name = object.metadata.name ?? "";
          if (type !== "ADDED" && type !== "MODIFIED") return;
          if (!present.has(name)) {
            present.add(name);
            presentMs = performance.now();
          }
          if ((object as Deployment).status?.readyReplicas !== replicas || ready.has(name)) return;
          ready.add(name);
          readyMs = performance.now();
        },
        closed: () => {
          if (!isStopped) handle = open();
        },
      },
    );
  let isStopped = false;
  let handle = open();
  return {
    present,
    ready,
    presentMs: () => presentMs,
    readyMs: () => readyMs,
    stop() {
      isStopped = true;
      handle.stop();
    },
  };
}
