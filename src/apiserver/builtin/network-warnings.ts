import { isIP } from "node:net";
import type { KubeObject } from "#machinery";
import { addressBits, canonicalAddress, listAt, valueAt, withoutZeros } from "./checks.ts";
import { CLASS_ANNOTATION } from "./ingress-rules.ts";

const HINTS = "service.kubernetes.io/topology-aware-hints";

/** Addresses that are read, though they should be written otherwise. */
function addressWarnings(address: string, path: string): readonly string[] {
  const plain = withoutZeros(address);
  if (plain !== address && isIP(plain) === 4)
    return [`${path}: non-standard IP address ${JSON.stringify(address)} is invalid: use ${JSON.stringify(plain)}`];
  const canonical = canonicalAddress(address);
  return canonical === address
    ? []
    : [
        `${path}: IPv6 address ${JSON.stringify(address)} should be in RFC 5952 canonical format (${JSON.stringify(canonical)})`,
      ];
}

function rangeWarnings(range: string, path: string): readonly string[] {
  const [address = "", bits = ""] = range.split("/");
  if (isIP(address) !== 6 || addressBits(address).slice(Number(bits)).includes("1")) return [];
  const canonical = `${canonicalAddress(address)}/${bits}`;
  return canonical === range
    ? []
    : [
        `${path}: IPv6 CIDR value ${JSON.stringify(range)} should be in RFC 5952 canonical format (${JSON.stringify(canonical)})`,
      ];
}

export function serviceWarnings(service: KubeObject): readonly string[] {
  const spec = (valueAt(service, "spec") ?? {}) as Readonly<Record<string, unknown>>;
  const { type, clusterIP, loadBalancerIP, sessionAffinity, trafficDistribution } = spec;
  const externalIPs = listAt(spec, "externalIPs") as unknown as readonly string[];
  const warnings: string[] = [];
  if (service.metadata.annotations?.[HINTS] !== undefined)
    warnings.push(`annotation ${HINTS} is deprecated, please use service.kubernetes.io/topology-mode instead`);
  if (clusterIP === "None") {
    const ignored = (field: string) => warnings.push(`spec.${field} is ignored for headless services`);
    if (loadBalancerIP) ignored("loadBalancerIP");
    if (externalIPs.length > 0) ignored("externalIPs");
    if (sessionAffinity !== undefined && sessionAffinity !== "None") ignored("SessionAffinity");
  } else if (type === "ExternalName") {
    if (externalIPs.length > 0) warnings.push('spec.externalIPs is ignored when spec.type is "ExternalName"');
  } else {
    const addresses = listAt(spec, "clusterIPs") as unknown as readonly string[];
    warnings.push(...addresses.flatMap((address, at) => addressWarnings(address, `spec.clusterIPs[${at}]`)));
    warnings.push(...externalIPs.flatMap((address, at) => addressWarnings(address, `spec.externalIPs[${at}]`)));
    if (externalIPs.length > 0)
      warnings.push("spec.externalIPs is deprecated and may no longer be implemented in some clusters");
    if (typeof loadBalancerIP === "string" && loadBalancerIP !== "")
      warnings.push(...addressWarnings(loadBalancerIP, "spec.loadBalancerIP"));
    const ranges = listAt(spec, "loadBalancerSourceRanges") as unknown as readonly string[];
    warnings.push(
      ...ranges.flatMap((range, at) => rangeWarnings(range.trim(), `spec.loadBalancerSourceRanges[${at}]`)),
    );
  }
  if (type !== "ExternalName" && spec["externalName"])
    warnings.push('spec.externalName is ignored when spec.type is not "ExternalName"');
  if (trafficDistribution === "PreferClose")
    warnings.push('spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"');
  return warnings;
}

/** The class of an Ingress stood in an annotation once. */
export function ingressWarnings(ingress: KubeObject, old: KubeObject | undefined): readonly string[] {
  return old === undefined && ingress.metadata.annotations?.[CLASS_ANNOTATION] !== undefined
    ? [`annotation ${JSON.stringify(CLASS_ANNOTATION)} is deprecated, please use 'spec.ingressClassName' instead`]
    : [];
}
