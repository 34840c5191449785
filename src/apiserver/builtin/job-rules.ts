/** Jobs and CronJobs: their defaults, what they must keep to, and what of them may change. */
import {
  compileLabelSelector,
  type FieldError,
  fieldDuplicate,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  fieldTooMany,
  labelKeyErrors,
  type KubeObject,
  type LabelSelector,
  setPath,
} from "#machinery";
import { deepEqual } from "#base";
import type { Strategy } from "../definition.ts";
import { filled, heldAt, isMap, labelSelectorErrors, listAt, NOT_NEGATIVE, repetitions, valueAt } from "./checks.ts";
import { scheduleErrors, zoneErrors } from "./cron-schedules.ts";
import { goValue } from "./go-values.ts";
import { subdomainErrorsAt } from "./name-checks.ts";
import type { Json } from "./pod-defaults.ts";
import { podTemplateErrors } from "./pod-validation.ts";
import { fillTemplate, withSpec } from "./workload-rules.ts";

const BACKOFF_DEFAULT = 6;
const BACKOFF_UNLIMITED = 2_147_483_647;
const INDEXES_MAX = 100_000;
const PARALLEL_MAX = 100_000;
const MANY_MAX = 10_000;
const CODES_MAX = 255;
const RULES_MAX = 20;
const ACTIONS = ["Count", "FailIndex", "FailJob", "Ignore"];
const BATCH = "io.k8s.api.batch.v1.";

/** Maps are shown in the order of their keys. */
const sortedKeys = (map: Readonly<Record<string, string>>) =>
  Object.fromEntries(Object.entries(map).sort(([left], [right]) => (left < right ? -1 : 1)));

const CONTROLLER_UID = "batch.kubernetes.io/controller-uid";
const JOB_NAME = "batch.kubernetes.io/job-name";

/** A Job's pods carry its name and uid, and it selects them by that. What a user wrote beside it stays. */
function selectOwnPods(object: KubeObject): KubeObject {
  const spec = (valueAt(object, "spec") ?? {}) as Json;
  if (spec["manualSelector"] === true) return object;
  const uid = object.metadata.uid ?? "";
  const name = object.metadata.name ?? "";
  const labels = {
    "controller-uid": uid,
    "job-name": name,
    [JOB_NAME]: name,
    [CONTROLLER_UID]: uid,
    ...(valueAt(spec, "template.metadata.labels") as Json | undefined),
  };
  const selector = (spec["selector"] ?? {}) as Json;
  const matchLabels = { ...(selector["matchLabels"] as Json | undefined) };
  const selected = setPath(object, ["spec", "selector"], {
    ...selector,
    matchLabels: { ...matchLabels, [CONTROLLER_UID]: matchLabels[CONTROLLER_UID] ?? uid },
  });
  return setPath(selected, ["spec", "template", "metadata", "labels"], labels);
}

const jobSpecDefaults = (spec: Json): Json => {
  const isBare = spec["completions"] === undefined && spec["parallelism"] === undefined;
  return fillTemplate(
    withFailurePolicy(
      filled(spec, {
        ...(isBare ? { completions: 1 } : {}),
        parallelism: 1,
        backoffLimit: spec["backoffLimitPerIndex"] === undefined ? BACKOFF_DEFAULT : BACKOFF_UNLIMITED,
        completionMode: "NonIndexed",
        suspend: false,
        manualSelector: false,
        podReplacementPolicy: spec["podFailurePolicy"] === undefined ? "TerminatingOrFailed" : "Failed",
      }),
    ),
  );
};

function withFailurePolicy(spec: Json): Json {
  const rules = listAt(spec, "podFailurePolicy.rules");
  if (!rules.some((rule) => listAt(rule, "onPodConditions").some((condition) => !condition["status"]))) return spec;
  return setPath(
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
  );
}

