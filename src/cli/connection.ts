import { homedir } from "node:os";
import { join } from "node:path";
import { existsSync } from "node:fs";
import { type Logger, systemClock } from "#base";
import { expiredSince, type KubeconfigEndpoint, ownCluster, parseKubeconfig, resolveContext } from "#certs";
import {
  type Client,
  createClient,
  createFollowedTransport,
  type FollowedTransport,
  type HttpTransportOptions,
  retryOnConflict,
} from "#client";
import { Cluster, TAINT_UNSCHEDULABLE } from "#apis/karmada";
import type { FlagSpec, Parsed } from "./flags.ts";

export const kubeconfigFlags: readonly FlagSpec[] = [
  { name: "kubeconfig", meaning: "path of the control plane's kubeconfig" },
  { name: "karmada-context", meaning: "context in it; default is the current one" },
];

/** On whose behalf the control plane is asked. */
export const impersonationFlags: readonly FlagSpec[] = [
  { name: "karmada-as", meaning: "user to act as in the control plane" },
  { name: "karmada-as-group", meaning: "group to act as; may be given several times" },
  { name: "karmada-as-uid", meaning: "UID to act as" },
];

export function impersonationOf(parsed: Parsed): Pick<HttpTransportOptions, "impersonate"> {
  const user = parsed.get("karmada-as");
  // A name may hold a comma, as those of directories do.
  const groups = parsed.all("karmada-as-group").filter((group) => group !== "");
  const uid = parsed.get("karmada-as-uid");
  if (user === undefined) {
    if (groups.length > 0 || uid !== undefined)
      throw new Error("--karmada-as-group and --karmada-as-uid need --karmada-as");
    return {};
  }
  return {
    impersonate: { user, ...(groups.length === 0 ? {} : { groups }), ...(uid === undefined ? {} : { uid }) },
  };
}

export interface Connection {
  /** As it was opened; `transport.endpoint()` has the credentials of now. */
  readonly endpoint: KubeconfigEndpoint;
  readonly transport: FollowedTransport;
  readonly client: Client;
}

/** The kubeconfig a command reads: the path given, `$KUBECONFIG`, or the one in the home folder. */
export const kubeconfigPath = (path: string | undefined): string =>
  path ?? process.env["KUBECONFIG"]?.split(":")[0] ?? join(homedir(), ".kube", "config");

/** How often programs that stay look at their kubeconfig and the files it names. */
const LOOK_AGAIN_MS = 30_000;

interface OpenOptions extends Pick<HttpTransportOptions, "impersonate"> {
  readonly userAgent?: string;
  /** Address in place of the kubeconfig's. */
  readonly server?: string;
  /** The log of a program that stays: its credentials are followed, and what becomes of them is told there. */
  readonly log?: Logger;
}

/**
 * Opens a server named by a kubeconfig: the path given, `$KUBECONFIG`, or the one in the home folder; without any of them, in
 * a pod, the cluster it runs in, as its service account.
 */
export function openConnection(
  path: string | undefined,
  context: string | undefined,
  more: OpenOptions = {},
): Connection {
  const file = kubeconfigPath(path);
  const { userAgent = "karmadactl", server, log, impersonate } = more;
  const read = (): KubeconfigEndpoint => {
    const endpoint =
      path !== undefined || existsSync(file) ? resolveContext(parseKubeconfig(file), context) : inCluster(file);
    return server === undefined ? endpoint : { ...endpoint, server };
  };
  const endpoint = read();
  // A server says no more than Unauthorized to that.
  const since =
    endpoint.clientCertificate === undefined ? undefined : expiredSince(endpoint.clientCertificate, Date.now());
  if (since !== undefined) process.stderr.write(`warning: the client certificate in ${file} expired on ${since}\n`);
  const transport = createFollowedTransport({
    read,
    clock: systemClock,
    userAgent,
    ...(impersonate === undefined ? {} : { impersonate }),
    ...(log === undefined ? {} : { log, lookAgainMs: LOOK_AGAIN_MS }),
  });
  return { endpoint, transport, client: createClient(transport, { fieldManager: userAgent }) };
}

function inCluster(file: string): KubeconfigEndpoint {
  const own = ownCluster(process.env);
  if (own !== undefined) return own;
  throw new Error(
    `Missing or incomplete configuration info. Please point to an existing, complete config file: with the flag --kubeconfig, with the variable KUBECONFIG, or at ~/.kube/config (${file} does not exist)`,
  );
}

/** Sets or removes the taint that keeps new workloads away from a cluster. */
export function setSchedulable(client: Client, name: string, isSchedulable: boolean): Promise<boolean> {
  const key = TAINT_UNSCHEDULABLE;
  return retryOnConflict(async () => {
    const cluster = await client.get(Cluster, { name });
    const taints = cluster.spec?.taints ?? [];
    const isCordoned = taints.some((taint) => taint.key === key && taint.effect === "NoSchedule");
    if (isCordoned !== isSchedulable) return false;
    const next = isSchedulable
      ? taints.filter((taint) => !(taint.key === key && taint.effect === "NoSchedule"))
      : [...taints, { key, effect: "NoSchedule" }];
    // The whole list is written: a taint that somebody else sets meanwhile must not be lost.
    await client.patch(Cluster, { name }, "application/merge-patch+json", {
      metadata: { resourceVersion: cluster.metadata.resourceVersion },
      spec: { taints: next.length === 0 ? null : next },
    });
    return true;
  });
}
