/** Flow schemas and priority levels: their defaults, and what they must keep to, in kube-apiserver's order and words. */
import {
  DNS_LABEL,
  DNS_LABEL_TEXT,
  type FieldError,
  fieldDuplicate,
  fieldForbidden,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  type KubeObject,
  setPath,
} from "#machinery";
import { deepEqual } from "#base";
import type { Strategy } from "../definition.ts";
import { bootstrapLevels, bootstrapSchemas } from "../flow/bootstrap.ts";
import { filled, listAt, repetitions, specOf, valueAt } from "./checks.ts";
import { goValue } from "./go-values.ts";
import { dnsLabelErrors, subdomainErrorsAt } from "./name-checks.ts";
import type { Json } from "./pod-defaults.ts";

const GROUP = "io.k8s.api.flowcontrol.v1.";
const VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"];
const SUBJECTS = { User: "user", Group: "group", ServiceAccount: "serviceAccount" } as const;
const PRECEDENCE_MAX = 10_000;
const QUEUES_MAX = 10_000_000;
const ENTROPY_BITS_MAX = 60;

const textsAt = (value: unknown, path: string) => listAt(value, path) as unknown as readonly string[];

/** A list that holds `*` holds nothing else. */
const starErrors = (values: readonly string[], path: string, others: string): FieldError[] =>
  values.length > 1 && values.includes("*")
    ? [fieldInvalid(path, values, `if '*' is present, must not specify other ${others}`)]
    : [];

function verbErrors(rule: Json, where: string): FieldError[] {
  const [verbs, path] = [textsAt(rule, "verbs"), `${where}.verbs`];
  if (verbs.length === 0) return [fieldRequired(path, "verbs must contain at least one value")];
  if (verbs.includes("*")) return starErrors(verbs, path, "verbs");
  return verbs.every((verb) => VERBS.includes(verb)) ? [] : [fieldNotSupported(path, verbs, VERBS)];
}

function resourceRuleErrors(rule: Json, where: string): FieldError[] {
  const parts = [
    ["apiGroups", "api group", "api groups"],
    ["resources", "resource", "resources"],
  ] as const;
  const namespaces = textsAt(rule, "namespaces");
  const path = `${where}.namespaces`;
  return [
    ...verbErrors(rule, where),
    ...parts.flatMap(([part, one, many]) => {
      const values = textsAt(rule, part);
      return values.length === 0
        ? [fieldRequired(`${where}.${part}`, `resource rules must supply at least one ${one}`)]
        : starErrors(values, `${where}.${part}`, many);
    }),
    ...(namespaces.length === 0
      ? rule["clusterScope"] === true
        ? []
        : [fieldRequired(path, "resource rules that are not cluster scoped must supply at least one namespace")]
      : namespaces.includes("*")
        ? starErrors(namespaces, path, "namespaces")
        : namespaces.flatMap((namespace, at) => namespaceErrors(namespace, `${path}[${at}]`))),
  ];
}

const namespaceErrors = (namespace: string, path: string): FieldError[] =>
  [
    ...(namespace.length > 63 ? ["must be no more than 63 characters"] : []),
    ...(DNS_LABEL.test(namespace) ? [] : [DNS_LABEL_TEXT]),
  ].map((text) => fieldInvalid(path, namespace, `each member of this list must be '*' or a DNS-1123 label; ${text}`));

function urlMistake(url: string): string | undefined {
  if (url === "") return "must not be empty";
  if (url === "/") return undefined;
  if (!url.startsWith("/")) return "must start with slash";
  if (url.includes(" ")) return "must not contain white-space";
  if (url.includes("//")) return "must not contain double slash";
  return /\*/.test(url.replace(/\/\*$/, "")) ? "wildcard can only do suffix matching" : undefined;
}

function otherRuleErrors(rule: Json, where: string): FieldError[] {
  const [urls, path] = [textsAt(rule, "nonResourceURLs"), `${where}.nonResourceURLs`];
  return [
    ...verbErrors(rule, where),
    ...(urls.length === 0
      ? [fieldRequired(path, "nonResourceURLs must contain at least one value")]
      : urls.includes("*")
        ? starErrors(urls, path, "non-resource URLs")
        : urls.flatMap((url, at) => {
            const mistake = urlMistake(url);
            return mistake === undefined ? [] : [fieldInvalid(`${path}[${at}]`, url, mistake)];
          })),
  ];
}

