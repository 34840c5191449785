import { Deployment, Namespace, Pod, Secret, ServiceAccount, CertificateSigningRequest } from "#apis/kubernetes";
import { Cluster, CLUSTER_NAMESPACE, SYSTEM, SYSTEM_NAMESPACE } from "#apis/karmada";
import { type BootstrapToken, kubeconfigText, parseBootstrapToken, parseKubeconfig } from "#certs";
import { type Client, createClient, createHttpTransport, ensureObject, type HttpTransport } from "#client";
import { duration } from "#config";
import { DNS_LABEL, isNotFound } from "#machinery";
import { kubeconfigPath, openConnection } from "../connection.ts";
import { type Parsed, parseArguments, withHelp } from "../flags.ts";
import { realRandom, systemClock } from "../process.ts";
import {
  AGENT,
  AGENT_ACCOUNT,
  AGENT_KUBECONFIG,
  agentDeployment,
  type AgentOptions,
  agentPrerequisites,
} from "../registration/agent-deployment.ts";
import { agentUser, grantAgentRights, revokeAgentRights } from "../registration/agent-rights.ts";
import { discoverAuthority } from "../registration/discovery.ts";
import { withPatience } from "../registration/patience.ts";
import { obtainIdentity } from "../registration/signed-identity.ts";

const GENERATOR = agentUser("rbac-generator");
const LOOK_AGAIN_MS = 200;
const SUFFIX_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789";

const print = (text: string): void => void process.stdout.write(`${text}\n`);
const random = realRandom();
const suffix = () => Array.from({ length: 5 }, () => SUFFIX_LETTERS[random.below(SUFFIX_LETTERS.length)]).join("");

const flags = [
  { name: "kubeconfig", meaning: "path of the member's kubeconfig" },
  { name: "context", meaning: "context in it; default is the current one" },
  { name: "token", meaning: "bootstrap token of the control plane" },
  { name: "discovery-token-ca-cert-hash", meaning: "sha256:HEX of the control plane's authority; several by commas" },
  {
    name: "discovery-token-unsafe-skip-ca-verification",
    isSwitch: true,
    meaning: "believe the authority that the token signed, whatever its key",
  },
  { name: "discovery-timeout", default: "5m0s", meaning: "how long to wait for the control plane, and for the agent" },
  { name: "cluster-name", meaning: "name of the member; default is the cluster of the kubeconfig's context" },
  { name: "cluster-namespace", default: CLUSTER_NAMESPACE, meaning: "namespace of the member's credentials" },
  { name: "cluster-provider", default: "", meaning: "provider of the member" },
  { name: "cluster-region", default: "", meaning: "region of the member" },
  { name: "cluster-zones", default: "", meaning: "zones of the member, separated by commas" },
  { name: "namespace", short: "n", default: SYSTEM_NAMESPACE, meaning: "namespace of the agent in the member" },
  { name: "karmada-agent-image", default: "docker.io/karmada/karmada-agent:v1.19.0", meaning: "image of the agent" },
  { name: "karmada-agent-replicas", default: "1", meaning: "replicas of the agent" },
  { name: "cert-expiration-seconds", default: "31536000", meaning: "life of the agent's certificate" },
  { name: "enable-cert-rotation", isSwitch: true, meaning: "let the agent renew its certificate" },
  { name: "proxy-server-address", default: "", meaning: "proxy by which the control plane reaches the member" },
  { name: "dry-run", isSwitch: true, meaning: "check everything but write nothing" },
] as const;

/** `flotilla register HOST:PORT --token TOKEN`: makes the cluster of the kubeconfig a pull member. */
export function run(words: readonly string[], program: string): Promise<number> {
  return withHelp(async () => {
    const parsed = parseArguments(words, flags, `${program} register HOST:PORT --token TOKEN`);
    if (parsed.args.length !== 1) throw new Error(`accepts 1 arg(s), received ${parsed.args.length}`);
    const wanted = readOptions(parsed);
    const member = openConnection(parsed.get("kubeconfig"), parsed.get("context"));
    try {
      await preflight(member.client, wanted.namespace);
      if (parsed.isOn("dry-run")) return 0;
      await register(member.client, member.endpoint.server, wanted);
      print(`cluster(${wanted.cluster}) is joined successfully`);
      return 0;
    } finally {
      await member.transport.close();
    }
  });
}

