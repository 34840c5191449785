import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Cluster, CLUSTER_NAMESPACE, PropagationPolicy, Work } from "#apis/karmada";
import { Deployment, Secret } from "#apis/kubernetes";
import { seededRandom, systemClock } from "#base";
import { loadPki } from "#certs";
import { type Client, createClient } from "#client";
import { parseFlags } from "#config";
import { type ControlPlane, createLogger, startControlPlane, startMember } from "#controlplane";
import { Turns } from "#controller-runtime";
import type { SimulatedMember } from "#simulator";
import { openFileBackend } from "#store";
import { aDeployment, aPropagationPolicy } from "#testing";
import { type Bench, manyWriters, perSecond, type Row } from "./measure.ts";

const LOOK_MS = 100;
const LIMIT_MS = 1_800_000;
/** How long nothing must happen before a control plane counts as drained. */
const QUIET_MS = 1_000;

const row = (
  measure: string,
  value: number,
  unit: string,
  goal?: { readonly of: number; readonly isFloor?: boolean },
) =>
  ({
    name: "scale",
    measure,
    value,
    unit,
    ...(goal === undefined
      ? {}
      : { reference: `goal ${goal.isFloor ? "≥" : "≤"} ${goal.of} ${unit}`, ratio: value / goal.of }),
  }) satisfies Row;

