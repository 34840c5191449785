import { Namespace, Node, ResourceQuota, STANDS_FOR } from "#apis/kubernetes";
import { compareVersions, namespaceUsage, type RunningApiServer, startApiServer } from "#apiserver";
import type { Clock, Logger, Random } from "#base";
import { createInformers } from "#client";
import { type ControllerDefinition, createManager, type Manager, type Turns } from "#controller-runtime";
import {
  formatQuantity,
  formatTime,
  isAlreadyExists,
  multiplyQuantity,
  parseQuantity,
  type ResourceKind,
  serviceUnavailable,
  setPath,
  type Transport,
  zeroQuantity,
} from "#machinery";
import { type Backend, createMemoryBackend } from "#store";
import { daemonSetController } from "./controllers/daemon-set.ts";
import { deploymentController } from "./controllers/deployment.ts";
import { endpointSliceController } from "./controllers/endpoint-slice.ts";
import { cronJobController, jobController } from "./controllers/job.ts";
import { kubelet, type KubeletOptions } from "./controllers/kubelet.ts";
import { podScheduler } from "./controllers/pod-scheduler.ts";
import { replicaSetController } from "./controllers/replica-set.ts";
import { statefulSetController } from "./controllers/stateful-set.ts";
import { storageController } from "./controllers/storage.ts";
import { horizontalPodAutoscaler } from "./controllers/horizontal-pod-autoscaler.ts";
import { resourceQuotaController } from "./controllers/resource-quota.ts";
import { simulatedExec } from "./exec.ts";
import { simulatedLogs } from "./logs.ts";
import { simulatedPortForward } from "./port-forward.ts";
import type { Faults } from "./faults.ts";
import { faultyWay } from "./faulty-way.ts";
import { metricsDefinitions } from "./metrics-api.ts";

/** Nodes of one size. */
export interface NodeClass {
  readonly count: number;
  /** Quantities, such as `4` and `16Gi`. */
  readonly cpu: string;
  readonly memory: string;
  readonly pods?: number;
  readonly labels?: Readonly<Record<string, string>>;
}

export interface SimulatedMemberOptions {
  readonly name: string;
  readonly nodes: readonly NodeClass[];
  /**
   * Whether one Node stands for all nodes of a class, and one Pod for all replicas of a ReplicaSet that are placed
   * together: a member of thousands of nodes is a few objects then. Default false.
   */
  readonly isSummarised?: boolean;
  readonly region?: string;
  readonly zone?: string;
  readonly provider?: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly backend?: Backend;
  readonly serviceAccountKeys: { readonly privateKey: string; readonly publicKey: string };
  /** Controllers every Kubernetes cluster has; the composition root hands them in with what they need. */
  readonly systemControllers?: (member: {
    readonly api: RunningApiServer;
    readonly kinds: ServedKinds;
  }) => readonly { readonly definition: ControllerDefinition<never, never>; readonly deps: unknown }[];
  readonly kubelet?: Partial<KubeletOptions>;
  /** From one look of autoscalers at their metrics to the next; default 15 s. */
  readonly autoscalerPeriodMs?: number;
  readonly authority?: string;
  /** Whom the member shares its thread with; its controllers step back behind the control plane's. */
  readonly turns?: Turns;
}

export interface ServedKinds {
  list(): readonly ResourceKind[];
  onChange(react: () => void): () => void;
}

/** A Kubernetes cluster that is not there: a real API server, simulated nodes. */
export interface SimulatedMember {
  readonly name: string;
  readonly options: SimulatedMemberOptions;
  readonly api: RunningApiServer;
  readonly manager: Manager;
  /** As the control plane reaches it: with the faults of the moment. */
  readonly transport: Transport;
  readonly faults: Readonly<Faults>;
  /** Changes what is wrong; taking the API server down cuts every watch. */
  setFaults(change: Partial<Faults>): void;
  /** Makes nodes ready or not, by name; all of them by default. */
  setNodesReady(isReady: boolean, names?: readonly string[]): Promise<void>;
  /** Lets every namespace of users take no further pods, or takes that back. */
  setQuotaFull(isFull: boolean): Promise<void>;
  stop(): Promise<void>;
}

