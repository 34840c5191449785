/** A management cluster of Cluster API, as far as joining its clusters needs one: its kind, objects and kubeconfigs. */
import { CustomResourceDefinition, Secret } from "#apis/kubernetes";
import type { Client } from "#client";
import { provisionedClusterKind } from "#controllers/cluster-api";
import { aDefinition, eventually } from "#testing";

export const provisioned = provisionedClusterKind("v1beta1");

/** Makes a server serve the kind as Cluster API's own definition does: two versions, the older one kept, with status. */
export async function serveClusterApi(client: Client): Promise<void> {
  const versions = ["v1beta1", "v1beta2"];
  await client.create(CustomResourceDefinition, aDefinition(provisioned, { versions, hasStatus: true }));
  await eventually(() => client.list(provisioned), 60_000);
}

interface Wanted {
  readonly namespace: string;
  readonly name: string;
  readonly phase: string;
  /** Put beside the object, as Cluster API does; without it there is none. */
  readonly kubeconfig?: string;
}

/** Puts an object, its phase, and the kubeconfig of what it provisioned. */
export async function putProvisioned(client: Client, { namespace, name, phase, kubeconfig }: Wanted): Promise<void> {
  if (kubeconfig !== undefined) {
    const metadata = { namespace, name: `${name}-kubeconfig` };
    const data = { value: Buffer.from(kubeconfig).toString("base64") };
    if ((await client.find(Secret, metadata)) === undefined)
      await client.create(Secret, {
        apiVersion: "v1",
        kind: "Secret",
        metadata,
        data,
        type: "cluster.x-k8s.io/secret",
      });
  }
  await client.create(provisioned, {
    apiVersion: "cluster.x-k8s.io/v1beta1",
    kind: "Cluster",
    metadata: { namespace, name },
    spec: {},
  } as never);
  await client.patch(
    provisioned,
    { namespace, name },
    "application/merge-patch+json",
    { status: { phase } },
    { subresource: "status" },
  );
}
