import { join } from "node:path";
import { Cluster, CLUSTER_NAMESPACE } from "#apis/karmada";
import type { Listener } from "#apiserver";
import type { Clock, Logger, Random } from "#base";
import { loadPki, type Pki, writeKubeconfig } from "#certs";
import { createClient, retryOnConflict } from "#client";
import type { ServerConfig } from "#config";
import { Turns } from "#controller-runtime";
import type { Transport } from "#machinery";
import { type MemberCredentials, memberId, obtainCredentials, registerMember, renewCredentials } from "#member";
import type { NodeClass } from "#simulator";
import { createMemoryBackend, makeFolder, openBackend, openFileBackend } from "#store";
import { type ControlPlane, startControlPlane } from "./control-plane.ts";
import { type RunningMember, startMember } from "./member.ts";
import { startMemberThreads } from "./member-threads/member-threads.ts";
import { memberFolder } from "./member-threads/seat.ts";
import { createMetrics } from "./metrics.ts";

export interface FleetMember {
  readonly name: string;
  readonly nodes: readonly NodeClass[];
  readonly region: string;
  readonly zone?: string;
  readonly provider?: string;
  /** Whether its nodes are summarised by class, and pods by counts; default false. */
  readonly isSummarised?: boolean;
}

/** A control plane with simulated members in one process. */
export interface Fleet {
  readonly controlPlane: ControlPlane;
  readonly members: ReadonlyMap<string, RunningMember>;
  readonly listener: Listener;
  /** Files that let kubectl reach the control plane (`admin`) and each member, by name. */
  readonly kubeconfigs: ReadonlyMap<string, string>;
  stop(): Promise<void>;
}

export interface FleetOptions {
  readonly config: ServerConfig;
  readonly members: readonly FleetMember[];
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** Keeps nothing on disk but kubeconfigs. */
  readonly isInMemory?: boolean;
  /** Keeps what members store in memory, and the control plane's on disk. */
  readonly membersInMemory?: boolean;
  readonly podReadyMs?: number;
  /** Threads the members share among themselves; 0, the default, for the control plane's own. */
  readonly memberThreads?: number;
  /** How one of them is started. */
  readonly startThread?: Parameters<typeof startMemberThreads>[3];
}