/**
 * Kinds a garbage collector has to follow: those that can be listed, watched and deleted, each in one version. Kinds of
 * aggregated servers count where the server itself can reach them.
 */
export function servedKinds(api: RunningApiServer): ServedKinds {
  const { server } = api;
  return {
    list() {
      const served = server.registry.all
        .filter(
          ({ verbs, virtual, kind }) =>
            virtual === undefined &&
            ["list", "watch", "delete"].every((verb) => verbs.includes(verb)) &&
            !(kind.group === "events.k8s.io") &&
            kind.resource !== "events",
        )
        .filter(({ kind, storage }) => kind.version === storage.version);
      const own = served.filter(({ origin }) => origin !== "remote").map(({ kind }) => kind);
      if (server.remote === undefined || own.length === served.length) return own;
      const remote = new Map<string, ResourceKind>();
      for (const { kind, origin } of served) {
        if (origin !== "remote") continue;
        const key = `${kind.group}/${kind.resource}`;
        const other = remote.get(key);
        if (other === undefined || compareVersions(kind.version, other.version) < 0) remote.set(key, kind);
      }
      return [...own, ...remote.values()];
    },
    onChange: (react) => server.registry.onChange(react),
  };
}

export async function startSimulatedMember(options: SimulatedMemberOptions): Promise<SimulatedMember> {
  const { clock, random, name } = options;
  const log = options.log.with({ member: name });
  let manager: Manager | undefined;
  const logs = simulatedLogs(() => api);
  const exec = simulatedExec(() => api);
  const portForward = simulatedPortForward(() => api);
  const api: RunningApiServer = await startApiServer({
    backend: options.backend ?? createMemoryBackend(),
    clock,
    random,
    log,
    serviceAccountKeys: options.serviceAccountKeys,
    connect: async (request, path, user) =>
      (await logs(request, path, user)) ?? (await exec(request, path, user)) ?? portForward(request, path, user),
    aggregated: metricsDefinitions(() => {
      if (manager === undefined) throw serviceUnavailable("metrics are not there yet");
      const { informers } = manager;
      return { cache: (kind) => informers.of(kind) };
    }, clock),
  });
  const inside = api.transport();
  const running = createManager({
    transport: inside,
    clock,
    random,
    log,
    component: "kube-controller-manager",
    urgency: "background",
    ...(options.turns === undefined ? {} : { turns: options.turns }),
    informers: createInformers(inside, { clock, log }),
  });
  const plain = [
    deploymentController,
    replicaSetController,
    statefulSetController,
    daemonSetController,
    jobController,
    cronJobController,
    endpointSliceController,
    storageController,
  ];
  manager = running;
  const groupsPods = options.isSummarised ?? false;
  for (const definition of plain)
    running.add(definition as ControllerDefinition<object, object>, {
      deps: {},
      ...(definition === replicaSetController ? { options: { groupsPods } } : {}),
    });
  running.add(podScheduler, { deps: {} });
  running.add(kubelet, { deps: {}, ...(options.kubelet === undefined ? {} : { options: options.kubelet }) });
  running.add(horizontalPodAutoscaler, {
    deps: {},
    ...(options.autoscalerPeriodMs === undefined ? {} : { options: { syncPeriodMs: options.autoscalerPeriodMs } }),
  });
  running.add(resourceQuotaController, {
    deps: { usage: (namespace, resources) => namespaceUsage(api.server, namespace, resources) },
  });
  const system = options.systemControllers?.({ api, kinds: servedKinds(api) }) ?? [];
  for (const { definition, deps } of system) running.add(definition, { deps: deps as never });
  await createNodes(running, options, clock.now());
  running.informers.start();
  await running.start();
  api.setReady(true);
  const way = faultyWay(inside, name, clock);
  return {
    name,
    options,
    api,
    manager: running,
    transport: way.transport,
    faults: way.faults,
    setFaults: (change) => way.setFaults(change),
    async setNodesReady(isReady, names) {
      const { items } = await running.client.list(Node);
      for (const node of items) {
        if (names !== undefined && !names.includes(node.metadata.name ?? "")) continue;
        const conditions = readyConditions(isReady, clock.now());
        await running.client.updateStatus(Node, setPath(node, ["status", "conditions"], conditions));
      }
    },
    setQuotaFull: (isFull) => setQuotaFull(running, isFull),
    async stop() {
      way.stop();
      await running.stop();
      running.informers.stop();
      api.stop();
      await api.server.backend.close();
    },
  };
}