/** An object without labels takes those of its pods. */
function labelledAsPods(object: KubeObject): KubeObject {
  const labels = valueAt(object, "spec.template.metadata.labels") as Readonly<Record<string, string>> | undefined;
  return Object.keys(object.metadata.labels ?? {}).length > 0 || labels === undefined
    ? object
    : { ...object, metadata: { ...object.metadata, labels } };
}

const number = (spec: Json, name: string): number | undefined =>
  typeof spec[name] === "number" ? (spec[name] as number) : undefined;

const notNegative = (spec: Json, path: string, ...names: readonly string[]): FieldError[] =>
  names.flatMap((name) => {
    const value = number(spec, name);
    return value !== undefined && value < 0 ? [fieldInvalid(`${path}.${name}`, value, NOT_NEGATIVE)] : [];
  });

/** Mistakes of a Job's spec; a CronJob has one without a selector. */
function jobSpecErrors(spec: Json, path: string): FieldError[] {
  const errors = notNegative(
    spec,
    path,
    "parallelism",
    "completions",
    "activeDeadlineSeconds",
    "backoffLimit",
    "ttlSecondsAfterFinished",
    "backoffLimitPerIndex",
  );
  const perIndex = number(spec, "backoffLimitPerIndex");
  const failedMax = number(spec, "maxFailedIndexes");
  const completions = number(spec, "completions");
  const parallelism = number(spec, "parallelism") ?? 0;
  if (failedMax !== undefined) errors.push(...notNegative(spec, path, "maxFailedIndexes"));
  if (failedMax !== undefined && perIndex === undefined)
    errors.push(fieldRequired(`${path}.backoffLimitPerIndex`, "when maxFailedIndexes is specified"));
  errors.push(...managedByErrors(spec, path));
  const isIndexed = spec["completionMode"] === "Indexed";
  const isKnownMode = isIndexed || spec["completionMode"] === undefined || spec["completionMode"] === "NonIndexed";
  if (isIndexed) {
    if (completions === undefined) errors.push(fieldRequired(`${path}.completions`, "when completion mode is Indexed"));
    else {
      if (parallelism > PARALLEL_MAX)
        errors.push(
          fieldInvalid(
            `${path}.parallelism`,
            parallelism,
            `must be less than or equal to ${PARALLEL_MAX} when completion mode is Indexed`,
          ),
        );
      if (failedMax !== undefined && failedMax > completions)
        errors.push(fieldInvalid(`${path}.maxFailedIndexes`, failedMax, "must be less than or equal to completions"));
      if (failedMax !== undefined && failedMax > INDEXES_MAX)
        errors.push(
          fieldInvalid(`${path}.maxFailedIndexes`, failedMax, `must be less than or equal to ${INDEXES_MAX}`),
        );
      if (perIndex !== undefined && completions > INDEXES_MAX) {
        if (failedMax === undefined)
          errors.push(
            fieldRequired(`${path}.maxFailedIndexes`, `must be specified when completions is above ${INDEXES_MAX}`),
          );
        const text = `must be less than or equal to ${MANY_MAX} when completions are above ${INDEXES_MAX} and used with backoff limit per index`;
        if (parallelism > MANY_MAX) errors.push(fieldInvalid(`${path}.parallelism`, parallelism, text));
        if (failedMax !== undefined && failedMax > MANY_MAX)
          errors.push(fieldInvalid(`${path}.maxFailedIndexes`, failedMax, text));
      }
    }
  } else if (!isKnownMode)
    errors.push(fieldNotSupported(`${path}.completionMode`, spec["completionMode"], ["NonIndexed", "Indexed"]));
  if (!isIndexed && isKnownMode && perIndex !== undefined)
    errors.push(fieldInvalid(`${path}.backoffLimitPerIndex`, perIndex, "requires indexed completion mode"));
  if (!isIndexed && isKnownMode && failedMax !== undefined && perIndex !== undefined)
    errors.push(fieldInvalid(`${path}.maxFailedIndexes`, failedMax, "requires indexed completion mode"));
  errors.push(
    ...failurePolicyErrors(spec, `${path}.podFailurePolicy`),
    ...successPolicyErrors(spec, `${path}.successPolicy`),
    ...replacementErrors(spec, path),
    ...podTemplateErrors(spec["template"] as Json | undefined, `${path}.template`),
    ...restartErrors(spec, `${path}.template.spec.restartPolicy`),
  );
  return errors;
}

