/** What Services, Ingresses, network policies and endpoints must keep to, and their further defaults. */
import { isIP } from "node:net";
import {
  DNS_SUBDOMAIN,
  DNS_SUBDOMAIN_TEXT,
  type FieldError,
  fieldForbidden,
  fieldInvalid,
  fieldRequired,
  type KubeObject,
  labelKeyErrors,
  setPath,
} from "#machinery";
import { deepEqual } from "#base";
import type { Strategy } from "../definition.ts";
import { cidrErrors, filled, ipErrors, isPort, type List, listAt, PORT_TEXT, valueAt } from "./checks.ts";
import type { Json } from "./pod-defaults.ts";
import { portNameErrors } from "./port-names.ts";

const AFFINITY_SECONDS_MAX = 86_400;
const specOf = (object: KubeObject): Json => (valueAt(object, "spec") ?? {}) as Json;
const subdomain = (value: unknown, path: string): FieldError[] =>
  DNS_SUBDOMAIN.test(String(value)) ? [] : [fieldInvalid(path, value, DNS_SUBDOMAIN_TEXT)];

function serviceErrors(service: KubeObject): FieldError[] {
  const spec = specOf(service);
  const { type, externalName } = spec;
  const isReachable =
    type === "NodePort" || type === "LoadBalancer" || (type === "ClusterIP" && listAt(spec, "externalIPs").length > 0);
  const seconds = valueAt(spec, "sessionAffinityConfig.clientIP.timeoutSeconds");
  return [
    ...(type === "ExternalName" && externalName ? subdomain(externalName, "spec.externalName") : []),
    ...(type === "ExternalName" && spec["clusterIP"]
      ? [fieldForbidden("spec.clusterIPs", "may not be set for ExternalName services")]
      : []),
    ...(spec["clusterIP"] && spec["clusterIP"] !== "None" && isIP(String(spec["clusterIP"])) === 0
      ? ipErrors(spec["clusterIP"], "spec.clusterIPs[0]")
      : []),
    ...familyErrors(spec),
    ...listAt(spec, "ports").flatMap((port, at) => [
      ...(typeof port["targetPort"] === "string"
        ? portNameErrors(port["targetPort"], `spec.ports[${at}].targetPort`)
        : []),
      ...(port["nodePort"] && type === "ClusterIP"
        ? [fieldForbidden(`spec.ports[${at}].nodePort`, "may not be used when `type` is 'ClusterIP'")]
        : []),
    ]),
    ...Object.keys((spec["selector"] ?? {}) as object).flatMap((key) =>
      labelKeyErrors(key).map((text) => fieldInvalid("spec.selector", key, text)),
    ),
    ...(spec["sessionAffinity"] === "ClientIP" &&
    typeof seconds === "number" &&
    (seconds <= 0 || seconds > AFFINITY_SECONDS_MAX)
      ? [
          fieldInvalid(
            "spec.sessionAffinityConfig.clientIP.timeoutSeconds",
            seconds,
            `must be greater than 0 and less than ${AFFINITY_SECONDS_MAX}`,
          ),
        ]
      : []),
    ...listAt(spec, "externalIPs").flatMap((address, at) => ipErrors(address, `spec.externalIPs[${at}]`)),
    ...listAt(spec, "loadBalancerSourceRanges").flatMap((range, at) =>
      cidrErrors(range, `spec.LoadBalancerSourceRanges[${at}]`),
    ),
    ...(spec["externalTrafficPolicy"] !== undefined && !isReachable
      ? [
          fieldInvalid(
            "spec.externalTrafficPolicy",
            spec["externalTrafficPolicy"],
            "may only be set for externally-accessible services",
          ),
        ]
      : []),
  ];
}

/** This server gives addresses of one family. */
function familyErrors(spec: Json): FieldError[] {
  const isOpen = spec["clusterIP"] === "None" && Object.keys((spec["selector"] ?? {}) as object).length === 0;
  if (isOpen || spec["type"] === "ExternalName") return [];
  return [
    ...(spec["ipFamilyPolicy"] === "RequireDualStack"
      ? [
          fieldInvalid(
            "spec.ipFamilyPolicy",
            "RequireDualStack",
            "this cluster is not configured for dual-stack services",
          ),
        ]
      : []),
    ...listAt(spec, "ipFamilies").flatMap((family, at) =>
      (family as unknown) === "IPv6"
        ? [fieldInvalid(`spec.ipFamilies[${at}]`, family, "not configured on this cluster")]
        : [],
    ),
  ];
}

