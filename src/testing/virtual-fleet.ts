import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Secret } from "#apis/kubernetes";
import { Cluster, CLUSTER_NAMESPACE } from "#apis/karmada";
import { seededRandom, silentLogger, VirtualClock } from "#base";
import { loadPki, type Pki } from "#certs";
import { type Client, createClient } from "#client";
import { parseFlags } from "#config";
import { type ControlPlane, startControlPlane, startMember } from "#controlplane";
import { createManager, type Manager } from "#controller-runtime";
import { clusterStatus } from "#controllers/cluster-status";
import { execution } from "#controllers/execution";
import { workStatus } from "#controllers/work-status";
import { createInterpreter, nativeSource } from "#interpreter";
import { forwardingTransport, type Transport } from "#machinery";
import { createMemberPool, type MemberPool } from "#member";
import {
  ConnectionRefused,
  type Faults,
  NO_FAULTS,
  type NodeClass,
  type SimulatedMember,
  withFaults,
} from "#simulator";
import { type Backend, createMemoryBackend } from "#store";
import { type ProcessLine, processLine } from "./process-line.ts";

/** Quiet turns of the event loop after which nothing is left to do at an instant. */
const QUIET_TURNS = 12;

export interface VirtualFleetOptions {
  readonly members?: readonly string[];
  readonly flags?: readonly string[];
  readonly nodes?: readonly NodeClass[];
  readonly podReadyMs?: number;
  /** Nodes by classes and pods by counts, for members of any size. */
  readonly isSummarised?: boolean;
  /** Members in pull mode: each gets an agent that posts its status and renews its Lease. */
  readonly pull?: readonly string[];
  /** Joins members before the fleet is handed over; default true. */
  readonly joins?: boolean;
  /** Processes of the control plane on one store, of which one leads; default 1, which leads without being elected. */
  readonly replicas?: number;
}

/** A control plane with simulated members that runs wholly on a clock which stands still until it is moved. */
export interface VirtualFleet {
  readonly clock: VirtualClock;
  /** The process that leads, or the first while none does. */
  readonly controlPlane: ControlPlane;
  readonly gates: ReadonlySet<string>;
  /** What all processes share: whoever must see every change sees it here. */
  readonly store: Backend;
  readonly plane: Client;
  readonly members: ReadonlyMap<string, SimulatedMember>;
  /** A member as its own administrator reaches it, whatever is wrong with its network. */
  member(name: string): Client;
  simulated(name: string): SimulatedMember;
  join(name: string): Promise<void>;
  agent(name: string): VirtualAgent;
  /** Puts another cluster, empty, behind a member's address. */
  replaceMember(name: string): Promise<void>;
  /** Moves time until `look` gives something; the milliseconds that took. Fails after `limitMs` of virtual time. */
  until(look: () => unknown, limitMs?: number): Promise<number>;
  advance(deltaMs: number): Promise<void>;
  /** Stops every process of the control plane in order and starts them anew over the same store. */
  restart(): Promise<void>;
  /** Stops the process that leads, in order, and starts another in its place. */
  stepDown(): Promise<void>;
  /** Kills the process that leads, with all that is under way, and starts another in its place. */
  crash(): Promise<void>;
  /** Cuts the way of the process that leads to the store, for so long as nobody mends it. Returns how to mend it. */
  cutLeader(): () => void;
  stop(): Promise<void>;
}

/** What an agent does: posts its cluster's status, renews its Lease, carries out Works and reports on them. */
export interface VirtualAgent {
  /** What is wrong between the agent and the control plane. */
  setFaults(change: Partial<Faults>): void;
  start(): Promise<void>;
  /** Ends at once, as a process that is killed. */
  kill(): Promise<void>;
}

/** What a process has worked off; nothing before it leads for the first time. */
function doneBy(controlPlane: ControlPlane): number {
  try {
    return controlPlane.manager.processed + controlPlane.scheduler.processed;
  } catch {
    return 0;
  }
}

let shared: Promise<Pki> | undefined;
const START_MS = Date.UTC(2026, 0, 1);

