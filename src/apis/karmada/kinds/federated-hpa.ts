import { AGE, column, defineKind } from "./kind.ts";
import { crossVersionReference, labelSelector } from "./kubernetes-shapes.ts";
import {
  atomicList,
  boolean,
  int32,
  int64,
  keyedList,
  list,
  object,
  quantity,
  type Schema,
  shape,
  string,
  time,
} from "./schema.ts";

/** Kinds that scale workloads over all their clusters. */

const metricIdentifier = shape(
  "MetricIdentifier",
  "Names a metric.",
  {
    name: string("Name of the metric."),
    selector: labelSelector("Labels of the series to take. Absent: the metric is chosen by its name alone."),
  },
  ["name"],
);

const metricTarget = shape(
  "MetricTarget",
  "The value to hold.",
  {
    averageUtilization: int32("Average over the pods, in percent of what they request; for resources only."),
    averageValue: quantity("Average over the pods."),
    type: string("Which of the values is given: Utilization, Value or AverageValue."),
    value: quantity("The value itself."),
  },
  ["type"],
);

const metricValue = shape("MetricValueStatus", "A value that was measured.", {
  averageUtilization: int32("Average over the pods, in percent of what they request."),
  averageValue: quantity("Average over the pods."),
  value: quantity("The value itself."),
});

const scalingRules = shape("HPAScalingRules", "How fast scaling may go in one direction.", {
  policies: atomicList(
    "Limits on the change within a time.",
    object(
      "One limit.",
      {
        periodSeconds: int32("The time the limit is for, in seconds, from 1 to 1800."),
        type: string("Pods counts pods, Percent a share of the present number."),
        value: int32("Most that may change within the time; above zero."),
      },
      ["periodSeconds", "type", "value"],
    ),
  ),
  selectPolicy: string(
    "Which limit holds where there are several: Max (the default), Min, or Disabled for no scaling this way.",
  ),
  stabilizationWindowSeconds: int32(
    "For how many seconds earlier recommendations are kept in mind, from 0 to 3600. Default 0 upwards, 300 downwards.",
  ),
  tolerance: quantity("How far the ratio of measured to wanted may be from 1 before anything is scaled. Default 0.1."),
});

/** The five sources of a metric, wanted or measured. */
const sources = (value: Schema, key: "target" | "current"): Readonly<Record<string, Schema>> => ({
  containerResource: object(
    "A resource of one container of each pod.",
    {
      container: string("Name of the container."),
      name: string("Name of the resource, for instance `cpu`."),
      [key]: value,
    },
    ["container", key, "name"].sort(),
  ),
  external: object(
    "A metric that belongs to no object of the clusters. Refused by admission.",
    { metric: metricIdentifier(), [key]: value },
    ["metric", key].sort(),
  ),
  object: object(
    "A metric of one other object.",
    {
      describedObject: crossVersionReference("The object."),
      metric: metricIdentifier(),
      [key]: value,
    },
    ["describedObject", "metric", key].sort(),
  ),
  pods: object("A metric of each pod, averaged.", { metric: metricIdentifier(), [key]: value }, ["metric", key].sort()),
  resource: object(
    "A resource of each pod.",
    { name: string("Name of the resource, for instance `cpu`."), [key]: value },
    ["name", key].sort(),
  ),
  type: string("Which source is given: ContainerResource, Object, Pods or Resource."),
});