/** Pods of a Job must be able to end. */
function restartErrors(spec: Json, path: string): FieldError[] {
  const policy = valueAt(spec, "template.spec.restartPolicy");
  if (!policy || policy === "Always") return [fieldRequired(path, 'valid values: "OnFailure", "Never"')];
  if (policy !== "OnFailure" && policy !== "Never") return [fieldNotSupported(path, policy, ["OnFailure", "Never"])];
  return spec["podFailurePolicy"] !== undefined && policy !== "Never"
    ? [fieldInvalid(path, policy, 'only "Never" is supported when podFailurePolicy is specified')]
    : [];
}

function replacementErrors(spec: Json, path: string): FieldError[] {
  const policy = spec["podReplacementPolicy"];
  if (policy === undefined) return [];
  const allowed = spec["podFailurePolicy"] === undefined ? ["Failed", "TerminatingOrFailed"] : ["Failed"];
  return allowed.includes(String(policy)) ? [] : [fieldNotSupported(`${path}.podReplacementPolicy`, policy, allowed)];
}

function managedByErrors(spec: Json, path: string): FieldError[] {
  const by = spec["managedBy"];
  if (by === undefined) return [];
  const text = String(by);
  const where = `${path}.managedBy`;
  const at = text.indexOf("/");
  if (text === "") return [fieldRequired(where)];
  const errors =
    at < 0 || at === text.length - 1
      ? [fieldInvalid(where, text, 'must be a domain-prefixed path (such as "acme.io/foo")')]
      : subdomainErrorsAt(text.slice(0, at), where);
  if (text.length > 63)
    errors.push({ type: "FieldValueTooLong", field: where, message: "Too long: may not be more than 63 bytes" });
  return errors;
}

function failurePolicyErrors(spec: Json, path: string): FieldError[] {
  const policy = spec["podFailurePolicy"] as Json | undefined;
  if (policy === undefined) return [];
  const rules = listAt(policy, "rules");
  const errors: FieldError[] = [];
  if (rules.length > RULES_MAX) errors.push(fieldTooMany(`${path}.rules`, rules.length, RULES_MAX));
  const names = new Set(
    ["containers", "initContainers"].flatMap((list) =>
      listAt(spec, `template.spec.${list}`).map(({ name }) => String(name)),
    ),
  );
  for (const [at, rule] of rules.entries())
    errors.push(...failureRuleErrors(rule, `${path}.rules[${at}]`, spec, names));
  return errors;
}

/** A mistake whose value is not shown. */
const valueless = (field: string, detail: string): FieldError => ({
  type: "FieldValueInvalid",
  field,
  message: `Invalid value: ${detail}`,
});

function failureRuleErrors(rule: Json, path: string, spec: Json, names: ReadonlySet<string>): FieldError[] {
  const errors: FieldError[] = [];
  const { action } = rule;
  if (!action)
    errors.push(
      fieldRequired(`${path}.action`, `valid values: [${ACTIONS.map((name) => JSON.stringify(name)).join(" ")}]`),
    );
  else if (action === "FailIndex" && spec["backoffLimitPerIndex"] === undefined)
    errors.push(fieldInvalid(`${path}.action`, action, "requires the backoffLimitPerIndex to be set"));
  else if (!ACTIONS.includes(String(action))) errors.push(fieldNotSupported(`${path}.action`, action, ACTIONS));
  const codes = rule["onExitCodes"] as Json | undefined;
  const conditions = listAt(rule, "onPodConditions");
  if (codes !== undefined) errors.push(...exitCodeErrors(codes, `${path}.onExitCodes`, names));
  for (const [at, { status, type }] of conditions.entries()) {
    const where = `${path}.onPodConditions[${at}]`;
    errors.push(...labelKeyErrors(String(type ?? "")).map((text) => fieldInvalid(`${where}.type`, type ?? "", text)));
    if (!["False", "True", "Unknown"].includes(String(status)))
      errors.push(fieldNotSupported(`${where}.status`, status ?? "", ["False", "True", "Unknown"]));
  }
  if (codes !== undefined && conditions.length > 0)
    errors.push(valueless(path, "specifying both OnExitCodes and OnPodConditions is not supported"));
  if (codes === undefined && conditions.length === 0)
    errors.push(valueless(path, "specifying one of OnExitCodes and OnPodConditions is required"));
  return errors;
}

