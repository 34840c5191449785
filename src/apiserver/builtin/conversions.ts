import { isJsonObject, type KubeObject, withMetadata } from "#machinery";
import type { VersionConversion } from "../definition.ts";
import { goValue } from "./go-values.ts";
import type { Json } from "./pod-defaults.ts";

/** How objects of a version that is not the stored one are read and written, by `group/version/resource`. */
export const conversionOf = (group: string, version: string, resource: string): VersionConversion | undefined =>
  conversions[`${group}/${version}/${resource}`];

type Loose = KubeObject & { readonly spec?: Json; readonly status?: Json };

const without = (value: Json | undefined, ...keys: readonly string[]): Json =>
  Object.fromEntries(Object.entries(value ?? {}).filter(([key]) => !keys.includes(key)));
const present = (value: Json): Json =>
  Object.fromEntries(Object.entries(value).filter(([, member]) => member !== undefined));

/** Renames members; those the table does not name stay. */
const renamed = (value: Json, names: Readonly<Record<string, string>>): Json =>
  Object.fromEntries(Object.entries(value).map(([key, member]) => [names[key] ?? key, member]));

const EVENT_NAMES: Readonly<Record<string, string>> = {
  involvedObject: "regarding",
  message: "note",
  reportingComponent: "reportingController",
  source: "deprecatedSource",
  firstTimestamp: "deprecatedFirstTimestamp",
  lastTimestamp: "deprecatedLastTimestamp",
  count: "deprecatedCount",
};
const EVENT_NAMES_BACK = Object.fromEntries(Object.entries(EVENT_NAMES).map(([core, event]) => [event, core]));

const METRICS = "autoscaling.alpha.kubernetes.io/metrics";
const BEHAVIOR = "autoscaling.alpha.kubernetes.io/behavior";
const BEHAVIOR_TYPE = "io.k8s.api.autoscaling.v2.HorizontalPodAutoscalerBehavior";
const CURRENT = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS = "autoscaling.alpha.kubernetes.io/conditions";

/** The CPU metric that autoscaling/v1 has a field of its own for. */
function isCpu(metric: Json): boolean {
  const { name, target } = (metric["resource"] ?? {}) as { name?: string; target?: Json };
  return metric["type"] === "Resource" && name === "cpu" && target?.["type"] === "Utilization";
}

/** Members in the order of Go's types, which the text of an annotation keeps. */
const MEMBERS = [
  "target",
  "metricName",
  "name",
  "metricSelector",
  "targetAverageUtilization",
  "currentAverageUtilization",
  "targetValue",
  "currentValue",
  "targetAverageValue",
  "currentAverageValue",
  "selector",
  "averageValue",
  "container",
];
const inOrder = (flat: Json): Json =>
  Object.fromEntries(Object.entries(flat).sort(([one], [other]) => MEMBERS.indexOf(one) - MEMBERS.indexOf(other)));

/** The flat targets that version 1 writes into its annotation. */
function flatMetric(metric: Json): Json {
  const kind = Object.keys(metric).find((key) => key !== "type");
  if (kind === undefined) return metric;
  const {
    target,
    metric: source,
    describedObject,
    ...rest
  } = metric[kind] as Json & { target?: Json; metric?: Json; describedObject?: Json };
  const isResource = kind === "resource" || kind === "containerResource";
  const flat = present({
    ...rest,
    metricName: source?.["name"],
    [kind === "external" ? "metricSelector" : "selector"]: source?.["selector"],
    target: describedObject,
    ...(isResource ? { targetAverageUtilization: target?.["averageUtilization"] } : {}),
    [kind === "object" ? "averageValue" : "targetAverageValue"]: target?.["averageValue"],
    targetValue: target?.["value"],
  });
  return { ...metric, [kind]: inOrder(flat) };
}

/** The flat measurements that version 1 writes into its annotation. */
function flatCurrent(metric: Json): Json {
  const kind = Object.keys(metric).find((key) => key !== "type");
  if (kind === undefined || !isJsonObject(metric[kind])) return metric;
  const {
    current,
    metric: source,
    describedObject,
    ...rest
  } = metric[kind] as Json & {
    current?: Json;
    metric?: Json;
    describedObject?: Json;
  };
  const isResource = kind === "resource" || kind === "containerResource";
  const flat = present({
    target: describedObject,
    ...rest,
    metricName: source?.["name"],
    [kind === "external" ? "metricSelector" : "selector"]: source?.["selector"],
    ...(isResource ? { currentAverageUtilization: current?.["averageUtilization"] } : {}),
    currentValue: current?.["value"],
    // Version 1 always writes the average of a resource.
    [kind === "object" ? "averageValue" : "currentAverageValue"]:
      current?.["averageValue"] ?? (isResource ? "0" : undefined),
  });
  return { ...metric, [kind]: inOrder(flat) };
}

