import { homedir } from "node:os";
import { join } from "node:path";
import { type KubeconfigEndpoint, parseKubeconfig, resolveContext } from "#certs";
import { type Client, createClient, createHttpTransport, type HttpTransport, type HttpTransportOptions } from "#client";
import { Cluster, TAINT_UNSCHEDULABLE } from "#apis/karmada";
import type { FlagSpec, Parsed } from "./flags.ts";

export const kubeconfigFlags: readonly FlagSpec[] = [
  { name: "kubeconfig", meaning: "path of the control plane's kubeconfig" },
  { name: "karmada-context", meaning: "context in it; default is the current one" },
];

/** On whose behalf the control plane is asked. */
export const impersonationFlags: readonly FlagSpec[] = [
  { name: "karmada-as", meaning: "user to act as in the control plane" },
  { name: "karmada-as-group", meaning: "groups to act as, separated by commas" },
  { name: "karmada-as-uid", meaning: "UID to act as" },
];

export function impersonationOf(parsed: Parsed): Pick<HttpTransportOptions, "impersonate"> {
  const user = parsed.get("karmada-as");
  const groups = parsed.get("karmada-as-group")?.split(",").filter(Boolean);
  const uid = parsed.get("karmada-as-uid");
  if (user === undefined) {
    if (groups !== undefined || uid !== undefined)
      throw new Error("--karmada-as-group and --karmada-as-uid need --karmada-as");
    return {};
  }
  return {
    impersonate: { user, ...(groups === undefined ? {} : { groups }), ...(uid === undefined ? {} : { uid }) },
  };
}

export interface Connection {
  readonly endpoint: KubeconfigEndpoint;
  readonly transport: HttpTransport;
  readonly client: Client;
}

/** The kubeconfig a command reads: the path given, `$KUBECONFIG`, or the one in the home folder. */
export const kubeconfigPath = (path: string | undefined): string =>
  path ?? process.env["KUBECONFIG"]?.split(":")[0] ?? join(homedir(), ".kube", "config");

/** Opens a server named by a kubeconfig: the path given, `$KUBECONFIG`, or the one in the home folder. */
export function openConnection(
  path: string | undefined,
  context: string | undefined,
  more: Pick<HttpTransportOptions, "impersonate"> & { readonly userAgent?: string } = {},
): Connection {
  const endpoint = resolveContext(parseKubeconfig(kubeconfigPath(path)), context);
  const { namespace: _namespace, ...options } = endpoint;
  const { userAgent = "karmadactl" } = more;
  const transport = createHttpTransport({ ...options, ...more, userAgent });
  return { endpoint, transport, client: createClient(transport, { fieldManager: userAgent }) };
}

/** Sets or removes the taint that keeps new workloads away from a cluster. */
export async function setSchedulable(client: Client, name: string, isSchedulable: boolean): Promise<boolean> {
  const key = TAINT_UNSCHEDULABLE;
  const cluster = await client.get(Cluster, { name });
  const taints = cluster.spec?.taints ?? [];
  const isCordoned = taints.some((taint) => taint.key === key && taint.effect === "NoSchedule");
  if (isCordoned !== isSchedulable) return false;
  const next = isSchedulable
    ? taints.filter((taint) => !(taint.key === key && taint.effect === "NoSchedule"))
    : [...taints, { key, effect: "NoSchedule" }];
  await client.patch(Cluster, { name }, "application/merge-patch+json", {
    spec: { taints: next.length === 0 ? null : next },
  });
  return true;
}
