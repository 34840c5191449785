import { AGE, column, defineKind } from "./kind.ts";
import { aggregatedStatusItem, component, condition, REASON, replicaRequirements } from "./kubernetes-shapes.ts";
import { conflictResolution, failover, placement, suspensionFields } from "./placement.ts";
import {
  anyObject,
  boolean,
  int32,
  int64,
  labels,
  list,
  object,
  oneOf,
  quantities,
  shape,
  string,
  strings,
  time,
} from "./schema.ts";

const targetCluster = shape(
  "TargetCluster",
  "A cluster and what it gets.",
  {
    components: list(
      "Pods by component, for workloads with several pod templates.",
      object(
        "Pods of one component.",
        { name: string("Name of the component."), replicas: int32("How many pods of it the cluster gets.") },
        ["name", "replicas"],
      ),
    ),
    name: string("Name of the cluster."),
    replicas: int32("How many replicas the cluster gets. Absent for objects without replicas."),
  },
  ["name"],
);

const evictionTask = shape(
  "GracefulEvictionTask",
  "One cluster the workload is leaving, whose copy stays until the new one is healthy.",
  {
    clustersBeforeFailover: strings("The clusters that ran the workload when it had to move."),
    creationTimestamp: time("When the task was made."),
    fromCluster: string("The cluster that is being left."),
    gracePeriodSeconds: int32("For how many seconds to wait at most. Absent: the controller's own limit, 10 minutes."),
    message: string("What happened, for people.", { maxLength: 1024 }),
    preservedLabelState: labels("Labels that carry state of the old copy over to the new ones."),
    producer: string("The controller that asked for the move."),
    purgeMode: oneOf("How the old copy goes: at once, when the new one is healthy, or by hand.", [
      "Directly",
      "Gracefully",
      "Never",
    ]),
    reason: string("Why the workload has to leave, as one word.", { maxLength: 32, minLength: 1, pattern: REASON }),
    replicas: int32("How many replicas the cluster had."),
    suppressDeletion: boolean("Keeps the old copy until somebody sets this to false. Absent: does not."),
  },
  ["fromCluster", "producer", "reason"],
);

const spec = object(
  "What is to run where.",
  {
    clusters: list("The clusters the scheduler chose, with their replicas.", targetCluster()),
    components: list(
      "What each component needs, for workloads with several pod templates. Behind the gate MultiplePodTemplatesScheduling.",
      component(),
    ),
    conflictResolution: conflictResolution(
      "What to do about objects of that name that are in a cluster already: Abort (the default) or Overwrite.",
    ),
    failover: failover("What happens on failures, taken from the policy."),
    gracefulEvictionTasks: list("Clusters that are being left.", evictionTask()),
    placement: placement("Which clusters are allowed, taken from the policy."),
    preserveResourcesOnDeletion: boolean(
      "Leaves the objects in the clusters when the template is deleted. Absent: false.",
    ),
    propagateDeps: boolean("Sends along what the workload refers to. Absent: false."),
    replicaRequirements: replicaRequirements(),
    replicas: int32("How many replicas the template asks for, over all clusters."),
    requiredBy: list(
      "Workloads that need this object; it follows them into their clusters.",
      object(
        "A binding that needs this object.",
        {
          clusters: list("Where that workload runs.", targetCluster()),
          name: string("Name of that binding."),
          namespace: string("Namespace of that binding."),
        },
        ["name"],
      ),
    ),
    rescheduleTriggeredAt: time("When somebody asked to place the workload anew, whatever runs where."),
    resource: object(
      "The template.",
      {
        apiVersion: string("Group and version of the template."),
        kind: string("Kind of the template."),
        name: string("Name of the template."),
        namespace: string("Namespace of the template; empty for one without."),
        resourceVersion: string("Revision of the template this binding was made from."),
        uid: string("UID of the template."),
      },
      ["apiVersion", "kind", "name"],
    ),
    schedulePriority: object("How early the scheduler takes this binding.", {
      priority: int32("The higher the earlier. Default 0.", { default: 0 }),
    }),
    schedulerName: string("The scheduler that is to place the workload."),
    suspension: object("Holds work back.", {
      ...suspensionFields,
      scheduling: boolean("Keeps the scheduler from placing the workload. Absent: false."),
    }),
    workloadAffinityGroups: object("Groups for keeping workloads together or apart.", {
      affinityGroup: string("Workloads of the same group go to the same clusters."),
      antiAffinityGroup: string("Workloads of the same group go to different clusters."),
    }),
  },
  ["resource"],
);

const status = object("What the scheduler did and how the copies fare.", {
  aggregatedStatus: list("How the object fares in each cluster.", aggregatedStatusItem()),
  conditions: list("Facts about this binding: Scheduled, FullyApplied.", condition()),
  lastScheduledTime: time("When the scheduler last placed the workload."),
  schedulerObservedGeneration: int64("The `metadata.generation` the scheduler saw last."),
  schedulerObservingAffinityName: string("Name of the affinity group of the policy that is in use."),
});

const oldSpec = object(
  "What is to run where.",
  {
    clusters: list(
      "The clusters that run the object.",
      object(
        "A cluster and what it gets.",
        { name: string("Name of the cluster."), replicas: int32("How many replicas the cluster gets.") },
        ["name"],
      ),
    ),
    resource: object(
      "The template.",
      {
        apiVersion: string("Group and version of the template."),
        kind: string("Kind of the template."),
        name: string("Name of the template."),
        namespace: string("Namespace of the template; empty for one without."),
        replicas: int32("How many replicas the template asks for."),
        resourcePerReplicas: quantities("Resources one replica asks for."),
        resourceVersion: string("Revision of the template this binding was made from."),
      },
      ["apiVersion", "kind", "name"],
    ),
  },
  ["resource"],
);

const oldStatus = object("How the copies fare.", {
  aggregatedStatus: list(
    "How the object fares in each cluster.",
    object(
      "How the object fares in one cluster.",
      {
        applied: boolean("Whether the object was applied to the cluster without an error."),
        appliedMessage: string("Why applying failed; absent when it did not."),
        clusterName: string("Name of the cluster."),
        status: anyObject("What was taken over from the object's status in the cluster."),
      },
      ["clusterName"],
    ),
  ),
  conditions: list("Facts about this binding.", condition()),
});

const versions = (what: string) => [
  {
    name: "v1alpha1",
    description: `Older form of the binding of ${what}; a part of what the newer one holds.`,
    fields: { spec: oldSpec, status: oldStatus },
    required: ["spec"],
    hasStatus: true,
    isStored: false,
  },
  {
    name: "v1alpha2",
    description: `Ties ${what} to the clusters that run it. Written by controllers.`,
    fields: { spec, status },
    required: ["spec"],
    hasStatus: true,
    columns: [
      column("SCHEDULED", '.status.conditions[?(@.type=="Scheduled")].status'),
      column("FULLYAPPLIED", '.status.conditions[?(@.type=="FullyApplied")].status'),
      AGE,
    ],
  },
];

export const resourceBindings = [
  defineKind({
    group: "work.karmada.io",
    kind: "ResourceBinding",
    plural: "resourcebindings",
    scope: "Namespaced",
    shortNames: ["rb"],
    isListedWithAll: true,
    isConverted: true,
    versions: versions("an object of a namespace"),
  }),
  defineKind({
    group: "work.karmada.io",
    kind: "ClusterResourceBinding",
    plural: "clusterresourcebindings",
    scope: "Cluster",
    shortNames: ["crb"],
    isListedWithAll: true,
    isConverted: true,
    versions: versions("an object without a namespace"),
  }),
];
