import { Secret } from "#apis/kubernetes";
import { Cluster } from "#apis/karmada";
import { type Clock, deepEqual, type Logger } from "#base";
import type { Client } from "#client";
import { controllerReference, isAlreadyExists, isForbidden } from "#machinery";
import { memberId, obtainCredentials, refuseRegistered } from "#member";

export interface RegistrationOptions {
  readonly clusterName: string;
  readonly clusterNamespace: string;
  readonly clusterApiEndpoint: string;
  readonly clusterProvider: string;
  readonly clusterRegion: string;
  readonly clusterZones: readonly string[];
  readonly proxyServerAddress: string;
  /** Which credentials the control plane gets: `KubeCredentials`, `KubeImpersonator`, or nothing. */
  readonly reportSecrets: readonly string[];
}

interface Parties {
  readonly plane: Client;
  readonly member: Client;
  readonly clock: Clock;
  readonly log: Logger;
}

/** The member's id, and its Cluster where it has one. Refuses a name or a member that is another's (`CL-7`). */
export async function identify(
  name: string,
  { plane, member }: Pick<Parties, "plane" | "member">,
): Promise<{ readonly id: string; readonly present: Cluster | undefined }> {
  const id = await memberId(member);
  const { items } = await plane.list(Cluster);
  const present = items.find((cluster) => cluster.metadata.name === name);
  // The same id under the same name is a restart.
  if (present !== undefined && (present.spec?.id ?? id) === id) return { id, present };
  try {
    refuseRegistered(items, name, id);
  } catch (error) {
    throw new NotThisMember((error as Error).message, { cause: error });
  }
  return { id, present: undefined };
}

/** Another member has the name, or the member another name: no retry can help. */
export class NotThisMember extends Error {}

/**
 * Makes the member known (`CL-10`, `CL-11`): the Cluster and the credentials it reports. The same id under the same name is
 * a restart; anything that matches by half is refused. Nothing is written where all is as wanted.
 */
export async function registerCluster(options: RegistrationOptions, parties: Parties): Promise<void> {
  const { plane } = parties;
  const { clusterName: name, clusterNamespace: namespace } = options;
  const { id, present } = await identify(name, parties);
  const reports = (kind: string) => options.reportSecrets.includes(kind);
  const refs = {
    ...(reports("KubeCredentials") ? { secretRef: { namespace, name } } : {}),
    ...(reports("KubeImpersonator") ? { impersonatorSecretRef: { namespace, name: `${name}-impersonator` } } : {}),
  };
  if (Object.keys(refs).length > 0) await reportSecrets(options, parties);
  const cluster = await putCluster(present, options, { id, ...refs }, parties);
  // The credentials go with the Cluster.
  const ownerReferences = [controllerReference(cluster)];
  for (const ref of Object.values(refs))
    await plane.patch(Secret, ref, "application/merge-patch+json", { metadata: { ownerReferences } });
}

async function putCluster(
  present: Cluster | undefined,
  options: RegistrationOptions,
  more: object,
  { plane, log }: Parties,
): Promise<Cluster> {
  const wanted = {
    ...more,
    syncMode: "Pull",
    apiEndpoint: options.clusterApiEndpoint,
    ...(options.proxyServerAddress === "" ? {} : { proxyURL: options.proxyServerAddress }),
    ...(options.clusterProvider === "" ? {} : { provider: options.clusterProvider }),
    ...(options.clusterRegion === "" ? {} : { region: options.clusterRegion }),
    ...(options.clusterZones.length === 0 ? {} : { zones: options.clusterZones }),
  };
  if (present === undefined) {
    const head = {
      apiVersion: "cluster.karmada.io/v1alpha1",
      kind: "Cluster",
      metadata: { name: options.clusterName },
    };
    return plane.create(Cluster, { ...head, spec: wanted } as unknown as Cluster);
  }
  const spec = { ...present.spec, ...wanted };
  if (deepEqual(spec, present.spec)) return present;
  try {
    return await plane.update(Cluster, { ...present, spec } as unknown as Cluster);
  } catch (error) {
    // The rights that `register` gives do not reach so far; whoever wants it may give more.
    if (!isForbidden(error)) throw error;
    log.warn("the Cluster differs from the agent's flags, and the agent may not change it", {
      cluster: options.clusterName,
    });
    return present;
  }
}

async function reportSecrets(options: RegistrationOptions, { plane, member, clock }: Parties): Promise<void> {
  const { clusterName: name, clusterNamespace: namespace } = options;
  const found = await obtainCredentials(member, name, namespace, clock);
  const data: Readonly<Record<string, Readonly<Record<string, string>>>> = {
    ...(options.reportSecrets.includes("KubeCredentials")
      ? { [name]: { caBundle: found.authority, token: found.token } }
      : {}),
    ...(options.reportSecrets.includes("KubeImpersonator")
      ? { [`${name}-impersonator`]: { token: found.impersonatorToken } }
      : {}),
  };
  for (const [secret, values] of Object.entries(data)) {
    const at = { namespace, name: secret };
    try {
      await plane.create(Secret, { apiVersion: "v1", kind: "Secret", metadata: at, data: values });
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
      const present = await plane.get(Secret, at);
      if (!deepEqual(present.data, values))
        await plane.patch(Secret, at, "application/merge-patch+json", { data: values });
    }
  }
}
