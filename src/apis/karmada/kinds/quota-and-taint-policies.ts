import { column, defineKind } from "./kind.ts";
import { clusterAffinity } from "./placement.ts";
import { list, object, quantities, shape, string, strings } from "./schema.ts";

const matchCondition = shape(
  "ClusterConditionRequirement",
  "A demand on one condition of a cluster.",
  {
    conditionType: string("Type of the condition, for instance `Ready`."),
    operator: string("In or NotIn."),
    statusValues: strings("States of the condition to compare with: True, False, Unknown."),
  },
  ["conditionType", "operator", "statusValues"],
);

export const clusterTaintPolicy = defineKind({
  group: "policy.karmada.io",
  kind: "ClusterTaintPolicy",
  plural: "clustertaintpolicies",
  scope: "Cluster",
  versions: [
    {
      name: "v1alpha1",
      description:
        "Puts taints on clusters while their conditions say so, and takes them off again. Behind the gate Failover.",
      fields: {
        spec: object(
          "Which clusters, when, and which taints.",
          {
            addOnConditions: list("Taints are put on while all of these hold. Empty: never.", matchCondition()),
            removeOnConditions: list("Taints are taken off when all of these hold. Empty: never.", matchCondition()),
            taints: list(
              "The taints to put on and take off.",
              object(
                "A taint of a cluster.",
                {
                  effect: string("NoSchedule keeps new workloads away, NoExecute also evicts those that run."),
                  key: string("Key of the taint."),
                  value: string("Value of the taint."),
                },
                ["effect", "key"],
              ),
              { minItems: 1 },
            ),
            targetClusters: clusterAffinity("The clusters to watch. Absent: every cluster."),
          },
          ["taints"],
        ),
      },
      required: ["spec"],
    },
  ],
});

export const federatedResourceQuota = defineKind({
  group: "policy.karmada.io",
  kind: "FederatedResourceQuota",
  plural: "federatedresourcequotas",
  scope: "Namespaced",
  isListedWithAll: true,
  versions: [
    {
      name: "v1alpha1",
      description: "Bounds what a namespace may use over all clusters together, and in single ones.",
      hasStatus: true,
      columns: [column("OVERALL", ".status.overall"), column("OVERALL_USED", ".status.overallUsed")],
      fields: {
        spec: object(
          "The bounds.",
          {
            overall: quantities("Most that the namespace may use over all clusters, by the names of a ResourceQuota."),
            staticAssignments: list(
              "What single clusters get of it. Each becomes a ResourceQuota in that cluster.",
              object(
                "The share of one cluster.",
                {
                  clusterName: string("Name of the cluster."),
                  hard: quantities("Most that may be used in this cluster; together at most `overall`."),
                },
                ["clusterName", "hard"],
              ),
            ),
          },
          ["overall"],
        ),
        status: object("What is used.", {
          aggregatedStatus: list(
            "Use by cluster.",
            object(
              "Bounds and use in one cluster.",
              {
                clusterName: string("Name of the cluster."),
                hard: quantities("The bounds that hold there."),
                used: quantities("What is used there."),
              },
              ["clusterName"],
            ),
          ),
          overall: quantities("The bounds that hold over all clusters."),
          overallUsed: quantities("What is used over all clusters."),
        }),
      },
      required: ["spec"],
    },
  ],
});
