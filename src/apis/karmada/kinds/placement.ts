import { labelSelector, selectorRequirement, toleration } from "./kubernetes-shapes.ts";
import { boolean, int32, int64, integer, list, object, oneOf, shape, string, strings } from "./schema.ts";

/** Which clusters: the shapes that policies and bindings share. */

export const fieldSelector = shape("FieldSelector", "Chooses clusters by what their spec says.", {
  matchExpressions: list(
    "Demands on `provider`, `region` and `zone`, with the operators In and NotIn; all must hold.",
    selectorRequirement(),
  ),
});

const affinityFields = {
  clusterNames: strings("Names of clusters that may be chosen. Empty: no demand on the name."),
  exclude: strings("Names of clusters that are never chosen, whatever else says."),
  fieldSelector: fieldSelector("Demands on provider, region and zone of a cluster."),
  labelSelector: labelSelector("Demands on the labels of a cluster."),
};

export const clusterAffinity = shape(
  "ClusterAffinity",
  "The clusters that are meant: those for which every part that is given holds. An empty one means all.",
  affinityFields,
);

const affinityName = string("Name of this group, unique within the policy; shown in the binding's status.", {
  maxLength: 32,
  minLength: 1,
});

const overflowAffinity = shape(
  "OverflowClusterAffinity",
  "A further group of clusters that takes what the groups before it have no room for.",
  { affinityName, ...affinityFields },
  ["affinityName"],
);

const clusterAffinityTerm = shape(
  "ClusterAffinityTerm",
  "A group of clusters under a name.",
  {
    affinityName,
    ...affinityFields,
    overflowAffinities: list(
      "Groups to spill over to, in this order, while the replicas stay in this group as far as it has room. " +
        "Needs the scheduling type Divided with Aggregated or with dynamic weights.",
      overflowAffinity(),
    ),
  },
  ["affinityName"],
);

const staticClusterWeight = shape(
  "StaticClusterWeight",
  "A weight for some clusters.",
  {
    targetCluster: clusterAffinity("The clusters that get the weight."),
    weight: int64("Share of these clusters beside the others, from 1. Each of them gets the whole weight.", {
      minimum: 1,
    }),
  },
  ["targetCluster", "weight"],
);

const replicaScheduling = shape("ReplicaSchedulingStrategy", "How replicas are shared out among the chosen clusters.", {
  replicaDivisionPreference: oneOf(
    "For Divided: Aggregated uses as few clusters as have room, Weighted shares by weights. Absent: Weighted.",
    ["Aggregated", "Weighted"],
  ),
  replicaSchedulingType: oneOf(
    "Duplicated gives each cluster the full number of replicas, Divided (the default) splits that number among them.",
    ["Duplicated", "Divided"],
    { default: "Divided" },
  ),
  weightPreference: object("The weights for Weighted. Absent: every cluster weighs the same.", {
    dynamicWeight: oneOf(
      "Takes weights from the clusters instead of from the list: AvailableReplicas weighs each by how many replicas it has room for.",
      ["AvailableReplicas"],
    ),
    staticWeightList: list(
      "Fixed weights. A cluster that several entries match takes the heaviest; one that none matches gets nothing.",
      staticClusterWeight(),
    ),
  }),
});

const spreadConstraint = shape(
  "SpreadConstraint",
  "Over how many groups of clusters a workload is to spread. Give one of the two ways to group.",
  {
    maxGroups: integer("Most groups that may be used. Zero or absent: no limit."),
    minGroups: integer("Fewest groups that must be available; otherwise nothing is scheduled. Absent: 1."),
    spreadByField: oneOf(
      "Groups clusters by their name or by a field of their spec. Where any is used, one constraint must be by cluster.",
      ["cluster", "region", "zone", "provider"],
    ),
    spreadByLabel: string("Groups clusters by the value of this label."),
  },
);

const affinityTerm = (description: string) =>
  object(description, { groupByLabelKey: string("Label of the workload whose value names the group it belongs to.") }, [
    "groupByLabelKey",
  ]);

export const placement = shape("Placement", "Which clusters a workload may go to, and how it is shared out.", {
  clusterAffinities: list(
    "Groups of clusters, tried in this order until one can take the workload. Not together with `clusterAffinity`.",
    clusterAffinityTerm(),
  ),
  clusterAffinity: clusterAffinity("The clusters that may be chosen. Absent, as `clusterAffinities`: every cluster."),
  clusterTolerations: list("Taints of clusters that are put up with.", toleration()),
  replicaScheduling: replicaScheduling("How replicas are shared out. Absent: each cluster gets the full number."),
  spreadConstraints: list("Over how many clusters, regions, zones or providers to spread.", spreadConstraint()),
  workloadAffinity: object(
    "Keeps workloads together or apart, by a label they carry. Behind the gate WorkloadAffinity.",
    {
      affinity: affinityTerm("Workloads of one group go to the same clusters."),
      antiAffinity: affinityTerm("Workloads of one group go to different clusters."),
    },
  ),
});

const statePreservation = shape(
  "StatePreservation",
  "What of an application's status goes along when it moves to another cluster. Behind the gate StatefulFailoverInjection.",
  {
    rules: list(
      "What is read, and the label it becomes.",
      object(
        "Reads one value from the status and hands it to the new copy as a label.",
        {
          aliasLabelName: string("Key of the label that the new copy gets."),
          jsonPath: string(
            "Where the value stands in the status the failing cluster reported, as a JSONPath such as `{.jobID}`.",
          ),
        },
        ["aliasLabelName", "jsonPath"],
      ),
    ),
  },
  ["rules"],
);

export const failover = shape("FailoverBehavior", "What happens when a cluster or the application in it fails.", {
  application: object(
    "Moves the application away from a cluster where it stays unhealthy.",
    {
      decisionConditions: object("When the application counts as failed.", {
        tolerationSeconds: int32("For how many seconds it may be unhealthy before it is moved. Default 300.", {
          default: 300,
        }),
      }),
      gracePeriodSeconds: int32(
        "For how many seconds the old copy may wait for the new one to become healthy, under Gracefully. Default 600.",
      ),
      purgeMode: oneOf(
        "How the old copy goes: Directly at once, Gracefully (the default) when the new one is healthy or the grace period is over, Never by hand only.",
        ["Directly", "Gracefully", "Never"],
        { default: "Gracefully" },
      ),
      statePreservation: statePreservation(),
    },
    ["decisionConditions"],
  ),
  cluster: object("Moves the application away from a cluster whose taints evict it.", {
    purgeMode: oneOf(
      "How the old copy goes: Directly at once, Gracefully (the default) when the new one is healthy or the time is over.",
      ["Directly", "Gracefully"],
      { default: "Gracefully" },
    ),
    statePreservation: statePreservation(),
  }),
});

export const clusterNames = shape("ClusterNames", "Clusters by name.", {
  clusterNames: strings("Names of the clusters."),
});

export const suspensionFields = {
  dispatching: boolean("Holds everything back: no cluster gets changes, what it has stays."),
  dispatchingOnClusters: clusterNames("Holds changes back for these clusters only. Not together with `dispatching`."),
};

export const conflictResolution = (description: string) =>
  oneOf(description, ["Abort", "Overwrite"], { default: "Abort" });
