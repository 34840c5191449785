/** Kinds that make pods, beside Jobs: their defaults, what they must keep to, and what of them may change. */
import {
  compileLabelSelector,
  type FieldError,
  fieldForbidden,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  type KubeObject,
  type LabelSelector,
} from "#machinery";
import { copyOf, deepEqual } from "#base";
import type { Strategy } from "../definition.ts";
import {
  amountErrors,
  filled,
  heldAt,
  isMap,
  labelSelectorErrors,
  listAt,
  notNegativeAt,
  specOf,
  valueAt,
} from "./checks.ts";
import { goValue } from "./go-values.ts";
import { dnsLabelErrors } from "./name-checks.ts";
import { defaultPodSpec, type Json } from "./pod-defaults.ts";
import { podTemplateErrors, podTemplateMetadataErrors } from "./pod-validation.ts";
import { claimSpecErrors } from "./volume-claims.ts";

const GENERATION = "deprecated.daemonset.template.generation";
const APPS = "io.k8s.api.apps.v1.";

/** Defaults of `spec`: `fill` gives the members that are missing. */
export const withSpec =
  (fill: (spec: Json, object: KubeObject) => Json) =>
  (object: KubeObject): KubeObject => {
    const spec = specOf(object);
    const next = fill(spec, object);
    return next === spec ? object : ({ ...object, spec: next } as KubeObject);
  };

/** The value with a member set; the value itself where it is set already. */
function withMember(value: Json, name: string, member: unknown): Json {
  if (value[name] === member) return value;
  const result: Record<string, unknown> = copyOf(value);
  result[name] = member;
  return result;
}

/** The template with the defaults of a pod. */
export function fillTemplate(spec: Json, restartPolicy?: string): Json {
  const template = (spec["template"] ?? {}) as Json;
  const podSpec = defaultPodSpec((template["spec"] ?? {}) as Json, restartPolicy);
  return podSpec === template["spec"] ? spec : { ...spec, template: { ...template, spec: podSpec } };
}

/** The selector as a matcher; `undefined` when it is none. Nothing selects nothing. */
const matcherOf = (selector: unknown) =>
  selector === undefined || selector === null ? () => false : compileLabelSelector(selector as LabelSelector);

const isEmpty = (selector: Json | undefined) =>
  Object.keys((selector?.["matchLabels"] ?? {}) as object).length + listAt(selector, "matchExpressions").length === 0;

