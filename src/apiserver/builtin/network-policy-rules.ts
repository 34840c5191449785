/** What network policies must keep to. */
import { isIPv4 } from "node:net";
import {
  type FieldError,
  fieldForbidden,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  type KubeObject,
} from "#machinery";
import {
  addressBits,
  cidrErrors,
  isPort,
  labelSelectorErrors,
  type List,
  listAt,
  PORT_TEXT,
  valueAt,
} from "./checks.ts";
import type { Json } from "./pod-defaults.ts";
import { portNameErrors } from "./port-names.ts";

const PROTOCOLS = ["TCP", "UDP", "SCTP"];
const TYPES = ["Ingress", "Egress"];

/** Whether a range lies within another and is smaller. */
function isWithin(inner: string, outer: string): boolean {
  const [[address = "", size = ""], [other = "", outerSize = ""]] = [inner.split("/"), outer.split("/")];
  if (isIPv4(address) !== isIPv4(other) || Number(size) <= Number(outerSize)) return false;
  return addressBits(address).slice(0, Number(outerSize)) === addressBits(other).slice(0, Number(outerSize));
}

function blockErrors(block: Json, where: string): FieldError[] {
  const cidr = String(block["cidr"] ?? "");
  if (cidr === "") return [fieldRequired(`${where}.cidr`)];
  const wrong = cidrErrors(cidr, `${where}.cidr`);
  if (wrong.length > 0) return wrong;
  return (listAt(block, "except") as unknown as readonly string[]).flatMap((range, number) => {
    const field = `${where}.except[${number}]`;
    const unreadable = cidrErrors(range, field);
    if (unreadable.length > 0) return unreadable;
    return isWithin(range, cidr) ? [] : [fieldInvalid(field, range, "must be a strict subset of `cidr`")];
  });
}

function peerErrors(peers: List, path: string): FieldError[] {
  return peers.flatMap((peer, at) => {
    const where = `${path}[${at}]`;
    const { podSelector, namespaceSelector, ipBlock } = peer;
    const selectors = [podSelector, namespaceSelector].filter((selector) => selector !== undefined).length;
    return [
      ...(podSelector === undefined ? [] : labelSelectorErrors(podSelector, `${where}.podSelector`)),
      ...(namespaceSelector === undefined ? [] : labelSelectorErrors(namespaceSelector, `${where}.namespaceSelector`)),
      ...(ipBlock === undefined ? [] : blockErrors(ipBlock as Json, `${where}.ipBlock`)),
      ...(ipBlock === undefined && selectors === 0 ? [fieldRequired(where, "must specify a peer")] : []),
      ...(ipBlock !== undefined && selectors > 0
        ? [fieldForbidden(where, "may not specify both ipBlock and another peer")]
        : []),
    ];
  });
}

function portErrors(ports: List, path: string): FieldError[] {
  return ports.flatMap(({ port, endPort, protocol }, at) => {
    const where = `${path}[${at}]`;
    const errors: FieldError[] = [];
    if (protocol !== undefined && !PROTOCOLS.includes(String(protocol)))
      errors.push(fieldNotSupported(`${where}.protocol`, protocol, PROTOCOLS));
    if (typeof port === "number" && !isPort(port)) errors.push(fieldInvalid(`${where}.port`, port, PORT_TEXT));
    if (typeof port === "string") errors.push(...portNameErrors(port, `${where}.port`));
    if (endPort === undefined) return errors;
    const refuse = (why: string) => errors.push(fieldInvalid(`${where}.endPort`, endPort, why));
    if (port === undefined) refuse("may not be specified when `port` is not specified");
    else if (typeof port === "string") refuse("may not be specified when `port` is non-numeric");
    else {
      // The smaller end is shown where they stand the wrong way round, as in Kubernetes.
      if (Number(endPort) < Number(port))
        errors.push(fieldInvalid(`${where}.endPort`, port, "must be greater than or equal to `port`"));
      if (!isPort(endPort)) refuse(PORT_TEXT);
    }
    return errors;
  });
}

export function networkPolicyErrors(policy: KubeObject): FieldError[] {
  const types = (valueAt(policy, "spec.policyTypes") ?? []) as readonly string[];
  const rules = (direction: string, peers: string) =>
    listAt(policy, `spec.${direction}`).flatMap((rule, at) => [
      ...portErrors(listAt(rule, "ports"), `spec.${direction}[${at}].ports`),
      ...peerErrors(listAt(rule, peers), `spec.${direction}[${at}].${peers}`),
    ]);
  return [
    ...labelSelectorErrors(valueAt(policy, "spec.podSelector"), "spec.podSelector"),
    ...rules("ingress", "from"),
    ...rules("egress", "to"),
    ...(types.length > TYPES.length
      ? [fieldInvalid("spec.policyTypes", types, "may not specify more than two policyTypes")]
      : types.flatMap((type, at) =>
          TYPES.includes(type) ? [] : [fieldNotSupported(`spec.policyTypes[${at}]`, type, TYPES)],
        )),
  ];
}