interface Wanted extends Omit<AgentOptions, "apiEndpoint" | "kubeconfig"> {
  readonly address: string;
  readonly token: BootstrapToken;
  readonly pins: readonly string[];
  readonly timeoutMs: number;
  readonly seconds: number;
}

function readOptions(parsed: Parsed): Wanted {
  const text = (name: string) => parsed.get(name) ?? "";
  if (text("token") === "") throw new Error("token is required");
  const token = parseBootstrapToken(text("token"));
  if (token === undefined)
    throw new Error(
      `the bootstrap token ${JSON.stringify(text("token"))} was not of the form "\\A([a-z0-9]{6})\\.([a-z0-9]{16})\\z"`,
    );
  const pins = parsed.list("discovery-token-ca-cert-hash");
  if (pins.length === 0 && !parsed.isOn("discovery-token-unsafe-skip-ca-verification"))
    throw new Error("need to verify CACertHashes, or set --discovery-token-unsafe-skip-ca-verification=true");
  for (const pin of pins)
    if (!/^sha256:[0-9a-f]{64}$/i.test(pin))
      throw new Error(
        `--discovery-token-ca-cert-hash: ${JSON.stringify(pin)} must be sha256: and 64 hexadecimal digits`,
      );
  const wholeNumber = (name: string, min: number) => {
    const value = Number(text(name));
    if (!Number.isInteger(value) || value < min)
      throw new Error(`--${name}: ${JSON.stringify(text(name))} must be a whole number of at least ${min}`);
    return value;
  };
  const cluster = text("cluster-name") || clusterOfContext(parsed);
  if (cluster.length > 48 || !DNS_LABEL.test(cluster))
    throw new Error(
      `invalid cluster name(${cluster}): a lowercase RFC 1123 label of no more than 48 characters is required`,
    );
  return {
    address: (parsed.args[0] as string).replace(/^https:\/\//, ""),
    token,
    pins: pins.map((pin) => pin.toLowerCase()),
    timeoutMs: duration.read(text("discovery-timeout"), "--discovery-timeout"),
    cluster,
    namespace: text("namespace"),
    clusterNamespace: text("cluster-namespace"),
    provider: text("cluster-provider"),
    region: text("cluster-region"),
    zones: parsed.list("cluster-zones").join(","),
    proxyServerAddress: text("proxy-server-address"),
    image: text("karmada-agent-image"),
    replicas: wholeNumber("karmada-agent-replicas", 1),
    seconds: wholeNumber("cert-expiration-seconds", 600),
    rotatesCertificates: parsed.isOn("enable-cert-rotation"),
  };
}

function clusterOfContext(parsed: Parsed): string {
  const config = parseKubeconfig(kubeconfigPath(parsed.get("kubeconfig")));
  const name = parsed.get("context") ?? config.currentContext;
  return config.contexts.find((context) => context.name === name)?.value.cluster ?? "";
}

/** Nothing of an earlier agent may be there. */
async function preflight(client: Client, namespace: string): Promise<void> {
  print("[preflight] Running pre-flight checks");
  const found = await Promise.all(
    (
      [
        [Secret, AGENT_KUBECONFIG],
        [ServiceAccount, AGENT_ACCOUNT],
        [Deployment, AGENT],
      ] as const
    ).map(async ([kind, name]) =>
      (await client.find(kind as typeof Secret, { namespace, name })) === undefined
        ? []
        : [`\t[ERROR]: ${namespace}/${name} ${kind.kind} already exists`],
    ),
  );
  const errors = found.flat();
  if (errors.length === 0) return print("[preflight] All pre-flight checks were passed");
  print("error execution phase preflight: [preflight] Some fatal errors occurred:");
  for (const error of errors) print(error);
  print("[preflight] Please check the above errors");
  throw new Error(`pre-flight checks failed: ${errors.map((error) => error.trim()).join("; ")}`);
}

async function register(member: Client, apiEndpoint: string, wanted: Wanted): Promise<void> {
  const { address, cluster, token, pins, timeoutMs, clusterNamespace, seconds } = wanted;
  const server = `https://${address}`;
  const opened: HttpTransport[] = [];
  const clock = systemClock;
  const isOver = new AbortController();
  const patience = {
    clock,
    timeoutMs,
    signal: isOver.signal,
    say: (text: string) => void process.stderr.write(`warning: ${text}\n`),
  };
  const connect = (who: object): Client => {
    const transport = createHttpTransport({ server, userAgent: "karmadactl", ...who });
    opened.push(transport);
    return createClient(withPatience(transport, patience), { fieldManager: "karmadactl" });
  };
  let generator: Client | undefined;
  try {
    print("[karmada-agent-start] Waiting to perform the TLS Bootstrap");
    const certificateAuthority = await discoverAuthority({ address, token, pins, timeoutMs, clock });
    const newcomer = connect({ certificateAuthority, token: `${token.id}.${token.secret}` });
    const request = { seconds, timeoutMs, clock };
    const first = `agent-rbac-generator-${cluster}${suffix()}`;
    const rights = await obtainIdentity(newcomer, { name: first, commonName: GENERATOR, ...request });
    const own = connect({ certificateAuthority, clientCertificate: rights.certificate, clientKey: rights.key });
    print("[karmada-agent-start] Waiting to check cluster exists");
    if ((await own.find(Cluster, { name: cluster })) !== undefined)
      throw new Error(`failed to register as cluster with name ${cluster} already exists`);
    generator = own;
    print("[karmada-agent-start] Assign the necessary RBAC permissions to the agent");
    await grantAgentRights(own, cluster, clusterNamespace);
    await own.delete(CertificateSigningRequest, { name: first }).catch((error: unknown) => {
      if (!isNotFound(error)) throw error;
    });
    print("[karmada-agent-start] Waiting to construct karmada-agent kubeconfig");
    const client = await obtainIdentity(newcomer, {
      name: `${cluster}-${suffix()}`,
      commonName: agentUser(cluster),
      ...request,
    });
    const kubeconfig = kubeconfigText({
      name: "karmada-apiserver",
      user: cluster,
      context: `${cluster}@karmada-apiserver`,
      server,
      authority: certificateAuthority,
      client,
    });
    await installAgent(member, { ...wanted, apiEndpoint, kubeconfig }, timeoutMs);
  } catch (error) {
    isOver.abort();
    if (generator !== undefined) {
      print("karmadactl register failed and started deleting the created resources");
      await revokeAgentRights(generator, cluster, clusterNamespace).catch((further: unknown) =>
        process.stderr.write(`could not take all rights back: ${String(further)}\n`),
      );
    }
    throw error;
  } finally {
    await Promise.all(opened.map((transport) => transport.close()));
  }
}

async function installAgent(member: Client, options: AgentOptions, timeoutMs: number): Promise<void> {
  const { namespace } = options;
  await ensureObject(member, Namespace, {
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name: namespace, labels: { [SYSTEM]: "true" } },
  });
  print("[karmada-agent-start] Waiting the necessary secret and RBAC");
  for (const { kind, object } of agentPrerequisites(options)) await ensureObject(member, kind, object);
  print("[karmada-agent-start] Waiting karmada-agent Deployment");
  await ensureObject(member, Deployment, agentDeployment(options));
  const endMs = systemClock.monotonicMs() + timeoutMs;
  for (;;) {
    const { status, spec, metadata } = await member.get(Deployment, { namespace, name: AGENT });
    const replicas = spec?.replicas ?? 1;
    if ((status?.observedGeneration ?? 0) >= (metadata.generation ?? 0) && (status?.availableReplicas ?? 0) >= replicas)
      return;
    if (systemClock.monotonicMs() > endMs)
      throw new Error(`the agent did not come up within ${timeoutMs / 1000} s: ${await obstacle(member, namespace)}`);
    await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
  }
}

/** Why the agent's pods are not ready, in the kubelet's words. */
async function obstacle(member: Client, namespace: string): Promise<string> {
  const { items } = await member.list(Pod, { namespace, labelSelector: `app=${AGENT}` });
  const reasons = items.flatMap(({ metadata, status }) =>
    (status?.containerStatuses ?? []).flatMap(({ state }) =>
      state?.waiting === undefined
        ? []
        : [`pod ${metadata.name}: ${state.waiting.reason ?? "waiting"} ${state.waiting.message ?? ""}`.trim()],
    ),
  );
  return reasons[0] ?? (items.length === 0 ? "it has no pods" : `${items.length} pods are not ready`);
}
