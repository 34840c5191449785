import { Namespace, Secret } from "#apis/kubernetes";
import { Cluster, SYSTEM } from "#apis/karmada";
import { type Client, ensureObject, retryOnConflict } from "#client";
import { controllerReference, isAlreadyExists, withMetadata } from "#machinery";
import type { MemberCredentials } from "./credentials.ts";

const LABELS = { [SYSTEM]: "true" };

/** A member under its name, and the namespace its credentials lie in. */
interface Place {
  readonly cluster: string;
  readonly namespace: string;
}

/** Puts credentials and the Cluster into the control plane; the credentials go with the Cluster. Gives the Cluster. */
export async function registerMember(
  plane: Client,
  { cluster: name, namespace }: Place,
  credentials: MemberCredentials,
  body: { readonly labels?: Readonly<Record<string, string>>; readonly spec: Readonly<Record<string, unknown>> },
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
      metadata: { name, ...(body.labels === undefined ? {} : { labels: body.labels }) },
      spec: {
        syncMode: "Push",
        secretRef: { namespace, name },
        impersonatorSecretRef: { namespace, name: `${name}-impersonator` },
        ...body.spec,
      },
    } as unknown as Cluster);
  } catch (error) {
    if (isAlreadyExists(error)) throw new Error(`cluster(${name}) already exist`, { cause: error });
    throw error;
  }
  for (const secretName of [name, `${name}-impersonator`])
    await retryOnConflict(async () => {
      const present = await plane.get(Secret, { namespace, name: secretName });
      await plane.update(Secret, withMetadata(present, { ownerReferences: [controllerReference(cluster)] }));
    });
  return cluster;
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
