import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { writeKubeconfig } from "#certs";
import { createHttpTransport, type HttpTransport } from "#client";
import { isAlreadyExists, type KubeObject } from "#machinery";
import { type RealApiServer, type RealApiServerOptions, startRealApiServer } from "./api-server.ts";
import { type PartName, partPath } from "./build.ts";
import { freePort, type LabProcess, startProcess, untilReady } from "./process.ts";

export interface RealMemberOptions extends RealApiServerOptions {
  /** Nodes that kwok pretends to be; default 2. */
  readonly nodes?: number;
  /** What each node has to give; default 32 CPUs, 128 GiB, 110 pods. */
  readonly nodeCapacity?: Readonly<Record<string, string>>;
  readonly nodeLabels?: Readonly<Record<string, string>>;
  /** Lets its pods be spoken to; by default kwok refuses that. */
  readonly streams?: PodStreams;
  /** Requests a second that its controllers and its scheduler may make; default theirs, 20 and 50. */
  readonly qps?: number;
}

/** What pods that kwok pretends to run answer: `exec` runs programs of this machine. */
export interface PodStreams {
  /** File that `logs` and `attach` show, and follow. */
  readonly logsFile: string;
  /** Port of this machine that every forwarded port leads to. */
  readonly port: number;
}

/** A whole cluster: API server, controllers, scheduler, and nodes whose pods become ready. */
export interface RealMember extends RealApiServer {
  /** Every program of it by name, etcd included. */
  readonly programs: () => Readonly<Record<string, LabProcess>>;
}

const CAPACITY = { cpu: "32", memory: "128Gi", pods: "110", "ephemeral-storage": "1Ti" };
const READY_LIMIT_MS = 60_000;
const NODES = { group: "", version: "v1", resource: "nodes" };

/** Starts a real cluster on free ports. Resolves when its nodes are Ready and pods can be created. */
export async function startRealMember(options: RealMemberOptions = {}): Promise<RealMember> {
  const api = await startRealApiServer({ name: "member", ...options });
  const started: LabProcess[] = [];
  try {
    const paced =
      options.qps === undefined ? [] : [`--kube-api-qps=${options.qps}`, `--kube-api-burst=${2 * options.qps}`];
    for (const start of [startControllerManager, startScheduler])
      started.push(await start(api, options.lifetime, paced));
    started.push(await startKwok(api, options));
    const transport = createHttpTransport({ ...api.endpoint, timeoutMs: 5000 });
    try {
      await createNodes(transport, options);
      const [controllers, , kwok] = started as [LabProcess, LabProcess, LabProcess];
      await untilReady(kwok, () => areNodesReady(transport), READY_LIMIT_MS, "a Ready condition of every node");
      await untilReady(controllers, () => hasAccount(transport), READY_LIMIT_MS, "a default service account");
    } finally {
      await transport.close();
    }
  } catch (error) {
    await Promise.all(started.map((program) => program.stop()));
    await api.stop();
    throw error;
  }
  return {
    ...api,
    programs: () =>
      Object.fromEntries(
        [...started, api.process(), api.etcd.process()].map((program) => [program.name, program] as const),
      ),
    async stop() {
      await Promise.all(started.map((program) => program.stop()));
      await api.stop();
    },
  };
}

async function startPart(
  api: RealApiServer,
  name: PartName,
  args: readonly string[],
  lifetime: RealMemberOptions["lifetime"],
): Promise<LabProcess> {
  return startProcess({
    command: partPath(name),
    args,
    logFile: join(api.folder, `${name}.log`),
    // kwok looks for its configuration below the home folder.
    env: { HOME: api.folder },
    ...(lifetime === undefined ? {} : { lifetime }),
  });
}

/** A kubeconfig for a component under the user name that Kubernetes' default roles know. */
async function componentConfig(api: RealApiServer, user: string): Promise<string> {
  const path = join(api.folder, `${user}.kubeconfig`);
  const client = await api.pki.authority.issueClient(`system:${user}`);
  writeKubeconfig(path, api.name, api.server, api.pki.authority.certificate, client);
  return path;
}

