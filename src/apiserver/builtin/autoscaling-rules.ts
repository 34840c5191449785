/** HorizontalPodAutoscalers: their defaults and what they must keep to, in the order and the words of kube-apiserver. */
import {
  type FieldError,
  fieldForbidden,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  type KubeObject,
  parseQuantity,
} from "#machinery";
import type { Strategy } from "../definition.ts";
import { filled, type List, listAt, notNegativeAt, valueAt } from "./checks.ts";
import { dnsLabelErrors } from "./name-checks.ts";
import { containerResourceErrors } from "./pod-containers.ts";
import type { Json } from "./pod-defaults.ts";

const SOURCES: Readonly<Record<string, string>> = {
  Object: "object",
  Pods: "pods",
  Resource: "resource",
  ContainerResource: "containerResource",
  External: "external",
};
const TYPES = Object.keys(SOURCES).sort();
const STABILIZATION_SECONDS_MAX = 3600;
const PERIOD_SECONDS_MAX = 1800;

const OTHER_METRICS = "autoscaling.alpha.kubernetes.io/metrics";
const DEFAULT_CPU_PERCENT = 80;
const DEFAULT_METRICS = [
  {
    type: "Resource",
    resource: { name: "cpu", target: { type: "Utilization", averageUtilization: DEFAULT_CPU_PERCENT } },
  },
];
const UP: Json = {
  stabilizationWindowSeconds: 0,
  selectPolicy: "Max",
  policies: [
    { type: "Pods", value: 4, periodSeconds: 15 },
    { type: "Percent", value: 100, periodSeconds: 15 },
  ],
};
const DOWN: Json = { selectPolicy: "Max", policies: [{ type: "Percent", value: 100, periodSeconds: 15 }] };

function withBehavior(spec: Json): Json {
  const behavior = spec["behavior"] as Json | undefined;
  if (behavior === undefined) return spec;
  return {
    ...spec,
    behavior: {
      ...behavior,
      scaleUp: filled((behavior["scaleUp"] ?? {}) as Json, UP),
      scaleDown: filled((behavior["scaleDown"] ?? {}) as Json, DOWN),
    },
  };
}

/** A name that is one segment of a path. */
function segmentErrors(value: unknown, path: string, text = ""): FieldError[] {
  if (!value) return [fieldRequired(path, text)];
  const name = String(value);
  if (name === "." || name === "..") return [fieldInvalid(path, name, `may not be '${name}'`)];
  return ["/", "%"]
    .filter((part) => name.includes(part))
    .map((part) => fieldInvalid(path, name, `may not contain '${part}'`));
}

function referenceErrors(reference: Json, path: string): FieldError[] {
  const version = String(reference["apiVersion"] ?? "");
  const errors = [
    ...segmentErrors(reference["kind"], `${path}.kind`),
    ...segmentErrors(reference["name"], `${path}.name`),
  ];
  if (version.split("/").length > 2)
    errors.push(fieldInvalid(`${path}.apiVersion`, version, `unexpected GroupVersion string: ${version}`));
  return errors;
}

function targetErrors(target: Json, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const { type, value, averageValue, averageUtilization } = target;
  if (!type) errors.push(fieldRequired(`${path}.type`, "must specify a metric target type"));
  if (!["Utilization", "Value", "AverageValue"].includes(String(type)))
    errors.push(fieldInvalid(`${path}.type`, type ?? "", "must be either Utilization, Value, or AverageValue"));
  for (const [name, amount] of [
    ["value", value],
    ["averageValue", averageValue],
  ] as const) {
    const quantity = amount === undefined ? undefined : parseQuantity(amount as string);
    if (quantity !== undefined && quantity.nano <= 0n)
      errors.push(fieldInvalid(`${path}.${name}`, amount, "must be positive"));
  }
  if (averageUtilization !== undefined && Number(averageUtilization) < 1)
    errors.push(fieldInvalid(`${path}.averageUtilization`, averageUtilization, "must be greater than 0"));
  return errors;
}

const metricNameErrors = (source: Json, path: string): FieldError[] =>
  segmentErrors(valueAt(source, "metric.name"), `${path}.metric.name`, "must specify a metric name");

