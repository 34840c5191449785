/** Admission of FederatedHPA: the defaults a HorizontalPodAutoscaler has, and what cannot be scaled by. */
import type { FederatedHPA } from "#apis/karmada";
import type { AdmissionPlugin } from "#apiserver";
import {
  type FieldError,
  fieldForbidden,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  type KubeObject,
  subdomainErrors,
} from "#machinery";
import { denied } from "../denied.ts";
import { amountOf, scaleTargetErrors } from "../formats.ts";

type Spec = FederatedHPA["spec"];
type Metric = NonNullable<Spec["metrics"]>[number];
type Target = NonNullable<Metric["resource"]>["target"];
type ScalingRules = NonNullable<NonNullable<Spec["behavior"]>["scaleUp"]>;

const CPU_UTILIZATION_DEFAULT = 80;
const WINDOW_SECONDS_MAX = 3600;
const PERIOD_SECONDS_MAX = 1800;
const METRIC_TYPES = ["ContainerResource", "Object", "Pods", "Resource"] as const;
const BLOCKS = {
  ContainerResource: "containerResource",
  Object: "object",
  Pods: "pods",
  Resource: "resource",
} as const;
const EVERYTHING_IN_15_SECONDS = { type: "Percent", value: 100, periodSeconds: 15 };
const SCALE_UP: ScalingRules = {
  stabilizationWindowSeconds: 0,
  selectPolicy: "Max",
  policies: [{ type: "Pods", value: 4, periodSeconds: 15 }, EVERYTHING_IN_15_SECONDS],
};
const SCALE_DOWN: ScalingRules = { selectPolicy: "Max", policies: [EVERYTHING_IN_15_SECONDS] };

/** The autoscaler with everything a user may leave out. */
export function defaultedFederatedHpa(hpa: FederatedHPA): FederatedHPA {
  const { spec } = hpa;
  const metrics =
    (spec.metrics ?? []).length > 0
      ? spec.metrics
      : [
          {
            type: "Resource",
            resource: { name: "cpu", target: { type: "Utilization", averageUtilization: CPU_UTILIZATION_DEFAULT } },
          },
        ];
  const behavior =
    spec.behavior === undefined
      ? {}
      : {
          behavior: {
            scaleUp: { ...SCALE_UP, ...spec.behavior.scaleUp },
            scaleDown: { ...SCALE_DOWN, ...spec.behavior.scaleDown },
          },
        };
  return { ...hpa, spec: { ...spec, minReplicas: spec.minReplicas ?? 1, metrics, ...behavior } } as FederatedHPA;
}

function targetErrors(target: Target, path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (!target.type) errors.push(fieldRequired(`${path}.type`, "must specify a metric target type"));
  else if (!["Utilization", "Value", "AverageValue"].includes(target.type))
    errors.push(fieldInvalid(`${path}.type`, target.type, "must be either Utilization, Value, or AverageValue"));
  for (const field of ["value", "averageValue"] as const) {
    const amount = amountOf(target[field]);
    if (amount !== undefined && amount.nano <= 0n)
      errors.push(fieldInvalid(`${path}.${field}`, String(target[field]), "must be positive"));
  }
  if (target.averageUtilization !== undefined && target.averageUtilization < 1)
    errors.push(fieldInvalid(`${path}.averageUtilization`, target.averageUtilization, "must be greater than 0"));
  return errors;
}

function utilizationErrors(target: Target, path: string): FieldError[] {
  const hasUtilization = target.averageUtilization !== undefined;
  const hasAmount = target.averageValue !== undefined;
  if (!hasUtilization && !hasAmount)
    return [fieldRequired(`${path}.averageUtilization`, "must set either a target raw value or a target utilization")];
  return hasUtilization && hasAmount
    ? [fieldForbidden(`${path}.averageValue`, "may not set both a target raw value and a target utilization")]
    : [];
}

function sourceErrors(metric: Metric, path: string): FieldError[] {
  const { resource, containerResource, object, pods } = metric;
  const errors: FieldError[] = [];
  if (object !== undefined) {
    const where = `${path}.object`;
    errors.push(...scaleTargetErrors(object.describedObject, `${where}.describedObject`));
    if (!object.metric.name) errors.push(fieldRequired(`${where}.metric.name`, "must specify a metric name"));
    errors.push(...targetErrors(object.target, `${where}.target`));
    if (object.target.value === undefined && object.target.averageValue === undefined)
      errors.push(fieldRequired(`${where}.target.averageValue`, "must set either a target value or averageValue"));
  }
  if (pods !== undefined) {
    const where = `${path}.pods`;
    if (!pods.metric.name) errors.push(fieldRequired(`${where}.metric.name`, "must specify a metric name"));
    errors.push(...targetErrors(pods.target, `${where}.target`));
    if (pods.target.averageValue === undefined)
      errors.push(fieldRequired(`${where}.target.averageValue`, "must specify a positive target averageValue"));
  }
  if (containerResource !== undefined) {
    const where = `${path}.containerResource`;
    if (!containerResource.name) errors.push(fieldRequired(`${where}.name`, "must specify a resource name"));
    if (!containerResource.container) errors.push(fieldRequired(`${where}.container`, "must specify a container"));
    errors.push(
      ...targetErrors(containerResource.target, `${where}.target`),
      ...utilizationErrors(containerResource.target, `${where}.target`),
    );
  }
  if (resource !== undefined) {
    const where = `${path}.resource`;
    if (!resource.name) errors.push(fieldRequired(`${where}.name`, "must specify a resource name"));
    errors.push(
      ...targetErrors(resource.target, `${where}.target`),
      ...utilizationErrors(resource.target, `${where}.target`),
    );
  }
  return errors;
}

