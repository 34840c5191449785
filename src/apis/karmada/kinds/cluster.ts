import { column, defineKind } from "./kind.ts";
import { plainCondition, secretReference } from "./kubernetes-shapes.ts";
import { boolean, int32, labels, list, object, oneOf, quantities, quantity, string, strings, time } from "./schema.ts";

const spec = object(
  "How the cluster is reached and what it is like.",
  {
    apiEndpoint: string("Address of the cluster's API server, as `https://host:port`."),
    id: string("Identifies the cluster whatever it is called: the UID of its namespace `kube-system`."),
    impersonatorSecretRef: secretReference(
      "Secret with the token under which requests of users are passed on through the cluster proxy.",
    ),
    insecureSkipTLSVerification: boolean("Accepts whatever certificate the API server shows. Absent: false."),
    provider: string("Who runs the cluster, for instance the name of a cloud."),
    proxyHeader: labels("Headers to send to the proxy. Several values are separated by commas."),
    proxyURL: string("Proxy on the way to the cluster: an http, https or socks5 address."),
    region: string("Region the cluster is in."),
    resourceModels: list(
      "Grades of nodes by their free resources, for better estimates. Default: nine grades of CPU and memory.",
      object(
        "One grade: nodes whose free resources lie within the ranges.",
        {
          grade: int32("Number of the grade, from 0, the smallest first."),
          ranges: list(
            "Ranges by resource.",
            object(
              "A range, from `min` up to but not with `max`.",
              {
                max: quantity("Upper end; in the last grade the greatest number there is."),
                min: quantity("Lower end; in the first grade zero."),
                name: string("Name of the resource."),
              },
              ["name", "min", "max"],
            ),
          ),
        },
        ["grade", "ranges"],
      ),
    ),
    secretRef: secretReference("Secret with the credentials for the cluster: `token` and `caBundle`."),
    syncMode: string("Push: the control plane applies to the cluster. Pull: an agent in the cluster fetches."),
    taints: list(
      "Taints that keep workloads away from the cluster, or evict them.",
      object(
        "A taint.",
        {
          effect: oneOf("NoSchedule keeps new workloads away, NoExecute also evicts those that run.", [
            "NoExecute",
            "NoSchedule",
            "PreferNoSchedule",
          ]),
          key: string("Key of the taint."),
          timeAdded: time("Since when the taint is there; set for NoExecute."),
          value: string("Value of the taint."),
        },
        ["key", "effect"],
      ),
    ),
    zone: string("Older form of `zones`, for a single one."),
    zones: strings("Zones the nodes of the cluster are in."),
  },
  ["syncMode"],
);

const status = object("How the cluster is; written by the control plane or the agent.", {
  apiEnablements: list(
    "APIs the cluster serves.",
    object(
      "Kinds of one group and version.",
      {
        groupVersion: string("Group and version, for instance `apps/v1`."),
        resources: list(
          "The kinds.",
          object(
            "A kind.",
            { kind: string("Name of the kind."), name: string("Plural name of the kind as it stands in URLs.") },
            ["name", "kind"],
          ),
        ),
      },
      ["groupVersion"],
    ),
  ),
  conditions: list(
    "Facts about the cluster: Ready, CompleteAPIEnablements, ServiceDomainNameResolutionReady.",
    plainCondition(),
  ),
  kubernetesVersion: string("Version of Kubernetes the cluster runs."),
  nodeSummary: object("Nodes in numbers.", {
    readyNum: int32("How many nodes are ready."),
    totalNum: int32("How many nodes there are."),
  }),
  remedyActions: strings("What Remedies ask for at the moment, for instance TrafficControl."),
  resourceSummary: object("Resources of all nodes together.", {
    allocatable: quantities("What pods may use."),
    allocatableModelings: list(
      "How many nodes are in each grade of `spec.resourceModels`.",
      object("Nodes of one grade.", { count: int32("How many nodes."), grade: int32("Number of the grade.") }, [
        "grade",
        "count",
      ]),
    ),
    allocated: quantities("What the pods on the nodes request."),
    allocating: quantities("What pods request that are on no node yet."),
  }),
});

export const cluster = defineKind({
  group: "cluster.karmada.io",
  kind: "Cluster",
  plural: "clusters",
  scope: "Cluster",
  isAggregated: true,
  subresources: {
    status: { kind: "Cluster", verbs: ["get", "patch", "update"] },
    proxy: { kind: "ClusterProxyOptions", verbs: ["create", "delete", "get", "patch", "update"] },
  },
  versions: [
    {
      name: "v1alpha1",
      description: "A cluster of the fleet.",
      required: ["spec"],
      fields: { spec, status },
      columns: [
        column("Name", ".metadata.name", "string", { format: "name" }),
        column("Version", ".status.kubernetesVersion"),
        column("Mode", ".spec.syncMode"),
        column("Ready", '.status.conditions[?(@.type=="Ready")].status', "string", { emptyValue: "Unknown" }),
        column("Age", ".metadata.creationTimestamp", "string", { emptyValue: "<unknown>" }),
        column("Zones", ".spec.zones", "string", { priority: 1, emptyValue: "<none>" }),
        column("Region", ".spec.region", "string", { priority: 1, emptyValue: "<none>" }),
        column("Provider", ".spec.provider", "string", { priority: 1, emptyValue: "<none>" }),
        column("API-Endpoint", ".spec.apiEndpoint", "string", { priority: 1, emptyValue: "" }),
        column("Proxy-URL", ".spec.proxyURL", "string", { priority: 1, emptyValue: "<none>" }),
      ],
    },
  ],
});
