import { AGE, column, defineKind } from "./kind.ts";
import { aggregatedStatusItem, component, replicaRequirements, resourceSelector } from "./kubernetes-shapes.ts";
import { anyObject, boolean, bytes, int32, list, object, oneOf, shape, string, strings } from "./schema.ts";

/** Kinds that teach the interpreter what a resource means. */

const script = shape(
  "LuaScript",
  "A script in Lua.",
  { luaScript: string("Text of the script; it defines the function this operation calls.") },
  ["luaScript"],
);

export const resourceInterpreterCustomization = defineKind({
  group: "config.karmada.io",
  kind: "ResourceInterpreterCustomization",
  plural: "resourceinterpretercustomizations",
  scope: "Cluster",
  shortNames: ["ric"],
  isListedWithAll: true,
  versions: [
    {
      name: "v1alpha1",
      description: "Teaches the interpreter one kind of resource with scripts.",
      columns: [
        column("TARGET-API-VERSION", ".spec.target.apiVersion"),
        column("TARGET-KIND", ".spec.target.kind"),
        AGE,
      ],
      fields: {
        spec: object(
          "The kind and its scripts.",
          {
            customizations: object("The scripts; an operation without one is done as before.", {
              componentResource: script(
                "`GetComponents(desiredObj)` returns the components of a workload with several pod templates.",
              ),
              dependencyInterpretation: script(
                "`GetDependencies(desiredObj)` returns what the object refers to and needs beside it.",
              ),
              healthInterpretation: script("`InterpretHealth(observedObj)` returns whether the object is healthy."),
              replicaResource: script(
                "`GetReplicas(desiredObj)` returns how many replicas the object asks for and what one of them needs.",
              ),
              replicaRevision: script(
                "`ReviseReplica(desiredObj, desiredReplica)` returns the object with another number of replicas.",
              ),
              retention: script(
                "`Retain(desiredObj, observedObj)` returns the object to apply, with what the cluster itself changed and may keep.",
              ),
              statusAggregation: script(
                "`AggregateStatus(desiredObj, statusItems)` returns the template with one status made of those of all clusters.",
              ),
              statusReflection: script(
                "`ReflectStatus(observedObj)` returns the part of the status that is reported from a cluster.",
              ),
            }),
            target: object(
              "The kind the scripts are for.",
              {
                apiVersion: string("Group and version of the kind."),
                kind: string("Name of the kind."),
              },
              ["apiVersion", "kind"],
            ),
          },
          ["customizations", "target"],
        ),
      },
      required: ["spec"],
    },
  ],
});

export const resourceInterpreterWebhookConfiguration = defineKind({
  group: "config.karmada.io",
  kind: "ResourceInterpreterWebhookConfiguration",
  plural: "resourceinterpreterwebhookconfigurations",
  scope: "Cluster",
  isListedWithAll: true,
  versions: [
    {
      name: "v1alpha1",
      description: "Names servers that the interpreter asks about some kinds of resources.",
      fields: {
        webhooks: list(
          "The servers, with what each is asked.",
          object(
            "One server.",
            {
              clientConfig: object("How to reach the server. Give either `url` or `service`.", {
                caBundle: bytes("Certificates in PEM that may sign the server's own. Absent: those of the system."),
                service: object(
                  "A Service in front of the server.",
                  {
                    name: string("Name of the Service."),
                    namespace: string("Namespace of the Service."),
                    path: string("Path of the URL to call."),
                    port: int32("Port of the Service. Default 443."),
                  },
                  ["name", "namespace"],
                ),
                url: string("Address of the server; https, without user, query or fragment."),
              }),
              interpreterContextVersions: strings(
                "Versions of ResourceInterpreterContext the server understands; the first one we know is used.",
              ),
              name: string("Name of this entry, a domain name of at least two parts."),
              rules: list(
                "What the server is asked: everything that at least one rule covers.",
                object(
                  "Operations on kinds.",
                  {
                    apiGroups: strings("API groups of the kinds; `*` alone for every one."),
                    apiVersions: strings("API versions of the kinds; `*` alone for every one."),
                    kinds: strings("Names of the kinds; `*` alone for every one."),
                    operations: strings(
                      "Operations: InterpretReplica, InterpretComponent, ReviseReplica, Retain, AggregateStatus, InterpretStatus, InterpretHealth, InterpretDependency; `*` alone for every one.",
                    ),
                  },
                  ["apiGroups", "apiVersions", "kinds", "operations"],
                ),
              ),
              timeoutSeconds: int32("For how many seconds an answer is waited for, from 1 to 30. Default 10."),
            },
            ["clientConfig", "interpreterContextVersions", "name"],
          ),
        ),
      },
      required: ["webhooks"],
    },
  ],
});

const OPERATIONS = [
  "InterpretReplica",
  "InterpretComponent",
  "ReviseReplica",
  "InterpretStatus",
  "Retain",
  "AggregateStatus",
  "InterpretHealth",
  "InterpretDependency",
];

export const resourceInterpreterContext = defineKind({
  group: "config.karmada.io",
  kind: "ResourceInterpreterContext",
  plural: null,
  scope: null,
  isPersisted: false,
  versions: [
    {
      name: "v1alpha1",
      description: "What is sent to an interpreter's server and what it answers; never stored.",
      fields: {
        request: object(
          "The question.",
          {
            aggregatedStatus: list(
              "For AggregateStatus: how the object fares in each cluster.",
              aggregatedStatusItem(),
            ),
            kind: object(
              "Kind of the object.",
              {
                group: string("API group; empty for the core group."),
                kind: string("Name of the kind."),
                version: string("API version."),
              },
              ["group", "version", "kind"],
            ),
            name: string("Name of the object."),
            namespace: string("Namespace of the object; empty for one without."),
            object: anyObject("The object as it is wanted, or for status and health as it was observed."),
            observedObject: anyObject("For Retain: the object as the cluster has it."),
            operation: oneOf("What is asked.", OPERATIONS),
            replicas: int32("For ReviseReplica: how many replicas the object is to have."),
            uid: string("Identifies the question; the answer repeats it."),
          },
          ["uid", "kind", "name", "operation"],
        ),
        response: object(
          "The answer.",
          {
            components: list("For InterpretComponent: the components of the workload.", component()),
            dependencies: list("For InterpretDependency: what the object needs beside it.", resourceSelector()),
            healthy: boolean("For InterpretHealth: whether the object is healthy."),
            patch: bytes("For operations that change the object: a patch to it."),
            patchType: oneOf("Kind of the patch.", ["JSONPatch"]),
            rawStatus: anyObject("For InterpretStatus: the status to report."),
            replicaRequirements: replicaRequirements("For InterpretReplica: what one replica needs."),
            replicas: int32("For InterpretReplica: how many replicas the object asks for."),
            status: object("Why the question could not be answered.", {
              code: int32("An HTTP status code."),
              message: string("A text for people."),
            }),
            successful: boolean("Whether the question was answered."),
            uid: string("The `uid` of the question."),
          },
          ["uid", "successful"],
        ),
      },
    },
  ],
});
