/** What Ingresses and their classes must keep to. */
import { isIP } from "node:net";
import {
  type FieldError,
  fieldForbidden,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  type KubeObject,
  subdomainErrors,
} from "#machinery";
import { segmentErrors, wildcardErrors } from "./address-checks.ts";
import { ipErrors, isPort, listAt, PORT_TEXT, valueAt } from "./checks.ts";
import { dnsLabelErrors } from "./name-checks.ts";
import type { Json } from "./pod-defaults.ts";
import { portNameErrors } from "./port-names.ts";

export const CLASS_ANNOTATION = "kubernetes.io/ingress.class";
const PATH_TYPES = ["Exact", "ImplementationSpecific", "Prefix"];
const BAD_IN_PATH = ["//", "/./", "/../", "%2f", "%2F"];
const BAD_AT_END = ["/..", "/."];

function hostErrors(host: string, path: string): FieldError[] {
  if (host === "") return [];
  if (isIP(host) !== 0) return [fieldInvalid(path, host, "must be a DNS name, not an IP address")];
  return host.includes("*") ? wildcardErrors(host, path) : subdomainErrors(host, path);
}

function backendErrors(backend: Json | undefined, path: string): FieldError[] {
  const service = backend?.["service"] as Json | undefined;
  const resource = backend?.["resource"] as Json | undefined;
  if (service !== undefined && resource !== undefined)
    return [fieldInvalid(path, "", "cannot set both resource and service backends")];
  if (resource !== undefined) return resourceErrors(resource, `${path}.resource`);
  if (service === undefined) return [fieldInvalid(path, "", "resource or service backend is required")];
  const name = String(service["name"] ?? "");
  const port = (service["port"] ?? {}) as { readonly name?: string; readonly number?: number };
  const where = `${path}.service`;
  const errors: FieldError[] = name === "" ? [fieldRequired(`${where}.name`)] : dnsLabelErrors(name, `${where}.name`);
  if (port.name && port.number) errors.push(fieldInvalid(path, "", "cannot set both port name & port number"));
  else if (port.name) errors.push(...portNameErrors(port.name, `${where}.port.name`));
  else if (port.number) {
    if (!isPort(port.number)) errors.push(fieldInvalid(`${where}.port.number`, port.number, PORT_TEXT));
  } else errors.push(fieldRequired(path, "port name or number is required"));
  return errors;
}

/** A reference to something of a kind in the same namespace. */
function resourceErrors({ apiGroup, kind, name }: Json, path: string): FieldError[] {
  return [
    ...(apiGroup === undefined ? [] : subdomainErrors(String(apiGroup), `${path}.apiGroup`)),
    ...(kind ? segmentErrors(String(kind), `${path}.kind`) : [fieldRequired(`${path}.kind`)]),
    ...(name ? segmentErrors(String(name), `${path}.name`) : [fieldRequired(`${path}.name`)]),
  ];
}

function pathErrors(item: Json, where: string): FieldError[] {
  const pathType = item["pathType"];
  const path = String(item["path"] ?? "");
  const field = `${where}.path`;
  const errors: FieldError[] = [];
  if (pathType === undefined || pathType === null)
    return [fieldRequired(`${where}.pathType`, "pathType must be specified")];
  if (pathType === "Exact" || pathType === "Prefix") {
    if (!path.startsWith("/")) errors.push(fieldInvalid(field, path, "must be an absolute path"));
    for (const bad of BAD_IN_PATH.filter((text) => path.includes(text)))
      errors.push(fieldInvalid(field, path, `must not contain '${bad}'`));
    for (const bad of BAD_AT_END.filter((text) => path.endsWith(text)))
      errors.push(fieldInvalid(field, path, `cannot end with '${bad}'`));
  } else if (pathType === "ImplementationSpecific") {
    if (path !== "" && !path.startsWith("/")) errors.push(fieldInvalid(field, path, "must be an absolute path"));
  } else errors.push(fieldNotSupported(`${where}.pathType`, pathType, PATH_TYPES));
  return [...errors, ...backendErrors(item["backend"] as Json | undefined, `${where}.backend`)];
}

