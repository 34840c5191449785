import { defineKind } from "./kind.ts";
import { resourceSelector } from "./kubernetes-shapes.ts";
import { clusterAffinity } from "./placement.ts";
import { anything, labels, list, object, oneOf, shape, string, strings } from "./schema.ts";

const ANY_OPERATION = ["add", "remove", "replace"];

const mapOverrider = shape(
  "LabelAnnotationOverrider",
  "Changes labels or annotations.",
  {
    operator: oneOf(
      "`add` sets the entries, `replace` sets those whose key is there already, `remove` takes those away whose key is named.",
      ANY_OPERATION,
    ),
    value: labels("Keys and values; for remove only the keys count."),
  },
  ["operator", "value"],
);

const commandOverrider = shape(
  "CommandArgsOverrider",
  "Changes command or arguments of one container.",
  {
    containerName: string("Name of the container."),
    operator: oneOf("`add` appends the values, `remove` takes out every entry that equals one of them.", [
      "add",
      "remove",
    ]),
    value: strings("The entries to append or to take out."),
  },
  ["containerName", "operator"],
);

const fieldPatch = shape(
  "FieldPatchOperation",
  "One change inside the text of a field.",
  {
    operator: oneOf("What is done at `subPath`.", ANY_OPERATION),
    subPath: string("JSON pointer inside the text, for instance `/db/url`."),
    value: anything("New value, for add and replace."),
  },
  ["operator", "subPath"],
);

const overriders = shape(
  "Overriders",
  "The changes, made in this order: image, command, args, labels, annotations, fields, plain text.",
  {
    annotationsOverrider: list("Changes to annotations.", mapOverrider()),
    argsOverrider: list("Changes to arguments of containers.", commandOverrider()),
    commandOverrider: list("Changes to commands of containers.", commandOverrider()),
    fieldOverrider: list(
      "Changes inside fields whose text is JSON or YAML itself, such as an entry of a ConfigMap.",
      object(
        "Changes inside one field's text. Give either `json` or `yaml`.",
        {
          fieldPath: string("JSON pointer to the field, for instance `/data/db-config`."),
          json: list("Changes to a text that is JSON.", fieldPatch()),
          yaml: list("Changes to a text that is YAML.", fieldPatch()),
        },
        ["fieldPath"],
      ),
    ),
    imageOverrider: list(
      "Changes to names of images.",
      object(
        "Changes one part of the name of images.",
        {
          component: oneOf("The part: Registry (with port), Repository, or Tag (tag or digest).", [
            "Registry",
            "Repository",
            "Tag",
          ]),
          operator: oneOf(
            "`add` appends to the part or sets it, `replace` sets it, `remove` takes it away.",
            ANY_OPERATION,
          ),
          predicate: object(
            "Which image, where the kind has none we know of. Absent: every image of the pod template.",
            { path: string("JSON pointer to the field that holds the image.") },
            ["path"],
          ),
          value: string("New text of the part; not used by remove."),
        },
        ["component", "operator"],
      ),
    ),
    labelsOverrider: list("Changes to labels.", mapOverrider()),
    plaintext: list(
      "Changes to any field.",
      object(
        "One change at one place.",
        {
          operator: oneOf("What is done at `path`.", ANY_OPERATION),
          path: string("JSON pointer to the field, for instance `/spec/replicas`."),
          value: anything("New value, for add and replace; any JSON."),
        },
        ["operator", "path"],
      ),
    ),
  },
);

const spec = object("What is changed, for which objects and clusters.", {
  overrideRules: list(
    "Changes by cluster, made in this order.",
    object(
      "Changes for some clusters.",
      {
        overriders: overriders("The changes."),
        targetCluster: clusterAffinity("The clusters that get them. Absent: every cluster."),
      },
      ["overriders"],
    ),
  ),
  overriders: overriders("Older form of a single rule. Not together with `overrideRules`."),
  resourceSelectors: list("The objects to change. Absent: every object.", resourceSelector()),
  targetCluster: clusterAffinity("Older form: the clusters that get `overriders`. Not together with `overrideRules`."),
});

export const overridePolicies = [
  defineKind({
    group: "policy.karmada.io",
    kind: "OverridePolicy",
    plural: "overridepolicies",
    scope: "Namespaced",
    shortNames: ["op"],
    isListedWithAll: true,
    versions: [
      {
        name: "v1alpha1",
        description: "Changes objects of its namespace on their way into some clusters; the template stays as it is.",
        fields: { spec },
        required: ["spec"],
      },
    ],
  }),
  defineKind({
    group: "policy.karmada.io",
    kind: "ClusterOverridePolicy",
    plural: "clusteroverridepolicies",
    scope: "Cluster",
    shortNames: ["cop"],
    isListedWithAll: true,
    versions: [
      {
        name: "v1alpha1",
        description:
          "Changes objects of any namespace or of none on their way into some clusters, before override policies of a namespace do.",
        fields: { spec },
        required: ["spec"],
      },
    ],
  }),
];
