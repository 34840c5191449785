import { isIP } from "node:net";
import { checkServerIdentity } from "node:tls";
import { type ChannelCredentials, Client, connectivityState, credentials, Metadata } from "@grpc/grpc-js";
import type { Asking, ClusterEstimator } from "../pool.ts";
import { assumedToWire, componentToWire, requirementsToWire } from "./convert.ts";
import { type Message, methods } from "./messages.ts";

/** PEM texts. No authority and no skip: plaintext; authority: the server is verified; certificate and key: mutual. */
export interface ClientSecurity {
  readonly authority?: string;
  readonly certificate?: string;
  readonly key?: string;
  /** `--insecure-skip-estimator-verify`; default false. */
  readonly skipsVerify?: boolean;
}

/** What is named in a handshake in place of an IP address, which none may name (RFC 6066). */
const NAME_OF_ADDRESS = "karmada-scheduler-estimator";

const hostOf = (address: string) => address.replace(/:\d+$/, "").replace(/^\[|\]$/g, "");

function credentialsOf(
  { authority, certificate, key, skipsVerify = false }: ClientSecurity,
  host: string,
): ChannelCredentials {
  if (authority === undefined && !skipsVerify) return credentials.createInsecure();
  const pem = (text: string | undefined) => (text === undefined ? null : Buffer.from(text));
  return credentials.createSsl(
    pem(authority),
    pem(key),
    pem(certificate),
    skipsVerify
      ? { rejectUnauthorized: false, checkServerIdentity: () => undefined }
      : { checkServerIdentity: (_named, peer) => checkServerIdentity(host, peer) },
  );
}

export interface DialOptions {
  /** `host:port`; the first that answers is kept. */
  readonly addresses: readonly string[];
  readonly cluster: string;
  readonly security?: ClientSecurity;
  /** For each address; default 5 s. */
  readonly timeoutMs?: number;
}

const DIAL_TIMEOUT_MS = 5_000;
const NANO_PER_MS = 1_000_000;

/** Connects to a cluster's estimator. Rejects with the last address's error when none answers. */
export async function dialEstimator({
  addresses,
  cluster,
  security = {},
  timeoutMs = DIAL_TIMEOUT_MS,
}: DialOptions): Promise<ClusterEstimator> {
  let last: unknown = new Error(`no address for the estimator of cluster ${cluster}`);
  for (const address of addresses) {
    const host = hostOf(address);
    const named = isIP(host) === 0 ? {} : { "grpc.ssl_target_name_override": NAME_OF_ADDRESS };
    const client = new Client(address, credentialsOf(security, host), named);
    try {
      await connected(client, address, timeoutMs);
      return estimatorOver(client, cluster);
    } catch (error) {
      client.close();
      last = error;
    }
  }
  throw last;
}

/** Resolves when the connection stands. A name that is not there, or a refusal, is an answer: no further wait for it. */
function connected(client: Client, address: string, timeoutMs: number): Promise<void> {
  const channel = client.getChannel();
  const deadline = Date.now() + timeoutMs;
  return new Promise((resolve, reject) => {
    const look = (): void => {
      const state = channel.getConnectivityState(true);
      if (state === connectivityState.READY) resolve();
      else if (state === connectivityState.TRANSIENT_FAILURE || state === connectivityState.SHUTDOWN)
        reject(new Error(`cannot connect to the estimator at ${address}`));
      else
        channel.watchConnectivityState(state, deadline, (error) => {
          if (error) reject(new Error(`the estimator at ${address} did not answer within ${timeoutMs} ms`));
          else look();
        });
    };
    look();
  });
}

function estimatorOver(client: Client, cluster: string): ClusterEstimator {
  const call = (name: keyof typeof methods, message: Message, { object, signal }: Asking): Promise<Message> =>
    new Promise((resolve, reject) => {
      const { path, request, response } = methods[name];
      const metadata = new Metadata();
      if (object !== undefined)
        metadata.set("object", `kind=${object.kind}, name=${object.namespace ?? ""}/${object.name}`);
      const running = client.makeUnaryRequest(
        path,
        request.encode,
        response.decode,
        { cluster, ...message },
        metadata,
        (error, answer) => {
          signal.removeEventListener("abort", cancel);
          if (error !== null) reject(error);
          else resolve(answer ?? {});
        },
      );
      const cancel = () => running.cancel();
      signal.addEventListener("abort", cancel, { once: true });
    });
  const numberIn = (answer: Message, field: string) => (answer[field] as number | undefined) ?? 0;
  return {
    async maxReplicas(requirements, asking) {
      const message = {
        ...(requirements === undefined ? {} : { replicaRequirements: requirementsToWire(requirements) }),
        assumedWorkloads: assumedToWire(asking.assumed),
      };
      return numberIn(await call("MaxAvailableReplicas", message, asking), "maxReplicas");
    },
    async maxSets(components, namespace, asking) {
      const message = {
        components: components.map(componentToWire),
        namespace: namespace ?? "",
        assumedWorkloads: assumedToWire(asking.assumed),
      };
      return numberIn(await call("MaxAvailableComponentSets", message, asking), "maxSets");
    },
    async unschedulableReplicas(workload, thresholdMs, asking) {
      const message = { resource: { ...workload }, unschedulableThreshold: Math.round(thresholdMs * NANO_PER_MS) };
      return numberIn(await call("GetUnschedulableReplicas", message, asking), "unschedulableReplicas");
    },
    close: () => client.close(),
  };
}