export function ingressErrors(ingress: KubeObject): FieldError[] {
  const spec = (valueAt(ingress, "spec") ?? {}) as Json;
  const rules = listAt(spec, "rules");
  const { defaultBackend, ingressClassName } = spec;
  return [
    ...(rules.length === 0 && defaultBackend === undefined
      ? [fieldInvalid("spec", spec["rules"] ?? null, "either `defaultBackend` or `rules` must be specified")]
      : []),
    ...(defaultBackend === undefined ? [] : backendErrors(defaultBackend as Json, "spec.defaultBackend")),
    ...rules.flatMap((rule, at) => {
      const where = `spec.rules[${at}]`;
      const paths = listAt(rule, "http.paths");
      return [
        ...hostErrors(String(rule["host"] ?? ""), `${where}.host`),
        ...(rule["http"] !== undefined && paths.length === 0 ? [fieldRequired(`${where}.http.paths`)] : []),
        ...paths.flatMap((item, number) => pathErrors(item, `${where}.http.paths[${number}]`)),
      ];
    }),
    ...listAt(spec, "tls").flatMap((entry, at) => {
      const secret = String(entry["secretName"] ?? "");
      return [
        ...(listAt(entry, "hosts") as unknown as readonly string[]).flatMap((host, number) =>
          host.includes("*")
            ? wildcardErrors(host, `spec.tls[${at}].hosts[${number}]`)
            : subdomainErrors(host, `spec.tls[${at}].hosts[${number}]`),
        ),
        ...(secret === "" ? [] : subdomainErrors(secret, `spec.tls[${at}].secretName`)),
      ];
    }),
    ...(ingressClassName === undefined ? [] : subdomainErrors(String(ingressClassName), "spec.ingressClassName")),
    ...statusErrors(ingress),
  ];
}

export function newIngressErrors(ingress: KubeObject): FieldError[] {
  const annotated = ingress.metadata.annotations?.[CLASS_ANNOTATION];
  const named = valueAt(ingress, "spec.ingressClassName");
  return annotated !== undefined && named !== undefined && annotated !== named
    ? [
        fieldInvalid(
          `annotations.${CLASS_ANNOTATION}`,
          annotated,
          "must match `ingressClassName` when both are specified",
        ),
      ]
    : [];
}

function statusErrors(ingress: KubeObject): FieldError[] {
  const path = "status.loadBalancer.ingress";
  return listAt(ingress, path).flatMap(({ ip, hostname }, at) => {
    const host = String(hostname ?? "");
    const where = `${path}[${at}]`;
    return [
      ...(ip ? ipErrors(ip, `${where}.ip`) : []),
      ...(host === ""
        ? []
        : [
            ...subdomainErrors(host, `${where}.hostname`),
            ...(isIP(host) !== 0
              ? [fieldInvalid(`${where}.hostname`, host, "must be a DNS name, not an IP address")]
              : []),
          ]),
    ];
  });
}

const CONTROLLER = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\/[A-Za-z0-9/\-._~%!$&'()*+,;=:]+$/;
const CONTROLLER_LENGTH_MAX = 250;

export function ingressClassErrors(object: KubeObject): FieldError[] {
  const controller = String(valueAt(object, "spec.controller") ?? "");
  const parameters = valueAt(object, "spec.parameters") as Json | undefined;
  const field = "spec.controller";
  return [
    ...(controller.length > CONTROLLER_LENGTH_MAX
      ? [
          {
            type: "FieldValueTooLong" as const,
            field,
            message: `Too long: may not be more than ${CONTROLLER_LENGTH_MAX} bytes`,
          },
        ]
      : []),
    ...(controller === ""
      ? [fieldRequired(field)]
      : CONTROLLER.test(controller)
        ? []
        : [fieldInvalid(field, controller, 'must be a domain-prefixed path (such as "acme.io/foo")')]),
    ...(parameters === undefined ? [] : parametersErrors(parameters)),
  ];
}

function parametersErrors(parameters: Json): FieldError[] {
  const path = "spec.parameters";
  const { scope, namespace } = parameters;
  const errors = resourceErrors(parameters, path);
  if (scope === undefined) return [...errors, fieldRequired(`${path}.scope`)];
  if (scope !== "Cluster" && scope !== "Namespace")
    return [...errors, fieldNotSupported(`${path}.scope`, scope, ["Cluster", "Namespace"])];
  if (scope === "Namespace" && namespace !== undefined)
    return [...errors, ...dnsLabelErrors(namespace, `${path}.namespace`)];
  if (scope === "Namespace")
    return [...errors, fieldRequired(`${path}.namespace`, "`parameters.scope` is set to 'Namespace'")];
  if (scope === "Cluster" && namespace !== undefined)
    return [...errors, fieldForbidden(`${path}.namespace`, "`parameters.scope` is set to 'Cluster'")];
  return errors;
}
