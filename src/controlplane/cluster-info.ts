import { ConfigMap } from "#apis/kubernetes";
import { kubeconfigText } from "#certs";
import { type Client, retryOnConflict } from "#client";
import { isAlreadyExists } from "#machinery";

const AT = { namespace: "kube-public", name: "cluster-info" };

/** Keeps `kube-public/cluster-info`, by which clusters that register know the control plane's address and authority. */
export async function publishClusterInfo(client: Client, server: string, authority: string): Promise<void> {
  const kubeconfig = kubeconfigText({ name: "", server, authority });
  try {
    await client.create(ConfigMap, { apiVersion: "v1", kind: "ConfigMap", metadata: AT, data: { kubeconfig } });
  } catch (error) {
    if (!isAlreadyExists(error)) throw error;
    await retryOnConflict(async () => {
      const present = await client.get(ConfigMap, AT);
      if (present.data?.["kubeconfig"] === kubeconfig) return;
      await client.update(ConfigMap, { ...present, data: { ...present.data, kubeconfig } });
    });
  }
}