function subjectErrors(subject: Json, where: string): FieldError[] {
  const kind = String(subject["kind"] ?? "");
  if (!Object.hasOwn(SUBJECTS, kind)) return [fieldNotSupported(`${where}.kind`, kind, Object.keys(SUBJECTS).sort())];
  const own = SUBJECTS[kind as keyof typeof SUBJECTS];
  const value = subject[own];
  const errors: FieldError[] = [];
  if (value === undefined)
    errors.push(fieldRequired(`${where}.${own}`, `${own} is required when subject kind is '${kind}'`));
  else if (own === "serviceAccount") errors.push(...accountErrors(value as Json, `${where}.${own}`));
  else if (!valueAt(value, "name")) errors.push(fieldRequired(`${where}.${own}.name`));
  // In kube-apiserver's order.
  for (const [other, member] of [
    ["ServiceAccount", "serviceAccount"],
    ["User", "user"],
    ["Group", "group"],
  ])
    if (member !== own && subject[member as string] !== undefined)
      errors.push(fieldForbidden(`${where}.${member}`, `${member} is forbidden when subject kind is not '${other}'`));
  return errors;
}

function accountErrors(account: Json, where: string): FieldError[] {
  const { name, namespace } = account;
  return [
    ...(name ? (name === "*" ? [] : subdomainErrorsAt(name, `${where}.name`)) : [fieldRequired(`${where}.name`)]),
    ...(namespace
      ? dnsLabelErrors(namespace, `${where}.namespace`)
      : [fieldRequired(`${where}.namespace`, "must specify namespace for service account")]),
  ];
}

const ruleErrors = (rule: Json, where: string): FieldError[] => [
  ...(listAt(rule, "subjects").length === 0
    ? [fieldRequired(`${where}.subjects`, "subjects must contain at least one value")]
    : listAt(rule, "subjects").flatMap((subject, at) => subjectErrors(subject, `${where}.subjects[${at}]`))),
  ...(listAt(rule, "resourceRules").length + listAt(rule, "nonResourceRules").length === 0
    ? [fieldRequired(where, "at least one of resourceRules and nonResourceRules has to be non-empty")]
    : []),
  ...listAt(rule, "resourceRules").flatMap((one, at) => resourceRuleErrors(one, `${where}.resourceRules[${at}]`)),
  ...listAt(rule, "nonResourceRules").flatMap((one, at) => otherRuleErrors(one, `${where}.nonResourceRules[${at}]`)),
];

function schemaErrors(object: KubeObject): FieldError[] {
  const spec = specOf(object);
  const precedence = Number(spec["matchingPrecedence"] ?? 0);
  const method = spec["distinguisherMethod"];
  const level = valueAt(spec, "priorityLevelConfiguration.name");
  const errors: FieldError[] = [];
  const precedenceMistake =
    precedence <= 0
      ? "must be a positive value"
      : precedence > PRECEDENCE_MAX
        ? `must not be greater than ${PRECEDENCE_MAX}`
        : precedence === 1 && object.metadata.name !== "exempt"
          ? "only the schema named 'exempt' may have matchingPrecedence 1"
          : undefined;
  if (precedenceMistake !== undefined)
    errors.push(fieldInvalid("spec.matchingPrecedence", precedence, precedenceMistake));
  if (method !== undefined && !["ByNamespace", "ByUser"].includes(String(valueAt(method, "type"))))
    errors.push(
      fieldNotSupported("spec.distinguisherMethod.type", goValue(`${GROUP}FlowDistinguisherMethod`, method), [
        "ByNamespace",
        "ByUser",
      ]),
    );
  if (level) errors.push(...subdomainErrorsAt(level, "spec.priorityLevelConfiguration.name"));
  else errors.push(fieldRequired("spec.priorityLevelConfiguration.name", "must reference a priority level"));
  errors.push(...listAt(spec, "rules").flatMap((rule, at) => ruleErrors(rule, `spec.rules[${at}]`)));
  if (["exempt", "catch-all"].includes(object.metadata.name ?? "")) {
    const fixed = bootstrapSchemas.find(({ metadata }) => metadata.name === object.metadata.name);
    if (fixed !== undefined && !deepEqual(goValue(`${GROUP}FlowSchemaSpec`, spec), goSpec("FlowSchemaSpec", fixed)))
      errors.push(
        fieldInvalid(
          "spec",
          goValue(`${GROUP}FlowSchemaSpec`, spec),
          `spec of '${object.metadata.name}' must equal the fixed value`,
        ),
      );
  }
  return errors;
}