function mismatchErrors(spec: Json): FieldError[] {
  const labels = heldAt(spec, "template.metadata.labels") as Readonly<Record<string, string>> | null;
  const selector = spec["selector"] as Json | undefined;
  // An empty selector selects everything.
  if (selector !== undefined && selector !== null && isEmpty(selector)) return [];
  return matcherOf(selector)?.(labels ?? {}) === true
    ? []
    : [fieldInvalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`")];
}

/** Mistakes of a selector and of the template it must select. `kind` is the word in the text of an empty selector. */
function selectorErrors(spec: Json, kind: string, templateErrors: () => readonly FieldError[]): FieldError[] {
  const selector = spec["selector"] as Json | undefined;
  const errors: FieldError[] = [];
  if (selector === undefined || selector === null) errors.push(fieldRequired("spec.selector"));
  else {
    errors.push(...labelSelectorErrors(selector, "spec.selector"));
    if (isEmpty(selector))
      errors.push(fieldInvalid("spec.selector", selector, `empty selector is invalid for ${kind}`));
  }
  // What was refused above cannot select.
  if (errors.some(({ field }) => field !== "spec.selector"))
    return [...errors, fieldInvalid("spec.selector", selector, kind === "statefulset" ? "" : "invalid label selector")];
  return [...errors, ...mismatchErrors(spec), ...templateErrors()];
}

const templateOf = (object: KubeObject) => valueAt(object, "spec.template") as Json | undefined;

/** Pods of these kinds restart always and have no deadline. */
function lifeErrors(object: KubeObject, kind: string): FieldError[] {
  const policy = valueAt(object, "spec.template.spec.restartPolicy");
  return [
    ...(policy === undefined || policy === "Always"
      ? []
      : [fieldNotSupported("spec.template.spec.restartPolicy", policy, ["Always"])]),
    ...(valueAt(object, "spec.template.spec.activeDeadlineSeconds") === undefined
      ? []
      : [
          fieldForbidden(
            "spec.template.spec.activeDeadlineSeconds",
            `activeDeadlineSeconds in ${kind} is not Supported`,
          ),
        ]),
  ];
}

/** Fields of a kind that keep their value. */
export const immutableAt = (object: KubeObject, old: KubeObject, ...paths: readonly string[]): FieldError[] =>
  paths.flatMap((path) =>
    deepEqual(valueAt(object, path) ?? null, valueAt(old, path) ?? null)
      ? []
      : [fieldInvalid(path, heldAt(object, path), "field is immutable")],
  );

/** A surge may be more than all, but it is written as other amounts are. */
const surgeErrors = (value: unknown, path: string) =>
  amountErrors(value, path).filter(({ message }) => !message.endsWith("must not be greater than 100%"));
const isOver = ({ message }: FieldError) => message.endsWith("must not be greater than 100%");

/** An amount that comes to nothing; a text that is none counts as nothing too. */
const isNothing = (value: unknown) =>
  !(typeof value === "number" ? value !== 0 : /^0*[1-9][0-9]*%$/.test(String(value)));

function rolloutErrors(spec: Json): FieldError[] {
  const strategy = (spec["strategy"] ?? {}) as Json;
  const rolling = strategy["rollingUpdate"] as Json | undefined;
  const path = "spec.strategy.rollingUpdate";
  switch (strategy["type"]) {
    case "Recreate":
      return rolling === undefined
        ? []
        : [fieldForbidden(path, "may not be specified when strategy `type` is 'Recreate'")];
    case "RollingUpdate": {
      const { maxUnavailable, maxSurge } = rolling ?? {};
      const unavailable = amountErrors(maxUnavailable, `${path}.maxUnavailable`);
      return [
        ...unavailable.filter((error) => !isOver(error)),
        ...surgeErrors(maxSurge, `${path}.maxSurge`),
        ...(isNothing(maxUnavailable) && isNothing(maxSurge)
          ? [fieldInvalid(`${path}.maxUnavailable`, maxUnavailable, "may not be 0 when `maxSurge` is 0")]
          : []),
        ...unavailable.filter(isOver),
      ];
    }
    default:
      return [
        fieldNotSupported("spec.strategy", goValue(`${APPS}DeploymentStrategy`, strategy), [
          "Recreate",
          "RollingUpdate",
        ]),
      ];
  }
}

function deadlineErrors(spec: Json): FieldError[] {
  const deadline = spec["progressDeadlineSeconds"];
  if (typeof deadline !== "number") return [];
  return [
    ...notNegativeAt({ spec }, "spec.progressDeadlineSeconds"),
    ...(deadline <= Number(spec["minReadySeconds"] ?? 0)
      ? [fieldInvalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds")]
      : []),
  ];
}

/** A status whose counts contradict each other. */
function countErrors(
  object: KubeObject,
  rules: readonly (readonly [string, string])[],
  shown: Readonly<Record<string, string>> = {},
): FieldError[] {
  const status = (valueAt(object, "status") ?? {}) as Json;
  const count = (name: string) => Number(status[name] ?? 0);
  return rules
    .filter(([less, more]) => count(less) > count(more))
    .map(([less, more]) =>
      fieldInvalid(
        `status.${less}`,
        count(less),
        `cannot be greater than ${more === "replicas" ? "status.replicas" : (shown[more] ?? more)}`,
      ),
    );
}

const statusPaths = (...names: readonly string[]) => names.map((name) => `status.${name}`);

function deploymentStatusErrors(object: KubeObject, old: KubeObject): FieldError[] {
  const collisions = valueAt(object, "status.collisionCount");
  const before = valueAt(old, "status.collisionCount");
  return [
    ...notNegativeAt(
      object,
      ...statusPaths(
        "observedGeneration",
        "replicas",
        "updatedReplicas",
        "terminatingReplicas",
        "readyReplicas",
        "availableReplicas",
        "unavailableReplicas",
        "collisionCount",
      ),
    ),
    ...countErrors(object, [
      ["updatedReplicas", "replicas"],
      ["readyReplicas", "replicas"],
      ["availableReplicas", "replicas"],
      ["availableReplicas", "readyReplicas"],
    ]),
    ...(before !== undefined && (collisions === undefined || Number(collisions) < Number(before))
      ? [fieldInvalid("status.collisionCount", collisions ?? null, "cannot be decremented")]
      : []),
  ];
}

const replicaSetStatusErrors = (object: KubeObject): FieldError[] => [
  ...notNegativeAt(
    object,
    ...statusPaths(
      "replicas",
      "fullyLabeledReplicas",
      "readyReplicas",
      "availableReplicas",
      "terminatingReplicas",
      "observedGeneration",
    ),
  ),
  ...countErrors(object, [
    ["fullyLabeledReplicas", "replicas"],
    ["readyReplicas", "replicas"],
    ["availableReplicas", "replicas"],
    ["availableReplicas", "readyReplicas"],
  ]),
];

const statefulSetStatusErrors = (object: KubeObject): FieldError[] => [
  ...notNegativeAt(
    object,
    ...statusPaths(
      "replicas",
      "readyReplicas",
      "currentReplicas",
      "updatedReplicas",
      "availableReplicas",
      "observedGeneration",
      "collisionCount",
    ),
  ),
  ...countErrors(
    object,
    [
      ["readyReplicas", "replicas"],
      ["currentReplicas", "replicas"],
      ["updatedReplicas", "replicas"],
      ["availableReplicas", "replicas"],
      ["availableReplicas", "readyReplicas"],
    ],
    { readyReplicas: "status.readyReplicas" },
  ),
];

const STATEFUL_FIXED =
  "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";
const STATEFUL_FREE = new Set([
  "replicas",
  "ordinals",
  "template",
  "updateStrategy",
  "persistentVolumeClaimRetentionPolicy",
  "minReadySeconds",
  "revisionHistoryLimit",
]);

function statefulSetErrors(object: KubeObject, old?: KubeObject): FieldError[] {
  const spec = specOf(object);
  const update = (spec["updateStrategy"] ?? {}) as Json;
  const rolling = update["rollingUpdate"] as Json | undefined;
  const errors: FieldError[] = [];
  const management = spec["podManagementPolicy"];
  if (!management) errors.push(fieldRequired("spec.podManagementPolicy"));
  else if (management !== "OrderedReady" && management !== "Parallel")
    errors.push(fieldInvalid("spec.podManagementPolicy", management, "must be 'OrderedReady' or 'Parallel'"));
  const path = "spec.updateStrategy";
  // Inside kube-apiserver the partition is a number that is always there.
  const shown = rolling === undefined ? undefined : filled(rolling, { partition: 0 });
  if (!update["type"]) errors.push(fieldRequired(path));
  else if (update["type"] === "OnDelete") {
    if (rolling !== undefined)
      errors.push(
        fieldInvalid(
          `${path}.rollingUpdate`,
          goValue(`${APPS}RollingUpdateStatefulSetStrategy`, shown),
          "only allowed for updateStrategy 'RollingUpdate'",
        ),
      );
  } else if (update["type"] === "RollingUpdate") errors.push(...partitionErrors(rolling, `${path}.rollingUpdate`));
  else
    errors.push(
      fieldInvalid(
        path,
        goValue(`${APPS}StatefulSetUpdateStrategy`, shown === undefined ? update : { ...update, rollingUpdate: shown }),
        "must be 'RollingUpdate' or 'OnDelete'",
      ),
    );
  const retention = spec["persistentVolumeClaimRetentionPolicy"] as Json | undefined;
  for (const part of retention === undefined ? [] : ["whenDeleted", "whenScaled"]) {
    const value = retention?.[part];
    if (value !== "Retain" && value !== "Delete")
      errors.push(
        fieldNotSupported(`spec.persistentVolumeClaimRetentionPolicy.${part}`, value ?? "", ["Retain", "Delete"]),
      );
  }
  errors.push(
    ...notNegativeAt(object, "spec.replicas", "spec.minReadySeconds", "spec.ordinals.start"),
    ...(old === undefined ? newStatefulSetErrors(object) : []),
    ...selectorErrors(spec, "statefulset", () => templateErrorsOf(object)),
    ...lifeErrors(object, "StatefulSet"),
  );
  return errors;
}

/** What of a StatefulSet never changes is looked at once. */
const newStatefulSetErrors = (object: KubeObject): FieldError[] => [
  ...(valueAt(object, "spec.serviceName")
    ? dnsLabelErrors(valueAt(object, "spec.serviceName"), "spec.serviceName")
    : []),
  ...listAt(object, "spec.volumeClaimTemplates").flatMap((claim, at) =>
    claimSpecErrors((claim["spec"] ?? {}) as Json, `spec.volumeClaimTemplates[${at}].spec`),
  ),
];

/** A StatefulSet's claims are volumes of its pods, before all others and in place of those that are called as they are. */
function templateErrorsOf(object: KubeObject): FieldError[] {
  const template = templateOf(object);
  const path = "spec.template";
  // Its metadata is looked at twice: kube-apiserver comes back to it.
  const metadata = podTemplateMetadataErrors(template, path);
  const claims = listAt(object, "spec.volumeClaimTemplates").map((claim) => valueAt(claim, "metadata.name") ?? "");
  if (template === undefined || claims.length === 0) return [...podTemplateErrors(template, path), ...metadata];
  const volumes = [
    ...[...new Set(claims)].map((name) => ({ name, persistentVolumeClaim: { claimName: name } })),
    ...listAt(template, "spec.volumes").filter(({ name }) => !claims.includes(name ?? "")),
  ];
  return [...podTemplateErrors({ ...template, spec: { ...(template["spec"] as Json), volumes } }, path), ...metadata];
}

const partitionErrors = (rolling: Json | undefined, path: string): FieldError[] =>
  Number(rolling?.["partition"] ?? 0) < 0
    ? [fieldInvalid(`${path}.partition`, rolling?.["partition"], "must be greater than or equal to 0")]
    : [];

function daemonSetErrors(object: KubeObject): FieldError[] {
  const spec = specOf(object);
  const selector = spec["selector"] as Json | undefined;
  const update = (spec["updateStrategy"] ?? {}) as Json;
  const errors: FieldError[] = [];
  if (selector !== undefined && selector !== null) errors.push(...labelSelectorErrors(selector, "spec.selector"));
  if (errors.length === 0) errors.push(...mismatchErrors(spec));
  if (selector !== undefined && selector !== null && isEmpty(selector))
    errors.push(fieldInvalid("spec.selector", selector, "empty selector is invalid for daemonset"));
  errors.push(
    ...podTemplateErrors(templateOf(object), "spec.template"),
    ...lifeErrors(object, "DaemonSet"),
    ...notNegativeAt(object, "spec.minReadySeconds"),
  );
  switch (update["type"]) {
    case "OnDelete":
      break;
    case "RollingUpdate":
      errors.push(...daemonRolloutErrors(update["rollingUpdate"] as Json | undefined));
      break;
    default:
      errors.push(
        fieldNotSupported("spec.updateStrategy", goValue(`${APPS}DaemonSetUpdateStrategy`, update), [
          "RollingUpdate",
          "OnDelete",
        ]),
      );
  }
  return [...errors, ...notNegativeAt(object, "spec.revisionHistoryLimit")];
}

function daemonRolloutErrors(rolling: Json | undefined): FieldError[] {
  if (rolling === undefined) return [];
  const path = "spec.updateStrategy.rollingUpdate";
  const { maxUnavailable, maxSurge } = rolling;
  const [unavailable, surge] = [
    amountErrors(maxUnavailable, `${path}.maxUnavailable`),
    amountErrors(maxSurge, `${path}.maxSurge`),
  ];
  return [
    ...[...unavailable, ...surge].filter((error) => !isOver(error)),
    ...(isNothing(maxUnavailable) && isNothing(maxSurge)
      ? [fieldRequired(`${path}.maxUnavailable`, "cannot be 0 when maxSurge is 0")]
      : []),
    ...(!isNothing(maxUnavailable) && !isNothing(maxSurge)
      ? [fieldInvalid(`${path}.maxSurge`, maxSurge, "may not be set when maxUnavailable is non-zero")]
      : []),
    ...[...unavailable, ...surge].filter(isOver),
  ];
}

/** A DaemonSet counts its templates in an annotation that old clients read; a new one has the first. */
function withTemplateGeneration(object: KubeObject, generation: number): KubeObject {
  const value = String(generation);
  if (object.metadata.annotations?.[GENERATION] === value) return object;
  const annotations = { ...object.metadata.annotations, [GENERATION]: value };
  return { ...object, metadata: { ...object.metadata, annotations } };
}

const templateGeneration = (object: KubeObject | undefined) => Number(object?.metadata.annotations?.[GENERATION] ?? 0);

function countTemplates(object: KubeObject, old: KubeObject): KubeObject {
  const isChanged = !deepEqual(valueAt(object, "spec.template"), valueAt(old, "spec.template"));
  return withTemplateGeneration(object, templateGeneration(old) + (isChanged ? 1 : 0));
}

function controllerDefaults(object: KubeObject): KubeObject {
  const spec = specOf(object);
  const template = spec["template"] as Json | undefined;
  if (template === undefined) return { ...object, spec: filled(spec, { replicas: 1 }) } as KubeObject;
  const labels = valueAt(template, "metadata.labels") as Json | undefined;
  const podSpec = defaultPodSpec((template["spec"] ?? {}) as Json);
  const hasLabels = Object.keys(object.metadata.labels ?? {}).length > 0 || labels === undefined;
  return {
    ...object,
    ...(hasLabels ? {} : { metadata: { ...object.metadata, labels } }),
    spec: {
      ...filled(spec, { replicas: 1, selector: labels }),
      template: { ...template, spec: podSpec },
    },
  } as KubeObject;
}

function controllerErrors(object: KubeObject): FieldError[] {
  const selector = (valueAt(object, "spec.selector") ?? {}) as Json;
  const template = valueAt(object, "spec.template") as Json | undefined;
  const labels = heldAt(template, "metadata.labels") as Json | null;
  const errors = [
    ...notNegativeAt(object, "spec.minReadySeconds"),
    ...(Object.keys(selector).length === 0 ? [fieldRequired("spec.selector")] : []),
    ...notNegativeAt(object, "spec.replicas"),
  ];
  if (template === undefined || template === null) return [...errors, fieldRequired("spec.template")];
  if (Object.entries(selector).some(([key, value]) => labels?.[key] !== value))
    errors.push(fieldInvalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`"));
  return [...errors, ...podTemplateErrors(template, "spec.template"), ...lifeErrors(object, "ReplicationController")];
}

function dataErrors(data: unknown): FieldError[] {
  if (data === undefined || data === null) return [fieldRequired("data", "data is mandatory")];
  return isMap(data) ? [] : [fieldRequired("data", "data must be a valid JSON object")];
}

/** The pods of a kind, for whoever warns about them. */
const templateWarnings = { hasTemplate: "spec.template" } as const;

const replicaSetErrors = (object: KubeObject): FieldError[] => [
  ...notNegativeAt(object, "spec.replicas", "spec.minReadySeconds"),
  ...selectorErrors(specOf(object), "deployment", () => [
    ...podTemplateErrors(templateOf(object), "spec.template"),
    ...lifeErrors(object, "ReplicaSet"),
  ]),
];

const claimTemplate = (claim: Json): Json => ({
  apiVersion: "v1",
  kind: "PersistentVolumeClaim",
  ...claim,
  spec: filled((claim["spec"] ?? {}) as Json, { volumeMode: "Filesystem" }),
  status: { phase: "Pending" },
});

export const workloadRules: Readonly<Record<string, Strategy>> = {
  "apps/Deployment": {
    rulesAreWhole: true,
    countsAnnotations: true,
    rulesReadSpec: true,
    applyDefaults: withSpec((spec) => {
      const complete = filled(spec, {
        replicas: 1,
        strategy: {},
        revisionHistoryLimit: 10,
        progressDeadlineSeconds: 600,
      });
      const typed = filled(complete["strategy"] as Json, { type: "RollingUpdate" });
      const rolling = (typed["rollingUpdate"] ?? {}) as Json;
      const strategy =
        typed["type"] === "RollingUpdate"
          ? withMember(typed, "rollingUpdate", filled(rolling, { maxUnavailable: "25%", maxSurge: "25%" }))
          : typed;
      return fillTemplate(withMember(complete, "strategy", strategy));
    }),
    validate: (object) => [
      ...notNegativeAt(object, "spec.replicas"),
      ...selectorErrors(specOf(object), "deployment", () => [
        ...podTemplateErrors(templateOf(object), "spec.template"),
        ...lifeErrors(object, "ReplicaSet"),
      ]),
      ...rolloutErrors(specOf(object)),
      ...notNegativeAt(object, "spec.minReadySeconds", "spec.revisionHistoryLimit"),
      ...deadlineErrors(specOf(object)),
    ],
    validateUpdate: (object, old) => immutableAt(object, old, "spec.selector"),
    validateStatus: deploymentStatusErrors,
    ...templateWarnings,
  },
  "apps/ReplicaSet": {
    rulesAreWhole: true,
    applyDefaults: withSpec((spec) => fillTemplate(filled(spec, { replicas: 1 }))),
    validate: replicaSetErrors,
    validateUpdate: (object, old) => immutableAt(object, old, "spec.selector"),
    validateStatus: replicaSetStatusErrors,
    ...templateWarnings,
  },
  "apps/StatefulSet": {
    rulesAreWhole: true,
    applyDefaults: withSpec((spec) => {
      const update = (spec["updateStrategy"] ?? {}) as Json;
      const type = update["type"] ?? "RollingUpdate";
      const complete =
        type === "RollingUpdate"
          ? update["rollingUpdate"] === undefined && update["type"] !== undefined
            ? update
            : { ...update, type, rollingUpdate: filled((update["rollingUpdate"] ?? {}) as Json, { partition: 0 }) }
          : { ...update, type };
      const claims = spec["volumeClaimTemplates"] as readonly Json[] | undefined;
      return fillTemplate({
        ...filled(spec, { replicas: 1, podManagementPolicy: "OrderedReady", revisionHistoryLimit: 10 }),
        persistentVolumeClaimRetentionPolicy: filled((spec["persistentVolumeClaimRetentionPolicy"] ?? {}) as Json, {
          whenDeleted: "Retain",
          whenScaled: "Retain",
        }),
        updateStrategy: complete,
        ...(Array.isArray(claims) ? { volumeClaimTemplates: claims.map(claimTemplate) } : {}),
      });
    }),
    validate: statefulSetErrors,
    validateUpdate: (object, old) => {
      const fixed = (value: KubeObject) =>
        Object.fromEntries(Object.entries(specOf(value)).filter(([key]) => !STATEFUL_FREE.has(key)));
      return deepEqual(fixed(object), fixed(old)) ? [] : [fieldForbidden("spec", STATEFUL_FIXED)];
    },
    validateStatus: statefulSetStatusErrors,
    ...templateWarnings,
  },
  "apps/DaemonSet": {
    rulesAreWhole: true,
    checksChangesFirst: true,
    applyDefaults: (object) =>
      withSpec((spec) => {
        const update = (spec["updateStrategy"] ?? {}) as Json;
        const type = update["type"] ?? "RollingUpdate";
        const rolling = (update["rollingUpdate"] ?? {}) as Json;
        const complete =
          type === "RollingUpdate"
            ? { ...update, type, rollingUpdate: filled(rolling, { maxUnavailable: 1, maxSurge: 0 }) }
            : {
                ...update,
                type,
                ...(update["rollingUpdate"] === undefined
                  ? {}
                  : { rollingUpdate: filled(rolling, { maxUnavailable: 0, maxSurge: 0 }) }),
              };
        return fillTemplate({ ...filled(spec, { revisionHistoryLimit: 10 }), updateStrategy: complete });
        // Go's type always writes the count of templates down, as an annotation of the published version.
      })(withTemplateGeneration(object, templateGeneration(object))),
    prepareForCreate: (object) => withTemplateGeneration(object, 1),
    prepareForUpdate: countTemplates,
    validate: daemonSetErrors,
    validateUpdate: (object, old) => immutableAt(object, old, "spec.selector"),
    validateStatus: (object) =>
      notNegativeAt(
        object,
        ...statusPaths(
          "currentNumberScheduled",
          "numberMisscheduled",
          "desiredNumberScheduled",
          "numberReady",
          "observedGeneration",
          "updatedNumberScheduled",
          "numberAvailable",
          "numberUnavailable",
          "collisionCount",
        ),
      ),
    ...templateWarnings,
  },
  PodTemplate: {
    rulesAreWhole: true,
    returnsDeleted: true,
    createsOnUpdate: true,
    applyDefaults: (object) => {
      const template = (valueAt(object, "template") ?? {}) as Json;
      const spec = defaultPodSpec((template["spec"] ?? {}) as Json);
      return spec === template["spec"] ? object : ({ ...object, template: { ...template, spec } } as KubeObject);
    },
    validate: (object) => podTemplateErrors(valueAt(object, "template") as Json | undefined, "template"),
    hasTemplate: "template",
  },
  ReplicationController: {
    fields: (object) => ({ "status.replicas": String(valueAt(object, "status.replicas") ?? 0) }),
    rulesAreWhole: true,
    dependentsByDefault: "Orphan",
    applyDefaults: controllerDefaults,
    validate: controllerErrors,
    validateStatus: replicaSetStatusErrors,
    ...templateWarnings,
  },
  "apps/ControllerRevision": {
    rulesAreWhole: true,
    validate: (object) => notNegativeAt(object, "revision"),
    validateNew: (object) => dataErrors(valueAt(object, "data")),
    validateUpdate: (object, old) => {
      const data = valueAt(object, "data");
      if (deepEqual(data, valueAt(old, "data"))) return [];
      // A patch leaves members in the order of their names.
      const shown = isMap(data)
        ? Object.fromEntries(Object.entries(data).sort(([left], [right]) => (left < right ? -1 : 1)))
        : data;
      return [fieldInvalid("data", shown, "field is immutable")];
    },
  },
};
