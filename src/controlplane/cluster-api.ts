import type { Cluster } from "#apis/karmada";
import { type Clock, exponentialBackoff, type Logger, type Random, sleep } from "#base";
import { type KubeconfigEndpoint, parseKubeconfig, readKubeconfig, refuseOutside, resolveContext } from "#certs";
import { type Client, createClient, createFollowedTransport, createHttpTransport, type Informer } from "#client";
import type { EngineConfig } from "#config";
import { createManager, type Manager } from "#controller-runtime";
import { clusterApiJoin, provisionedClusterKind } from "#controllers/cluster-api";
import { isForbidden, type Transport } from "#machinery";
import { memberId } from "#member";

/** The version upstream follows; management clusters that have given it up are followed in the one they prefer. */
const VERSION = "v1beta1";
const GROUP_PATH = "/apis/cluster.x-k8s.io";
const RETRY = exponentialBackoff({ baseMs: 500, maxMs: 30_000 });

interface Parts {
  readonly plane: Client;
  readonly clusters: Informer<Cluster>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

/** Where the management cluster is; nothing where none is named. Throws what is wrong, by flag. */
export function managementEndpoint(
  config: Pick<EngineConfig, "clusterApiKubeconfig" | "clusterApiContext">,
): KubeconfigEndpoint | undefined {
  const { clusterApiKubeconfig: path, clusterApiContext: context } = config;
  if (path === undefined) {
    if (context !== undefined) throw new Error("--cluster-api-context needs --cluster-api-kubeconfig");
    return undefined;
  }
  try {
    return resolveContext(parseKubeconfig(path), context);
  } catch (error) {
    throw new Error(`--cluster-api-kubeconfig: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
}

const IDENTITY = "karmada-controller-manager";
const LOOK_AGAIN_MS = 30_000;

/** Reaches a member by the text of a kubeconfig that somebody else wrote. */
function openMember(text: string) {
  const config = readKubeconfig(text);
  refuseOutside(config);
  const { namespace: _namespace, ...endpoint } = resolveContext(config);
  const transport = createHttpTransport({ ...endpoint, userAgent: IDENTITY });
  const client = createClient(transport, { fieldManager: IDENTITY });
  return { transport, client, endpoint, close: () => transport.close() };
}

/** Joins what a management cluster provisions. It does not wait for that cluster: the control plane has work without it. */
export function followManagement(read: () => KubeconfigEndpoint, parts: Parts): { stop(): Promise<void> } {
  const { clock, random, log, plane, clusters } = parts;
  const transport = createFollowedTransport({ read, clock, log, lookAgainMs: LOOK_AGAIN_MS, userAgent: IDENTITY });
  const management = { transport, client: createClient(transport, { fieldManager: IDENTITY }) };
  const server = () => transport.endpoint().server;
  const abort = new AbortController();
  let manager: Manager | undefined;
  async function begin(): Promise<void> {
    let said = "";
    let failures = 0;
    while (!abort.signal.aborted)
      try {
        const version = await servedVersion(management.transport, abort.signal);
        const id = await memberId(management.client).catch((error: unknown) => {
          // Who may not read namespaces is known by address.
          if (isForbidden(error)) return server();
          throw error;
        });
        if (abort.signal.aborted) return;
        manager = createManager({ transport: management.transport, clock, random, log });
        const deps = { plane, clusters, management: id, open: openMember };
        manager.add(clusterApiJoin(provisionedClusterKind(version)), { deps });
        log.info("clusters of Cluster API are joined", { management: server(), version });
        return await manager.start();
      } catch (error) {
        if (abort.signal.aborted) return;
        const what = error instanceof Error ? error.message : String(error);
        if (what !== said)
          log.warn("the Cluster API management cluster cannot be followed", { server: server(), error: what });
        said = what;
        await sleep(clock, RETRY(failures++), abort.signal);
      }
  }
  const begun = begin();
  return {
    async stop() {
      abort.abort();
      // A first list that never ends is given up with its connection.
      await Promise.all([manager?.stop(), transport.close()]);
      await begun;
    },
  };
}

async function servedVersion(transport: Transport, signal: AbortSignal): Promise<string> {
  const { status, body } = await transport.raw({
    method: "GET",
    path: GROUP_PATH,
    headers: { accept: "application/json" },
    signal,
  });
  if (status === 404) throw new Error("it does not serve the API group cluster.x-k8s.io");
  const text = new TextDecoder().decode(body);
  if (status !== 200) throw new Error(`it answered ${status} for ${GROUP_PATH}: ${text.slice(0, 200)}`);
  const group = JSON.parse(text) as {
    readonly versions?: readonly { readonly version: string }[];
    readonly preferredVersion?: { readonly version: string };
  };
  return group.versions?.some(({ version }) => version === VERSION) === true
    ? VERSION
    : (group.preferredVersion?.version ?? VERSION);
}