function exitCodeErrors(codes: Json, path: string, names: ReadonlySet<string>): FieldError[] {
  const errors: FieldError[] = [];
  const { operator, containerName } = codes;
  if (!operator) errors.push(fieldRequired(`${path}.operator`, 'valid values: ["In" "NotIn"]'));
  else if (operator !== "In" && operator !== "NotIn")
    errors.push(fieldNotSupported(`${path}.operator`, operator, ["In", "NotIn"]));
  if (containerName !== undefined && !names.has(String(containerName)))
    errors.push(
      fieldInvalid(
        `${path}.containerName`,
        containerName,
        "must be one of the container or initContainer names in the pod template",
      ),
    );
  const values = listAt(codes, "values") as unknown as readonly number[];
  if (values.length === 0)
    errors.push(fieldInvalid(`${path}.values`, codes["values"] ?? null, "at least one value is required"));
  if (values.length > CODES_MAX) errors.push(fieldTooMany(`${path}.values`, values.length, CODES_MAX));
  const seen = new Set<number>();
  let isOrdered = true;
  for (const [at, value] of values.entries()) {
    if (operator === "In" && value === 0)
      errors.push(fieldInvalid(`${path}.values[${at}]`, value, "must not be 0 for the In operator"));
    if (seen.has(value)) errors.push(fieldDuplicate(`${path}.values[${at}]`, value));
    else seen.add(value);
    if (at > 0 && (values[at - 1] as number) > value) isOrdered = false;
  }
  if (!isOrdered) errors.push(fieldInvalid(`${path}.values`, values, "must be ordered"));
  return errors;
}

function successPolicyErrors(spec: Json, path: string): FieldError[] {
  const policy = spec["successPolicy"] as Json | undefined;
  if (policy === undefined) return [];
  if (spec["completionMode"] !== "Indexed")
    return [fieldInvalid(path, goValue(`${BATCH}SuccessPolicy`, policy), "requires indexed completion mode")];
  const rules = listAt(policy, "rules");
  const completions = number(spec, "completions") ?? 0;
  const errors: FieldError[] = [];
  if (rules.length === 0)
    errors.push(
      fieldRequired(`${path}.rules`, "at least one rules must be specified when the successPolicy is specified"),
    );
  if (rules.length > RULES_MAX) errors.push(fieldTooMany(`${path}.rules`, rules.length, RULES_MAX));
  for (const [at, rule] of rules.entries())
    errors.push(...successRuleErrors(rule, `${path}.rules[${at}]`, completions));
  return errors;
}

