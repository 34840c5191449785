import { Namespace, Secret } from "#apis/kubernetes";
import { Cluster, SYSTEM } from "#apis/karmada";
import type { Clock } from "#base";
import { type Client, ensureObject, retryOnConflict } from "#client";
import { controllerReference, isAlreadyExists, withMetadata } from "#machinery";
import { type MemberCredentials, obtainCredentials } from "./credentials.ts";

const LABELS = { [SYSTEM]: "true" };

/** A member under its name, and the namespace its credentials lie in. */
interface Place {
  readonly cluster: string;
  readonly namespace: string;
}

/** What a Cluster is made of besides its credentials. */
interface ClusterBody {
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly spec: Readonly<Record<string, unknown>>;
}

/** A member as its administrator reaches it. */
export interface MemberAccess {
  readonly client: Client;
  readonly endpoint: {
    readonly server: string;
    readonly insecureSkipTlsVerify?: boolean;
    readonly proxyUrl?: string;
  };
}

/** What makes a member the same under any name: the UID of its `kube-system` namespace (`CL-6`). */
export async function memberId(member: Client): Promise<string> {
  return (await member.get(Namespace, { name: "kube-system" })).metadata.uid ?? "";
}

/** Refuses a member that is registered already, by its id or by its name (`CL-7`). */
export function refuseRegistered(clusters: readonly Cluster[], name: string, id: string): void {
  if (clusters.some((cluster) => cluster.metadata.name === name || (id !== "" && cluster.spec?.id === id)))
    throw new Error(`the cluster ID ${id} or the cluster name ${name} has been registered`);
}

/** Makes accounts in a member and registers it in push mode (`CL-8`, `CL-9`); `spec` adds to what its address says. */
export async function joinMember(
  plane: Client,
  place: Place,
  { client, endpoint }: MemberAccess,
  { spec, ...body }: ClusterBody,
  clock: Clock,
): Promise<Cluster> {
  const credentials = await obtainCredentials(client, place.cluster, place.namespace, clock);
  return registerMember(plane, place, credentials, {
    ...body,
    spec: {
      apiEndpoint: endpoint.server,
      ...(endpoint.insecureSkipTlsVerify ? { insecureSkipTLSVerification: true } : {}),
      ...(endpoint.proxyUrl === undefined ? {} : { proxyURL: endpoint.proxyUrl }),
      ...spec,
    },
  });
}

/**
 * Goes on with a join that was cut off after its Cluster was made: fresh credentials, in the namespace the Cluster names, and
 * nothing twice. Throws where the Cluster is another member's, a pull member's, on its way out, or keeps its credentials
 * elsewhere than `join` does.
 */
export async function adoptMember(
  plane: Client,
  present: Cluster,
  { id, namespace }: { readonly id: string; readonly namespace?: string | undefined },
  member: Client,
  clock: Clock,
): Promise<void> {
  const { name: cluster = "", deletionTimestamp } = present.metadata;
  const { spec } = present;
  const refuse = (why: string) => new Error(`cluster(${cluster}) cannot be adopted: ${why}`);
  if (id === "" || spec?.id !== id)
    throw refuse(
      `it is another member: its id is ${JSON.stringify(spec?.id ?? "")}, this member's ${JSON.stringify(id)}`,
    );
  if (deletionTimestamp !== undefined) throw refuse("it is being removed");
  if (spec.syncMode !== "Push") throw refuse(`it is a ${spec.syncMode} mode member cluster`);
  const { secretRef, impersonatorSecretRef } = spec;
  if (
    secretRef?.name !== cluster ||
    impersonatorSecretRef?.name !== `${cluster}-impersonator` ||
    impersonatorSecretRef.namespace !== secretRef.namespace
  )
    throw refuse("its spec.secretRef and spec.impersonatorSecretRef are not those that join writes");
  if (namespace !== undefined && namespace !== secretRef.namespace)
    throw refuse(`its credentials lie in namespace ${secretRef.namespace}, not in ${namespace}`);
  const place = { cluster, namespace: secretRef.namespace };
  const credentials = await obtainCredentials(member, cluster, place.namespace, clock);
  await ensureObject(plane, Namespace, {
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name: place.namespace, labels: LABELS },
  });
  await renewCredentials(plane, place, credentials);
  await ownCredentials(plane, present, place.namespace);
}

/** Puts credentials and the Cluster into the control plane; the credentials go with the Cluster. Gives the Cluster. */
export async function registerMember(
  plane: Client,
  { cluster: name, namespace }: Place,
  credentials: MemberCredentials,
  { spec, ...marks }: ClusterBody,
): Promise<Cluster> {
  await ensureObject(plane, Namespace, {
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name: namespace, labels: LABELS },
  });
  await renewCredentials(plane, { cluster: name, namespace }, credentials);
  let cluster: Cluster;
  try {
    cluster = await plane.create(Cluster, {
      apiVersion: "cluster.karmada.io/v1alpha1",
      kind: "Cluster",
      metadata: { name, ...marks },
      spec: {
        syncMode: "Push",
        secretRef: { namespace, name },
        impersonatorSecretRef: { namespace, name: `${name}-impersonator` },
        ...spec,
      },
    } as unknown as Cluster);
  } catch (error) {
    if (isAlreadyExists(error)) throw new Error(`cluster(${name}) already exist`, { cause: error });
    throw error;
  }
  await ownCredentials(plane, cluster, namespace);
  return cluster;
}

/** Makes the credentials go with their Cluster; nothing is written where they do. */
export async function ownCredentials(plane: Client, cluster: Cluster, namespace: string): Promise<void> {
  const owner = controllerReference(cluster);
  const name = cluster.metadata.name ?? "";
  for (const secretName of [name, `${name}-impersonator`])
    await retryOnConflict(async () => {
      const present = await plane.get(Secret, { namespace, name: secretName });
      if (present.metadata.ownerReferences?.some(({ uid }) => uid === owner.uid) === true) return;
      await plane.update(Secret, withMetadata(present, { ownerReferences: [owner] }));
    });
}

/** Puts what a member gave into the Secrets of the control plane. */
export async function renewCredentials(
  plane: Client,
  { cluster, namespace }: Place,
  { token, authority, impersonatorToken }: MemberCredentials,
): Promise<void> {
  await putSecret(plane, namespace, cluster, { token, caBundle: authority });
  await putSecret(plane, namespace, `${cluster}-impersonator`, { token: impersonatorToken });
}

/** A Secret left over from an earlier member of that name gets the present credentials. */
async function putSecret(
  plane: Client,
  namespace: string,
  name: string,
  data: Readonly<Record<string, string>>,
): Promise<void> {
  const present = await ensureObject(plane, Secret, {
    apiVersion: "v1",
    kind: "Secret",
    metadata: { namespace, name, labels: LABELS },
    data,
  });
  if (Object.entries(data).every(([key, value]) => present.data?.[key] === value)) return;
  await plane.update(Secret, { ...present, data: { ...present.data, ...data } } as Secret);
}