async function startControllerManager(
  api: RealApiServer,
  lifetime: RealMemberOptions["lifetime"],
  paced: readonly string[],
) {
  const config = await componentConfig(api, "kube-controller-manager");
  const file = (name: string) => join(api.folder, name);
  return startPart(
    api,
    "kube-controller-manager",
    [
      `--kubeconfig=${config}`,
      `--authentication-kubeconfig=${config}`,
      `--authorization-kubeconfig=${config}`,
      `--service-account-private-key-file=${file("service-account.key")}`,
      `--root-ca-file=${file("ca.crt")}`,
      `--cluster-signing-cert-file=${join(api.folder, "pki", "ca.crt")}`,
      `--cluster-signing-key-file=${join(api.folder, "pki", "ca.key")}`,
      "--use-service-account-credentials=true",
      "--leader-elect=false",
      "--bind-address=127.0.0.1",
      `--secure-port=${await freePort()}`,
      `--cert-dir=${file("kube-controller-manager-serving")}`,
      ...paced,
      "--profiling=false",
    ],
    lifetime,
  );
}

async function startScheduler(api: RealApiServer, lifetime: RealMemberOptions["lifetime"], paced: readonly string[]) {
  const config = await componentConfig(api, "kube-scheduler");
  return startPart(
    api,
    "kube-scheduler",
    [
      `--kubeconfig=${config}`,
      `--authentication-kubeconfig=${config}`,
      `--authorization-kubeconfig=${config}`,
      "--leader-elect=false",
      "--bind-address=127.0.0.1",
      `--secure-port=${await freePort()}`,
      `--cert-dir=${join(api.folder, "kube-scheduler-serving")}`,
      ...paced,
    ],
    lifetime,
  );
}

async function startKwok(api: RealApiServer, { lifetime, streams }: RealMemberOptions) {
  mkdirSync(join(api.folder, ".kwok"), { recursive: true });
  return startPart(
    api,
    "kwok",
    [
      `--kubeconfig=${api.kubeconfig}`,
      "--manage-all-nodes=true",
      "--node-lease-duration-seconds=40",
      ...(streams === undefined ? [] : await streamFlags(api, streams)),
    ],
    lifetime,
  );
}

/** kwok as the kubelet of all nodes: where the API server finds it, and what it answers. */
async function streamFlags(api: RealApiServer, { logsFile, port }: PodStreams): Promise<readonly string[]> {
  const { certificate, key } = await api.pki.authority.issueServer("kwok", ["127.0.0.1"]);
  const file = (name: string, text: string) => {
    const path = join(api.folder, name);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  };
  const kinds = [
    { kind: "ClusterLogs", spec: { logs: [{ logsFile, follow: true }] } },
    { kind: "ClusterAttach", spec: { attaches: [{ logsFile }] } },
    { kind: "ClusterExec", spec: { execs: [{ local: {} }] } },
    { kind: "ClusterPortForward", spec: { forwards: [{ target: { address: "127.0.0.1", port } }] } },
  ];
  const config = kinds
    .map(({ kind, spec }) =>
      JSON.stringify({ apiVersion: "kwok.x-k8s.io/v1alpha1", kind, metadata: { name: "streams" }, spec }),
    )
    .join("\n---\n");
  const own = await freePort();
  return [
    `--config=${file("kwok.yaml", `${config}\n`)}`,
    "--node-ip=127.0.0.1",
    `--node-port=${own}`,
    `--server-address=127.0.0.1:${own}`,
    `--tls-cert-file=${file("kwok.crt", certificate)}`,
    `--tls-private-key-file=${file("kwok.key", key)}`,
  ];
}

async function createNodes(transport: HttpTransport, options: RealMemberOptions): Promise<void> {
  const capacity = { ...CAPACITY, ...options.nodeCapacity };
  for (let number = 1; number <= (options.nodes ?? 2); number++) {
    const name = `${options.name ?? "member"}-node-${number}`;
    const node = {
      apiVersion: "v1",
      kind: "Node",
      metadata: {
        name,
        annotations: { "kwok.x-k8s.io/node": "fake", "node.alpha.kubernetes.io/ttl": "0" },
        labels: {
          "kubernetes.io/hostname": name,
          "kubernetes.io/os": "linux",
          "kubernetes.io/arch": "amd64",
          ...options.nodeLabels,
        },
      },
      status: { capacity, allocatable: capacity },
    } as unknown as KubeObject;
    try {
      await transport.send({ verb: "create", ...NODES, body: node });
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
    }
  }
}

async function areNodesReady(transport: HttpTransport): Promise<boolean> {
  const { items } = await transport.list(NODES);
  return items.every((node) =>
    (node as { status?: { conditions?: { type: string; status: string }[] } }).status?.conditions?.some(
      ({ type, status }) => type === "Ready" && status === "True",
    ),
  );
}

async function hasAccount(transport: HttpTransport): Promise<boolean> {
  await transport.send({
    verb: "get",
    group: "",
    version: "v1",
    resource: "serviceaccounts",
    namespace: "default",
    name: "default",
  });
  return true;
}