const goSpec = (type: string, object: KubeObject) => goValue(`${GROUP}${type}`, specOf(object));

const sharesErrors = (part: Json, where: string): FieldError[] => {
  const [shares, lent] = [part["nominalConcurrencyShares"], part["lendablePercent"]].map((value) => Number(value ?? 0));
  return [
    ...((shares ?? 0) < 0
      ? [fieldInvalid(`${where}.nominalConcurrencyShares`, shares, "must be a non-negative integer")]
      : []),
    ...((lent ?? 0) < 0 || (lent ?? 0) > 100
      ? [fieldInvalid(`${where}.lendablePercent`, lent, "must be between 0 and 100, inclusive")]
      : []),
  ];
};

function queuingErrors(queuing: Json, where: string): FieldError[] {
  const [queues = 0, hand = 0, length = 0] = ["queues", "handSize", "queueLengthLimit"].map((part) =>
    Number(queuing[part] ?? 0),
  );
  const errors: FieldError[] = [];
  const refuse = (part: string, value: number, why: string) =>
    errors.push(fieldInvalid(`${where}.${part}`, value, why));
  if (length <= 0) refuse("queueLengthLimit", length, "must be positive");
  if (queues <= 0) refuse("queues", queues, "must be positive");
  else if (queues > QUEUES_MAX) refuse("queues", queues, `must not be greater than ${QUEUES_MAX}`);
  if (hand <= 0) refuse("handSize", hand, "must be positive");
  else if (hand > queues) refuse("handSize", hand, `should not be greater than queues (${queues})`);
  else if (entropyBits(queues, hand) > ENTROPY_BITS_MAX)
    refuse(
      "handSize",
      hand,
      `required entropy bits of deckSize ${queues} and handSize ${hand} should not be greater than ${ENTROPY_BITS_MAX}`,
    );
  return errors;
}

/** How much chance is needed to deal a hand from a deck. */
function entropyBits(deck: number, hand: number): number {
  let bits = 0;
  for (let at = 0; at < hand; at++) bits += Math.log2(deck - at);
  return Math.ceil(bits);
}

function limitedErrors(limited: Json, where: string): FieldError[] {
  const response = (limited["limitResponse"] ?? {}) as Json;
  const { type = "", queuing } = response;
  const path = `${where}.limitResponse`;
  const errors = sharesErrors({ nominalConcurrencyShares: limited["nominalConcurrencyShares"] }, where);
  if (type === "Reject") {
    if (queuing !== undefined)
      errors.push(fieldForbidden(`${path}.queuing`, "must be nil if limited.limitResponse.type is not Limited"));
  } else if (type === "Queue") {
    if (queuing === undefined)
      errors.push(fieldRequired(`${path}.queuing`, "must not be empty if limited.limitResponse.type is Limited"));
    else errors.push(...queuingErrors(queuing as Json, `${path}.queuing`));
  } else errors.push(fieldNotSupported(`${path}.type`, type, ["Queue", "Reject"]));
  errors.push(...sharesErrors({ lendablePercent: limited["lendablePercent"] }, where));
  const borrowed = limited["borrowingLimitPercent"];
  if (typeof borrowed === "number" && borrowed < 0)
    errors.push(
      fieldInvalid(`${where}.borrowingLimitPercent`, borrowed, "if specified, must be a non-negative integer"),
    );
  return errors;
}