function successRuleErrors(rule: Json, path: string, completions: number): FieldError[] {
  const { succeededCount: count, succeededIndexes: indexes } = rule;
  if (count === undefined && indexes === undefined)
    return [fieldRequired(path, "at least one of succeededCount or succeededIndexes must be specified")];
  const errors: FieldError[] = [];
  let total = 0;
  if (indexes !== undefined) {
    const counted = countIndexes(String(indexes), completions);
    if (typeof counted === "string")
      errors.push(fieldInvalid(`${path}.succeededIndexes`, indexes, `error parsing succeededIndexes: ${counted}`));
    else total = counted;
  }
  if (count === undefined) return errors;
  if (Number(count) < 0) errors.push(fieldInvalid(`${path}.succeededCount`, count, NOT_NEGATIVE));
  if (Number(count) > completions)
    errors.push(
      fieldInvalid(
        `${path}.succeededCount`,
        count,
        `must be less than or equal to ${completions} (the number of specified completions)`,
      ),
    );
  if (indexes !== undefined && Number(count) > total)
    errors.push(
      fieldInvalid(
        `${path}.succeededCount`,
        count,
        `must be less than or equal to ${total} (the number of indexes in the specified succeededIndexes field)`,
      ),
    );
  return errors;
}

/** How many indexes `0-2,5` names; a text when it names none, or one that is too large. */
function countIndexes(text: string, completions: number): number | string {
  let total = 0;
  let last = -1;
  if (text === "") return 0;
  for (const part of text.split(",")) {
    const ends = part.split("-");
    if (ends.length > 2)
      return `the fragment ${JSON.stringify(part)} violates the requirement that an index interval can have at most two parts separated by '-'`;
    const numbers: number[] = [];
    for (const end of ends) {
      if (!/^[+-]?\d+$/.test(end)) return `cannot convert string to integer for index: ${JSON.stringify(end)}`;
      const value = Number(end);
      if (value >= completions) return `too large index: ${JSON.stringify(end)}`;
      numbers.push(value);
    }
    const [first = 0, until = first] = numbers;
    if (last >= first) return `non-increasing order, previous: ${last}, current: ${first}`;
    if (numbers.length === 2 && first >= until) return `non-increasing order, previous: ${first}, current: ${until}`;
    total += until - first + 1;
    last = until;
  }
  return total;
}

/** A Job's spec with the selector of its pods. */
function selectingErrors(spec: Json): FieldError[] {
  const errors = jobSpecErrors(spec, "spec");
  const selector = spec["selector"] as Json | undefined;
  const wrong =
    selector === undefined ? [fieldRequired("spec.selector")] : labelSelectorErrors(selector, "spec.selector");
  errors.push(...wrong);
  if (wrong.length > 0 && selector !== undefined) return errors;
  const labels = heldAt(spec, "template.metadata.labels") as Readonly<Record<string, string>> | null;
  if (selector === undefined || compileLabelSelector(selector as LabelSelector)?.(labels ?? {}) !== true)
    errors.push(
      fieldInvalid(
        "spec.template.metadata.labels",
        labels === null ? null : sortedKeys(labels),
        "`selector` does not match template `labels`",
      ),
    );
  return errors;
}

const jobSpecOf = (object: KubeObject): Json => (valueAt(object, "spec") ?? {}) as Json;

const jobErrors = (object: KubeObject): FieldError[] => selectingErrors(jobSpecOf(object));

const labelOf = (job: KubeObject, label: string): unknown =>
  ((valueAt(job, "spec.template.metadata.labels") ?? {}) as Readonly<Record<string, unknown>>)[label];