export async function startVirtualFleet(options: VirtualFleetOptions = {}): Promise<VirtualFleet> {
  const { members: names = ["m1", "m2", "m3"], flags = [], podReadyMs = 1_000 } = options;
  const folder = mkdtempSync(join(tmpdir(), "flotilla-virtual-"));
  const members = new Map<string, SimulatedMember>();
  const processes: { readonly line: ProcessLine; readonly controlPlane: ControlPlane }[] = [];
  /** Processes that were killed and are being cleared away. */
  const endings: Promise<unknown>[] = [];
  const backend = createMemoryBackend();
  const agents = new Map<string, VirtualAgent & { readonly progress: () => number }>();
  const progress = () => {
    let sum = backend.revision;
    for (const { controlPlane } of processes) sum += doneBy(controlPlane);
    for (const agent of agents.values()) sum += agent.progress();
    for (const member of members.values()) sum += member.manager.processed + member.api.server.backend.revision;
    return sum;
  };
  const clock = new VirtualClock(START_MS, async () => {
    let seen = -1;
    for (let quiet = 0; quiet < QUIET_TURNS; quiet++) {
      await new Promise((resolve) => setImmediate(resolve));
      const now = progress();
      if (now !== seen) quiet = 0;
      seen = now;
    }
  });
  const random = seededRandom(1);
  shared ??= loadPki(undefined, []);
  const pki = await shared;
  const inProcess = new Map<string, Transport>();
  const config = parseFlags([`--data-dir=${folder}`, "--secure-port=0", ...flags]);
  const newMember = (name: string) =>
    startMember({
      name,
      region: name,
      nodes: options.nodes ?? [{ count: 3, cpu: "8", memory: "32Gi" }],
      isSummarised: options.isSummarised ?? false,
      pki,
      clock,
      random,
      log: silentLogger,
      podReadyMs,
    });
  const simulated = (name: string) => {
    const member = members.get(name);
    if (member === undefined) throw new Error(`there is no member ${name}`);
    return member;
  };
  await Promise.all(
    names.map(async (name) => {
      members.set(name, await newMember(name));
      inProcess.set(
        `https://${name}.members.test`,
        forwardingTransport(() => simulated(name).transport),
      );
    }),
  );
  const toPlane = forwardingTransport(() => answering());
  const addAgent = (name: string) => {
    let manager: Manager | undefined;
    let pool: MemberPool | undefined;
    const faults: Faults = { ...NO_FAULTS };
    agents.set(name, {
      progress: () => manager?.processed ?? 0,
      setFaults: (change) => Object.assign(faults, change),
      async start() {
        const transport = withFaults(toPlane, "the control plane", faults, clock);
        const own = createMemberPool({ clock, log: silentLogger });
        pool = own;
        manager = createManager({ transport, clock, random, log: silentLogger, component: "karmada-agent" });
        const connect = () =>
          Promise.resolve(
            own.connect({
              name,
              fingerprint: "own",
              open: () => ({ transport: forwardingTransport(() => simulated(name).transport) }),
            }),
          );
        manager.add(clusterStatus, {
          deps: { members: own, connect, gates: config.gates, own: name },
          options: config,
        });
        const interpreter = createInterpreter([nativeSource]);
        manager.add(execution, { deps: { members: own, interpreter, own: name }, options: config });
        manager.add(workStatus, { deps: { members: own, interpreter }, options: config });
        await manager.start();
      },
      async kill() {
        const stopping = manager?.stop();
        pool?.stop();
        manager = undefined;
        await clock.advance(0);
        await stopping;
      },
    });
  };
  for (const name of options.pull ?? []) addAgent(name);
  const startProcess = async () => {
    const line = processLine(backend, (options.replicas ?? 1) > 1);
    const reached = new Map([...inProcess].map(([endpoint, transport]) => [endpoint, line.around(transport)]));
    const controlPlane = await startControlPlane({
      config,
      backend: line.backend,
      pki,
      clock,
      random,
      log: silentLogger,
      inProcess: reached,
    });
    processes.push({ line, controlPlane });
  };
  const startAll = async () => {
    for (let at = 0; at < (options.replicas ?? 1); at++) await startProcess();
  };
  await startAll();
  const leading = () => processes.find(({ controlPlane }) => controlPlane.isLeader) ?? processes[0];
  const take = () => {
    const leader = leading();
    if (leader === undefined) throw new Error("no process of the control plane runs");
    processes.splice(processes.indexOf(leader), 1);
    return leader;
  };
  /** The API as clients outside find it: whichever process answers. */
  const answering = () => {
    const found = processes.find(({ line }) => !line.isCut);
    if (found === undefined) throw new ConnectionRefused("the control plane");
    return found.controlPlane.transport;
  };
  const plane = createClient(toPlane);
  /** Requests to a member that hangs end in time only. */
  const moveUntilDone = async (ending: Promise<unknown>) => {
    let isDone = false;
    const watched = ending.finally(() => {
      isDone = true;
    });
    watched.catch(() => undefined);
    for (let stepMs = 0; !isDone; stepMs = 1_000) await clock.advance(stepMs);
    await watched;
  };
  const fleet: VirtualFleet = {
    clock,
    gates: config.gates,
    store: backend,
    get controlPlane() {
      return (leading() as (typeof processes)[number]).controlPlane;
    },
    plane,
    members,
    member: (name) => createClient(simulated(name).api.transport()),
    simulated,
    async join(name) {
      if (options.pull?.includes(name)) {
        await plane.create(Cluster, {
          apiVersion: "cluster.karmada.io/v1alpha1",
          kind: "Cluster",
          metadata: { name, labels: { member: name } },
          spec: { syncMode: "Pull", apiEndpoint: `https://${name}.members.test`, region: name },
        } as unknown as Cluster);
        return;
      }
      const secretRef = { namespace: CLUSTER_NAMESPACE, name };
      // A cluster that joins again finds the Secret of the first time.
      if ((await plane.find(Secret, secretRef)) === undefined)
        await plane.create(Secret, {
          apiVersion: "v1",
          kind: "Secret",
          metadata: secretRef,
          data: { token: Buffer.from("in-process").toString("base64"), caBundle: "" },
        });
      await plane.create(Cluster, {
        apiVersion: "cluster.karmada.io/v1alpha1",
        kind: "Cluster",
        metadata: { name, labels: { member: name } },
        spec: { syncMode: "Push", apiEndpoint: `https://${name}.members.test`, secretRef, region: name },
      } as unknown as Cluster);
    },
    agent(name) {
      const agent = agents.get(name);
      if (agent === undefined) throw new Error(`${name} has no agent`);
      return agent;
    },
    async replaceMember(name) {
      const old = simulated(name);
      const fresh = await newMember(name);
      members.set(name, fresh);
      old.setFaults({ isDown: true });
      await old.stop();
      await clock.advance(0);
    },
    async until(look, limitMs = 3_600_000) {
      const startMs = clock.monotonicMs();
      let last: unknown;
      await clock.advance(0);
      for (;;) {
        try {
          if (await look()) return clock.monotonicMs() - startMs;
          last = new Error(`it did not come true within ${limitMs / 1000} virtual seconds: ${look.toString()}`);
        } catch (error) {
          last = error;
        }
        const nextMs = clock.nextMs;
        if (nextMs === undefined || nextMs - startMs > limitMs) throw last;
        await clock.advance(Math.max(0, nextMs - clock.monotonicMs()));
      }
    },
    advance: (deltaMs) => clock.advance(deltaMs),
    async restart() {
      const all = processes.splice(0);
      await moveUntilDone(Promise.all(all.map(({ controlPlane }) => controlPlane.stop())));
      await startAll();
      await clock.advance(0);
    },
    async stepDown() {
      await moveUntilDone(take().controlPlane.stop());
      await startProcess();
      await clock.advance(0);
    },
    async crash() {
      const { line, controlPlane } = take();
      line.kill();
      endings.push(controlPlane.stop().catch(() => undefined));
      await startProcess();
      await clock.advance(0);
    },
    cutLeader() {
      const leader = leading();
      leader?.line.setCut(true);
      return () => leader?.line.setCut(false);
    },
    async stop() {
      await Promise.all([...agents.values()].map((agent) => agent.kill()));
      await moveUntilDone(Promise.all([...endings, ...processes.map(({ controlPlane }) => controlPlane.stop())]));
      await Promise.all([...members.values()].map((member) => member.stop()));
      rmSync(folder, { recursive: true, force: true });
    },
  };
  if (options.joins !== false) {
    for (const name of names) await fleet.join(name);
    for (const name of options.pull ?? []) await fleet.agent(name).start();
    await fleet.until(
      async () =>
        (await plane.list(Cluster)).items.every(
          ({ status, spec }) => status?.resourceSummary !== undefined && (spec?.taints ?? []).length === 0,
        ),
      600_000,
    );
  }
  return fleet;
}
