/** What Services must keep to. */
import {
  type FieldError,
  fieldDuplicate,
  fieldForbidden,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  type KubeObject,
  labelKeyErrors,
  labelMapErrors,
  subdomainErrors,
} from "#machinery";
import { isAddress, label, reachableIpErrors } from "./address-checks.ts";
import { cidrErrors, ipErrors, isPort, listAt, PORT_TEXT, specOf, valueAt } from "./checks.ts";
import type { Json } from "./pod-defaults.ts";
import { portNameErrors } from "./port-names.ts";
import { familyOf } from "./service-ranges.ts";

const AFFINITY_SECONDS_MAX = 86_400;
const TYPES = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const PROTOCOLS = ["SCTP", "TCP", "UDP"];
const DISTRIBUTIONS = ["PreferClose", "PreferSameZone", "PreferSameNode"];
const ONLY_BALANCED = "may only be used when `type` is 'LoadBalancer'";
const ONLY_LOCAL = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";

const textsAt = (spec: Json, path: string) => listAt(spec, path) as unknown as readonly string[];
const oneOf = (value: unknown, path: string, allowed: readonly string[]): FieldError[] =>
  value === undefined || allowed.includes(String(value)) ? [] : [fieldNotSupported(path, value, allowed)];

export function serviceErrors(service: KubeObject): FieldError[] {
  const spec = specOf(service);
  const { type, clusterIP, selector } = spec;
  const ports = listAt(spec, "ports");
  const isHeadless = clusterIP === "None";
  return [
    ...(ports.length === 0 && !isHeadless && type !== "ExternalName" ? [fieldRequired("spec.ports")] : []),
    ...typeErrors(spec, isHeadless),
    ...portErrors(spec),
    ...(selector === undefined ? [] : labelMapErrors(selector as Readonly<Record<string, string>>, "spec.selector")),
    ...affinityErrors(spec),
    ...serviceAddressErrors(spec),
    ...textsAt(spec, "externalIPs").flatMap((address, at) => reachableIpErrors(address, `spec.externalIPs[${at}]`)),
    ...oneOf(type, "spec.type", TYPES),
    ...nodePortErrors(spec),
    ...balancerErrors(spec),
    ...trafficErrors(spec),
    ...statusErrors(service),
  ];
}

function typeErrors(spec: Json, isHeadless: boolean): FieldError[] {
  const { type, externalName } = spec;
  const never = "may not be set for ExternalName services";
  if (type === "LoadBalancer" || type === "NodePort")
    return isHeadless
      ? [fieldInvalid("spec.clusterIPs[0]", "None", `may not be set to 'None' for ${type} services`)]
      : [];
  if (type !== "ExternalName") return [];
  const name = String(externalName ?? "").replace(/\.$/, "");
  return [
    ...(spec["clusterIP"] || textsAt(spec, "clusterIPs").length > 0 ? [fieldForbidden("spec.clusterIPs", never)] : []),
    ...(textsAt(spec, "ipFamilies").length > 0 ? [fieldForbidden("spec.ipFamilies", never)] : []),
    ...(spec["ipFamilyPolicy"] === undefined ? [] : [fieldForbidden("spec.ipFamilyPolicy", never)]),
    ...(name === "" ? [fieldRequired("spec.externalName")] : subdomainErrors(name, "spec.externalName")),
  ];
}

function portErrors(spec: Json): FieldError[] {
  const ports = listAt(spec, "ports");
  const names = new Set<unknown>();
  return ports.flatMap((port, at) => {
    const path = `spec.ports[${at}]`;
    const { name, protocol, targetPort, appProtocol } = port;
    const isTaken = names.has(name);
    if (name && label(String(name), "").length === 0) names.add(name);
    return [
      ...(name
        ? isTaken
          ? [fieldDuplicate(`${path}.name`, name)]
          : label(String(name), `${path}.name`)
        : ports.length > 1
          ? [fieldRequired(`${path}.name`)]
          : []),
      ...(isPort(port["port"]) ? [] : [fieldInvalid(`${path}.port`, port["port"] ?? 0, PORT_TEXT)]),
      ...oneOf(protocol, `${path}.protocol`, PROTOCOLS),
      ...(typeof targetPort === "number" && !isPort(targetPort)
        ? [fieldInvalid(`${path}.targetPort`, targetPort, PORT_TEXT)]
        : typeof targetPort === "string"
          ? portNameErrors(targetPort, `${path}.targetPort`)
          : []),
      ...(typeof appProtocol === "string"
        ? labelKeyErrors(appProtocol).map((text) => fieldInvalid(`${path}.appProtocol`, appProtocol, text))
        : []),
    ];
  });
}