function serviceDefaults(service: KubeObject): KubeObject {
  const spec = specOf(service);
  const hasAddresses = spec["type"] === "ClusterIP" && listAt(spec, "externalIPs").length > 0;
  let next: Json = spec;
  if (hasAddresses && spec["externalTrafficPolicy"] === undefined) next = { ...next, externalTrafficPolicy: "Cluster" };
  if (spec["sessionAffinity"] === "None" && spec["sessionAffinityConfig"] !== undefined) {
    const { sessionAffinityConfig: _config, ...rest } = next as Json & Record<string, unknown>;
    next = rest;
  }
  return next === spec ? service : ({ ...service, spec: next } as KubeObject);
}

function ingressErrors(ingress: KubeObject): FieldError[] {
  const spec = specOf(ingress);
  const host = (value: unknown, path: string): FieldError[] => {
    const text = String(value ?? "");
    if (text === "") return [];
    if (isIP(text) !== 0) return [fieldInvalid(path, text, "must be a DNS name, not an IP address")];
    return subdomain(text.replace(/^\*\./, ""), path).map(() => fieldInvalid(path, text, DNS_SUBDOMAIN_TEXT));
  };
  return [
    ...listAt(spec, "tls").flatMap((entry, at) =>
      listAt(entry, "hosts").flatMap((name, number) => host(name, `spec.tls[${at}].hosts[${number}]`)),
    ),
    ...listAt(spec, "rules").flatMap((rule, at) => {
      const path = `spec.rules[${at}]`;
      const paths = listAt(rule, "http.paths");
      return [
        ...host(rule["host"], `${path}.host`),
        ...(rule["http"] !== undefined && paths.length === 0 ? [fieldRequired(`${path}.http.paths`)] : []),
        ...paths.flatMap((item, number) => {
          const port = valueAt(item, "backend.service.port") as Json | undefined;
          return port?.["name"] && port["number"]
            ? [fieldInvalid(`${path}.http.paths[${number}].backend`, "", "cannot set both port name & port number")]
            : [];
        }),
      ];
    }),
    ...(spec["ingressClassName"] === undefined ? [] : subdomain(spec["ingressClassName"], "spec.ingressClassName")),
  ];
}

/** Whether a range lies within another; false for what cannot be read. */
function isWithin(inner: string, outer: string): boolean {
  const read = (text: string) => {
    const [address = "", bits = ""] = text.split("/");
    if (isIP(address) !== 4) return undefined;
    const value = address.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
    return { value, bits: Number(bits) };
  };
  const [a, b] = [read(inner), read(outer)];
  // Ranges of the other family are left to whoever enforces the policy.
  if (a === undefined || b === undefined) return isIP(inner.split("/")[0] ?? "") === 6;
  const size = 2 ** (32 - b.bits);
  return a.bits > b.bits && Math.floor(a.value / size) === Math.floor(b.value / size);
}

function peerErrors(peers: List, path: string): FieldError[] {
  return peers.flatMap((peer, at) => {
    const where = `${path}[${at}]`;
    const block = peer["ipBlock"] as Json | undefined;
    if (Object.keys(peer).length === 0) return [fieldRequired(where, "must specify a peer")];
    if (block === undefined) return [];
    const wrong = cidrErrors(block["cidr"], `${where}.ipBlock.cidr`);
    if (wrong.length > 0) return wrong;
    return listAt(block, "except").flatMap((range, number) => {
      const field = `${where}.ipBlock.except[${number}]`;
      const unreadable = cidrErrors(range, field);
      if (unreadable.length > 0) return unreadable;
      return isWithin(String(range), String(block["cidr"]))
        ? []
        : [fieldInvalid(field, range, "must be a strict subset of `cidr`")];
    });
  });
}