function levelErrors(object: KubeObject): FieldError[] {
  const spec = specOf(object);
  const { type = "", limited, exempt } = spec;
  const name = object.metadata.name ?? "";
  const errors: FieldError[] = [];
  if ((name === "exempt") !== (type === "Exempt"))
    errors.push(fieldInvalid("spec.type", type, "must be 'Exempt' if and only if `name` is 'exempt'"));
  if (type === "Exempt") {
    if (limited !== undefined) errors.push(fieldForbidden("spec.limited", "must be nil if the type is not Limited"));
    if (exempt !== undefined) errors.push(...sharesErrors(exempt as Json, "spec.exempt"));
  } else if (type === "Limited") {
    if (exempt !== undefined) errors.push(fieldForbidden("spec.exempt", "must be nil if the type is Limited"));
    if (limited === undefined) errors.push(fieldRequired("spec.limited", "must not be empty when type is Limited"));
    else errors.push(...limitedErrors(limited as Json, "spec.limited"));
  } else errors.push(fieldNotSupported("spec.type", type, ["Exempt", "Limited"]));
  return [...errors, ...fixedLevelErrors(object)];
}

/** Two levels are as they are; of one, how much it lends may change. */
function fixedLevelErrors(object: KubeObject): FieldError[] {
  const name = object.metadata.name ?? "";
  if (name !== "exempt" && name !== "catch-all") return [];
  const fixed = bootstrapLevels.find(({ metadata }) => metadata.name === name);
  if (fixed === undefined) return [];
  const compared = (one: KubeObject) => {
    const spec = goSpec("PriorityLevelConfigurationSpec", one) as Json;
    return name === "exempt" ? { ...spec, Exempt: null } : spec;
  };
  if (deepEqual(compared(object), compared(fixed))) return [];
  const except = name === "exempt" ? " except the 'spec.exempt' field" : "";
  return [
    fieldInvalid(
      "spec",
      goSpec("PriorityLevelConfigurationSpec", object),
      `spec of '${name}'${except} must equal the fixed value`,
    ),
  ];
}

function levelDefaults(object: KubeObject): KubeObject {
  const exempt = valueAt(object, "spec.exempt") as Json | undefined;
  const limited = valueAt(object, "spec.limited") as Json | undefined;
  let next = object;
  if (exempt !== undefined || valueAt(object, "spec.type") === "Exempt")
    next = setPath(next, ["spec", "exempt"], filled(exempt ?? {}, { nominalConcurrencyShares: 0, lendablePercent: 0 }));
  if (limited !== undefined) {
    const complete = filled(limited, { nominalConcurrencyShares: 30, lendablePercent: 0 });
    const queuing = valueAt(complete, "limitResponse.queuing") as Json | undefined;
    next = setPath(next, ["spec", "limited"], complete);
    if (queuing !== undefined)
      next = setPath(
        next,
        ["spec", "limited", "limitResponse", "queuing"],
        // None of nothing is nothing said.
        Object.fromEntries(
          Object.entries({ queues: 64, handSize: 8, queueLengthLimit: 50 }).map(([part, usual]) => [
            part,
            queuing[part] || usual,
          ]),
        ),
      );
  }
  return next;
}

/** Each kind of condition is there once. */
function conditionErrors(object: KubeObject): FieldError[] {
  const wasThere = repetitions();
  return listAt(object, "status.conditions").flatMap((condition, at) => {
    const path = `status.conditions[${at}].type`;
    const type = String(condition["type"] ?? "");
    const isTwice = wasThere(type);
    return [...(isTwice ? [fieldDuplicate(path, type)] : []), ...(type === "" ? [fieldRequired(path)] : [])];
  });
}

export const flowRules: Readonly<Record<string, Strategy>> = {
  "flowcontrol.apiserver.k8s.io/FlowSchema": {
    rulesAreWhole: true,
    applyDefaults: (object) =>
      specOf(object)["matchingPrecedence"] ? object : setPath(object, ["spec", "matchingPrecedence"], 1000),
    validate: schemaErrors,
    validateStatus: conditionErrors,
  },
  "flowcontrol.apiserver.k8s.io/PriorityLevelConfiguration": {
    rulesAreWhole: true,
    applyDefaults: levelDefaults,
    validate: levelErrors,
    validateStatus: conditionErrors,
  },
};
