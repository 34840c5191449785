/** Admission of MultiClusterIngress: the rules of an Ingress. */
import { isIP } from "node:net";
import type { MultiClusterIngress } from "#apis/karmada";
import type { AdmissionPlugin } from "#apiserver";
import {
  type FieldError,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  label1035Errors,
  subdomainErrors,
} from "#machinery";
import { denied } from "../denied.ts";

type Spec = NonNullable<MultiClusterIngress["spec"]>;
type Backend = NonNullable<Spec["defaultBackend"]>;
type Path = NonNullable<NonNullable<Spec["rules"]>[number]["http"]>["paths"][number];

const PORT_NAME_LENGTH_MAX = 15;
const PATH_TYPES = ["Exact", "ImplementationSpecific", "Prefix"];
const FORBIDDEN_IN_PATHS = ["//", "/./", "/../", "%2f", "%2F"];
const FORBIDDEN_ENDS = ["/..", "/."];
const WILDCARD = /^\*\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const WILDCARD_TEXT =
  "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character (e.g. '*.example.com', regex used for validation is '\\*\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

function portNameErrors(name: string, path: string): FieldError[] {
  const texts = [
    ...(name.length > PORT_NAME_LENGTH_MAX ? [`must be no more than ${PORT_NAME_LENGTH_MAX} characters`] : []),
    ...(/^[-a-z0-9]+$/.test(name) ? [] : ["must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)"]),
    ...(/[a-z]/.test(name) ? [] : ["must contain at least one letter (a-z)"]),
    ...(name.includes("--") ? ["must not contain consecutive hyphens"] : []),
    ...(name.startsWith("-") || name.endsWith("-") ? ["must not begin or end with a hyphen"] : []),
  ];
  return texts.map((text) => fieldInvalid(path, name, text));
}

function serviceErrors(service: NonNullable<Backend["service"]>, path: string): FieldError[] {
  const { name, port } = service;
  const errors = name ? label1035Errors(name, `${path}.name`) : [fieldRequired(`${path}.name`)];
  const hasName = Boolean(port?.name);
  const hasNumber = (port?.number ?? 0) !== 0;
  if (hasName && hasNumber) errors.push(fieldInvalid(path, "", "cannot set both port name & port number"));
  else if (hasName) errors.push(...portNameErrors(port?.name ?? "", `${path}.port.name`));
  else if (!hasNumber) errors.push(fieldRequired(path, "port name or number is required"));
  else if ((port?.number ?? 0) < 1 || (port?.number ?? 0) > 65_535)
    errors.push(fieldInvalid(`${path}.port.number`, port?.number, "must be between 1 and 65535, inclusive"));
  return errors;
}

function backendErrors(backend: Backend, path: string): FieldError[] {
  const { resource, service } = backend;
  if (resource !== undefined && service !== undefined)
    return [fieldInvalid(path, "", "cannot set both resource and service backends")];
  if (service !== undefined) return serviceErrors(service, `${path}.service`);
  if (resource === undefined) return [fieldInvalid(path, "", "resource or service backend is required")];
  return [
    ...(resource.apiGroup ? subdomainErrors(resource.apiGroup, `${path}.resource.apiGroup`) : []),
    ...(resource.kind ? [] : [fieldRequired(`${path}.resource.kind`, "kind is required")]),
    ...(resource.name ? [] : [fieldRequired(`${path}.resource.name`, "name is required")]),
  ];
}

function hostErrors(host: string, path: string): FieldError[] {
  if (isIP(host) !== 0) return [fieldInvalid(path, host, "must be a DNS name, not an IP address")];
  if (!host.includes("*")) return subdomainErrors(host, path);
  return WILDCARD.test(host) ? [] : [fieldInvalid(path, host, WILDCARD_TEXT)];
}

function pathErrors({ backend, path = "", pathType }: Path, where: string): FieldError[] {
  const errors: FieldError[] = [];
  if (!pathType) errors.push(fieldRequired(`${where}.pathType`, "pathType must be specified"));
  else if (!PATH_TYPES.includes(pathType)) errors.push(fieldNotSupported(`${where}.pathType`, pathType, PATH_TYPES));
  else if (pathType === "ImplementationSpecific") {
    if (path !== "" && !path.startsWith("/"))
      errors.push(fieldInvalid(`${where}.path`, path, "must be an absolute path"));
  } else {
    if (!path.startsWith("/")) errors.push(fieldInvalid(`${where}.path`, path, "must be an absolute path"));
    for (const part of FORBIDDEN_IN_PATHS.filter((bad) => path.includes(bad)))
      errors.push(fieldInvalid(`${where}.path`, path, `must not contain '${part}'`));
    for (const end of FORBIDDEN_ENDS.filter((bad) => path.endsWith(bad)))
      errors.push(fieldInvalid(`${where}.path`, path, `cannot end with '${end}'`));
  }
  return [...errors, ...backendErrors(backend, `${where}.backend`)];
}

export function multiClusterIngressErrors({ metadata, spec = {} }: MultiClusterIngress): FieldError[] {
  const { defaultBackend, rules = [], tls = [], ingressClassName } = spec;
  return [
    ...subdomainErrors(metadata.name ?? "", "metadata.name"),
    ...(defaultBackend === undefined && rules.length === 0
      ? [fieldInvalid("spec", spec, "either `defaultBackend` or `rules` must be specified")]
      : []),
    ...(defaultBackend === undefined ? [] : backendErrors(defaultBackend, "spec.defaultBackend")),
    ...rules.flatMap(({ host, http }, at) => {
      const path = `spec.rules[${at}]`;
      return [
        ...(host ? hostErrors(host, `${path}.host`) : []),
        ...(http === undefined
          ? []
          : http.paths.length === 0
            ? [fieldRequired(`${path}.http.paths`)]
            : http.paths.flatMap((item, pathAt) => pathErrors(item, `${path}.http.paths[${pathAt}]`))),
      ];
    }),
    ...tls.flatMap(({ hosts = [], secretName }, at) => [
      ...hosts.flatMap((host, hostAt) => hostErrors(host, `spec.tls[${at}].hosts[${hostAt}]`)),
      ...(secretName ? subdomainErrors(secretName, `spec.tls[${at}].secretName`) : []),
    ]),
    ...(ingressClassName === undefined ? [] : subdomainErrors(ingressClassName, "spec.ingressClassName")),
  ];
}

export const multiClusterIngressAdmission: AdmissionPlugin = {
  name: "multiclusteringress.karmada.io",
  handles: ({ definition, operation, subresource }) =>
    definition.kind.group === "networking.karmada.io" &&
    definition.kind.resource === "multiclusteringresses" &&
    operation !== "DELETE" &&
    subresource === undefined,
  validate({ object }) {
    const errors = multiClusterIngressErrors(object as MultiClusterIngress);
    if (errors.length > 0) throw denied("multiclusteringress.karmada.io", errors);
  },
};
