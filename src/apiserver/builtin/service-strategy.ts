import { deepEqual } from "#base";
import { type FieldError, fieldInvalid, getPath, type KubeObject, setPath } from "#machinery";
import type { Strategy } from "../definition.ts";
import type { Json } from "./pod-defaults.ts";

type List = readonly Json[];

const specOf = (service: KubeObject): Json => (getPath(service, "spec") ?? {}) as Json;
const portsOf = (spec: Json): List => (Array.isArray(spec["ports"]) ? (spec["ports"] as List) : []);
const hasAddress = (spec: Json) => spec["type"] !== "ExternalName";
const hasNodePorts = (spec: Json) => spec["type"] === "NodePort" || spec["type"] === "LoadBalancer";
const CLIENT_IP_SECONDS = 10_800;

/** Members that are absent get their default; those that are there stay. */
const withDefaults = (spec: Json, defaults: Json): Json => ({
  ...spec,
  ...Object.fromEntries(
    Object.entries(defaults).filter(([key, value]) => spec[key] === undefined && value !== undefined),
  ),
});

function serviceDefaults(service: KubeObject): KubeObject {
  const spec = specOf(service);
  const type = spec["type"] ?? "ClusterIP";
  const isExternallyReachable = type === "LoadBalancer" || type === "NodePort";
  const affinity = spec["sessionAffinity"] ?? "None";
  const timeout = getPath(spec, "sessionAffinityConfig", "clientIP", "timeoutSeconds") ?? CLIENT_IP_SECONDS;
  const filled = withDefaults(
    affinity === "ClientIP" ? { ...spec, sessionAffinityConfig: { clientIP: { timeoutSeconds: timeout } } } : spec,
    {
      type,
      sessionAffinity: affinity,
      ...(type === "ExternalName" ? {} : { internalTrafficPolicy: "Cluster" }),
      externalTrafficPolicy: isExternallyReachable ? "Cluster" : undefined,
      allocateLoadBalancerNodePorts: type === "LoadBalancer" ? true : undefined,
    },
  );
  if (spec["ports"] === undefined) return { ...service, spec: filled } as KubeObject;
  const ports = portsOf(spec).map(({ targetPort, ...port }) =>
    // Nothing and zero are the same here.
    withDefaults(targetPort ? { ...port, targetPort } : port, { protocol: "TCP", targetPort: port["port"] }),
  );
  return { ...service, spec: { ...filled, ports } } as KubeObject;
}

const isNone = (value: unknown) => !value || (Array.isArray(value) && value.length === 0);

/** A service that changes its type gives back what only the old type had, unless the client names it anew. */
function carryAllocated(service: KubeObject, old: KubeObject): KubeObject {
  const before = specOf(old);
  let spec: Record<string, unknown> = { ...specOf(service) };
  const drop = (...names: readonly string[]) => {
    for (const name of names) if (deepEqual(spec[name], before[name])) delete spec[name];
  };
  if (hasAddress(spec) && hasAddress(before)) {
    // The address is said twice; whoever changes it in one place means both.
    if (
      spec["clusterIP"] &&
      spec["clusterIP"] !== before["clusterIP"] &&
      deepEqual(spec["clusterIPs"], before["clusterIPs"])
    )
      spec["clusterIPs"] = [spec["clusterIP"]];
    if (isNone(spec["clusterIP"]) && before["clusterIP"]) spec["clusterIP"] = before["clusterIP"];
    if (isNone(spec["clusterIPs"]) && spec["clusterIP"] === before["clusterIP"] && !isNone(before["clusterIPs"]))
      spec["clusterIPs"] = before["clusterIPs"];
    if (
      hasNodePorts(spec) &&
      !spec["healthCheckNodePort"] &&
      before["healthCheckNodePort"] &&
      spec["externalTrafficPolicy"] === "Local"
    )
      spec["healthCheckNodePort"] = before["healthCheckNodePort"];
  }
  if (spec["externalTrafficPolicy"] !== "Local") drop("healthCheckNodePort");
  if (spec["type"] !== "LoadBalancer" && before["type"] === "LoadBalancer") drop("loadBalancerClass");
  if (!hasAddress(spec) && hasAddress(before))
    drop("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy");
  // A class and how ports are given belong to balancers; what a client did not touch goes with the type.
  if (before["type"] === "LoadBalancer" && spec["type"] !== "LoadBalancer")
    drop("loadBalancerClass", "allocateLoadBalancerNodePorts", "healthCheckNodePort");
  if (hasNodePorts(spec)) spec = keepPorts(spec, before);
  else if (hasNodePorts(before)) {
    drop("externalTrafficPolicy", "healthCheckNodePort", "allocateLoadBalancerNodePorts");
    const held = new Set(portsOf(before).map((port) => port["nodePort"]));
    spec["ports"] = portsOf(spec).map((port) => {
      const { nodePort, ...rest } = port;
      return held.has(nodePort) ? rest : port;
    });
  }
  if (deepEqual(spec, specOf(service))) return service;
  // What a balancer told of itself goes with it.
  const status = getPath(service, "status");
  const isLeft = before["type"] === "LoadBalancer" && spec["type"] !== "LoadBalancer" && status !== undefined;
  return { ...service, spec, ...(isLeft ? { status: { ...(status as Json), loadBalancer: {} } } : {}) } as KubeObject;
}

/** Node ports a client left out stay those of the same port. */
function keepPorts(spec: Record<string, unknown>, before: Json): Record<string, unknown> {
  const held = new Map(portsOf(before).map((port) => [`${port["protocol"]}/${port["port"]}`, port["nodePort"]]));
  if (!portsOf(spec).some((port) => !port["nodePort"])) return spec;
  const ports = portsOf(spec).map((port) => {
    const nodePort = held.get(`${port["protocol"]}/${port["port"]}`);
    return port["nodePort"] || !nodePort ? port : { ...port, nodePort };
  });
  return { ...spec, ports };
}

/** Addresses and families once given stay; a second one may come and go. */
function changeErrors(service: KubeObject, old: KubeObject): FieldError[] {
  const [spec, before] = [specOf(service), specOf(old)];
  if (!hasAddress(spec) || !hasAddress(before)) return [];
  const changed = (field: string, named: (at: number) => number) => {
    const [now, then] = [spec[field], before[field]].map((value) => (Array.isArray(value) ? (value as string[]) : []));
    return (then ?? []).flatMap((value, at) =>
      now?.[at] === undefined || now[at] === value
        ? []
        : [fieldInvalid(`spec.${field}[${named(at)}]`, now, "may not change once set")],
    );
  };
  // The families of a Service without addresses may change. Whichever changed, the first one is named.
  return [
    ...changed("clusterIPs", (at) => at),
    ...(before["clusterIP"] === "None" ? [] : changed("ipFamilies", () => 0)),
  ];
}

/** Services: addresses once given stay; ports are complete. */
export const serviceStrategy: Strategy = {
  createsOnUpdate: true,
  applyDefaults: serviceDefaults,
  prepareForCreate: (service) => setPath(service, ["status"], { loadBalancer: {} }),
  prepareForUpdate: carryAllocated,
  checksChangesFirst: true,
  validateUpdate: changeErrors,
  fields: (service) => ({
    "spec.clusterIP": String(getPath(service, "spec", "clusterIP") ?? ""),
    "spec.type": String(getPath(service, "spec", "type") ?? ""),
  }),
};
