/** What Endpoints and their slices must keep to. */
import {
  type FieldError,
  fieldDuplicate,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  type KubeObject,
  labelKeyErrors,
  labelValueErrors,
  subdomainErrors,
} from "#machinery";
import { label, specialIpErrors } from "./address-checks.ts";
import { ipErrors, isPort, listAt, PORT_TEXT, repetitions, valueAt } from "./checks.ts";
import type { Json } from "./pod-defaults.ts";

const PROTOCOLS = ["SCTP", "TCP", "UDP"];

const protocolErrors = (protocol: unknown, path: string): FieldError[] =>
  protocol === undefined || PROTOCOLS.includes(String(protocol)) ? [] : [fieldNotSupported(path, protocol, PROTOCOLS)];
const appProtocolErrors = (value: unknown, path: string): FieldError[] =>
  typeof value === "string" ? labelKeyErrors(value).map((text) => fieldInvalid(path, value, text)) : [];

/** Loopback addresses are taken: a control plane in one process has its webhooks on the same machine. */
function endpointAddressErrors({ ip, hostname, nodeName }: Json, path: string): FieldError[] {
  const address = String(ip ?? "");
  const wrong = ipErrors(address, `${path}.ip`);
  return [
    ...wrong,
    ...(hostname ? label(String(hostname), `${path}.hostname`) : []),
    ...(nodeName === undefined ? [] : subdomainErrors(String(nodeName), `${path}.nodeName`)),
    ...(wrong.length > 0
      ? [fieldInvalid(`${path}.ip`, address, "must be a valid IP address")]
      : specialIpErrors(address, `${path}.ip`, true)),
  ];
}

export function endpointsErrors(object: KubeObject): FieldError[] {
  return listAt(object, "subsets").flatMap((subset, at) => {
    const path = `subsets[${at}]`;
    const ports = listAt(subset, "ports");
    const addresses = (part: string) =>
      listAt(subset, part).flatMap((address, number) => endpointAddressErrors(address, `${path}.${part}[${number}]`));
    return [
      ...(listAt(subset, "addresses").length + listAt(subset, "notReadyAddresses").length === 0
        ? [fieldRequired(path, "must specify `addresses` or `notReadyAddresses`")]
        : []),
      ...addresses("addresses"),
      ...addresses("notReadyAddresses"),
      ...ports.flatMap(({ name, port, protocol, appProtocol }, number) => {
        const where = `${path}.ports[${number}]`;
        return [
          ...(name ? label(String(name), `${where}.name`) : ports.length > 1 ? [fieldRequired(`${where}.name`)] : []),
          ...(isPort(port) ? [] : [fieldInvalid(`${where}.port`, port ?? 0, PORT_TEXT)]),
          ...protocolErrors(protocol, `${where}.protocol`),
          ...appProtocolErrors(appProtocol, `${where}.appProtocol`),
        ];
      }),
    ];
  });
}

const ADDRESS_TYPES = ["FQDN", "IPv4", "IPv6"];

export function addressTypeErrors(slice: KubeObject): FieldError[] {
  const type = valueAt(slice, "addressType");
  if (!type) return [fieldRequired("addressType")];
  return ADDRESS_TYPES.includes(String(type)) ? [] : [fieldNotSupported("addressType", type, ADDRESS_TYPES)];
}

export function endpointSliceErrors(slice: KubeObject): FieldError[] {
  const type = valueAt(slice, "addressType");
  return [
    ...addressTypeErrors(slice),
    ...slicePortErrors(slice),
    ...listAt(slice, "endpoints").flatMap((endpoint, at) =>
      sliceEndpointErrors(endpoint, String(type ?? ""), `endpoints[${at}]`),
    ),
  ];
}

function slicePortErrors(slice: KubeObject): FieldError[] {
  const hadName = repetitions();
  return listAt(slice, "ports").flatMap(({ name, protocol, appProtocol }, at) => {
    const path = `ports[${at}]`;
    const text = String(name ?? "");
    const isTaken = hadName(text);
    return [
      ...(text === "" ? [] : label(text, `${path}.name`)),
      ...(isTaken ? [fieldDuplicate(`${path}.name`, text)] : []),
      ...protocolErrors(protocol, `${path}.protocol`),
      ...appProtocolErrors(appProtocol, `${path}.appProtocol`),
    ];
  });
}

function sliceEndpointErrors(endpoint: Json, type: string, path: string): FieldError[] {
  const addresses = listAt(endpoint, "addresses") as unknown as readonly string[];
  const { nodeName, hostname } = endpoint;
  const hadZone = repetitions();
  const hadNode = repetitions();
  return [
    ...(addresses.length === 0 ? [fieldRequired(`${path}.addresses`, "must contain at least 1 address")] : []),
    ...addresses.flatMap((address, at) => {
      const where = `${path}.addresses[${at}]`;
      if (type === "FQDN") return subdomainErrors(address, where);
      const wrong = ipErrors(address, where);
      if (wrong.length > 0) return wrong;
      const isOther = (type === "IPv4") === address.includes(":") && (type === "IPv4" || type === "IPv6");
      return [
        ...(isOther ? [fieldInvalid(`${path}.addresses`, address, `must be an ${type} address`)] : []),
        ...specialIpErrors(address, where),
      ];
    }),
    ...(nodeName === undefined ? [] : subdomainErrors(String(nodeName), `${path}.nodeName`)),
    ...(hostname === undefined ? [] : label(String(hostname), `${path}.hostname`)),
    ...listAt(endpoint, "hints.forZones").flatMap(({ name }, at) => {
      const where = `${path}.hints.forZones[${at}].name`;
      const zone = String(name ?? "");
      const isTaken = hadZone(zone);
      return isTaken ? [fieldDuplicate(where, zone)] : labelValueErrors(zone, where);
    }),
    ...listAt(endpoint, "hints.forNodes").flatMap(({ name }, at) => {
      const where = `${path}.hints.forNodes[${at}].name`;
      const node = String(name ?? "");
      const isTaken = hadNode(node);
      return isTaken ? [fieldDuplicate(where, node)] : subdomainErrors(node, where);
    }),
  ];
}