function fullMetric(metric: Json): Json {
  const kind = Object.keys(metric).find((key) => key !== "type");
  if (kind === undefined || !isJsonObject(metric[kind])) return metric;
  const {
    metricName,
    selector,
    metricSelector,
    target,
    targetAverageUtilization,
    targetAverageValue,
    targetValue,
    averageValue,
    ...rest
  } = metric[kind] as Json;
  const chosen =
    targetAverageUtilization !== undefined
      ? { type: "Utilization", averageUtilization: targetAverageUtilization }
      : (targetAverageValue ?? averageValue) !== undefined
        ? { type: "AverageValue", averageValue: targetAverageValue ?? averageValue }
        : { type: "Value", value: targetValue };
  return {
    ...metric,
    [kind]: present({
      ...rest,
      ...(metricName === undefined
        ? {}
        : { metric: present({ name: metricName, selector: selector ?? metricSelector }) }),
      describedObject: target,
      target: chosen,
    }),
  };
}

function parsed(text: string | undefined): unknown {
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Members by the names of the API, however they are written, without those that hold nothing. */
function lowered(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(lowered);
  if (!isJsonObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, member]) => member !== null)
      .map(([name, member]) => [name.replace(/^./, (letter) => letter.toLowerCase()), lowered(member)]),
  );
}

function annotated(object: KubeObject, changes: Readonly<Record<string, string | undefined>>): KubeObject {
  const annotations = present({ ...object.metadata.annotations, ...changes }) as Record<string, string>;
  return withMetadata(object, { annotations: Object.keys(annotations).length === 0 ? undefined : annotations });
}

const conversions: Readonly<Record<string, VersionConversion>> = {
  "events.k8s.io/v1/events": {
    fromStored: (object) => renamed(object as unknown as Json, EVENT_NAMES) as unknown as KubeObject,
    toStored: (object) => renamed(object as unknown as Json, EVENT_NAMES_BACK) as unknown as KubeObject,
  },
  "autoscaling/v1/horizontalpodautoscalers": {
    fromStored(object) {
      const { spec = {}, status } = object as Loose;
      const metrics = (spec["metrics"] ?? []) as readonly Json[];
      const cpu = metrics.find(isCpu);
      const others = metrics.filter((metric) => metric !== cpu);
      const current = ((status?.["currentMetrics"] ?? []) as readonly Json[]).find(
        (metric) => (metric["resource"] as Json | undefined)?.["name"] === "cpu",
      );
      const conditions = status?.["conditions"] as readonly unknown[] | undefined;
      const result = {
        ...object,
        spec: present({
          ...without(spec, "metrics", "behavior"),
          targetCPUUtilizationPercentage: ((cpu?.["resource"] as Json | undefined)?.["target"] as Json | undefined)?.[
            "averageUtilization"
          ],
        }),
        ...(status === undefined
          ? {}
          : {
              status: present({
                ...without(status, "currentMetrics", "conditions"),
                currentCPUUtilizationPercentage: (
                  (current?.["resource"] as Json | undefined)?.["current"] as Json | undefined
                )?.["averageUtilization"],
              }),
            }),
      } as KubeObject;
      const measured = (status?.["currentMetrics"] ?? []) as readonly Json[];
      return annotated(result, {
        [CURRENT]: measured.length === 0 ? undefined : JSON.stringify(measured.map(flatCurrent)),
        [METRICS]: others.length === 0 ? undefined : JSON.stringify(others.map(flatMetric)),
        [BEHAVIOR]:
          spec["behavior"] === undefined ? undefined : JSON.stringify(goValue(BEHAVIOR_TYPE, spec["behavior"])),
        [CONDITIONS]: conditions === undefined || conditions.length === 0 ? undefined : JSON.stringify(conditions),
      });
    },
    toStored(object) {
      const { spec = {}, status } = object as Loose;
      const { [METRICS]: metrics, [BEHAVIOR]: behavior, [CONDITIONS]: conditions } = object.metadata.annotations ?? {};
      const others = parsed(metrics);
      const cpu = spec["targetCPUUtilizationPercentage"];
      const all = [
        ...(Array.isArray(others) ? (others as readonly Json[]).map(fullMetric) : []),
        ...(cpu === undefined
          ? []
          : [
              { type: "Resource", resource: { name: "cpu", target: { type: "Utilization", averageUtilization: cpu } } },
            ]),
      ];
      const used = status?.["currentCPUUtilizationPercentage"];
      const result = {
        ...object,
        spec: present({
          ...without(spec, "targetCPUUtilizationPercentage"),
          metrics: all.length === 0 ? undefined : all,
          behavior: lowered(parsed(behavior)),
        }),
        ...(status === undefined
          ? {}
          : {
              status: present({
                ...without(status, "currentCPUUtilizationPercentage"),
                conditions: parsed(conditions),
                currentMetrics:
                  used === undefined
                    ? undefined
                    : [{ type: "Resource", resource: { name: "cpu", current: { averageUtilization: used } } }],
              }),
            }),
      } as KubeObject;
      return annotated(result, {
        [METRICS]: undefined,
        [BEHAVIOR]: undefined,
        [CONDITIONS]: undefined,
        [CURRENT]: undefined,
      });
    },
  },
};