function sourceErrors(kind: string, source: Json, path: string): FieldError[] {
  const target = (source["target"] ?? {}) as Json;
  const where = `${path}.target`;
  const { value, averageValue, averageUtilization } = target;
  switch (kind) {
    case "object":
      return [
        ...referenceErrors((source["describedObject"] ?? {}) as Json, `${path}.describedObject`),
        ...metricNameErrors(source, path),
        ...targetErrors(target, where),
        ...(value === undefined && averageValue === undefined
          ? [fieldRequired(`${where}.averageValue`, "must set either a target value or averageValue")]
          : []),
      ];
    case "external":
      return [
        ...metricNameErrors(source, path),
        ...targetErrors(target, where),
        ...(value === undefined && averageValue === undefined
          ? [fieldRequired(`${where}.averageValue`, "must set either a target value for metric or a per-pod target")]
          : []),
        ...(value !== undefined && averageValue !== undefined
          ? [fieldForbidden(`${where}.value`, "may not set both a target value for metric and a per-pod target")]
          : []),
      ];
    case "pods":
      return [
        ...metricNameErrors(source, path),
        ...targetErrors(target, where),
        ...(averageValue === undefined
          ? [fieldRequired(`${where}.averageValue`, "must specify a positive target averageValue")]
          : []),
      ];
    default:
      return [
        ...(source["name"] ? [] : [fieldRequired(`${path}.name`, "must specify a resource name")]),
        ...(kind === "containerResource"
          ? [
              ...(source["name"] ? containerResourceErrors(String(source["name"]), `${path}.name`) : []),
              ...(source["container"]
                ? dnsLabelErrors(source["container"], `${path}.container`)
                : [fieldRequired(`${path}.container`, "must specify a container")]),
            ]
          : []),
        ...targetErrors(target, where),
        ...(averageUtilization === undefined && averageValue === undefined
          ? [fieldRequired(`${where}.averageUtilization`, "must set either a target raw value or a target utilization")]
          : []),
        ...(averageUtilization !== undefined && averageValue !== undefined
          ? [fieldForbidden(`${where}.averageValue`, "may not set both a target raw value and a target utilization")]
          : []),
      ];
  }
}

function metricErrors(metric: Json, path: string): FieldError[] {
  const type = String(metric["type"] ?? "");
  const errors: FieldError[] = [];
  if (type === "") errors.push(fieldRequired(`${path}.type`, "must specify a metric source type"));
  const unsupported = fieldNotSupported(`${path}.type`, type, TYPES);
  const expected = SOURCES[type];
  if (expected === undefined) errors.push(unsupported);
  for (const kind of Object.values(SOURCES))
    if (metric[kind] !== undefined && kind === expected)
      errors.push(...sourceErrors(kind, metric[kind] as Json, `${path}.${kind}`));
  if (expected === undefined) return [...errors, unsupported];
  if (metric[expected] === undefined)
    errors.push(fieldRequired(`${path}.${expected}`, "must populate information for the given metric source"));
  for (const kind of Object.values(SOURCES))
    if (kind !== expected && metric[kind] !== undefined)
      errors.push(fieldForbidden(`${path}.${kind}`, "must populate the given metric source only"));
  return errors;
}

function rulesErrors(rules: Json | undefined, path: string): FieldError[] {
  if (rules === undefined) return [];
  const errors: FieldError[] = [];
  const { stabilizationWindowSeconds: window, selectPolicy, tolerance } = rules;
  if (window !== undefined && Number(window) < 0)
    errors.push(fieldInvalid(`${path}.stabilizationWindowSeconds`, window, "must be greater than or equal to zero"));
  if (window !== undefined && Number(window) > STABILIZATION_SECONDS_MAX)
    errors.push(
      fieldInvalid(
        `${path}.stabilizationWindowSeconds`,
        window,
        `must be less than or equal to ${STABILIZATION_SECONDS_MAX}`,
      ),
    );
  if (selectPolicy !== undefined && !["Disabled", "Max", "Min"].includes(String(selectPolicy)))
    errors.push(fieldNotSupported(`${path}.selectPolicy`, selectPolicy, ["Disabled", "Max", "Min"]));
  const policies: List = listAt(rules, "policies");
  if (policies.length === 0) errors.push(fieldRequired(`${path}.policies`, "must specify at least one Policy"));
  for (const [at, { type, value, periodSeconds }] of policies.entries()) {
    const where = `${path}.policies[${at}]`;
    if (type !== "Pods" && type !== "Percent")
      errors.push(fieldNotSupported(`${where}.type`, type ?? "", ["Percent", "Pods"]));
    if (Number(value ?? 0) <= 0) errors.push(fieldInvalid(`${where}.value`, value ?? 0, "must be greater than zero"));
    if (Number(periodSeconds ?? 0) <= 0)
      errors.push(fieldInvalid(`${where}.periodSeconds`, periodSeconds ?? 0, "must be greater than zero"));
    if (Number(periodSeconds ?? 0) > PERIOD_SECONDS_MAX)
      errors.push(
        fieldInvalid(`${where}.periodSeconds`, periodSeconds, `must be less than or equal to ${PERIOD_SECONDS_MAX}`),
      );
  }
  const quantity = tolerance === undefined ? undefined : parseQuantity(tolerance as string);
  if (quantity !== undefined && quantity.nano < 0n)
    errors.push(fieldInvalid(`${path}.tolerance`, tolerance, "must be greater than or equal to 0"));
  return errors;
}