async function until(look: () => boolean | Promise<boolean>): Promise<void> {
  const endMs = performance.now() + LIMIT_MS;
  while (!(await look())) {
    if (performance.now() > endMs) throw new Error(`it never came true: ${look.toString()}`);
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

/** Members in memory, which outlive a restart of the control plane; it alone is on disk. */
interface Scene {
  readonly controlPlane: ControlPlane;
  readonly members: readonly SimulatedMember[];
  /** Stops the control plane and starts it anew; gives the milliseconds from then until its API answered. */
  restart(): Promise<number>;
  stop(): Promise<void>;
}

async function start(folder: string, count: number): Promise<Scene> {
  mkdirSync(folder, { recursive: true });
  const parts = {
    pki: await loadPki(folder, []),
    clock: systemClock,
    random: seededRandom(1),
    log: createLogger("silent"),
  };
  const turns = new Turns();
  const members = await Promise.all(
    Array.from({ length: count }, (_, at) =>
      startMember({
        ...parts,
        turns,
        name: `m${at + 1}`,
        region: "local",
        nodes: [{ count: 3, cpu: "64", memory: "256Gi" }],
      }),
    ),
  );
  const endpointOf = (name: string) => `https://${name}.members.test`;
  const config = parseFlags([`--data-dir=${folder}`, "--secure-port=0", "--enable-empty-workload-propagation=true"]);
  const startPlane = () =>
    startControlPlane({
      ...parts,
      config,
      backend: openFileBackend(join(folder, "store")),
      turns,
      inProcess: new Map(members.map(({ name, transport }) => [endpointOf(name), transport])),
    });
  let controlPlane = await startPlane();
  const plane = createClient(controlPlane.transport);
  for (const { name } of members) {
    const secretRef = { namespace: CLUSTER_NAMESPACE, name };
    await plane.create(Secret, {
      apiVersion: "v1",
      kind: "Secret",
      metadata: secretRef,
      data: { token: Buffer.from("in-process").toString("base64"), caBundle: "" },
    });
    await plane.create(Cluster, {
      apiVersion: "cluster.karmada.io/v1alpha1",
      kind: "Cluster",
      metadata: { name },
      spec: { syncMode: "Push", apiEndpoint: endpointOf(name), secretRef, region: "local" },
    } as unknown as Cluster);
  }
  await until(async () =>
    (await plane.list(Cluster)).items.every(({ status }) => status?.resourceSummary !== undefined),
  );
  return {
    get controlPlane() {
      return controlPlane;
    },
    members,
    async restart() {
      await controlPlane.stop();
      const startedMs = performance.now();
      controlPlane = await startPlane();
      return performance.now() - startedMs;
    },
    async stop() {
      await controlPlane.stop();
      await Promise.all(members.map((member) => member.stop()));
    },
  };
}

const planeOf = ({ controlPlane }: Scene): Client => createClient(controlPlane.transport);

/** Deployments of all members together, by a look into their stores. */
const memberDeployments = async (fleet: Scene): Promise<readonly Deployment[]> =>
  (
    await Promise.all(
      fleet.members.map(async ({ api }) => (await createClient(api.transport()).list(Deployment)).items),
    )
  ).flat();

const writeAll = (plane: Client, count: number) =>
  manyWriters((n) => plane.create(Deployment, aDeployment(`app-${n}`, 0)), count);

/** No pods: what is measured is the way to the members, not what they make of it. */
const policyFor = (members: number) =>
  aPropagationPolicy("all", {
    clusterAffinity: { clusterNames: Array.from({ length: members }, (_, at) => `m${at + 1}`) },
  });

/** Resolves when the controllers have had nothing to do for a while; gives when that while began. */
async function drained(fleet: Scene): Promise<number> {
  const { manager, scheduler } = fleet.controlPlane;
  let doneMs = performance.now();
  let processed = -1;
  await until(() => {
    const now = manager.processed + scheduler.processed;
    if (now !== processed || manager.depth + scheduler.depth > 0) {
      processed = now;
      doneMs = performance.now();
    }
    return performance.now() - doneMs > QUIET_MS;
  });
  await Promise.all([manager.events.flush(), scheduler.events.flush()]);
  return doneMs;
}

const versionsOf = (
  objects: readonly { readonly metadata: { readonly uid?: string; readonly resourceVersion?: string } }[],
) => new Map(objects.map(({ metadata }) => [metadata.uid, metadata.resourceVersion]));

const changesBetween = (before: ReadonlyMap<unknown, unknown>, after: ReadonlyMap<unknown, unknown>): number =>
  [...after].filter(([key, version]) => before.get(key) !== version).length;

const residentMiB = () => Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? 0) / 1024;

/** Every Deployment in all of 100 members. `--size spread=N`: how many Deployments; 20 by default. */
async function spread(folder: string, count: number): Promise<Row[]> {
  const MEMBERS = 100;
  const fleet = await start(folder, MEMBERS);
  try {
    const plane = planeOf(fleet);
    await plane.create(PropagationPolicy, policyFor(MEMBERS));
    const startedMs = performance.now();
    await writeAll(plane, count);
    await until(async () => (await memberDeployments(fleet)).length === count * MEMBERS);
    const rate = perSecond(count * MEMBERS, startedMs);
    return [
      row(`${count} Deployments in each of ${MEMBERS} members: member writes`, rate, "/s", {
        of: 2_000,
        isFloor: true,
      }),
    ];
  } finally {
    await fleet.stop();
  }
}

/** A change of a policy that changes every Work. `--size policy=N`: how many bindings; 1 000 by default. */
async function policyChange(folder: string, count: number): Promise<Row[]> {
  const fleet = await start(folder, 1);
  try {
    const plane = planeOf(fleet);
    await plane.create(PropagationPolicy, policyFor(1));
    await writeAll(plane, count);
    await until(async () => (await memberDeployments(fleet)).length === count);
    await drained(fleet);
    const before = new Map((await plane.list(Work)).items.map(({ metadata }) => [metadata.uid, metadata.generation]));
    const startedMs = performance.now();
    await plane.patch(PropagationPolicy, { namespace: "default", name: "all" }, "application/merge-patch+json", {
      spec: { conflictResolution: "Overwrite" },
    });
    await until(async () => {
      const works = (await plane.list(Work)).items;
      return works.filter(({ metadata }) => before.get(metadata.uid) !== metadata.generation).length >= count;
    });
    const tookS = (performance.now() - startedMs) / 1000;
    return [row(`a policy change that touches ${count} bindings: all Works updated`, tookS, "s", { of: 5 })];
  } finally {
    await fleet.stop();
  }
}

/** Stop and start of everything. `--size restart=N`: how many Deployments, each in two members; 2 000 by default. */
async function restart(folder: string, count: number): Promise<Row[]> {
  const fleet = await start(folder, 2);
  try {
    await planeOf(fleet).create(PropagationPolicy, policyFor(2));
    await writeAll(planeOf(fleet), count);
    await until(async () => (await memberDeployments(fleet)).length === 2 * count);
    await drained(fleet);
    const memory = residentMiB();
    const members = versionsOf(await memberDeployments(fleet));
    const works = versionsOf((await planeOf(fleet).list(Work)).items);
    const readyMs = await fleet.restart();
    const answeredMs = performance.now();
    const drainedMs = readyMs + (await drained(fleet)) - answeredMs;
    return [
      row(`${count} Deployments × 2 members, memory with the members (no pods)`, memory, "MiB", { of: 1_536 }),
      row(`restart with ${count} bound Deployments × 2 members: the API answers`, readyMs / 1000, "s"),
      row("  drained", drainedMs / 1000, "s", { of: 30 }),
      row("  member objects written", changesBetween(members, versionsOf(await memberDeployments(fleet))), ""),
      row("  Works written", changesBetween(works, versionsOf((await planeOf(fleet).list(Work)).items)), ""),
    ];
  } finally {
    await fleet.stop();
  }
}

const PARTS = { spread, policy: policyChange, restart };
const SIZES: Readonly<Record<keyof typeof PARTS, number>> = { spread: 20, policy: 1_000, restart: 2_000 };

/**
 * Many members, many bindings, a restart: `npm run bench -- scale --size spread=100 --size policy=5000 --size
 * restart=30000` is what the goals are about. Without a size all parts run, small enough for a shared machine.
 */
export const scale: Bench = async ({ scratch, words }) => {
  const wanted = words.length === 0 ? Object.keys(PARTS) : words;
  const rows: Row[] = [];
  for (const word of wanted) {
    const [name = "", size] = word.split("=");
    if (!Object.hasOwn(PARTS, name))
      throw new Error(`no such part: ${name}; there are ${Object.keys(PARTS).join(", ")}`);
    const part = name as keyof typeof PARTS;
    rows.push(...(await PARTS[part](join(scratch, part), Number(size ?? SIZES[part]))));
  }
  return rows;
};
