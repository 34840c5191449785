import { join } from "node:path";
import { PropagationPolicy } from "#apis/karmada";
import { ConfigMap, Deployment, Pod } from "#apis/kubernetes";
import type { Client } from "#client";
import type { RealMember, RealMemberOptions } from "#lab";
import { aDeployment, aPropagationPolicy } from "#testing";
import { type Bench, manyWriters, type Row } from "./measure.ts";
import { type RealFleet, startRealFleet, until } from "./real-fleet.ts";

/** Deployments and members, as `--size 300x1`. */
const SIZES = ["300x1", "300x3", "2000x1", "2000x3"];
const LIMIT_MS = 1_800_000;
const GOAL_SHARE = 0.5;
const GOAL_STATUS_S = 2;
/** What each Deployment runs, in each member. */
const REPLICAS = 1;
const WARM_UP = 500;
const WARM_UP_LABEL = "warm-up";
/** A burst of so many is over within a second, and two of them differ by a third: the median of several counts. */
const SHORT = 1_000;
const BURSTS = 5;
/** Between two bursts. */
const REST_MS = 3_000;

const MEMBER: RealMemberOptions = {
  nodes: 4,
  nodeCapacity: { cpu: "10000", memory: "40Ti", pods: "20000" },
  // With their own limits the members would start twenty pods a second, and nothing else would be seen.
  qps: 2_000,
};

/** `npm run bench -- propagate --real [--size COUNTxMEMBERS]`: through the control plane into real members. */
export const propagateReal: Bench = async ({ scratch, words }) => {
  const rows: Row[] = [];
  for (const size of words.length === 0 ? SIZES : words) {
    const [count = Number.NaN, members = Number.NaN] = size.split("x").map(Number);
    if (!Number.isInteger(count) || !Number.isInteger(members) || count < 1 || members < 1)
      throw new Error(`--size ${size}: give DEPLOYMENTSxMEMBERS, such as ${SIZES[0]}`);
    const onFreshMembers = async <T>(run: string, use: (fleet: RealFleet) => Promise<T>): Promise<T> => {
      const fleet = await startRealFleet(join(scratch, `${size}-${run}`), members, MEMBER);
      try {
        return await use(fleet);
      } finally {
        await fleet.stop();
      }
    };
    // Before and after: a machine that others use changes its speed by a third within minutes.
    const before = await onFreshMembers("direct", (fleet) => writeDirectly(fleet, count));
    const bursts = await onFreshMembers("propagated", (fleet) => writeThrough(fleet, count));
    const after = await onFreshMembers("direct-again", (fleet) => writeDirectly(fleet, count));
    rows.push(...rowsOf(count, members, bursts, { before, after }));
  }
  return rows;
};

/** What came of writing to the control plane once. */
interface Burst {
  /** Copies a second. */
  readonly rate: number;
  readonly writtenS: number;
  readonly lagS: number;
  readonly readyS: number;
  readonly cpuMs: number;
}

async function writeThrough(fleet: RealFleet, count: number): Promise<readonly Burst[]> {
  const members = fleet.members.map((member) => fleet.inMember(member));
  const all = count * members.length;
  const { plane } = fleet;
  const clusterNames = fleet.members.map(({ name }: RealMember) => name);
  const resourceSelectors = [
    { apiVersion: "apps/v1", kind: "Deployment" },
    { apiVersion: "v1", kind: "ConfigMap", labelSelector: { matchLabels: { [WARM_UP_LABEL]: "true" } } },
  ];
  await plane.create(
    PropagationPolicy,
    aPropagationPolicy("all", { clusterAffinity: { clusterNames } }, "default", { resourceSelectors }),
  );
  await warmUp(plane, members);

  return inBursts(count, [plane], members, async (followers, startedMs) => {
    const cpuMs = fleet.cpuMs();
    await write(plane, count);
    const writtenMs = performance.now() - startedMs;
    const presentMs = await allPresent(followers, count, startedMs);
    // Opened now, so that the control plane does not serve it while it propagates; it begins with what there is.
    const templates = follow(plane, "default", members.length * REPLICAS);
    await until(() => followers.every(({ ready }) => ready.size >= count), LIMIT_MS);
    await until(() => templates.ready.size >= count, LIMIT_MS);
    templates.stop();
    const readyMs = Math.max(...followers.map((follower) => follower.readyMs()));
    return {
      rate: all / (presentMs / 1000),
      writtenS: writtenMs / 1000,
      lagS: Math.max(0, templates.readyMs() - readyMs) / 1000,
      readyS: (readyMs - startedMs) / 1000,
      cpuMs: (fleet.cpuMs() - cpuMs) / all,
    };
  });
}

