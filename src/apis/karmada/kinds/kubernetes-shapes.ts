import {
  ATOMIC_MAP,
  anyObject,
  atomicList,
  boolean,
  int32,
  int64,
  labels,
  list,
  oneOf,
  quantities,
  shape,
  string,
  time,
} from "./schema.ts";

/** Shapes of Kubernetes' own API that Karmada's kinds embed. */

const REASON = "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$";
const QUALIFIED_NAME =
  "^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$";

export const selectorRequirement = shape(
  "SelectorRequirement",
  "One demand on the value under a key.",
  {
    key: string("Key whose value is looked at."),
    operator: string(
      "How value and list are compared: In, NotIn, Exists or DoesNotExist; where numbers are compared also Gt and Lt.",
    ),
    values: atomicList(
      "Values to compare with. Some for In and NotIn, none for Exists and DoesNotExist, a single integer for Gt and Lt.",
      string(),
    ),
  },
  ["key", "operator"],
);

export const labelSelector = shape(
  "LabelSelector",
  "Chooses objects by their labels. Every demand must hold; an empty selector chooses everything.",
  {
    matchExpressions: atomicList("Demands on labels; all must hold.", selectorRequirement()),
    matchLabels: labels("Labels an object must carry with exactly these values."),
  },
  [],
  ATOMIC_MAP,
);

/** A condition as Kubernetes validates it. */
export const condition = shape(
  "Condition",
  "One fact about the state of the object, with since when it holds.",
  {
    lastTransitionTime: time("When `status` last took another value."),
    message: string("Details for people; may be empty.", { maxLength: 32768 }),
    observedGeneration: int64("The `metadata.generation` this condition was judged by.", { minimum: 0 }),
    reason: string("Why the condition is as it is, as one word for programs.", {
      maxLength: 1024,
      minLength: 1,
      pattern: REASON,
    }),
    status: oneOf("Whether the fact holds.", ["True", "False", "Unknown"]),
    type: string("What fact this is about.", { maxLength: 316, pattern: QUALIFIED_NAME }),
  },
  ["lastTransitionTime", "message", "reason", "status", "type"],
);

/** A condition as an aggregated server publishes it, without the rules a CRD carries. */
export const plainCondition = shape(
  "PlainCondition",
  "One fact about the state of the object, with since when it holds.",
  {
    lastTransitionTime: time("When `status` last took another value."),
    message: string("Details for people; may be empty."),
    observedGeneration: int64("The `metadata.generation` this condition was judged by."),
    reason: string("Why the condition is as it is, as one word for programs."),
    status: string("Whether the fact holds: True, False or Unknown."),
    type: string("What fact this is about."),
  },
  ["type", "status", "lastTransitionTime", "reason", "message"],
);

export const toleration = shape("Toleration", "Accepts taints that match key, value and effect.", {
  effect: string("Effect to accept: NoSchedule, PreferNoSchedule or NoExecute. Empty accepts each."),
  key: string("Key of the taints to accept. Empty, together with Exists, accepts every taint."),
  operator: string("Exists looks at the key alone, Equal (the default) also at the value."),
  tolerationSeconds: int64(
    "For how many seconds a NoExecute taint is put up with. Absent: for ever; zero or less: not at all.",
  ),
  value: string("Value the taint must have under Equal; empty under Exists."),
});

export const nodeSelectorTerm = shape(
  "NodeSelectorTerm",
  "Demands on one node; all must hold. A term without demands matches no node.",
  {
    matchExpressions: atomicList("Demands on the labels of the node.", selectorRequirement()),
    matchFields: atomicList(
      "Demands on fields of the node; `metadata.name` is the one there is.",
      selectorRequirement(),
    ),
  },
  [],
  ATOMIC_MAP,
);

export const nodeSelector = shape(
  "NodeSelector",
  "Nodes that at least one of the terms matches.",
  { nodeSelectorTerms: atomicList("Terms, of which one must match.", nodeSelectorTerm()) },
  ["nodeSelectorTerms"],
  ATOMIC_MAP,
);

export const nodeClaim = shape("NodeClaim", "What the nodes must be like that are to run a replica.", {
  hardNodeAffinity: nodeSelector("The required part of the pod's node affinity."),
  nodeSelector: labels("Labels a node must carry."),
  tolerations: list("Taints of nodes the pods put up with.", toleration()),
});

export const componentRequirements = shape("ComponentReplicaRequirements", "What one replica of a component needs.", {
  nodeClaim: nodeClaim(),
  priorityClassName: string("Priority class of the pods."),
  resourceRequest: quantities("Resources one replica asks for, by resource name."),
});

export const replicaRequirements = shape("ReplicaRequirements", "What one replica of the workload needs.", {
  namespace: string("Namespace of the workload; quotas in it bound how many replicas fit."),
  nodeClaim: nodeClaim(),
  priorityClassName: string("Priority class of the pods."),
  resourceRequest: quantities("Resources one replica asks for, by resource name."),
});

export const component = shape(
  "Component",
  "One group of equal pods of a workload that has several pod templates.",
  {
    name: string("Name of the component, unique within the workload.", { maxLength: 32 }),
    replicaRequirements: componentRequirements(),
    replicas: int32("How many pods the component has."),
  },
  ["name", "replicas"],
);

export const resourceSelector = shape(
  "ResourceSelector",
  "Names objects of one kind: one by its name, or all that carry certain labels, or every one.",
  {
    apiVersion: string("Group and version of the objects, for instance `apps/v1`."),
    kind: string("Kind of the objects."),
    labelSelector: labelSelector("Labels of the objects. Not looked at where `name` is given."),
    name: string("Name of one object. Empty: all that the label selector matches."),
    namespace: string(
      "Namespace of the objects. Empty: the policy's own, or every one for policies of the whole cluster.",
    ),
  },
  ["apiVersion", "kind"],
);

export const crossVersionReference = shape(
  "CrossVersionObjectReference",
  "Names one object by kind and name in the same namespace.",
  {
    apiVersion: string("Group and version of the object."),
    kind: string("Kind of the object."),
    name: string("Name of the object."),
  },
  ["kind", "name"],
);

export const typedLocalReference = shape(
  "TypedLocalObjectReference",
  "Names one object of any kind in the same namespace.",
  {
    apiGroup: string("API group of the object; empty for the core group."),
    kind: string("Kind of the object."),
    name: string("Name of the object."),
  },
  ["kind", "name"],
  ATOMIC_MAP,
);

/** A Secret named by an aggregated kind: both parts are needed. */
export const secretReference = shape(
  "LocalSecretReference",
  "Names a Secret of the control plane.",
  {
    name: string("Name of the Secret."),
    namespace: string("Namespace of the Secret."),
  },
  ["namespace", "name"],
);

export const aggregatedStatusItem = shape(
  "AggregatedStatusItem",
  "How the object fares in one cluster.",
  {
    applied: boolean("Whether the object was applied to the cluster without an error."),
    appliedMessage: string("Why applying failed; absent when it did not."),
    clusterName: string("Name of the cluster."),
    health: oneOf("What the interpreter says about the object's health there.", ["Healthy", "Unhealthy", "Unknown"]),
    status: anyObject("What the interpreter took over from the object's status in the cluster."),
  },
  ["clusterName"],
);

export const portStatus = shape(
  "PortStatus",
  "What became of one port of a load balancer.",
  {
    error: string("Why the port could not be served, as one word.", { maxLength: 316, pattern: QUALIFIED_NAME }),
    port: int32("Number of the port."),
    protocol: string("Protocol of the port: TCP, UDP or SCTP."),
  },
  ["error", "port", "protocol"],
);

export { REASON };
