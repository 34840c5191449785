import { isIP } from "node:net";
import { networkInterfaces } from "node:os";
import { deepEqual } from "#base";
import { isAlreadyExists, isConflict, isNotFound, type KubeObject, type Transport } from "#machinery";

/** The Service `default/kubernetes`, under which pods and clients in a cluster look for its API server. */

const AT = { namespace: "default", name: "kubernetes" };
const LABELS = { component: "apiserver", provider: "kubernetes" };

/**
 * The first address of this machine that others can use, of the family Services have first where there is one; loopback
 * and link-local addresses are no endpoints.
 */
export function advertisedAddress(host: string, family: "IPv4" | "IPv6" = "IPv4"): string | undefined {
  const isOwn =
    (isIP(host) === 4 && host !== "0.0.0.0" && !host.startsWith("127.")) ||
    (isIP(host) === 6 && host !== "::" && host !== "::1" && !LINK_LOCAL.test(host));
  if (isOwn) return host;
  const usable = Object.values(networkInterfaces())
    .flat()
    .filter((found) => found !== undefined && !found.internal && !LINK_LOCAL.test(found.address));
  return (usable.find((found) => found?.family === family) ?? usable.find((found) => found?.family === "IPv4"))
    ?.address;
}

const LINK_LOCAL = /^fe[89ab]/i;

export interface ServingAddress {
  readonly address: string;
  readonly port: number;
}

/**
 * Writes Service, Endpoints and EndpointSlices where they are not there yet or say something else: every address once, those
 * of one port together. `own` is the port this server listens on.
 */
export async function publishKubernetesService(
  transport: Transport,
  addresses: readonly ServingAddress[],
  own: number,
): Promise<void> {
  await ensure(transport, { group: "", version: "v1", resource: "services" }, {
    apiVersion: "v1",
    kind: "Service",
    metadata: { ...AT, labels: LABELS },
    spec: { ports: [{ name: "https", port: 443, protocol: "TCP", targetPort: own }], type: "ClusterIP" },
  } as KubeObject);
  const groups = byPort(addresses);
  if (groups.length === 0) return;
  const portsOf = (port: number) => [{ name: "https", port, protocol: "TCP" }];
  await ensure(transport, { group: "", version: "v1", resource: "endpoints" }, {
    apiVersion: "v1",
    kind: "Endpoints",
    metadata: { ...AT, labels: { "endpointslice.kubernetes.io/skip-mirror": "true" } },
    subsets: groups.map(({ port, ips }) => ({ addresses: ips.map((ip) => ({ ip })), ports: portsOf(port) })),
  } as KubeObject);
  const wanted = new Set<string>();
  for (const [place, { port, ips }] of groups.entries())
    for (const family of ["IPv4", "IPv6"] as const) {
      const mine = ips.filter((ip) => ip.includes(":") === (family === "IPv6"));
      if (mine.length === 0) continue;
      const name = wanted.size === 0 && place === 0 ? AT.name : `${AT.name}-${family.toLowerCase()}-${port}`;
      wanted.add(name);
      await ensure(transport, SLICES, {
        apiVersion: "discovery.k8s.io/v1",
        kind: "EndpointSlice",
        metadata: { ...AT, name, labels: { "kubernetes.io/service-name": AT.name } },
        addressType: family,
        endpoints: mine.map((ip) => ({ addresses: [ip], conditions: { ready: true } })),
        ports: portsOf(port),
      } as KubeObject);
    }
  const { items } = await transport.list({
    ...SLICES,
    namespace: AT.namespace,
    labelSelector: `kubernetes.io/service-name=${AT.name}`,
  });
  for (const { metadata } of items)
    if (/^kubernetes-ipv[46]-\d+$/.test(metadata.name ?? "") && !wanted.has(metadata.name ?? ""))
      await transport
        .send({ verb: "delete", ...SLICES, namespace: AT.namespace, name: metadata.name ?? "" })
        .catch((error: unknown) => {
          if (!isNotFound(error)) throw error;
        });
}

const SLICES = { group: "discovery.k8s.io", version: "v1", resource: "endpointslices" };

/** Addresses by port, both in order, so that every replica writes the same. */
function byPort(
  addresses: readonly ServingAddress[],
): readonly { readonly port: number; readonly ips: readonly string[] }[] {
  const groups = new Map<number, Set<string>>();
  for (const { address, port } of addresses) groups.set(port, (groups.get(port) ?? new Set()).add(address));
  return [...groups].sort(([one], [other]) => one - other).map(([port, ips]) => ({ port, ips: [...ips].sort() }));
}

async function ensure(
  transport: Transport,
  kind: { readonly group: string; readonly version: string; readonly resource: string },
  wanted: KubeObject,
): Promise<void> {
  try {
    const at = { namespace: AT.namespace, name: wanted.metadata.name ?? AT.name };
    const present = await transport.send({ verb: "get", ...kind, ...at });
    const { spec, metadata: _metadata, ...rest } = wanted as KubeObject & { readonly spec?: object };
    const next = {
      ...present,
      ...rest,
      ...(spec === undefined ? {} : { spec: { ...(present as { readonly spec?: object }).spec, ...spec } }),
    };
    if (!deepEqual(next, present)) await transport.send({ verb: "update", ...kind, ...at, body: next });
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