const policyPortErrors = (ports: List, path: string): FieldError[] =>
  ports.flatMap((entry, at) => {
    const { port, endPort } = entry;
    return [
      ...(typeof port === "number" && !isPort(port) ? [fieldInvalid(`${path}[${at}].port`, port, PORT_TEXT)] : []),
      ...(typeof port === "number" && typeof endPort === "number" && endPort < port
        ? [fieldInvalid(`${path}[${at}].endPort`, endPort, "must be greater than or equal to `port`")]
        : []),
    ];
  });

function endpointsErrors(object: KubeObject): FieldError[] {
  return listAt(object, "subsets").flatMap((subset, at) => {
    const path = `subsets[${at}]`;
    const addresses = [...listAt(subset, "addresses"), ...listAt(subset, "notReadyAddresses")];
    return [
      ...(addresses.length === 0 ? [fieldRequired(path, "must specify `addresses` or `notReadyAddresses`")] : []),
      ...["addresses", "notReadyAddresses"].flatMap((part) =>
        listAt(subset, part).flatMap(({ ip }, number) => {
          const field = `${path}.${part}[${number}].ip`;
          const wrong = ipErrors(ip, field);
          // Loopback addresses are taken: a control plane in one process has its webhooks on the same machine.
          return wrong.length > 0 ? [...wrong, fieldInvalid(field, ip, "must be a valid IP address")] : [];
        }),
      ),
      ...listAt(subset, "ports").flatMap(({ port }, number) =>
        isPort(port) ? [] : [fieldInvalid(`${path}.ports[${number}].port`, port ?? 0, PORT_TEXT)],
      ),
    ];
  });
}

export const networkRules: Readonly<Record<string, Strategy>> = {
  Service: { applyDefaults: serviceDefaults, validate: serviceErrors },
  "networking.k8s.io/Ingress": { emptyStatus: { loadBalancer: {} }, validate: ingressErrors },
  "networking.k8s.io/IngressClass": {
    applyDefaults: (object) => {
      const parameters = valueAt(object, "spec.parameters") as Json | undefined;
      return parameters === undefined || parameters["scope"] !== undefined
        ? object
        : setPath(object, ["spec", "parameters"], { ...parameters, scope: "Cluster" });
    },
    validate: (object) => {
      const controller = String(valueAt(object, "spec.controller") ?? "");
      return /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?\/.+$/.test(controller)
        ? []
        : [fieldInvalid("spec.controller", controller, 'must be a domain-prefixed path (such as "acme.io/foo")')];
    },
    validateUpdate: (object, old) =>
      deepEqual(valueAt(object, "spec.controller"), valueAt(old, "spec.controller"))
        ? []
        : [fieldInvalid("spec.controller", valueAt(object, "spec.controller"), "field is immutable")],
  },
  "networking.k8s.io/NetworkPolicy": {
    validate: (object) =>
      [
        ["ingress", "from"],
        ["egress", "to"],
      ].flatMap(([direction, peers]) =>
        listAt(object, `spec.${direction}`).flatMap((rule, at) => [
          ...policyPortErrors(listAt(rule, "ports"), `spec.${direction}[${at}].ports`),
          ...peerErrors(listAt(rule, String(peers)), `spec.${direction}[${at}].${peers}`),
        ]),
      ),
  },
  Endpoints: {
    applyDefaults: (object) => {
      const subsets = listAt(object, "subsets");
      const next = subsets.map((subset) => {
        const ports = listAt(subset, "ports");
        return ports.some((port) => port["protocol"] === undefined)
          ? { ...subset, ports: ports.map((port) => filled(port, { protocol: "TCP" })) }
          : subset;
      });
      return next.every((subset, at) => subset === subsets[at]) ? object : ({ ...object, subsets: next } as KubeObject);
    },
    validate: endpointsErrors,
  },
  "discovery.k8s.io/EndpointSlice": {
    validate: (object) =>
      String(valueAt(object, "addressType")) === "FQDN"
        ? []
        : listAt(object, "endpoints").flatMap((endpoint, at) =>
            listAt(endpoint, "addresses").flatMap((address, number) =>
              ipErrors(address, `endpoints[${at}].addresses[${number}]`),
            ),
          ),
  },
};
