import { defineKind } from "./kind.ts";
import { clusterNames } from "./placement.ts";
import { int32, int64, list, object, oneOf, shape, string, strings, time } from "./schema.ts";

const workload = shape(
  "WorkloadReference",
  "A workload.",
  {
    apiVersion: string("Group and version of the workload."),
    kind: string("Kind of the workload."),
    name: string("Name of the workload."),
    namespace: string("Namespace of the workload; empty for one without."),
  },
  ["apiVersion", "kind", "name"],
);

export const workloadRebalancer = defineKind({
  group: "apps.karmada.io",
  kind: "WorkloadRebalancer",
  plural: "workloadrebalancers",
  scope: "Cluster",
  versions: [
    {
      name: "v1alpha1",
      description: "Asks once for workloads to be placed anew, whatever runs where now.",
      hasStatus: true,
      fields: {
        spec: object(
          "The workloads.",
          {
            ttlSecondsAfterFinished: int32(
              "After how many seconds this object is deleted, once all is done. Zero: at once; absent: never.",
            ),
            workloads: list("The workloads to place anew.", workload(), { minItems: 1 }),
          },
          ["workloads"],
        ),
        status: object("What became of each.", {
          finishTime: time("When the last workload was handed to the scheduler."),
          observedGeneration: int64("The `metadata.generation` this status was made from."),
          observedWorkloads: list(
            "What became of each workload.",
            object(
              "What became of one workload.",
              {
                reason: string("Why it failed, for instance ReferencedBindingNotFound."),
                result: string("Successful or Failed."),
                workload: workload(),
              },
              ["workload"],
            ),
          ),
        }),
      },
      required: ["spec"],
    },
  ],
});

export const remedy = defineKind({
  group: "remedy.karmada.io",
  kind: "Remedy",
  plural: "remedies",
  scope: "Cluster",
  isListedWithAll: true,
  versions: [
    {
      name: "v1alpha1",
      description:
        "Asks for something to be done about clusters that are in a certain state; controllers of traffic read it from their status.",
      fields: {
        spec: object("Which clusters, in which state, and what is asked for.", {
          actions: strings("What is asked for: TrafficControl."),
          clusterAffinity: clusterNames("The clusters to watch. Absent: every cluster; an empty list: none."),
          decisionMatches: list(
            "States; one must hold. Empty: always.",
            object("One state.", {
              clusterConditionMatch: object(
                "A demand on one condition of the cluster.",
                {
                  conditionStatus: string("State to compare with: True, False or Unknown."),
                  conditionType: string("Type of the condition, for instance ServiceDomainNameResolutionReady."),
                  operator: oneOf("How they are compared.", ["Equal", "NotEqual"]),
                },
                ["conditionStatus", "conditionType", "operator"],
              ),
            }),
          ),
        }),
      },
      required: ["spec"],
    },
  ],
});
