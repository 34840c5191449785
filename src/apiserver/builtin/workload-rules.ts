/** What workloads must keep to beyond their schema and their strategies: amounts, rollouts, schedules, selectors. */
import { type FieldError, fieldForbidden, fieldInvalid, fieldRequired, type KubeObject, setPath } from "#machinery";
import { deepEqual } from "#base";
import type { Strategy } from "../definition.ts";
import { amountErrors, filled, labelSelectorErrors, listAt, notNegativeAt, valueAt } from "./checks.ts";
import { defaultPodSpec, type Json } from "./pod-defaults.ts";

const GENERATION = "deprecated.daemonset.template.generation";
const BACKOFF_DEFAULT = 6;
const BACKOFF_UNLIMITED = 2_147_483_647;

const specOf = (object: KubeObject): Json => (valueAt(object, "spec") ?? {}) as Json;

function selectorRequirements(object: KubeObject): FieldError[] {
  const selector = valueAt(object, "spec.selector");
  const errors = labelSelectorErrors(selector, "spec.selector");
  return errors.length === 0 ? [] : [...errors, fieldInvalid("spec.selector", selector, "invalid label selector")];
}

const noDeadline = (object: KubeObject, kind: string): FieldError[] =>
  valueAt(object, "spec.template.spec.activeDeadlineSeconds") === undefined
    ? []
    : [fieldForbidden("spec.template.spec.activeDeadlineSeconds", `activeDeadlineSeconds in ${kind} is not Supported`)];

/** Zones that this machine's time zone data knows are those that users may name. */
function zoneErrors(zone: unknown): FieldError[] {
  if (zone === undefined) return [];
  try {
    new Intl.DateTimeFormat("en", { timeZone: String(zone) });
    return [];
  } catch {
    return [fieldInvalid("spec.timeZone", zone, `unknown time zone ${String(zone)}`)];
  }
}

function failurePolicyErrors(object: KubeObject, path: string): FieldError[] {
  return listAt(object, path).flatMap((rule, number) =>
    valueAt(rule, "onExitCodes.operator") === "In"
      ? listAt(rule, "onExitCodes.values").flatMap((code, at) =>
          (code as unknown) === 0
            ? [fieldInvalid(`${path}[${number}].onExitCodes.values[${at}]`, 0, "must not be 0 for the In operator")]
            : [],
        )
      : [],
  );
}

function jobDefaults(object: KubeObject): KubeObject {
  const spec = specOf(object);
  const rules = listAt(spec, "podFailurePolicy.rules");
  const next = rules.some((rule) => rule["onPodConditions"] !== undefined)
    ? setPath(
        spec,
        ["podFailurePolicy", "rules"],
        rules.map((rule) =>
          rule["onPodConditions"] === undefined
            ? rule
            : {
                ...rule,
                onPodConditions: listAt(rule, "onPodConditions").map((condition) =>
                  condition["status"] ? condition : { ...condition, status: "True" },
                ),
              },
        ),
      )
    : spec;
  const completed = filled(next, {
    manualSelector: false,
    backoffLimit: spec["backoffLimitPerIndex"] === undefined ? BACKOFF_DEFAULT : BACKOFF_UNLIMITED,
  });
  return completed === spec ? object : ({ ...object, spec: completed } as KubeObject);
}

/** An object without labels takes those of its pods. */
function labelledAsPods(object: KubeObject): KubeObject {
  const labels = valueAt(object, "spec.template.metadata.labels") as Readonly<Record<string, string>> | undefined;
  return Object.keys(object.metadata.labels ?? {}).length > 0 || labels === undefined
    ? object
    : { ...object, metadata: { ...object.metadata, labels } };
}

