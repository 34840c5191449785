/** Admission of CronFederatedHPA: schedules that can run, and something to scale to. */
import { CronPattern } from "croner";
import type { CronFederatedHPA } from "#apis/karmada";
import type { AdmissionPlugin } from "#apiserver";
import { fieldDuplicate, type FieldError, fieldInvalid, subdomainErrors } from "#machinery";
import { denied } from "../denied.ts";
import { scaleTargetErrors } from "../formats.ts";

type Rule = CronFederatedHPA["spec"]["rules"][number];

const DESCRIPTORS = ["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"];
const FIVE_FIELDS = /^[-0-9A-Za-z*/,?]+( +[-0-9A-Za-z*/,?]+){4}$/;
const DURATION = /^@every (\d+(\.\d+)?(ms|us|ns|h|m|s))+$/;

/** Whether a schedule can run: five fields or a descriptor. The answer never depends on when it is asked. */
export function isRunnableSchedule(schedule: string): boolean {
  if (schedule.startsWith("@")) return DESCRIPTORS.includes(schedule) || DURATION.test(schedule);
  const fields = schedule.trim();
  const [, , day = ""] = fields.split(/ +/);
  // Letters spell months and weekdays only; `L`, `W` and day 0 have no date.
  if (!FIVE_FIELDS.test(fields) || /[A-Za-z]/.test(day) || day.split(",").some((part) => /^0+($|[-/])/.test(part)))
    return false;
  if (/[0-9]L|\bL\b|W\b/.test(fields.toUpperCase())) return false;
  try {
    return new CronPattern(fields, undefined, { mode: "5-part" }) !== undefined;
  } catch {
    return false;
  }
}

function isTimeZone(name: string): boolean {
  if (name === "" || name === "UTC" || name === "Local") return true;
  try {
    return new Intl.DateTimeFormat("en", { timeZone: name }).resolvedOptions().timeZone !== "";
  } catch {
    return false;
  }
}

function federatedTargetErrors({ targetMinReplicas: min, targetMaxReplicas: max }: Rule, path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (min === undefined && max === undefined)
    errors.push(
      fieldInvalid(
        `${path}.targetMaxReplicas`,
        "",
        "targetMinReplicas and targetMaxReplicas cannot be nil at the same time if you want to scale FederatedHPA",
      ),
    );
  if (min !== undefined && min <= 0)
    errors.push(fieldInvalid(`${path}.targetMinReplicas`, min, "targetMinReplicas should be larger than 0"));
  if (max !== undefined && max <= 0)
    errors.push(fieldInvalid(`${path}.targetMaxReplicas`, max, "targetMaxReplicas should be larger than 0"));
  if (min !== undefined && max !== undefined && min > max)
    errors.push(
      fieldInvalid(
        `${path}.targetMinReplicas`,
        min,
        "targetMaxReplicas should be larger than or equal to targetMinReplicas",
      ),
    );
  return errors;
}

function replicasErrors({ targetReplicas }: Rule, path: string, kind: string): FieldError[] {
  if (targetReplicas === undefined)
    return [fieldInvalid(`${path}.targetReplicas`, "", `targetReplicas cannot be nil if you want to scale ${kind}`)];
  return targetReplicas < 0
    ? [fieldInvalid(`${path}.targetReplicas`, targetReplicas, "targetReplicas should be larger than or equal to 0")]
    : [];
}

export function cronFederatedHpaErrors({ metadata, spec }: CronFederatedHPA): FieldError[] {
  const { scaleTargetRef: target, rules } = spec;
  const isFederated = target.apiVersion === "autoscaling.karmada.io/v1alpha1";
  if (isFederated && target.kind !== "FederatedHPA")
    return [
      fieldInvalid(
        "spec.scaleTargetRef.kind",
        target.kind,
        `invalid scaleTargetRef kind: ${target.kind}, only support FederatedHPA`,
      ),
    ];
  const name = metadata.name ?? "";
  const errors = subdomainErrors(name, "metadata.name");
  errors.push(...scaleTargetErrors(target, "spec.scaleTargetRef"));
  for (const [at, rule] of rules.entries()) {
    const path = `spec.rules[${at}]`;
    if (rules.findIndex((other) => other.name === rule.name) < at)
      errors.push(fieldDuplicate(`${path}.name`, rule.name));
    if (!isRunnableSchedule(rule.schedule))
      errors.push(fieldInvalid(`${path}.schedule`, rule.schedule, "invalid cron format"));
    if (rule.timeZone !== undefined && !isTimeZone(rule.timeZone))
      errors.push(fieldInvalid(`${path}.timeZone`, rule.timeZone, `unknown time zone ${rule.timeZone}`));
    errors.push(...(isFederated ? federatedTargetErrors(rule, path) : replicasErrors(rule, path, target.kind)));
  }
  return errors;
}

export const cronFederatedHpaAdmission: AdmissionPlugin = {
  name: "cronfederatedhpa.karmada.io",
  handles: ({ definition, operation, subresource }) =>
    definition.kind.group === "autoscaling.karmada.io" &&
    definition.kind.resource === "cronfederatedhpas" &&
    operation !== "DELETE" &&
    subresource === undefined,
  validate({ object }) {
    const errors = cronFederatedHpaErrors(object as CronFederatedHPA);
    if (errors.length > 0) throw denied("cronfederatedhpa.karmada.io", errors);
  },
};
