import {
  type FieldError,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  formatTime,
  type KubeObject,
  label1035Errors,
  subdomainErrors,
} from "#machinery";
import type { Clock } from "#base";
import type { ResourceDefinition, Strategy } from "../definition.ts";

export interface ApiServiceSpec {
  readonly group?: string;
  readonly version?: string;
  readonly service?: { readonly namespace?: string; readonly name?: string; readonly port?: number };
  readonly caBundle?: string;
  readonly insecureSkipTLSVerify?: boolean;
  readonly groupPriorityMinimum?: number;
  readonly versionPriority?: number;
}

export interface Condition {
  readonly type: string;
  readonly status: string;
  readonly lastTransitionTime?: string;
  readonly reason?: string;
  readonly message?: string;
}

export type ApiService = KubeObject & {
  readonly spec?: ApiServiceSpec;
  readonly status?: { readonly conditions?: readonly Condition[] };
};

export const API_SERVICES = { group: "apiregistration.k8s.io", version: "v1", resource: "apiservices" };
export const isAvailable = ({ status }: ApiService): boolean =>
  status?.conditions?.some(({ type, status: state }) => type === "Available" && state === "True") ?? false;

export const localCondition = (nowMs: number): Condition => ({
  type: "Available",
  status: "True",
  lastTransitionTime: formatTime(nowMs),
  reason: "Local",
  message: "Local APIServices are always available",
});

/** What APIServices must keep to, with the port of their service where they name none. */
export const apiServiceRules: Strategy = {
  applyDefaults(object) {
    const { spec } = object as ApiService;
    if (spec?.service === undefined || spec.service.port !== undefined) return object;
    return { ...object, spec: { ...spec, service: { ...spec.service, port: 443 } } } as KubeObject;
  },
  validate: (object) => apiServiceErrors(object as ApiService),
  validateStatus: (object) =>
    ((object as ApiService).status?.conditions ?? []).flatMap(({ status }, at) =>
      CONDITION_STATUSES.includes(status)
        ? []
        : [fieldNotSupported(`status.conditions[${at}].status`, status ?? "", CONDITION_STATUSES)],
    ),
};

const CONDITION_STATUSES = ["True", "False", "Unknown"];

/** Notes what is known of a local service the moment it is written. */
export function withAggregationStrategy(definition: ResourceDefinition, clock: Clock): ResourceDefinition {
  if (definition.kind.group !== API_SERVICES.group || definition.kind.resource !== API_SERVICES.resource)
    return definition;
  const strategy: Strategy = {
    ...definition.strategy,
    prepareForCreate: (object) =>
      (object as ApiService).spec?.service === undefined
        ? ({ ...object, status: { conditions: [localCondition(clock.now())] } } as KubeObject)
        : object,
  };
  return { ...definition, strategy };
}

function apiServiceErrors({ metadata, spec = {} }: ApiService): readonly FieldError[] {
  const errors: FieldError[] = [];
  const { group = "", version = "", service, groupPriorityMinimum = 0, versionPriority = 0 } = spec;
  if (metadata.name !== `${version}.${group}`)
    errors.push(
      fieldInvalid(
        "metadata.name",
        metadata.name,
        `must be \`spec.version+"."+spec.group\`: ${JSON.stringify(`${version}.${group}`)}`,
      ),
    );
  if (group === "" && version !== "v1")
    errors.push(fieldRequired("spec.group", "only v1 may have an empty group and it better be legacy kube"));
  if (group !== "") errors.push(...subdomainErrors(group, "spec.group"));
  errors.push(...label1035Errors(version, "spec.version"));
  if (groupPriorityMinimum < 1 || groupPriorityMinimum > 20_000)
    errors.push(
      fieldInvalid("spec.groupPriorityMinimum", groupPriorityMinimum, "must be positive and less than 20000"),
    );
  if (versionPriority < 1 || versionPriority > 1000)
    errors.push(fieldInvalid("spec.versionPriority", versionPriority, "must be positive and less than 1000"));
  if (service === undefined) {
    if (spec.caBundle)
      errors.push(
        fieldInvalid(
          "spec.caBundle",
          `${Buffer.from(spec.caBundle, "base64").length} bytes`,
          "local APIServices may not have a caBundle",
        ),
      );
    if (spec.insecureSkipTLSVerify)
      errors.push(
        fieldInvalid("spec.insecureSkipTLSVerify", true, "local APIServices may not have insecureSkipTLSVerify"),
      );
    return errors;
  }
  if (!service.namespace) errors.push(fieldRequired("spec.service.namespace"));
  if (!service.name) errors.push(fieldRequired("spec.service.name"));
  const port = service.port ?? 443;
  if (!Number.isInteger(port) || port < 1 || port > 65_535)
    errors.push(fieldInvalid("spec.service.port", port, "port is not valid: must be between 1 and 65535, inclusive"));
  if (spec.insecureSkipTLSVerify && spec.caBundle)
    errors.push(fieldInvalid("spec.insecureSkipTLSVerify", true, "may not be true if caBundle is present"));
  return errors;
}