/** Starts members, control plane and joins them; resolves when the API answers and the members are known. */
export async function startFleet(options: FleetOptions): Promise<Fleet> {
  const { config, clock, random, log } = options;
  const folder = config.dataDir;
  makeFolder(folder);
  const pki = await loadPki(options.isInMemory ? undefined : folder, config.tlsSans);
  const backend = options.isInMemory
    ? createMemoryBackend()
    : await openBackend(config.store ?? `file:${join(folder, "store")}`);
  const kubeconfigs = new Map<string, string>();
  const keep = (name: string, file: string, server: string, own: Pki) => {
    const path = join(folder, file);
    writeKubeconfig(path, name, server, own.authority.certificate, own.admin);
    kubeconfigs.set(name, path);
  };
  const members = new Map<string, RunningMember>();
  const inProcess = new Map<string, Transport>();
  const listeners: Listener[] = [];
  const { metrics, text } = createMetrics();
  const turns = new Turns();
  const threadCount = Math.min(options.memberThreads ?? 0, options.members.length);
  const threads = threadCount > 0 ? startMemberThreads(threadCount, clock, log, options.startThread) : undefined;
  const isKept = !(options.isInMemory || options.membersInMemory);
  const serving = {
    certificate: pki.server.certificate,
    key: pki.server.key,
    clientAuthority: pki.authority.certificate,
  };
  /** Starts a member in this thread or in one of theirs; gives the port of its API server. */
  async function startOne(given: FleetMember): Promise<{ readonly running: RunningMember; readonly port: number }> {
    // Members of the tour share the control plane's authority: one set of certificates starts faster than many.
    const member = {
      ...given,
      pki: { serviceAccount: pki.serviceAccount, authority: { certificate: pki.authority.certificate } },
      ...(options.podReadyMs === undefined ? {} : { podReadyMs: options.podReadyMs }),
    };
    if (threads !== undefined)
      return threads.start(
        {
          member,
          folder: isKept ? folder : undefined,
          serving,
          isVerbose: config.logLevel === "debug" || config.verbosity > 0,
        },
        () => joinAgain(given.name),
      );
    const backend = isKept ? { backend: openFileBackend(memberFolder(folder, given.name)) } : {};
    const running = await startMember({ ...member, clock, random, log, turns, ...backend });
    const own = await running.api.listen({ host: "127.0.0.1", port: 0, ...serving });
    listeners.push(own);
    return { running, port: own.port };
  }
  /** A member that comes back after its thread failed may have lost all it had, accounts and identity included. */
  const rejoins = new Map<string, () => Promise<void>>();
  function joinAgain(name: string): void {
    rejoins
      .get(name)?.()
      .catch((error: unknown) => log.error("a simulated member could not be joined again", { member: name, error }));
  }
  const started = await Promise.all(
    options.members.map(async (member) => ({ member, ...(await startOne(member)) })),
  ).catch(async (error: unknown) => {
    await threads?.stop();
    throw error;
  });
  const joins: {
    readonly member: FleetMember;
    readonly endpoint: string;
    readonly credentials: Promise<MemberCredentials>;
    readonly id: Promise<string>;
  }[] = [];
  for (const { member, running, port } of started) {
    const endpoint = `https://127.0.0.1:${port}`;
    members.set(member.name, running);
    inProcess.set(endpoint, running.transport);
    keep(member.name, `${member.name}.kubeconfig`, endpoint, pki);
    const inside = createClient(running.api.transport(), { fieldManager: "flotilla" });
    const obtain = () => obtainCredentials(inside, member.name, CLUSTER_NAMESPACE, clock);
    rejoins.set(member.name, async () =>
      joinMember(controlPlane, member, { apiEndpoint: endpoint, id: await memberId(inside) }, await obtain()),
    );
    const credentials = obtain();
    // It is awaited below; a failure before that must not end the process.
    credentials.catch(() => {});
    const id = memberId(inside);
    id.catch(() => {});
    joins.push({ member, endpoint, credentials, id });
  }
  const controlPlane: ControlPlane = await startControlPlane({
    config,
    backend,
    pki,
    clock,
    random,
    log,
    metrics,
    metricsText: text,
    inProcess,
    turns,
  });
  const listener = await controlPlane.listen();
  keep("flotilla", "admin.kubeconfig", `https://127.0.0.1:${listener.port}`, pki);
  await Promise.all(
    joins.map(async ({ member, endpoint, credentials, id }) =>
      joinMember(controlPlane, member, { apiEndpoint: endpoint, id: await id }, await credentials),
    ),
  );
  return {
    controlPlane,
    members,
    listener,
    kubeconfigs,
    async stop() {
      await controlPlane.stop();
      await Promise.all(listeners.map((own) => own.close()));
      await Promise.all([...members.values()].map((member) => member.stop()));
      await threads?.stop();
    },
  };
}

/** What `flotilla join` leaves in the control plane; a member that was joined before only gets its new address. */
async function joinMember(
  controlPlane: ControlPlane,
  member: FleetMember,
  found: { readonly apiEndpoint: string; readonly id: string },
  credentials: MemberCredentials,
): Promise<void> {
  const client = createClient(controlPlane.transport, { fieldManager: "flotilla" });
  const { name, region, zone, provider } = member;
  const spec = {
    ...found,
    region,
    ...(zone === undefined ? {} : { zones: [zone] }),
    ...(provider === undefined ? {} : { provider }),
  };
  const present = await client.find(Cluster, { name });
  if (present === undefined) {
    await registerMember(client, { cluster: name, namespace: CLUSTER_NAMESPACE }, credentials, {
      labels: { region },
      spec,
    });
    return;
  }
  await renewCredentials(client, { cluster: name, namespace: CLUSTER_NAMESPACE }, credentials);
  await retryOnConflict(async () => {
    const latest = await client.get(Cluster, { name });
    await client.update(Cluster, { ...latest, spec: { ...latest.spec, ...spec } } as Cluster);
  });
}