function metricErrors(metric: Metric, path: string): FieldError[] {
  if (!metric.type)
    return [fieldRequired(`${path}.type`, "must specify a metric source type"), ...sourceErrors(metric, path)];
  const known = METRIC_TYPES.find((type) => type === metric.type);
  if (known === undefined)
    return [fieldNotSupported(`${path}.type`, metric.type, METRIC_TYPES), ...sourceErrors(metric, path)];
  const mine = BLOCKS[known];
  const missing =
    metric[mine] === undefined
      ? [fieldRequired(`${path}.${mine}`, "must populate information for the given metric source")]
      : [];
  const extra = Object.values(BLOCKS).filter((block) => block !== mine && metric[block] !== undefined);
  return [
    ...missing,
    ...extra.map((block) => fieldForbidden(`${path}.${block}`, "must populate the given metric source only")),
    ...sourceErrors(metric, path),
  ];
}

function scalingErrors(rules: ScalingRules | undefined, path: string): FieldError[] {
  if (rules === undefined) return [];
  const { stabilizationWindowSeconds: window, selectPolicy, policies = [] } = rules;
  const errors: FieldError[] = [];
  if (window !== undefined && window < 0)
    errors.push(fieldInvalid(`${path}.stabilizationWindowSeconds`, window, "must be greater than or equal to zero"));
  if (window !== undefined && window > WINDOW_SECONDS_MAX)
    errors.push(
      fieldInvalid(`${path}.stabilizationWindowSeconds`, window, `must be less than or equal to ${WINDOW_SECONDS_MAX}`),
    );
  if (selectPolicy !== undefined && !["Disabled", "Max", "Min"].includes(selectPolicy))
    errors.push(fieldNotSupported(`${path}.selectPolicy`, selectPolicy, ["Disabled", "Max", "Min"]));
  if (policies.length === 0) errors.push(fieldRequired(`${path}.policies`, "must specify at least one Policy"));
  for (const [at, { type, value, periodSeconds }] of policies.entries()) {
    const where = `${path}.policies[${at}]`;
    if (type !== "Percent" && type !== "Pods")
      errors.push(fieldNotSupported(`${where}.type`, type, ["Percent", "Pods"]));
    if (value <= 0) errors.push(fieldInvalid(`${where}.value`, value, "must be greater than zero"));
    if (periodSeconds <= 0)
      errors.push(fieldInvalid(`${where}.periodSeconds`, periodSeconds, "must be greater than zero"));
    if (periodSeconds > PERIOD_SECONDS_MAX)
      errors.push(
        fieldInvalid(`${where}.periodSeconds`, periodSeconds, `must be less than or equal to ${PERIOD_SECONDS_MAX}`),
      );
  }
  return errors;
}

export function federatedHpaErrors({ metadata, spec, status }: FederatedHPA): FieldError[] {
  const errors: FieldError[] = [];
  const { minReplicas, maxReplicas } = spec;
  const name = metadata.name ?? "";
  errors.push(...subdomainErrors(name, "metadata.name"));
  if (minReplicas !== undefined && minReplicas < 1)
    errors.push(fieldInvalid("spec.minReplicas", minReplicas, "must be greater than or equal to 1"));
  if (maxReplicas < 1) errors.push(fieldInvalid("spec.maxReplicas", maxReplicas, "must be greater than 0"));
  if (minReplicas !== undefined && maxReplicas < minReplicas)
    errors.push(fieldInvalid("spec.maxReplicas", maxReplicas, "must be greater than or equal to `minReplicas`"));
  errors.push(...scaleTargetErrors(spec.scaleTargetRef, "spec.scaleTargetRef"));
  for (const [at, metric] of (spec.metrics ?? []).entries())
    errors.push(...metricErrors(metric, `spec.metrics[${at}]`));
  return [
    ...errors,
    ...scalingErrors(spec.behavior?.scaleUp, "spec.behavior.scaleUp"),
    ...scalingErrors(spec.behavior?.scaleDown, "spec.behavior.scaleDown"),
    ...(["currentReplicas", "desiredReplicas"] as const).flatMap((field) => {
      const replicas = status?.[field] ?? 0;
      return replicas < 0 ? [fieldInvalid(`status.${field}`, replicas, "must be greater than or equal to 0")] : [];
    }),
  ];
}

const handles: AdmissionPlugin["handles"] = ({ definition, operation, subresource }) =>
  definition.kind.group === "autoscaling.karmada.io" &&
  definition.kind.resource === "federatedhpas" &&
  operation !== "DELETE" &&
  subresource === undefined;

export const federatedHpaAdmission: AdmissionPlugin = {
  name: "federatedhpa.karmada.io",
  handles,
  mutate: ({ object }) => defaultedFederatedHpa(object as FederatedHPA) as KubeObject,
  validate({ object }) {
    const errors = federatedHpaErrors(object as FederatedHPA);
    if (errors.length > 0) throw denied("federatedhpa.karmada.io", errors);
  },
};