export const federatedHpa = defineKind({
  group: "autoscaling.karmada.io",
  kind: "FederatedHPA",
  plural: "federatedhpas",
  scope: "Namespaced",
  shortNames: ["fhpa"],
  isListedWithAll: true,
  versions: [
    {
      name: "v1alpha1",
      description: "Scales a workload by what is measured in all its clusters together.",
      hasStatus: true,
      columns: [
        column("REFERENCE-KIND", ".spec.scaleTargetRef.kind"),
        column("REFERENCE-NAME", ".spec.scaleTargetRef.name"),
        column("MINPODS", ".spec.minReplicas", "integer"),
        column("MAXPODS", ".spec.maxReplicas", "integer"),
        column("REPLICAS", ".status.currentReplicas", "integer"),
        AGE,
      ],
      fields: {
        spec: object(
          "What is scaled, by what, and within which bounds.",
          {
            behavior: object("How fast scaling may go.", {
              scaleDown: scalingRules("Scaling down. Default: as far as asked, looking back over 300 seconds."),
              scaleUp: scalingRules("Scaling up. Default: at most four pods or double the number in 15 seconds."),
            }),
            maxReplicas: int32("Most replicas, over all clusters."),
            metrics: list(
              "What is measured; the metric that asks for most replicas wins. Default: 80 percent of the requested CPU.",
              object("One metric.", sources(metricTarget("The value to hold."), "target"), ["type"]),
            ),
            minReplicas: int32("Fewest replicas, over all clusters. Default 1."),
            scaleTargetRef: crossVersionReference("The workload; it must have the scale subresource."),
          },
          ["maxReplicas", "scaleTargetRef"],
        ),
        status: object(
          "What was measured and decided.",
          {
            conditions: keyedList(
              "Facts about scaling: AbleToScale, ScalingActive, ScalingLimited.",
              ["type"],
              object(
                "One fact about scaling.",
                {
                  lastTransitionTime: time("When `status` last took another value."),
                  message: string("Details for people."),
                  reason: string("Why the condition is as it is, as one word."),
                  status: string("Whether the fact holds: True, False or Unknown."),
                  type: string("What fact this is about."),
                },
                ["status", "type"],
              ),
            ),
            currentMetrics: atomicList(
              "What was measured last.",
              object("One metric.", sources(metricValue("The value measured."), "current"), ["type"]),
            ),
            currentReplicas: int32("How many replicas there were, over all clusters."),
            desiredReplicas: int32("How many replicas were decided on."),
            lastScaleTime: time("When the number was last changed."),
            observedGeneration: int64("The `metadata.generation` this status was made from."),
          },
          ["desiredReplicas"],
        ),
      },
      required: ["spec"],
    },
  ],
});

export const cronFederatedHpa = defineKind({
  group: "autoscaling.karmada.io",
  kind: "CronFederatedHPA",
  plural: "cronfederatedhpas",
  scope: "Namespaced",
  shortNames: ["cronfhpa"],
  isListedWithAll: true,
  versions: [
    {
      name: "v1alpha1",
      description: "Scales a workload, or moves the bounds of a FederatedHPA, at set times.",
      hasStatus: true,
      columns: [
        column("REFERENCE-KIND", ".spec.scaleTargetRef.kind"),
        column("REFERENCE-NAME", ".spec.scaleTargetRef.name"),
        AGE,
      ],
      fields: {
        spec: object(
          "What is scaled, and when.",
          {
            rules: list(
              "The times, with what is set then.",
              object(
                "One schedule.",
                {
                  failedHistoryLimit: int32("How many failures the status keeps, from 0 to 32. Default 3.", {
                    default: 3,
                    maximum: 32,
                    minimum: 0,
                  }),
                  name: string("Name of the rule, unique in the list.", { maxLength: 32, minLength: 1 }),
                  schedule: string("When it runs: the five fields of cron, or `@daily` and the like."),
                  successfulHistoryLimit: int32("How many successes the status keeps, from 1 to 32. Default 3.", {
                    default: 3,
                    maximum: 32,
                    minimum: 1,
                  }),
                  suspend: boolean("Leaves the rule out until it is set to false. Default false.", { default: false }),
                  targetMaxReplicas: int32("New upper bound of a FederatedHPA; above zero."),
                  targetMinReplicas: int32("New lower bound of a FederatedHPA; above zero."),
                  targetReplicas: int32("New number of replicas of a workload; zero or more."),
                  timeZone: string("Time zone of the schedule by its IANA name. Default: that of the control plane."),
                },
                ["name", "schedule"],
              ),
            ),
            scaleTargetRef: crossVersionReference("The workload or the FederatedHPA."),
          },
          ["rules", "scaleTargetRef"],
        ),
        status: object("How the rules ran.", {
          executionHistories: list(
            "The last runs by rule.",
            object(
              "The last runs of one rule.",
              {
                failedExecutions: list(
                  "Runs that failed, the newest first.",
                  object(
                    "A run that failed.",
                    {
                      executionTime: time("When it was tried."),
                      message: string("Why it failed."),
                      scheduleTime: time("When it should have run."),
                    },
                    ["executionTime", "message", "scheduleTime"],
                  ),
                ),
                nextExecutionTime: time("When the rule runs next."),
                ruleName: string("Name of the rule."),
                successfulExecutions: list(
                  "Runs that went well, the newest first.",
                  object(
                    "A run that went well.",
                    {
                      appliedMaxReplicas: int32("The upper bound that was set."),
                      appliedMinReplicas: int32("The lower bound that was set."),
                      appliedReplicas: int32("The number of replicas that was set."),
                      executionTime: time("When it ran."),
                      scheduleTime: time("When it should have run."),
                    },
                    ["executionTime", "scheduleTime"],
                  ),
                ),
              },
              ["ruleName"],
            ),
          ),
        }),
      },
      required: ["spec"],
    },
  ],
});