function autoscalerErrors(object: KubeObject): FieldError[] {
  const spec = (valueAt(object, "spec") ?? {}) as Json;
  const errors: FieldError[] = [];
  const min = spec["minReplicas"];
  const max = Number(spec["maxReplicas"] ?? 0);
  const cpu = spec["targetCPUUtilizationPercentage"];
  // The older version has a field of its own for one metric.
  const metrics =
    cpu === undefined
      ? listAt(spec, "metrics")
      : [{ type: "Resource", resource: { name: "cpu", target: { type: "Utilization", averageUtilization: cpu } } }];
  if (min !== undefined && Number(min) < 1)
    errors.push(fieldInvalid("spec.minReplicas", min, "must be greater than or equal to 1"));
  if (max < 0) errors.push(fieldInvalid("spec.maxReplicas", max, "must be greater than or equal to 1"));
  else if (max < 1) errors.push(fieldRequired("spec.maxReplicas", "must be set and greater than 0"));
  if (min !== undefined && max < Number(min))
    errors.push(fieldInvalid("spec.maxReplicas", max, "must be greater than or equal to `minReplicas`"));
  const reference = (spec["scaleTargetRef"] ?? {}) as Json;
  errors.push(...referenceErrors(reference, "spec.scaleTargetRef"));
  const version = String(reference["apiVersion"] ?? "");
  const group = version.slice(0, Math.max(0, version.indexOf("/")));
  if (group === "" && reference["kind"] !== "ReplicationController")
    errors.push(fieldInvalid("spec.scaleTargetRef.apiVersion", version, "apiVersion must specify API group"));
  for (const [at, metric] of metrics.entries()) errors.push(...metricErrors(metric, `spec.metrics[${at}]`));
  if (Number(min) === 0 && !metrics.some(({ type }) => type === "Object" || type === "External"))
    errors.push(
      fieldForbidden(
        "spec.metrics",
        "must specify at least one Object or External metric to support scaling to zero replicas",
      ),
    );
  for (const part of ["scaleUp", "scaleDown"])
    errors.push(...rulesErrors(valueAt(spec, `behavior.${part}`) as Json | undefined, `spec.behavior.${part}`));
  return errors;
}

export const autoscalingRules: Readonly<Record<string, Strategy>> = {
  "autoscaling/HorizontalPodAutoscaler": {
    rulesAreWhole: true,
    applyDefaults: (object) => {
      const spec = (valueAt(object, "spec") ?? {}) as Json;
      const isOld = object.apiVersion === "autoscaling/v1";
      // The older version says other metrics than its own in an annotation.
      const hasOthers = object.metadata.annotations?.[OTHER_METRICS] !== undefined;
      const metrics = !isOld
        ? { metrics: DEFAULT_METRICS }
        : hasOthers
          ? {}
          : { targetCPUUtilizationPercentage: DEFAULT_CPU_PERCENT };
      const complete = filled(spec, { minReplicas: 1, ...metrics });
      return { ...object, spec: isOld ? complete : withBehavior(complete) } as KubeObject;
    },
    validate: autoscalerErrors,
    validateStatus: (object) => notNegativeAt(object, "status.currentReplicas", "status.desiredReplicas"),
  },
};
