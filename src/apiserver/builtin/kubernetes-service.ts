import { networkInterfaces } from "node:os";
import { deepEqual } from "#base";
import { isAlreadyExists, isConflict, isNotFound, type KubeObject, type Transport } from "#machinery";

/** The Service `default/kubernetes`, under which pods and clients in a cluster look for its API server. */

const AT = { namespace: "default", name: "kubernetes" };
const LABELS = { component: "apiserver", provider: "kubernetes" };

/** The first IPv4 address of this machine that others can use; loopback addresses are no endpoints. */
export function advertisedAddress(host: string): string | undefined {
  const isOwn = /^\d+\.\d+\.\d+\.\d+$/.test(host) && host !== "0.0.0.0" && !host.startsWith("127.");
  if (isOwn) return host;
  return Object.values(networkInterfaces())
    .flat()
    .find((found) => found !== undefined && found.family === "IPv4" && !found.internal)?.address;
}

/** Writes Service, Endpoints and EndpointSlice where they are not there yet or say something else. */
export async function publishKubernetesService(
  transport: Transport,
  address: string | undefined,
  port: number,
): Promise<void> {
  const ports = [{ name: "https", port, protocol: "TCP" }];
  await ensure(transport, { group: "", version: "v1", resource: "services" }, {
    apiVersion: "v1",
    kind: "Service",
    metadata: { ...AT, labels: LABELS },
    spec: { ports: [{ name: "https", port: 443, protocol: "TCP", targetPort: port }], type: "ClusterIP" },
  } as KubeObject);
  if (address === undefined) return;
  await ensure(transport, { group: "", version: "v1", resource: "endpoints" }, {
    apiVersion: "v1",
    kind: "Endpoints",
    metadata: { ...AT, labels: { "endpointslice.kubernetes.io/skip-mirror": "true" } },
    subsets: [{ addresses: [{ ip: address }], ports }],
  } as KubeObject);
  await ensure(transport, { group: "discovery.k8s.io", version: "v1", resource: "endpointslices" }, {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { ...AT, labels: { "kubernetes.io/service-name": AT.name } },
    addressType: "IPv4",
    endpoints: [{ addresses: [address], conditions: { ready: true } }],
    ports,
  } as KubeObject);
}

async function ensure(
  transport: Transport,
  kind: { readonly group: string; readonly version: string; readonly resource: string },
  wanted: KubeObject,
): Promise<void> {
  try {
    const present = await transport.send({ verb: "get", ...kind, ...AT });
    const { spec, metadata: _metadata, ...rest } = wanted as KubeObject & { readonly spec?: object };
    const next = {
      ...present,
      ...rest,
      ...(spec === undefined ? {} : { spec: { ...(present as { readonly spec?: object }).spec, ...spec } }),
    };
    if (!deepEqual(next, present)) await transport.send({ verb: "update", ...kind, ...AT, body: next });
  } catch (error) {
    // Another replica of the same store may be writing it too.
    if (isConflict(error)) return;
    if (!isNotFound(error)) throw error;
    try {
      await transport.send({ verb: "create", ...kind, namespace: AT.namespace, body: wanted });
    } catch (second) {
      if (!isAlreadyExists(second)) throw second;
    }
  }
}