/** What the server makes of a Job's selector must not be written by its user. */
function generatedSelectorErrors(object: KubeObject, spec: Json, old?: KubeObject): FieldError[] {
  if (spec["manualSelector"] === true || (old !== undefined && spec["selector"] === undefined)) return [];
  // A Job of long ago has the short labels alone.
  const isOfToday = old === undefined || labelOf(old, CONTROLLER_UID) !== undefined;
  const labels = (valueAt(spec, "template.metadata.labels") ?? {}) as Readonly<Record<string, string>>;
  const selector = spec["selector"] as Json | undefined;
  const path = "spec.template.metadata.labels";
  const errors: FieldError[] = [];
  const uid = object.metadata.uid ?? "";
  const name = object.metadata.name ?? "";
  const expected = [
    ["controller-uid", uid],
    ["job-name", name],
    ...(isOfToday
      ? ([
          [CONTROLLER_UID, uid],
          [JOB_NAME, name],
        ] as const)
      : []),
  ] as const;
  for (const [key, value] of expected)
    if (labels[key] === undefined) errors.push(fieldRequired(`${path}[${key}]`, `must be '${value}'`));
    else if (labels[key] !== value)
      errors.push(fieldInvalid(`${path}[${key}]`, sortedKeys(labels), `must be '${value}'`));
  const generated = { matchLabels: { [isOfToday ? CONTROLLER_UID : "controller-uid"]: uid } };
  if (selector !== undefined && !deepEqual(selector, generated))
    errors.push(
      fieldInvalid(
        "spec.selector",
        isMap(selector["matchLabels"])
          ? { ...selector, matchLabels: sortedKeys(selector["matchLabels"] as Readonly<Record<string, string>>) }
          : selector,
        "`selector` not auto-generated",
      ),
    );
  return errors;
}

/** Kubernetes looks at the spec of an update twice, and says it. */
function jobUpdateErrors(object: KubeObject, old: KubeObject): FieldError[] {
  const [spec, before] = [jobSpecOf(object), jobSpecOf(old)];
  const kept = (name: string, type?: string): FieldError[] =>
    deepEqual(spec[name] ?? null, before[name] ?? null)
      ? []
      : [
          fieldInvalid(
            `spec.${name}`,
            spec[name] === undefined ? null : type === undefined ? spec[name] : goValue(`${BATCH}${type}`, spec[name]),
            "field is immutable",
          ),
        ];
  return [
    ...selectingErrors(spec),
    ...completionErrors(spec, before),
    ...kept("selector"),
    ...templateUpdateErrors(object, old),
    ...kept("completionMode"),
    ...kept("podFailurePolicy", "PodFailurePolicy"),
    ...kept("backoffLimitPerIndex"),
    ...kept("managedBy"),
    ...kept("successPolicy", "SuccessPolicy"),
  ];
}

/** An indexed Job may be made larger or smaller together with its parallelism. */
function completionErrors(spec: Json, before: Json): FieldError[] {
  if (spec["completions"] === before["completions"]) return [];
  const isElastic =
    spec["completionMode"] === "Indexed" &&
    spec["completions"] !== undefined &&
    before["completions"] !== undefined &&
    spec["completions"] === spec["parallelism"];
  if (isElastic) return [];
  const text =
    spec["completionMode"] === "Indexed"
      ? "can only be modified in tandem with spec.parallelism"
      : "field is immutable";
  return [fieldInvalid("spec.completions", spec["completions"] ?? null, text)];
}

/** What may be said anew of the pods of a Job that is suspended and has not begun. */
const FREE_WHILE_SUSPENDED = ["nodeSelector", "tolerations", "schedulingGates"];

function templateUpdateErrors(object: KubeObject, old: KubeObject): FieldError[] {
  const isFree = valueAt(old, "spec.suspend") === true && valueAt(old, "status.startTime") === undefined;
  const [now, before] = [object, old].map((value) => (valueAt(value, "spec.template") ?? {}) as Json) as [Json, Json];
  if (deepEqual(now, before)) return [];
  if (!isFree) return [fieldInvalid("spec.template", goValue("PodTemplateSpec", now), "field is immutable")];
  const fixed = (template: Json) => {
    const spec = Object.fromEntries(
      Object.entries((template["spec"] ?? {}) as Json).filter(([key]) => !FREE_WHILE_SUSPENDED.includes(key)),
    ) as Record<string, unknown>;
    // Where its pods may run on nodes; how they stand to other pods keeps as it was.
    const { nodeAffinity: _node, ...affinity } = (spec["affinity"] ?? {}) as Record<string, unknown>;
    if (Object.keys(affinity).length === 0) delete spec["affinity"];
    else spec["affinity"] = affinity;
    for (const list of ["containers", "initContainers"])
      if (Array.isArray(spec[list]))
        spec[list] = listAt(spec, list).map(({ resources: _resources, ...container }) => container);
    return spec;
  };
  return deepEqual(fixed(now), fixed(before))
    ? []
    : [fieldInvalid("spec.template.spec", goValue("PodSpec", now["spec"]), "field is immutable")];
}

