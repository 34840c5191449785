import { AGE, column, defineKind } from "./kind.ts";
import { resourceSelector } from "./kubernetes-shapes.ts";
import { conflictResolution, failover, placement, suspensionFields } from "./placement.ts";
import { boolean, int32, list, object, oneOf, string, strings } from "./schema.ts";

const spec = object(
  "What is propagated, where to, and how.",
  {
    activationPreference: oneOf(
      "Lazy: a changed policy reaches a workload only when the workload itself changes next. Absent: at once.",
      ["Lazy"],
    ),
    association: boolean("Older name of `propagateDeps`; does nothing any more."),
    conflictResolution: conflictResolution(
      "What to do about an object of that name that is in the cluster already and is not ours: Abort (the default) leaves it alone and reports, Overwrite takes it over.",
    ),
    dependentOverrides: strings("Names of override policies that must exist before this policy takes effect."),
    failover: failover(
      "What happens when a cluster or the application fails. Absent: applications are not moved for their own failures.",
    ),
    placement: placement("Which clusters, and how replicas are shared out. Absent: every cluster."),
    preemption: oneOf(
      "Always: takes over objects that a policy of lower priority has claimed, behind the gate PropagationPolicyPreemption. Never (the default): leaves them.",
      ["Always", "Never"],
      { default: "Never" },
    ),
    preserveResourcesOnDeletion: boolean(
      "Leaves the objects in the clusters when the template is deleted. Absent: they are deleted too.",
    ),
    priority: int32(
      "Which policy wins where several match an object: the highest, then the more precise selector, then the first by name. Default 0.",
      { default: 0 },
    ),
    propagateDeps: boolean(
      "Sends along what the workload refers to, such as ConfigMaps, Secrets and service accounts. Absent: false.",
    ),
    resourceSelectors: list("The objects to propagate; one selector must match.", resourceSelector(), { minItems: 1 }),
    schedulePriority: object(
      "How early the scheduler takes these workloads when many wait.",
      {
        priorityClassName: string("Name of the priority class."),
        priorityClassSource: oneOf(
          "Where the class is looked up: KubePriorityClass means a PriorityClass of the control plane.",
          ["KubePriorityClass"],
        ),
      },
      ["priorityClassName", "priorityClassSource"],
    ),
    schedulerName: string("The scheduler that is to place the workload. Cannot be changed later.", {
      default: "default-scheduler",
    }),
    suspension: object("Holds changes back without touching what runs.", suspensionFields),
  },
  ["resourceSelectors"],
);

const columns = [column("CONFLICT-RESOLUTION", ".spec.conflictResolution"), column("PRIORITY", ".spec.priority"), AGE];

export const propagationPolicies = [
  defineKind({
    group: "policy.karmada.io",
    kind: "PropagationPolicy",
    plural: "propagationpolicies",
    scope: "Namespaced",
    shortNames: ["pp"],
    isListedWithAll: true,
    versions: [
      {
        name: "v1alpha1",
        description: "Says which objects of its namespace run in which clusters.",
        fields: { spec },
        required: ["spec"],
        columns,
      },
    ],
  }),
  defineKind({
    group: "policy.karmada.io",
    kind: "ClusterPropagationPolicy",
    plural: "clusterpropagationpolicies",
    scope: "Cluster",
    shortNames: ["cpp"],
    isListedWithAll: true,
    versions: [
      {
        name: "v1alpha1",
        description:
          "Says which objects, of any namespace or of none, run in which clusters. A PropagationPolicy that matches goes first.",
        fields: { spec },
        required: ["spec"],
        columns,
      },
    ],
  }),
];
