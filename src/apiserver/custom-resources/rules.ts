import { deepEqual } from "#base";
import {
  bool,
  CelBudgetError,
  CelCompileError,
  CelInstantiationError,
  CelEnvironment,
  CelRuntimeError,
  type CelType,
  CelTypeError,
  CostBudget,
  ESTIMATED_COST_MAX,
  fromJson,
  mostInOneRequest,
  Optional,
  type Program,
  schemaType,
  string,
} from "#cel";
import {
  type FieldError,
  fieldForbidden,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  isJsonObject,
  type JsonSchema,
  type ValidationRule,
} from "#machinery";

/** A rule of `x-kubernetes-validations`, ready to run. */
interface CompiledRule {
  readonly rule: ValidationRule;
  readonly program: Program;
  readonly message: Program | undefined;
  readonly usesOldSelf: boolean;
}

/** What rules find: mistakes, and such as were there before, where somebody hears of them. */
interface Findings {
  readonly errors: FieldError[];
  readonly spared: FieldError[] | undefined;
}

/** What a rule without any bound counts for in the cost of all. */
const UNBOUNDED_FACTOR = 1_000_000;
const OLD_SELF = /(?<![\w."'])oldSelf\b/;
const REASONS = ["FieldValueInvalid", "FieldValueForbidden", "FieldValueRequired", "FieldValueDuplicate"] as const;

function environmentOf(type: CelType, rule: ValidationRule): CelEnvironment {
  const oldSelf: CelType = rule.optionalOldSelf ? { kind: "optional", of: type } : type;
  return new CelEnvironment({ variables: { self: type, oldSelf } });
}

function compileRule(rule: ValidationRule, type: CelType): CompiledRule {
  const environment = environmentOf(type, rule);
  return {
    rule,
    program: environment.compile(rule.rule, bool),
    message: rule.messageExpression ? environment.compile(rule.messageExpression, string) : undefined,
    usesOldSelf: OLD_SELF.test(rule.rule),
  };
}

/** The rules of a schema and of all below it, compiled when first asked for. */
export class SchemaRules {
  readonly #schema: JsonSchema;
  readonly #isRoot: boolean;
  #own: readonly CompiledRule[] | undefined;
  #type: CelType | undefined;
  readonly #children = new Map<string, SchemaRules>();
  readonly #hasAny: boolean;
  /** Whether a rule here or below asks what was there before. */
  readonly #asksPast: boolean;

  /** Whether what did not change is looked at all the same. */
  readonly #looksAtAll: boolean;

  constructor(schema: JsonSchema, { isRoot = true, looksAtAll = false } = {}) {
    this.#schema = schema;
    this.#isRoot = isRoot;
    this.#looksAtAll = looksAtAll;
    this.#hasAny = holdsRules(schema, () => true);
    this.#asksPast = holdsRules(schema, (rule) => OLD_SELF.test(rule.rule));
  }

  get hasAny(): boolean {
    return this.#hasAny;
  }

  /**
   * Mistakes of a value, given what it was before: `undefined` where there was nothing. What did not change is spared by
   * all rules but those that ask for the past. Throws `CelBudgetError` when the budget is spent.
   */
  check(value: unknown, old: unknown, path: string, budget: CostBudget, found: Findings, isWithinSame = false): void {
    if (!this.#hasAny || value === undefined || value === null) return;
    const isSame = isWithinSame || (old !== undefined && !this.#looksAtAll && deepEqual(value, old));
    if (isSame && found.spared === undefined && !this.#asksPast) return;
    this.#checkOwn(value, old, path, budget, found, isSame);
    if (Array.isArray(value)) {
      const before = this.#itemsBefore(old);
      for (const [at, item] of value.entries())
        this.#child("[]", this.#schema.items)?.check(item, before(item), `${path}[${at}]`, budget, found, isSame);
    } else if (isJsonObject(value))
      for (const [key, member] of Object.entries(value)) {
        const { properties, additionalProperties } = this.#schema;
        const declared = properties !== undefined && Object.hasOwn(properties, key) ? properties[key] : undefined;
        const schema = declared ?? (typeof additionalProperties === "object" ? additionalProperties : undefined);
        const was = isJsonObject(old) && Object.hasOwn(old, key) ? old[key] : undefined;
        const at = declared !== undefined ? (path === "" ? key : `${path}.${key}`) : `${path}[${key}]`;
        this.#child(declared !== undefined ? `.${key}` : "{}", schema)?.check(member, was, at, budget, found, isSame);
      }
  }

  #child(key: string, schema: JsonSchema | undefined): SchemaRules | undefined {
    if (schema === undefined) return undefined;
    let child = this.#children.get(key);
    if (child === undefined)
      this.#children.set(key, (child = new SchemaRules(schema, { isRoot: false, looksAtAll: this.#looksAtAll })));
    return child;
  }

  /** Items of lists by key are followed by it; items of other lists have no past. */
  #itemsBefore(old: unknown): (item: unknown) => unknown {
    const keys = this.#schema["x-kubernetes-list-map-keys"] ?? [];
    if (!Array.isArray(old) || this.#schema["x-kubernetes-list-type"] !== "map") return () => undefined;
    const identity = (item: unknown) =>
      JSON.stringify(keys.map((key) => (isJsonObject(item) ? (item[key] ?? null) : null)));
    const before = new Map(old.map((item: unknown) => [identity(item), item]));
    return (item) => before.get(identity(item));
  }

  #checkOwn(value: unknown, old: unknown, path: string, budget: CostBudget, found: Findings, isSame: boolean): void {
    const rules = this.#schema["x-kubernetes-validations"];
    if (rules === undefined || rules.length === 0) return;
    const type = (this.#type ??= schemaType(this.#schema, undefined, this.#isRoot));
    this.#own ??= rules.map((rule) => compileRule(rule, type));
    const self = fromJson(value, type);
    const before = old === undefined || old === null ? undefined : fromJson(old, type);
    for (const compiled of this.#own) {
      const { rule, program, message, usesOldSelf } = compiled;
      // A rule about a change says nothing of what is new, unless it says so.
      if (usesOldSelf && before === undefined && !rule.optionalOldSelf) continue;
      const errors = isSame && !usesOldSelf ? found.spared : found.errors;
      if (errors === undefined) continue;
      const oldSelf = rule.optionalOldSelf ? new Optional(before) : (before ?? null);
      const variables = { self, oldSelf };
      const at = rule.fieldPath
        ? `${path}${stepsOf(this.#schema, rule.fieldPath)?.join("") ?? ""}`.replace(/^\./, "")
        : path;
      let isHeld: unknown;
      try {
        isHeld = program.run(variables, budget);
      } catch (error) {
        if (error instanceof CelBudgetError) throw error;
        if (!(error instanceof CelRuntimeError)) throw error;
        const shown = rule.message?.trim() || rule.rule.trim();
        errors.push(
          fieldInvalid(path || "<nil>", this.#schema.type ?? "", `${error.message} evaluating rule: ${shown}`),
        );
        continue;
      }
      if (isHeld === true) continue;
      const text = messageOf(rule, message, () => message?.run(variables, budget));
      // The whole object has no name.
      errors.push(errorOf(rule.reason, at === "" ? "<nil>" : at, value, text));
    }
  }
}

/** A mistake of a value; objects and lists are not shown in these messages. */
const ruleInvalid = (path: string, value: unknown, message: string): FieldError =>
  typeof value === "object"
    ? { type: "FieldValueInvalid", field: path, message: `Invalid value: ${message}` }
    : fieldInvalid(path, value, message);

function messageOf(rule: ValidationRule, program: Program | undefined, run: () => unknown): string {
  const fallback = rule.message ?? `failed rule: ${rule.rule.trim()}`;
  if (program === undefined) return fallback;
  try {
    const text = run();
    return typeof text === "string" && text.trim() !== "" && !/[\r\n]/.test(text.trim()) && text.length <= 5_120
      ? text.trim()
      : fallback;
  } catch (error) {
    if (error instanceof CelBudgetError) throw error;
    return fallback;
  }
}

function errorOf(reason: string | undefined, path: string, value: unknown, message: string): FieldError {
  switch (reason) {
    case "FieldValueForbidden":
      return fieldForbidden(path, message);
    case "FieldValueRequired":
      return fieldRequired(path, message);
    case "FieldValueDuplicate":
      return {
        type: "FieldValueDuplicate",
        field: path,
        message: typeof value === "object" ? "Duplicate value" : `Duplicate value: ${JSON.stringify(value)}`,
      };
    default:
      return ruleInvalid(path, value, message);
  }
}

/** A rule as Kubernetes shows it in messages. */
const shownRule = (rule: ValidationRule) => ({
  Rule: rule.rule,
  Message: rule.message ?? "",
  MessageExpression: rule.messageExpression ?? "",
  Reason: rule.reason ?? null,
  FieldPath: rule.fieldPath ?? "",
  OptionalOldSelf: rule.optionalOldSelf ?? null,
});

/** Whether a schema, or one below it, has a rule that is wanted. */
function holdsRules(schema: JsonSchema | undefined, isWanted: (rule: ValidationRule) => boolean): boolean {
  if (schema === undefined) return false;
  if ((schema["x-kubernetes-validations"] ?? []).some(isWanted)) return true;
  const { properties = {}, items, additionalProperties } = schema;
  return (
    Object.values(properties).some((property) => holdsRules(property, isWanted)) ||
    holdsRules(items, isWanted) ||
    (typeof additionalProperties === "object" && holdsRules(additionalProperties, isWanted))
  );
}

const compiled = new WeakMap<JsonSchema, SchemaRules>();

function rulesOf(schema: JsonSchema): SchemaRules {
  let rules = compiled.get(schema);
  if (rules === undefined) compiled.set(schema, (rules = new SchemaRules(schema)));
  return rules;
}

/** Mistakes that rules find in an object; those of what did not change are no mistakes, and are put into `spared`. */
export const ruleErrors = (
  schema: JsonSchema,
  object: unknown,
  old: unknown,
  spared?: FieldError[],
): readonly FieldError[] => checked(rulesOf(schema), object, old, spared);

/** Mistakes that the rules of a schema find in its default, which was the same before. Rules that do not compile say nothing. */
export function defaultRuleErrors(schema: JsonSchema, value: unknown): readonly FieldError[] {
  try {
    return checked(new SchemaRules(schema, { isRoot: false, looksAtAll: true }), value, value);
  } catch (error) {
    if (error instanceof CelCompileError || error instanceof CelTypeError) return [];
    throw error;
  }
}

function checked(rules: SchemaRules, object: unknown, old: unknown, spared?: FieldError[]): readonly FieldError[] {
  if (!rules.hasAny) return [];
  const errors: FieldError[] = [];
  try {
    rules.check(object, old, "", new CostBudget(), { errors, spared });
  } catch (error) {
    if (!(error instanceof CelBudgetError)) throw error;
    errors.push(
      fieldInvalid(
        "<nil>",
        null,
        "call cost exceeds limit for rule: the rules of this resource cost too much for this object; no further rules were run",
      ),
    );
  }
  return errors;
}

/** Whether a schema holds rules anywhere. */
export const hasRules = (schema: JsonSchema): boolean => rulesOf(schema).hasAny;

/** Mistakes of rules that need no compiler to be seen. */
export function ruleFormErrors(schema: JsonSchema, path: string): FieldError[] {
  return (schema["x-kubernetes-validations"] ?? []).flatMap((rule, at) => {
    const place = `${path}.x-kubernetes-validations[${at}]`;
    const { message, messageExpression, reason, fieldPath } = rule;
    if (typeof rule.rule !== "string" || rule.rule.trim() === "")
      return [fieldRequired(`${place}.rule`, "rule is not specified")];
    const errors: FieldError[] = [];
    if (message !== undefined && message !== "" && message.trim() === "")
      errors.push(fieldInvalid(`${place}.message`, message, "must be non-empty if specified"));
    else if (/[\r\n]/.test(message?.trim() ?? ""))
      errors.push(fieldInvalid(`${place}.message`, message, "must not contain line breaks"));
    else if (!message && /[\r\n]/.test(rule.rule.trim()))
      errors.push(fieldRequired(`${place}.message`, "message must be specified if rule contains line breaks"));
    if (messageExpression && messageExpression.trim() === "")
      errors.push(fieldRequired(`${place}.messageExpression`, "messageExpression must be non-empty if specified"));
    if (reason !== undefined && !(REASONS as readonly string[]).includes(reason))
      errors.push(fieldNotSupported(`${place}.reason`, reason, REASONS.toSorted()));
    if (fieldPath && fieldPath.trim() === "")
      errors.push(fieldInvalid(`${place}.fieldPath`, fieldPath, "must be non-empty if specified"));
    if (fieldPath && /[\r\n]/.test(fieldPath))
      errors.push(fieldInvalid(`${place}.fieldPath`, fieldPath, "must not contain line breaks"));
    if (fieldPath && stepsOf(schema, fieldPath) === undefined)
      errors.push(fieldInvalid(`${place}.fieldPath`, fieldPath, "must be a valid path"));
    return errors;
  });
}

/** Mistakes that a compiler finds in the rules of a schema, and what the rules are estimated to cost. */
export function rulesErrors(
  schema: JsonSchema,
  path: string,
  { isRoot, uncorrelatable, cardinality }: RulePlace,
): { readonly errors: readonly FieldError[]; readonly spent: readonly Spent[] } {
  const errors: FieldError[] = [];
  const spent: Spent[] = [];
  const type = schemaType(schema, undefined, isRoot);
  for (const [at, rule] of (schema["x-kubernetes-validations"] ?? []).entries()) {
    const place = `${path}.x-kubernetes-validations[${at}]`;
    if (OLD_SELF.test(rule.rule) && uncorrelatable !== undefined)
      errors.push(
        fieldInvalid(
          `${place}.rule`,
          rule.rule,
          `oldSelf cannot be used on the uncorrelatable portion of the schema within ${uncorrelatable}`,
        ),
      );
    const environment = environmentOf(type, rule);
    const compile = (member: "rule" | "messageExpression", text: string, wanted: CelType, name: string): boolean => {
      try {
        const program = environment.compile(text, wanted);
        const estimate = program.estimatedCost * (cardinality ?? mostInOneRequest(schema));
        spent.push({ field: `${place}.${member}`, cost: Math.min(estimate, ESTIMATED_COST_MAX * UNBOUNDED_FACTOR) });
        if (estimate > ESTIMATED_COST_MAX)
          errors.push(
            fieldForbidden(
              `${place}.${member}`,
              `estimated ${member} cost exceeds budget by factor of ${factorOf(estimate / ESTIMATED_COST_MAX)} (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)`,
            ),
          );
        return true;
      } catch (error) {
        if (error instanceof CelTypeError)
          errors.push(
            fieldInvalid(
              `${place}.${member}`,
              shownRule(rule),
              `${name} must evaluate to a ${wanted === bool ? "bool" : "string"}`,
            ),
          );
        else if (error instanceof CelCompileError)
          errors.push(
            fieldInvalid(
              `${place}.${member}`,
              shownRule(rule),
              error instanceof CelInstantiationError
                ? `${member === "rule" ? "program" : "messageExpression"} ${error.message}`
                : `${member === "rule" ? "" : "messageExpression "}compilation failed: ${error.message}`,
            ),
          );
        else throw error;
        return false;
      }
    };
    const isSound = compile("rule", rule.rule, bool, "cel expression");
    // A rule that nobody understands uses nothing.
    if (rule.optionalOldSelf !== undefined && !(isSound && OLD_SELF.test(rule.rule)))
      errors.push(
        fieldInvalid(`${place}.optionalOldSelf`, rule.optionalOldSelf, "may not be set if oldSelf is not used in rule"),
      );
    if (rule.messageExpression?.trim())
      compile("messageExpression", rule.messageExpression, string, "messageExpression");
  }
  return { errors, spent };
}

/** What an expression is estimated to cost in one request, and where it stands. */
export interface Spent {
  readonly field: string;
  readonly cost: number;
}

export interface RulePlace {
  readonly isRoot: boolean;
  /** Path of the list above whose items cannot be followed, if there is one. */
  readonly uncorrelatable: string | undefined;
  /** How many values of the schema one object can hold; undefined where nothing but the size of a request bounds them. */
  readonly cardinality: number | undefined;
}

export const factorOf = (factor: number): string => {
  if (factor > 100) return "more than 100x";
  // A factor close to one is not to read as one.
  return `${factor.toFixed(factor < 1.5 ? 6 : 1)}x`;
};

const FIELD_PATH = /^(?:\.[^.[\]\s]+|\['[^']+'\])+$/;

/** The steps of a path as messages show them: members by name, keys of maps in brackets; `undefined` where the schema has no such place. */
function stepsOf(schema: JsonSchema, fieldPath: string): readonly string[] | undefined {
  if (!FIELD_PATH.test(fieldPath)) return undefined;
  const steps: string[] = [];
  let at: JsonSchema = schema;
  for (const [, quoted, plain] of fieldPath.matchAll(/\['([^']+)'\]|\.([^.[\]]+)/g)) {
    const step = quoted ?? plain ?? "";
    const { properties, additionalProperties } = at;
    const declared = properties !== undefined && Object.hasOwn(properties, step) ? properties[step] : undefined;
    if (declared !== undefined) {
      steps.push(`.${step}`);
      at = declared;
    } else if (typeof additionalProperties === "object") {
      steps.push(`[${step}]`);
      at = additionalProperties;
    } else return undefined;
  }
  return steps;
}
