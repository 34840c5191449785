/** Admission of ResourceInterpreterWebhookConfiguration: names, rules, where the webhook is and what it speaks. */
import type { ResourceInterpreterWebhookConfiguration } from "#apis/karmada";
import type { AdmissionPlugin } from "#apiserver";
import {
  fieldDuplicate,
  type FieldError,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  label1035Errors,
  subdomainErrors,
} from "#machinery";
import { denied } from "../denied.ts";
import { domainErrors } from "../formats.ts";

type Webhook = ResourceInterpreterWebhookConfiguration["webhooks"][number];
type Rule = NonNullable<Webhook["rules"]>[number];

const OPERATIONS = [
  "*",
  "AggregateStatus",
  "InterpretComponent",
  "InterpretDependency",
  "InterpretHealth",
  "InterpretReplica",
  "InterpretStatus",
  "Retain",
  "ReviseReplica",
];

function wordErrors(words: readonly string[], path: string, called: string, mayBeEmpty: boolean): FieldError[] {
  if (words.length === 0) return [fieldRequired(path)];
  const errors =
    words.includes("*") && words.length > 1
      ? [fieldInvalid(path, words, `if '*' is present, must not specify other ${called}`)]
      : [];
  if (!mayBeEmpty)
    for (const [at, word] of words.entries()) if (word === "") errors.push(fieldRequired(`${path}[${at}]`));
  return errors;
}

function ruleErrors(rule: Rule, path: string): FieldError[] {
  const unknown = rule.operations.flatMap((operation, at) =>
    OPERATIONS.includes(operation) ? [] : [fieldNotSupported(`${path}.operations[${at}]`, operation, OPERATIONS)],
  );
  return [
    ...wordErrors(rule.operations, `${path}.operations`, "operations", true),
    ...unknown,
    ...wordErrors(rule.apiGroups, `${path}.apiGroups`, "API groups", true),
    ...wordErrors(rule.apiVersions, `${path}.apiVersions`, "API versions", false),
    ...wordErrors(rule.kinds, `${path}.kinds`, "kinds", false),
  ];
}

const URL_FORM = "; desired format: https://host[:port]/path";
const URL_PARTS = /^(?:([A-Za-z][A-Za-z0-9+.-]*):)?(?:\/\/(?:([^/?#]*)@)?([^/?#@]*))?([^?#]*)(?:\?([^#]*))?(?:#(.*))?$/;

function urlErrors(text: string, path: string): FieldError[] {
  const [, scheme = "", user, host = "", , query = "", fragment = ""] = URL_PARTS.exec(text) ?? [];
  const errors: FieldError[] = [];
  if (scheme !== "https") errors.push(fieldInvalid(path, scheme, `'https' is the only allowed URL scheme${URL_FORM}`));
  if (host === "") errors.push(fieldInvalid(path, host, `host must be specified${URL_FORM}`));
  if (user !== undefined)
    // What stands before the `@` may be a password: it is not repeated.
    errors.push(fieldInvalid(path, user.split(":")[0], "user information is not permitted in the URL"));
  if (fragment !== "") errors.push(fieldInvalid(path, fragment, "fragments are not permitted in the URL"));
  if (query !== "") errors.push(fieldInvalid(path, query, "query parameters are not permitted in the URL"));
  if (errors.length === 0 && !URL.canParse(text))
    errors.push(fieldRequired(path, `url must be a valid URL${URL_FORM}`));
  return errors;
}

function servicePathErrors(steps: string, path: string): FieldError[] {
  if (steps === "" || steps === "/") return [];
  if (steps === "//") return [fieldInvalid(path, steps, "segment[0] may not be empty")];
  if (!steps.startsWith("/")) return [fieldInvalid(path, steps, "must start with a '/'")];
  return steps
    .slice(1)
    .replace(/\/$/, "")
    .split("/")
    .flatMap((step, at) =>
      step === ""
        ? [fieldInvalid(path, steps, `segment[${at}] may not be empty`)]
        : subdomainErrors(step, path).map(({ message }) =>
            fieldInvalid(path, steps, `segment[${at}]: ${detailOf(message)}`),
          ),
    );
}

/** The detail of a message such as `Invalid value: "x": detail`. */
const detailOf = (message: string) => message.replace(/^Invalid value: "(?:[^"\\]|\\.)*": /, "");

function clientErrors({ url, service }: Webhook["clientConfig"], path: string): FieldError[] {
  if ((url === undefined) === (service === undefined))
    return [fieldRequired(path, "exactly one of url or service is required")];
  if (service === undefined) return urlErrors(url ?? "", `${path}.url`);
  const { name, namespace, port = 443, path: steps = "" } = service;
  const where = `${path}.service`;
  return [
    ...(name ? [] : [fieldRequired(`${where}.name`, "service name is required")]),
    ...(namespace ? [] : [fieldRequired(`${where}.namespace`, "service namespace is required")]),
    ...(port < 1 || port > 65_535
      ? [fieldInvalid(`${where}.port`, port, "port is not valid: must be between 1 and 65535, inclusive")]
      : []),
    ...servicePathErrors(steps, `${where}.path`),
  ];
}

function versionErrors(versions: readonly string[], path: string): FieldError[] {
  if (versions.length === 0) return [fieldRequired(path, "must specify one of v1alpha1")];
  const errors = versions.flatMap((version, at) => [
    ...(versions.indexOf(version) < at ? [fieldInvalid(`${path}[${at}]`, version, "duplicate version")] : []),
    ...label1035Errors(version, `${path}[${at}]`),
  ]);
  return versions.includes("v1alpha1")
    ? errors
    : [...errors, fieldInvalid(path, versions, "must include at least one of v1alpha1")];
}

export function interpreterWebhookErrors({ webhooks }: ResourceInterpreterWebhookConfiguration): FieldError[] {
  return (webhooks ?? []).flatMap((webhook, at) => {
    const path = `webhooks[${at}]`;
    const { name, timeoutSeconds, rules = [] } = webhook;
    const errors: FieldError[] = [];
    errors.push(...domainErrors(name, `${path}.name`));
    if (webhooks.findIndex((other) => other.name === name) < at) errors.push(fieldDuplicate(`${path}.name`, name));
    for (const [ruleAt, rule] of rules.entries()) errors.push(...ruleErrors(rule, `${path}.rules[${ruleAt}]`));
    if (timeoutSeconds !== undefined && (timeoutSeconds < 1 || timeoutSeconds > 30))
      errors.push(
        fieldInvalid(`${path}.timeoutSeconds`, timeoutSeconds, "the timeout value must be between 1 and 30 seconds"),
      );
    return [
      ...errors,
      ...clientErrors(webhook.clientConfig, `${path}.clientConfig`),
      ...versionErrors(webhook.interpreterContextVersions ?? [], `${path}.interpreterContextVersions`),
    ];
  });
}

export const interpreterWebhookAdmission: AdmissionPlugin = {
  name: "config.karmada.io",
  handles: ({ definition, operation, subresource }) =>
    definition.kind.group === "config.karmada.io" &&
    definition.kind.resource === "resourceinterpreterwebhookconfigurations" &&
    operation !== "DELETE" &&
    subresource === undefined,
  validate({ object }) {
    const errors = interpreterWebhookErrors(object as ResourceInterpreterWebhookConfiguration);
    if (errors.length > 0) throw denied("config.karmada.io", errors);
  },
};
