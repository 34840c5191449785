import { AGE, column, defineKind } from "./kind.ts";
import { condition } from "./kubernetes-shapes.ts";
import { anyObject, boolean, integer, list, object, oneOf, string } from "./schema.ts";

const identifier = object(
  "Which of the manifests this is about.",
  {
    group: string("API group of the object; empty for the core group."),
    kind: string("Kind of the object."),
    name: string("Name of the object."),
    namespace: string("Namespace of the object; empty for one without."),
    ordinal: integer("Place of the manifest in the list, from 0."),
    resource: string("Plural name of the kind as it stands in URLs."),
    version: string("API version of the object."),
  },
  ["kind", "name", "ordinal", "resource", "version"],
);

export const work = defineKind({
  group: "work.karmada.io",
  kind: "Work",
  plural: "works",
  scope: "Namespaced",
  shortNames: ["wk"],
  isListedWithAll: true,
  versions: [
    {
      name: "v1alpha1",
      description:
        "Objects as one cluster is to have them. It lives in the namespace of that cluster and is written by controllers.",
      hasStatus: true,
      columns: [
        column("WORKLOAD-KIND", ".spec.workload.manifests[*].kind"),
        column("APPLIED", '.status.conditions[?(@.type=="Applied")].status'),
        AGE,
      ],
      fields: {
        spec: object("What the cluster is to have.", {
          preserveResourcesOnDeletion: boolean(
            "Leaves the objects in the cluster when this Work is deleted. Absent: false.",
          ),
          suspendDispatching: boolean("Holds changes back; what the cluster has stays as it is. Absent: false."),
          workload: object("The objects.", {
            manifests: list("Whole objects, ready to be applied.", anyObject("One object of any kind.")),
          }),
        }),
        status: object("How applying went and how the objects fare.", {
          conditions: list("Facts about this Work: Applied, Dispatching.", condition()),
          manifestStatuses: list(
            "How each object fares in the cluster.",
            object(
              "How one object fares.",
              {
                health: oneOf("What the interpreter says about its health.", ["Healthy", "Unhealthy", "Unknown"]),
                identifier,
                status: anyObject("What the interpreter took over from the object's status."),
              },
              ["identifier"],
            ),
          ),
        }),
      },
      required: ["spec"],
    },
  ],
});