/** Lists of indexes, such as `1,3-5`. */
function indexListErrors(status: Json, spec: Json): FieldError[] {
  return ["completedIndexes", "failedIndexes"].flatMap((name) => {
    if (name === "failedIndexes" && status[name] !== undefined && spec["backoffLimitPerIndex"] === undefined)
      return [
        fieldInvalid(
          "status.failedIndexes",
          status[name],
          "cannot set non-null failedIndexes when backoffLimitPerIndex is null",
        ),
      ];
    const text = String(status[name] ?? "");
    if (text === "") return [];
    const refuse = (why: string) => [fieldInvalid(`status.${name}`, text, `error parsing ${name}: ${why}`)];
    let last: number | undefined;
    for (const part of text.split(",")) {
      const ends = part.split("-");
      if (ends.length > 2) return refuse(`too long interval: ${JSON.stringify(part)}`);
      for (const end of ends) {
        if (!/^[+-]?\d+$/.test(end))
          return refuse(`cannot convert string to integer for index: ${JSON.stringify(end)}`);
        const index = Number(end);
        if (last !== undefined && last >= index)
          return refuse(`non-increasing order, previous: ${last}, current: ${index}`);
        last = index;
      }
    }
    return [];
  });
}

/** Pods that ended and were not counted yet, each named once. */
function uncountedErrors(status: Json): FieldError[] {
  const wasThere = repetitions();
  return ["succeeded", "failed"].flatMap((name) =>
    (listAt(status, `uncountedTerminatedPods.${name}`) as readonly unknown[]).flatMap((uid, at) => {
      const [field, text] = [`status.uncountedTerminatedPods.${name}[${at}]`, String(uid ?? "")];
      if (text === "") return [fieldInvalid(field, "", "must not be empty")];
      const isKnown = wasThere(text);
      return isKnown ? [fieldDuplicate(field, text)] : [];
    }),
  );
}

function jobStatusErrors(object: KubeObject, old: KubeObject): FieldError[] {
  const status = (valueAt(object, "status") ?? {}) as Json;
  const before = (valueAt(old, "status") ?? {}) as Json;
  const count = (from: Json, name: string) => Number(from[name] ?? 0);
  const conditions = listAt(status, "conditions");
  const has = (type: string) => conditions.some((item) => item["type"] === type && item["status"] === "True");
  const errors = notNegative(status, "status", "active", "succeeded", "failed", "ready", "terminating");
  for (const name of ["failed", "succeeded"])
    if (count(status, name) < count(before, name))
      errors.push(fieldInvalid(`status.${name}`, count(status, name), `cannot decrease the ${name} counter`));
  if (count(status, "ready") > count(status, "active"))
    errors.push(fieldInvalid("status.ready", count(status, "ready"), "cannot set more ready pods than active"));
  errors.push(...indexListErrors(status, (valueAt(object, "spec") ?? {}) as Json), ...uncountedErrors(status));
  const isComplete = has("Complete");
  const [begun, ended] = ["startTime", "completionTime"].map((name) => Date.parse(String(status[name] ?? "")));
  if (isComplete && Number(ended) < Number(begun))
    errors.push(
      fieldInvalid("status.completionTime", status["completionTime"], "must be equal to or after `startTime`"),
    );
  if (isComplete && !status["completionTime"])
    errors.push(fieldRequired("status.completionTime", "completionTime is required for Complete jobs"));
  if (isComplete && !has("SuccessCriteriaMet"))
    errors.push(
      valueless(
        "status.conditions",
        "cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
      ),
    );
  if (has("Failed") && !has("FailureTarget"))
    errors.push(
      valueless("status.conditions", "cannot set Failed=True condition without the FailureTarget=true condition"),
    );
  if (has("SuccessCriteriaMet") && has("Failed"))
    errors.push(valueless("status.conditions", "cannot set SuccessCriteriaMet=True and Failed=true conditions"));
  if (isComplete && has("Failed"))
    errors.push(valueless("status.conditions", "cannot set Complete=True and Failed=true conditions"));
  if ((isComplete || has("Failed")) && !status["startTime"])
    errors.push(fieldRequired("status.startTime", "startTime is required for finished job"));
  if (status["completionTime"] && !isComplete)
    errors.push(
      fieldInvalid(
        "status.completionTime",
        status["completionTime"],
        "cannot set completionTime when there is no Complete=True condition",
      ),
    );
  return errors;
}

