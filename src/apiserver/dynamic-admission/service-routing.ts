import { getPath, type KubeObject, notFound, serviceUnavailable } from "#machinery";
import type { ApiServer } from "../server.ts";

/** Where connections for a Service go, and the name its certificate must bear. */
export interface ServiceTarget {
  readonly host: string;
  readonly port: number;
  readonly serverName: string;
}

interface Port {
  readonly name?: string;
  readonly port?: number;
}

/**
 * Finds where a Service can be reached from here: an ExternalName by that name; otherwise a ready address of its
 * EndpointSlices or Endpoints, because this process has no kube-proxy; otherwise its cluster IP. Throws 404 for a Service
 * that is not there and 503 for one that leads nowhere.
 */
export async function resolveService(
  server: ApiServer,
  reference: { readonly namespace: string; readonly name: string; readonly port?: number },
): Promise<ServiceTarget> {
  const { namespace, name, port = 443 } = reference;
  const serverName = `${name}.${namespace}.svc`;
  const service = await read(server, "", "services", `${namespace}/${name}`);
  if (service === undefined) throw notFound({ group: "", resource: "services" }, name);
  const type = getPath(service, "spec", "type");
  const externalName = getPath(service, "spec", "externalName");
  if (type === "ExternalName" && typeof externalName === "string") return { host: externalName, port, serverName };
  const ports = (getPath(service, "spec", "ports") as readonly Port[] | undefined) ?? [];
  const wanted = ports.find((one) => one.port === port);
  if (wanted === undefined)
    throw serviceUnavailable(`no service port ${port} found for service ${JSON.stringify(name)}`);
  const endpoint = await endpointOf(server, namespace, name, wanted.name ?? "");
  if (endpoint !== undefined) return { ...endpoint, serverName };
  const clusterIp = getPath(service, "spec", "clusterIP");
  if (typeof clusterIp === "string" && clusterIp !== "" && clusterIp !== "None" && getPath(service, "spec", "selector"))
    return { host: clusterIp, port, serverName };
  throw serviceUnavailable(`no endpoints available for service ${JSON.stringify(name)}`);
}

async function read(server: ApiServer, group: string, resource: string, key: string): Promise<KubeObject | undefined> {
  const definition = server.registry.find(group, "v1", resource);
  if (definition === undefined) return undefined;
  const store = server.store(definition);
  await store.load();
  return store.get(key)?.object;
}

interface Slice {
  readonly ports?: readonly Port[];
  readonly endpoints?: readonly {
    readonly addresses?: readonly string[];
    readonly conditions?: { readonly ready?: boolean };
  }[];
}

async function endpointOf(server: ApiServer, namespace: string, name: string, portName: string) {
  const definition = server.registry.find("discovery.k8s.io", "v1", "endpointslices");
  if (definition !== undefined) {
    const store = server.store(definition);
    await store.load();
    for (const [, { object }] of store.range(namespace)) {
      if (object.metadata.labels?.["kubernetes.io/service-name"] !== name) continue;
      const { ports = [], endpoints = [] } = object as KubeObject & Slice;
      const port = ports.find((one) => (one.name ?? "") === portName)?.port;
      const host = endpoints.find(({ conditions }) => conditions?.ready !== false)?.addresses?.[0];
      if (port !== undefined && host !== undefined) return { host, port };
    }
  }
  const endpoints = await read(server, "", "endpoints", `${namespace}/${name}`);
  const subsets = getPath(endpoints, "subsets") as
    | readonly { readonly addresses?: readonly { readonly ip: string }[]; readonly ports?: readonly Port[] }[]
    | undefined;
  for (const { addresses = [], ports = [] } of subsets ?? []) {
    const port = ports.find((one) => (one.name ?? "") === portName)?.port;
    const host = addresses[0]?.ip;
    if (port !== undefined && host !== undefined) return { host, port };
  }
  return undefined;
}