function affinityErrors(spec: Json): FieldError[] {
  const { sessionAffinity, sessionAffinityConfig } = spec;
  const seconds = valueAt(sessionAffinityConfig, "clientIP.timeoutSeconds");
  const path = "spec.sessionAffinityConfig";
  if (sessionAffinity === "ClientIP" && typeof seconds === "number" && (seconds <= 0 || seconds > AFFINITY_SECONDS_MAX))
    return [
      fieldInvalid(
        `${path}.clientIP.timeoutSeconds`,
        seconds,
        `must be greater than 0 and less than ${AFFINITY_SECONDS_MAX}`,
      ),
    ];
  if (sessionAffinity === "None" && sessionAffinityConfig !== undefined)
    return [fieldForbidden(path, "must not be set when session affinity is None")];
  return oneOf(sessionAffinity, "spec.sessionAffinity", ["ClientIP", "None"]);
}

/** Addresses inside the cluster and their families, whichever of them this cluster has; `kept` ones are taken as they are. */
export function serviceAddressErrors(spec: Json, kept: readonly string[] = []): FieldError[] {
  const { type, clusterIP, ipFamilyPolicy } = spec;
  if (type === "ExternalName") return [];
  const addresses = textsAt(spec, "clusterIPs");
  const families = textsAt(spec, "ipFamilies");
  const refuse = (why: string) => [fieldInvalid("spec.clusterIPs", addresses, why)];
  const familyErrors = families.flatMap((family, at) =>
    family !== "IPv4" && family !== "IPv6"
      ? [fieldNotSupported(`spec.ipFamilies[${at}]`, family, ["IPv4", "IPv6"])]
      : families.indexOf(family) < at
        ? [fieldDuplicate(`spec.ipFamilies[${at}]`, family)]
        : [],
  );
  const malformed = addresses.flatMap((address, at) =>
    (address === "None" && at === 0) || kept.includes(address) ? [] : ipErrors(address, `spec.clusterIPs[${at}]`),
  );
  const errors = [
    ...(!clusterIP && addresses.length > 0
      ? refuse("must be empty when `clusterIP` is not specified")
      : clusterIP && addresses.length > 0 && addresses[0] !== clusterIP
        ? refuse("first value must match `clusterIP`")
        : []),
    ...familyErrors,
    ...oneOf(ipFamilyPolicy, "spec.ipFamilyPolicy", ["PreferDualStack", "RequireDualStack", "SingleStack"]),
    ...(addresses.length > 1 && addresses[0] === "None" ? refuse("'None' must be the first and only value") : []),
    ...malformed,
    ...(addresses.length > 2 ? refuse("may only hold up to 2 values") : []),
  ];
  if (malformed.length > 0 || addresses[0] === "None") return errors;
  const found = addresses.map(familyOf);
  if (found.length > 1 && new Set(found).size === 1)
    errors.push(...refuse("may specify no more than one IP for each IP family"));
  for (const [at, address] of familyErrors.length > 0 ? [] : addresses.entries()) {
    const family = families[at];
    if (family !== undefined && found[at] !== family)
      errors.push(
        fieldInvalid(
          `spec.clusterIPs[${at}]`,
          address,
          `expected an ${family} value as indicated by \`ipFamilies[${at}]\``,
        ),
      );
  }
  return errors;
}

/** A port as Kubernetes shows it where it is there twice. */
const shownPort = (port: Json) => ({
  Name: "",
  Protocol: port["protocol"],
  AppProtocol: null,
  Port: port["port"],
  TargetPort: 0,
  NodePort: 0,
});

function nodePortErrors(spec: Json): FieldError[] {
  const ports = listAt(spec, "ports");
  const used = new Set<string>();
  const keyOf = (port: Json) => `${port["protocol"]}/${port["port"]}`;
  return [
    ...(spec["type"] === "ClusterIP"
      ? ports.flatMap(({ nodePort }, at) =>
          nodePort ? [fieldForbidden(`spec.ports[${at}].nodePort`, "may not be used when `type` is 'ClusterIP'")] : [],
        )
      : []),
    ...ports.flatMap((port, at) => {
      const isTaken = used.has(keyOf(port));
      used.add(keyOf(port));
      return isTaken ? [fieldDuplicate(`spec.ports[${at}]`, shownPort(port))] : [];
    }),
  ];
}