/** Counts a DaemonSet's templates; old clients read it. */
function countTemplates(object: KubeObject, old: KubeObject | undefined): KubeObject {
  const before = Number(old?.metadata.annotations?.[GENERATION] ?? 0);
  const isChanged = old === undefined || !deepEqual(valueAt(object, "spec.template"), valueAt(old, "spec.template"));
  const next = String(isChanged ? before + 1 : before);
  if (object.metadata.annotations?.[GENERATION] === next) return object;
  const annotations = { ...object.metadata.annotations, [GENERATION]: next };
  return { ...object, metadata: { ...object.metadata, annotations } };
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
  const template = valueAt(object, "spec.template");
  const labels = (valueAt(template, "metadata.labels") ?? {}) as Json;
  return [
    ...notNegativeAt(object, "spec.minReadySeconds"),
    ...(Object.keys(selector).length === 0 ? [fieldRequired("spec.selector")] : []),
    ...notNegativeAt(object, "spec.replicas"),
    ...(template === undefined ? [fieldRequired("spec.template")] : []),
    ...(template !== undefined && Object.entries(selector).some(([key, value]) => labels[key] !== value)
      ? [fieldInvalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`")]
      : []),
  ];
}

export const workloadRules: Readonly<Record<string, Strategy>> = {
  "apps/Deployment": {
    validate: (object) => [
      ...selectorRequirements(object),
      ...noDeadline(object, "ReplicaSet"),
      ...notNegativeAt(object, "spec.progressDeadlineSeconds"),
      ...amountErrors(
        valueAt(object, "spec.strategy.rollingUpdate.maxUnavailable"),
        "spec.strategy.rollingUpdate.maxUnavailable",
      ),
      ...surgeErrors(valueAt(object, "spec.strategy.rollingUpdate.maxSurge"), "spec.strategy.rollingUpdate.maxSurge"),
    ],
  },
  "apps/ReplicaSet": {
    validate: (object) => [
      ...selectorRequirements(object),
      ...noDeadline(object, "ReplicaSet"),
      ...notNegativeAt(object, "spec.minReadySeconds"),
    ],
  },
  "apps/StatefulSet": {
    applyDefaults: (object) => {
      const policy = valueAt(object, "spec.persistentVolumeClaimRetentionPolicy") as Json | undefined;
      if (policy === undefined) return object;
      const complete = filled(policy, { whenDeleted: "Retain", whenScaled: "Retain" });
      return complete === policy ? object : setPath(object, ["spec", "persistentVolumeClaimRetentionPolicy"], complete);
    },
    validate: (object) => {
      const rolling = valueAt(object, "spec.updateStrategy.rollingUpdate");
      return [
        ...selectorRequirements(object),
        ...noDeadline(object, "StatefulSet"),
        ...(valueAt(object, "spec.updateStrategy.type") === "OnDelete" && rolling !== undefined
          ? [
              fieldInvalid(
                "spec.updateStrategy.rollingUpdate",
                rolling,
                "only allowed for updateStrategy 'RollingUpdate'",
              ),
            ]
          : []),
        ...notNegativeAt(
          object,
          "spec.updateStrategy.rollingUpdate.partition",
          "spec.ordinals.start",
          "spec.minReadySeconds",
          "spec.revisionHistoryLimit",
        ),
      ];
    },
  },
  "apps/DaemonSet": {
    prepareForCreate: (object) => countTemplates(object, undefined),
    prepareForUpdate: countTemplates,
    validate: (object) => [
      ...selectorRequirements(object),
      ...noDeadline(object, "DaemonSet"),
      ...notNegativeAt(object, "spec.minReadySeconds", "spec.revisionHistoryLimit"),
      ...daemonRolloutErrors(valueAt(object, "spec.updateStrategy.rollingUpdate") as Json | undefined),
    ],
  },
  "batch/Job": {
    applyDefaults: (object) =>
      jobDefaults(valueAt(object, "spec.manualSelector") === true ? labelledAsPods(object) : object),
    prepareForCreate: labelledAsPods,
    validate: (object) => [
      ...notNegativeAt(object, "spec.activeDeadlineSeconds", "spec.backoffLimitPerIndex", "spec.maxFailedIndexes"),
      ...failurePolicyErrors(object, "spec.podFailurePolicy.rules"),
    ],
  },
  "batch/CronJob": {
    validate: (object) => {
      const schedule = String(valueAt(object, "spec.schedule") ?? "");
      return [
        ...(/^(CRON_)?TZ=/.test(schedule)
          ? [
              fieldInvalid(
                "spec.schedule",
                schedule,
                "cannot use TZ or CRON_TZ in schedule, use timeZone field instead",
              ),
            ]
          : []),
        ...zoneErrors(valueAt(object, "spec.timeZone")),
        ...notNegativeAt(
          object,
          "spec.startingDeadlineSeconds",
          "spec.successfulJobsHistoryLimit",
          "spec.failedJobsHistoryLimit",
        ),
      ];
    },
  },
  PodTemplate: {
    applyDefaults: (object) => {
      const template = (valueAt(object, "template") ?? {}) as Json;
      const spec = defaultPodSpec((template["spec"] ?? {}) as Json);
      return spec === template["spec"] ? object : ({ ...object, template: { ...template, spec } } as KubeObject);
    },
  },
  ReplicationController: { applyDefaults: controllerDefaults, validate: controllerErrors },
  "apps/ControllerRevision": {
    validate: (object) => [
      ...notNegativeAt(object, "revision"),
      ...(valueAt(object, "data") === undefined ? [fieldRequired("data", "data is mandatory")] : []),
    ],
    validateUpdate: (object, old) =>
      deepEqual(valueAt(object, "data"), valueAt(old, "data"))
        ? []
        : [fieldInvalid("data", valueAt(object, "data"), "field is immutable")],
  },
};

/** A surge may be more than all, but it is written as other amounts are. */
const surgeErrors = (value: unknown, path: string) =>
  amountErrors(value, path).filter(({ message }) => !message.endsWith("must not be greater than 100%"));

const isNothing = (value: unknown) => value === undefined || value === 0 || /^0+%?$/.test(String(value));

function daemonRolloutErrors(rolling: Json | undefined): FieldError[] {
  if (rolling === undefined) return [];
  const path = "spec.updateStrategy.rollingUpdate";
  const { maxUnavailable, maxSurge } = rolling;
  return [
    ...amountErrors(maxUnavailable, `${path}.maxUnavailable`),
    ...amountErrors(maxSurge, `${path}.maxSurge`),
    ...(isNothing(maxUnavailable) && isNothing(maxSurge)
      ? [fieldRequired(`${path}.maxUnavailable`, "cannot be 0 when maxSurge is 0")]
      : []),
    ...(!isNothing(maxUnavailable) && !isNothing(maxSurge)
      ? [fieldInvalid(`${path}.maxSurge`, maxSurge, "may not be set when maxUnavailable is non-zero")]
      : []),
  ];
}
