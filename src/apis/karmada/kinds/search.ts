import { column, defineKind } from "./kind.ts";
import { labelSelector, plainCondition, secretReference } from "./kubernetes-shapes.ts";
import { atomicList, list, object, oneOf, string, strings } from "./schema.ts";

/** Kinds of the search API. */

const targetCluster = object("The clusters whose objects are kept. An empty one means all.", {
  clusterNames: strings("Names of clusters. Empty: no demand on the name."),
  exclude: strings("Names of clusters that are left out."),
  fieldSelector: object("Demands on provider, region and zone of a cluster.", {
    matchExpressions: list(
      "Demands on fields; all must hold.",
      object(
        "One demand.",
        {
          key: string("`provider`, `region` or `zone`."),
          operator: oneOf("How value and list are compared: In or NotIn; admission refuses the others.", [
            "DoesNotExist",
            "Exists",
            "Gt",
            "In",
            "Lt",
            "NotIn",
          ]),
          values: atomicList("Values to compare with.", string()),
        },
        ["key", "operator"],
      ),
    ),
  }),
  labelSelector: labelSelector("Demands on the labels of a cluster."),
});

export const resourceRegistry = defineKind({
  group: "search.karmada.io",
  kind: "ResourceRegistry",
  plural: "resourceregistries",
  scope: "Cluster",
  isAggregated: true,
  upstreamPrefix: "/registry/search.karmada.io/resourceRegistries/",
  subresources: { status: { kind: "ResourceRegistry", verbs: ["get", "patch", "update"] } },
  versions: [
    {
      name: "v1alpha1",
      description: "Says which objects of which clusters are kept for search.",
      columns: [
        column("Name", ".metadata.name", "string", { format: "name" }),
        column("Created At", ".metadata.creationTimestamp", "date"),
      ],
      fields: {
        spec: object(
          "What is kept, and where.",
          {
            backendStore: object("Where objects are kept. Absent: in memory.", {
              openSearch: object(
                "An OpenSearch cluster.",
                {
                  addresses: strings("Its addresses, http or https."),
                  secretRef: secretReference("Secret with `username` and `password` for it."),
                },
                ["addresses", "secretRef"],
              ),
            }),
            resourceSelectors: list(
              "The kinds to keep.",
              object(
                "Objects of one kind.",
                {
                  apiVersion: string("Group and version of the kind."),
                  kind: string("Name of the kind."),
                  namespace: string("Namespace of the objects. Empty: every one."),
                },
                ["apiVersion", "kind"],
              ),
            ),
            targetCluster,
          },
          ["targetCluster", "resourceSelectors"],
        ),
        status: object("How keeping goes.", { conditions: list("Facts about this object.", plainCondition()) }),
      },
    },
  ],
});

const address = (kind: string, plural: string, description: string) =>
  defineKind({
    group: "search.karmada.io",
    kind,
    plural,
    scope: "Cluster",
    isAggregated: true,
    isPersisted: false,
    versions: [{ name: "v1alpha1", description, fields: {} }],
  });

export const searches = [
  address("Search", "search", "An address under which kept objects are looked up; never stored."),
  address("Proxying", "proxying", "An address under which all clusters answer as one; never stored."),
];