const classErrors = ({ loadBalancerClass }: Json): FieldError[] =>
  loadBalancerClass === undefined
    ? []
    : labelKeyErrors(String(loadBalancerClass)).map((text) =>
        fieldInvalid("spec.loadBalancerClass", loadBalancerClass, text),
      );

function balancerErrors(spec: Json): FieldError[] {
  const isBalanced = spec["type"] === "LoadBalancer";
  const ranges = textsAt(spec, "loadBalancerSourceRanges");
  const { loadBalancerClass, allocateLoadBalancerNodePorts } = spec;
  if (isBalanced)
    return [
      ...ranges.flatMap((range, at) => cidrErrors(range.trim(), `spec.LoadBalancerSourceRanges[${at}]`)),
      ...classErrors(spec),
    ];
  return [
    ...(ranges.length > 0 ? [fieldForbidden("spec.LoadBalancerSourceRanges", ONLY_BALANCED)] : []),
    ...(allocateLoadBalancerNodePorts === undefined
      ? []
      : [fieldForbidden("spec.allocateLoadBalancerNodePorts", ONLY_BALANCED)]),
    ...(loadBalancerClass === undefined ? [] : [fieldForbidden("spec.loadBalancerClass", ONLY_BALANCED)]),
  ];
}

function trafficErrors(spec: Json): FieldError[] {
  const { type, externalTrafficPolicy, healthCheckNodePort, internalTrafficPolicy, trafficDistribution } = spec;
  const isReachable =
    type === "NodePort" || type === "LoadBalancer" || (type === "ClusterIP" && textsAt(spec, "externalIPs").length > 0);
  const path = "spec.externalTrafficPolicy";
  return [
    ...(externalTrafficPolicy === undefined
      ? []
      : isReachable
        ? oneOf(externalTrafficPolicy, path, ["Cluster", "Local"])
        : [fieldInvalid(path, externalTrafficPolicy, "may only be set for externally-accessible services")]),
    ...(healthCheckNodePort && !(type === "LoadBalancer" && externalTrafficPolicy === "Local")
      ? [fieldInvalid("spec.healthCheckNodePort", healthCheckNodePort, ONLY_LOCAL)]
      : []),
    ...oneOf(internalTrafficPolicy, "spec.internalTrafficPolicy", ["Cluster", "Local"]),
    ...oneOf(trafficDistribution, "spec.trafficDistribution", DISTRIBUTIONS),
  ];
}

/** What a Service keeps as long as it is balanced. */
export function serviceUpdateErrors(service: KubeObject, old: KubeObject): FieldError[] {
  const [spec, before] = [specOf(service), specOf(old)];
  if (spec["type"] !== "LoadBalancer") return [];
  if (before["type"] !== "LoadBalancer") return classErrors(spec);
  const isLocal = (one: Json) => one["externalTrafficPolicy"] === "Local";
  return [
    ...(spec["loadBalancerClass"] === before["loadBalancerClass"]
      ? []
      : [
          fieldInvalid("spec.loadBalancerClass", spec["loadBalancerClass"] ?? null, "may not change once set"),
          ...classErrors(spec),
        ]),
    ...(isLocal(spec) && isLocal(before) && spec["healthCheckNodePort"] !== before["healthCheckNodePort"]
      ? [fieldForbidden("spec.healthCheckNodePort", "field is immutable")]
      : []),
  ];
}

function statusErrors(service: KubeObject): FieldError[] {
  const path = "status.loadBalancer.ingress";
  const ingress = listAt(service, path);
  if (ingress.length > 0 && valueAt(service, "spec.type") !== "LoadBalancer")
    return [fieldForbidden(path, "may only be used when `spec.type` is 'LoadBalancer'")];
  return ingress.flatMap(({ ip, hostname, ipMode }, at) => {
    const where = `${path}[${at}]`;
    const host = String(hostname ?? "");
    return [
      ...(ip ? ipErrors(ip, `${where}.ip`) : []),
      ...(ip && ipMode !== undefined && ipMode !== "VIP" && ipMode !== "Proxy"
        ? [fieldNotSupported(`${where}.ipMode`, ipMode, ["Proxy", "VIP"])]
        : []),
      ...(!ip && ipMode !== undefined
        ? [fieldForbidden(`${where}.ipMode`, "may not be specified when `ip` is not set")]
        : []),
      ...(host === ""
        ? []
        : [
            ...subdomainErrors(host, `${where}.hostname`),
            ...(isAddress(host)
              ? [fieldInvalid(`${where}.hostname`, host, "must be a DNS name, not an IP address")]
              : []),
          ]),
    ];
  });
}
