/** What Services, Ingresses, network policies and endpoints do beyond their schema, and their further defaults. */
import { fieldInvalid, type KubeObject, setPath } from "#machinery";
import { deepEqual } from "#base";
import type { Strategy } from "../definition.ts";
import { filled, listAt, specOf, valueAt } from "./checks.ts";
import { endpointsErrors, addressTypeErrors, endpointSliceErrors } from "./endpoint-rules.ts";
import { ingressClassErrors, ingressErrors, newIngressErrors } from "./ingress-rules.ts";
import { networkPolicyErrors } from "./network-policy-rules.ts";
import { ingressWarnings, serviceWarnings } from "./network-warnings.ts";
import type { Json } from "./pod-defaults.ts";
import { serviceErrors, serviceUpdateErrors } from "./service-rules.ts";

/** Addresses of balancers are reached directly where nothing says otherwise. */
function balancedByAddress(service: KubeObject): KubeObject {
  const ingress = listAt(service, "status.loadBalancer.ingress");
  if (!ingress.some(({ ip, ipMode }) => ip && ipMode === undefined)) return service;
  const filledIn = ingress.map((one) => (one["ip"] ? filled(one, { ipMode: "VIP" }) : one));
  return setPath(service, ["status", "loadBalancer", "ingress"], filledIn);
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

function withoutOldTopology(object: KubeObject): KubeObject {
  const endpoints = listAt(object, "endpoints");
  if (endpoints.every(({ deprecatedTopology }) => deprecatedTopology === undefined)) return object;
  const next = endpoints.map((endpoint) => {
    const { deprecatedTopology: _topology, ...rest } = endpoint as Record<string, unknown>;
    return rest;
  });
  return { ...object, endpoints: next } as unknown as KubeObject;
}

export const networkRules: Readonly<Record<string, Strategy>> = {
  Service: {
    rulesAreWhole: true,
    applyDefaults: serviceDefaults,
    prepareForUpdate: balancedByAddress,
    validate: serviceErrors,
    validateUpdate: serviceUpdateErrors,
    warnings: serviceWarnings,
  },
  "networking.k8s.io/Ingress": {
    rulesAreWhole: true,
    emptyStatus: { loadBalancer: {} },
    validate: ingressErrors,
    validateCreate: newIngressErrors,
    warnings: ingressWarnings,
  },
  "networking.k8s.io/IngressClass": {
    rulesAreWhole: true,
    applyDefaults: (object) => {
      const parameters = valueAt(object, "spec.parameters") as Json | undefined;
      return parameters === undefined || parameters["scope"] !== undefined
        ? object
        : setPath(object, ["spec", "parameters"], { ...parameters, scope: "Cluster" });
    },
    checksChangesFirst: true,
    validate: ingressClassErrors,
    validateUpdate: (object, old) =>
      deepEqual(valueAt(object, "spec.controller"), valueAt(old, "spec.controller"))
        ? []
        : [fieldInvalid("spec.controller", valueAt(object, "spec.controller") ?? "", "field is immutable")],
  },
  "networking.k8s.io/NetworkPolicy": { rulesAreWhole: true, validate: networkPolicyErrors },
  Endpoints: {
    rulesAreWhole: true,
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
    countsLabels: true,
    rulesAreWhole: true,
    applyDefaults: (object) => {
      const ports = listAt(object, "ports");
      const next = ports.map((port) => filled(port, { name: "", protocol: "TCP" }));
      return next.every((port, at) => port === ports[at]) ? object : ({ ...object, ports: next } as KubeObject);
    },
    // What an older version of the kind had is nobody's to write.
    prepareForCreate: withoutOldTopology,
    prepareForUpdate: withoutOldTopology,
    // The addresses of a slice are looked at as what they were before.
    validateCreate: endpointSliceErrors,
    validateUpdate: (object, old) => {
      const type = valueAt(object, "addressType");
      const errors = endpointSliceErrors({ ...object, addressType: valueAt(old, "addressType") } as KubeObject);
      return type === valueAt(old, "addressType")
        ? errors
        : [...addressTypeErrors(object), ...errors, fieldInvalid("addressType", type, "field is immutable")];
    },
    warnings: (object) =>
      valueAt(object, "addressType") === "FQDN" ? ["spec.addressType: FQDN endpoints are deprecated"] : [],
  },
};
