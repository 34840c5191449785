/** What webhooks and policies have in common: rules, selectors, conditions and expressions, in kube-apiserver's words. */
import {
  bool,
  CelCompileError,
  CelInstantiationError,
  type CelEnvironment,
  type CelType,
  CelTypeError,
  formatType,
} from "#cel";
import {
  type FieldError,
  fieldDuplicate,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  fieldTooMany,
  labelKeyErrors,
} from "#machinery";
import { labelSelectorErrors, repetitions } from "../builtin/checks.ts";
import { conditionEnvironment } from "./scope.ts";
import type { MatchCondition, Rule } from "./types.ts";

const CONDITIONS_MAX = 64;

/**
 * The mistake of an expression, as an error of its field. Its type must be one of those wanted exactly: what may be
 * anything is not good enough.
 */
export function expressionErrors(
  environment: CelEnvironment,
  source: string | undefined,
  field: string,
  wanted: readonly CelType[],
  missing: string,
  shown = source,
): FieldError[] {
  if (source === undefined || source.trim() === "") return [fieldRequired(field, missing)];
  try {
    const { type } = environment.compile(source);
    const fits = (one: CelType) =>
      formatType(one) === formatType(type) ||
      // A list that may be empty says nothing of its items.
      (one.kind === "list" && formatType(type) === "list(dyn)");
    if (wanted.length === 0 || wanted.some(fits)) return [];
    const names = wanted.map(formatType);
    // A list of types shows their own names, a single one the name that messages have for it.
    const expected = names.length === 1 ? names[0] : `one of [${names.join(" ").replace(/\bnull\b/, "null_type")}]`;
    return [fieldInvalid(field, shown, `must evaluate to ${expected} but got ${formatType(type)}`)];
  } catch (error) {
    if (error instanceof CelInstantiationError) return [fieldInvalid(field, shown, error.message)];
    if (error instanceof CelTypeError || error instanceof CelCompileError)
      return [fieldInvalid(field, shown, `compilation failed: ${error.message}`)];
    throw error;
  }
}

export function conditionErrors(
  list: readonly MatchCondition[] | undefined,
  field: string,
  hasParams: boolean,
): FieldError[] {
  if (list === undefined) return [];
  const errors: FieldError[] = list.length > CONDITIONS_MAX ? [fieldTooMany(field, list.length, CONDITIONS_MAX)] : [];
  const wasThere = repetitions();
  for (const [at, { name, expression }] of list.entries()) {
    const path = `${field}[${at}]`;
    errors.push(...expressionErrors(conditionEnvironment(hasParams), expression, `${path}.expression`, [bool], ""));
    const isRepeated = wasThere(name);
    if (!name) errors.push(fieldRequired(`${path}.name`));
    else if (isRepeated) errors.push(fieldDuplicate(`${path}.name`, name));
    else errors.push(...labelKeyErrors(name).map((text) => fieldInvalid(`${path}.name`, name, text)));
  }
  return errors;
}

const OPERATIONS = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
const WORDS = { operations: "operations", apiGroups: "API groups", apiVersions: "API versions" } as const;

/** What is wrong with the rules that say which requests are meant. */
export function ruleErrors(rules: readonly Rule[] | undefined, field: string): FieldError[] {
  return (rules ?? []).flatMap((rule, at) => {
    const path = `${field}[${at}]`;
    const names = rule.resourceNames ?? [];
    const errors: FieldError[] = names.flatMap((name, index) =>
      names.indexOf(name) < index ? [fieldDuplicate(`${path}.resourceNames[${index}]`, name)] : [],
    );
    for (const key of ["operations", "apiGroups", "apiVersions"] as const) {
      const list = rule[key] ?? [];
      if (list.length === 0) errors.push(fieldRequired(`${path}.${key}`));
      if (list.length > 1 && list.includes("*"))
        errors.push(fieldInvalid(`${path}.${key}`, list, `if '*' is present, must not specify other ${WORDS[key]}`));
      for (const [index, one] of list.entries())
        if (key === "operations" && !OPERATIONS.includes(one))
          errors.push(fieldNotSupported(`${path}.operations[${index}]`, one, OPERATIONS));
        else if (key === "apiVersions" && one === "") errors.push(fieldRequired(`${path}.apiVersions[${index}]`));
    }
    errors.push(...resourceErrors(rule.resources ?? [], `${path}.resources`));
    if (rule.scope !== undefined && !["*", "Cluster", "Namespaced"].includes(rule.scope))
      errors.push(fieldNotSupported(`${path}.scope`, rule.scope, ["*", "Cluster", "Namespaced"]));
    return errors;
  });
}

function resourceErrors(resources: readonly string[], field: string): FieldError[] {
  if (resources.length === 0) return [fieldRequired(field)];
  const errors: FieldError[] = [];
  const whole = new Set<string>();
  const everywhere = new Set<string>();
  let hasPlain = false;
  for (const [at, text] of resources.entries()) {
    if (text === "") {
      errors.push(fieldRequired(`${field}[${at}]`));
      continue;
    }
    const slash = text.indexOf("/");
    if (slash < 0) {
      hasPlain = text !== "*";
      continue;
    }
    const [resource, subresource] = [text.slice(0, slash), text.slice(slash + 1)];
    const refuse = (present: string, other: string) =>
      errors.push(fieldInvalid(`${field}[${at}]`, text, `if '${present}' is present, must not specify ${other}`));
    if (whole.has(resource)) refuse(`${resource}/*`, text);
    if (everywhere.has(subresource)) refuse(`*/${subresource}`, text);
    if (subresource === "*") whole.add(resource);
    if (resource === "*") everywhere.add(subresource);
  }
  if (resources.length > 1 && resources.includes("*/*"))
    errors.push(fieldInvalid(field, resources, "if '*/*' is present, must not specify other resources"));
  if (resources.includes("*") && hasPlain)
    errors.push(
      fieldInvalid(field, resources, "if '*' is present, must not specify other resources without subresources"),
    );
  return errors;
}

export const selectorErrors = (selector: unknown, field: string): FieldError[] =>
  selector === undefined ? [] : labelSelectorErrors(selector, field);

export function oneOf(value: string | undefined, field: string, supported: readonly string[]): FieldError[] {
  return value === undefined || supported.includes(value) ? [] : [fieldNotSupported(field, value, supported)];
}