function cronErrors(object: KubeObject): FieldError[] {
  const spec = (valueAt(object, "spec") ?? {}) as Json;
  const errors = scheduleErrors(spec, "spec");
  errors.push(...notNegative(spec, "spec", "startingDeadlineSeconds"), ...zoneErrors(spec["timeZone"]));
  const policy = spec["concurrencyPolicy"];
  if (!policy) errors.push(fieldRequired("spec.concurrencyPolicy"));
  else if (!["Allow", "Forbid", "Replace"].includes(String(policy)))
    errors.push(fieldNotSupported("spec.concurrencyPolicy", policy, ["Allow", "Forbid", "Replace"]));
  errors.push(...cronTemplateErrors((spec["jobTemplate"] ?? {}) as Json, "spec.jobTemplate"));
  return [...errors, ...notNegative(spec, "spec", "successfulJobsHistoryLimit", "failedJobsHistoryLimit")];
}

function cronTemplateErrors(template: Json, path: string): FieldError[] {
  const spec = (template["spec"] ?? {}) as Json;
  return [
    ...jobSpecErrors(spec, `${path}.spec`),
    ...(spec["selector"] === undefined
      ? []
      : [fieldInvalid(`${path}.spec.selector`, spec["selector"], "`selector` will be auto-generated")]),
    ...(spec["manualSelector"] === true
      ? [fieldNotSupported(`${path}.spec.manualSelector`, true, ["nil", "false"])]
      : []),
  ];
}

export const jobRules: Readonly<Record<string, Strategy>> = {
  "batch/Job": {
    rulesAreWhole: true,
    dependentsByDefault: "Orphan",
    applyDefaults: (object) =>
      withSpec(jobSpecDefaults)(valueAt(object, "spec.manualSelector") === true ? labelledAsPods(object) : object),
    prepareForCreate: (object) => labelledAsPods(selectOwnPods(object)),
    validateCreate: (object) => generatedSelectorErrors(object, jobSpecOf(object)),
    validate: (object, old) => [
      ...(old === undefined ? [] : generatedSelectorErrors(object, jobSpecOf(object), old)),
      ...jobErrors(object),
    ],
    validateUpdate: jobUpdateErrors,
    validateStatus: jobStatusErrors,
    fields: (object) => ({ "status.successful": String(valueAt(object, "status.succeeded") ?? 0) }),
    hasTemplate: "spec.template",
  },
  "batch/CronJob": {
    rulesAreWhole: true,
    applyDefaults: withSpec((spec) => {
      const template = (spec["jobTemplate"] ?? {}) as Json;
      const jobSpec = (template["spec"] ?? {}) as Json;
      const next = fillTemplate(jobSpec);
      const complete = filled(spec, {
        concurrencyPolicy: "Allow",
        suspend: false,
        successfulJobsHistoryLimit: 3,
        failedJobsHistoryLimit: 1,
      });
      return next === jobSpec ? complete : { ...complete, jobTemplate: { ...template, spec: next } };
    }),
    validate: cronErrors,
    hasTemplate: "spec.jobTemplate.spec.template",
  },
};