function rowsOf(
  count: number,
  members: number,
  bursts: readonly Burst[],
  { before, after }: { readonly before: readonly number[]; readonly after: readonly number[] },
): readonly Row[] {
  const of = (value: keyof Burst) => median(bursts.map((burst) => burst[value]));
  const direct = median([...before, ...after]);
  const what = `${count} Deployments into ${members} real member${members === 1 ? "" : "s"}`;
  const times = bursts.length === 1 ? "" : `, median of ${bursts.length}`;
  const spread = bursts.length === 1 ? "" : `${spreadOf(bursts.map(({ rate }) => rate))}; `;
  return [
    {
      name: "propagate",
      measure: `${what}, first POST to present in all${times}`,
      value: of("rate"),
      unit: "/s",
      reference: `${spread}direct to the members ${Math.round(direct)}/s (before ${Math.round(median(before))}, after ${Math.round(median(after))}), goal × ${GOAL_SHARE}; written to the control plane in ${of("writtenS").toFixed(1)} s`,
      ratio: of("rate") / direct,
    },
    {
      name: "propagate",
      measure: `${what}: status of all back in the templates after the last is Ready`,
      value: of("lagS"),
      unit: "s",
      reference: `goal ${GOAL_STATUS_S} s; ready after ${of("readyS").toFixed(1)} s`,
      ratio: of("lagS") / GOAL_STATUS_S,
    },
    {
      name: "propagate",
      measure: `${what}: CPU time of the control plane for each copy`,
      value: of("cpuMs"),
      unit: "ms",
    },
  ];
}

/** Of an even number the mean of the two in the middle. */
function median(values: readonly number[]): number {
  const sorted = [...values].sort((one, other) => one - other);
  const at = (sorted.length - 1) / 2;
  return ((sorted[Math.floor(at)] ?? Number.NaN) + (sorted[Math.ceil(at)] ?? Number.NaN)) / 2;
}

const spreadOf = (values: readonly number[]) =>
  `${Math.round(Math.min(...values))} to ${Math.round(Math.max(...values))}`;

const write = (server: Client, count: number) =>
  manyWriters((n) => server.create(Deployment, aDeployment(`app-${n}`, REPLICAS)), count);

/** Resolves with the milliseconds until the last was there. */
async function allPresent(followers: readonly Follower[], count: number, startedMs: number): Promise<number> {
  await until(() => followers.every(({ present }) => present.size >= count), LIMIT_MS);
  return Math.max(...followers.map((follower) => follower.presentMs())) - startedMs;
}

/** Measures bursts one after the other; what one wrote to `servers` is gone from all members before the next begins. */
async function inBursts<T>(
  count: number,
  servers: readonly Client[],
  members: readonly Client[],
  burst: (followers: readonly Follower[], startedMs: number) => Promise<T>,
): Promise<T[]> {
  const results: T[] = [];
  while (results.length < (count < SHORT ? BURSTS : 1)) {
    if (results.length > 0) {
      for (const server of servers)
        await manyWriters((n) => server.delete(Deployment, { namespace: "default", name: `app-${n}` }), count);
      for (const member of members)
        await until(async () => {
          const [deployments, pods] = await Promise.all([
            member.list(Deployment, { namespace: "default" }),
            member.list(Pod, { namespace: "default" }),
          ]);
          return deployments.items.length + pods.items.length === 0;
        }, LIMIT_MS);
      await new Promise((resolve) => setTimeout(resolve, REST_MS));
    }
    const followers = members.map((member) => follow(member, "default"));
    results.push(await burst(followers, performance.now()));
    for (const follower of followers) follower.stop();
  }
  return results;
}

/**
 * Neither the client of this process is to learn its trade in what is measured, nor the servers on its way, nor are
 * connections between them to be opened then: each run is warmed by writing ConfigMaps the way it is measured, straight to
 * the member or through the control plane into it.
 */
async function warmUp(server: Client, members: readonly Client[]): Promise<void> {
  const metadata = (n: number) => ({ namespace: "default", name: `warm-up-${n}` });
  const count = async (member: Client) => {
    const { items } = await member.list(ConfigMap, { namespace: "default" });
    return items.filter(({ metadata: { name } }) => name?.startsWith("warm-up-")).length;
  };
  const all = (wanted: number) =>
    until(async () => (await Promise.all(members.map(count))).every((present) => present === wanted), LIMIT_MS);
  await manyWriters(
    (n) =>
      server.create(ConfigMap, {
        apiVersion: "v1",
        kind: "ConfigMap",
        metadata: { ...metadata(n), labels: { [WARM_UP_LABEL]: "true" } },
      }),
    WARM_UP,
  );
  await all(WARM_UP);
  await manyWriters((n) => server.delete(ConfigMap, metadata(n)), WARM_UP);
  await all(0);
}

/** The same objects straight to all members by the same client, beside a control plane with nothing to do; copies a second of each burst. */
async function writeDirectly(fleet: RealFleet, count: number): Promise<readonly number[]> {
  const members = fleet.members.map((member) => fleet.inMember(member));
  for (const member of members) await warmUp(member, [member]);
  return inBursts(count, members, members, async (followers, startedMs) => {
    await Promise.all(members.map((member) => write(member, count)));
    const presentMs = await allPresent(followers, count, startedMs);
    await until(() => followers.every(({ ready }) => ready.size >= count), LIMIT_MS);
    return (count * members.length) / (presentMs / 1000);
  });
}

type Follower = ReturnType<typeof follow>;

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