/** Name of the quota that leaves no room. */
const FULL_QUOTA = "simulated-full";

async function setQuotaFull({ client }: Manager, isFull: boolean): Promise<void> {
  const { items } = await client.list(Namespace);
  for (const { metadata } of items) {
    const namespace = metadata.name ?? "";
    if (namespace.startsWith("kube-")) continue;
    if (!isFull) {
      await client.delete(ResourceQuota, { namespace, name: FULL_QUOTA });
      continue;
    }
    try {
      await client.create(ResourceQuota, {
        apiVersion: "v1",
        kind: "ResourceQuota",
        metadata: { namespace, name: FULL_QUOTA },
        spec: { hard: { pods: "0" } },
      } as unknown as ResourceQuota);
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
    }
  }
}

function readyConditions(isReady: boolean, nowMs: number) {
  const time = formatTime(nowMs);
  return [
    {
      type: "Ready",
      status: isReady ? "True" : "Unknown",
      reason: isReady ? "KubeletReady" : "NodeStatusUnknown",
      message: isReady ? "kubelet is posting ready status" : "Kubelet stopped posting node status.",
      lastHeartbeatTime: time,
      lastTransitionTime: time,
    },
  ];
}

async function createNodes(manager: Manager, options: SimulatedMemberOptions, nowMs: number): Promise<void> {
  let at = 0;
  for (const nodeClass of options.nodes) {
    const memory = parseQuantity(nodeClass.memory) ?? zeroQuantity;
    const amounts = {
      cpu: nodeClass.cpu,
      memory: formatQuantity(multiplyQuantity(memory, 1)),
      pods: String(nodeClass.pods ?? 110),
      "ephemeral-storage": "100Gi",
    };
    const { isSummarised = false } = options;
    const nodes = Array.from({ length: isSummarised ? Math.min(1, nodeClass.count) : nodeClass.count }, () => {
      const name = `${options.name}-node-${++at}`;
      return {
        apiVersion: "v1",
        kind: "Node",
        metadata: {
          name,
          labels: {
            "kubernetes.io/hostname": name,
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": "amd64",
            ...(options.region === undefined ? {} : { "topology.kubernetes.io/region": options.region }),
            ...(options.zone === undefined ? {} : { "topology.kubernetes.io/zone": options.zone }),
            ...nodeClass.labels,
          },
          ...(isSummarised ? { annotations: { [STANDS_FOR]: String(nodeClass.count) } } : {}),
        },
        spec: {},
        status: {
          capacity: amounts,
          allocatable: amounts,
          conditions: readyConditions(true, nowMs),
          addresses: [
            { type: "InternalIP", address: `172.16.${(at >> 8) & 255}.${at & 255}` },
            { type: "Hostname", address: name },
          ],
          nodeInfo: {
            kubeletVersion: "v1.36.2",
            kubeProxyVersion: "",
            osImage: "simulated",
            kernelVersion: "simulated",
            containerRuntimeVersion: "simulated://1",
            architecture: "amd64",
            operatingSystem: "linux",
            machineID: "",
            systemUUID: "",
            bootID: "",
          },
        },
      } as unknown as Node;
    });
    await Promise.all(
      nodes.map(async (node) => {
        try {
          // A Node keeps the status it is made with, as kubelets register themselves.
          await manager.client.create(Node, node);
        } catch (error) {
          if (!isAlreadyExists(error)) throw error;
        }
      }),
    );
  }
}
