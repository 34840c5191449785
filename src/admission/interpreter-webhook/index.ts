/** Admission of ResourceInterpreterWebhookConfiguration: names, rules, where the webhook is and what it speaks. */
import type { ResourceInterpreterWebhookConfiguration } from "#apis/karmada";
import type { AdmissionPlugin } from "#apiserver";
import { type FieldError, fieldDuplicate, fieldInvalid, fieldNotSupported, fieldRequired } from "#machinery";
import { denied } from "../denied.ts";
import { isSubdomain, label1035Errors } from "../formats.ts";

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

function urlErrors(text: string, path: string): FieldError[] {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || url.host === "") return [fieldInvalid(path, text, "host must be specified")];
  const errors: FieldError[] = [];
  if (url.protocol !== "https:") errors.push(fieldInvalid(path, text, "'https' is the only allowed URL scheme"));
  if (url.username !== "" || url.password !== "")
    errors.push(fieldInvalid(path, text, "user information is not permitted in the URL"));
  if (url.hash !== "") errors.push(fieldInvalid(path, text, "fragments are not permitted in the URL"));
  if (url.search !== "") errors.push(fieldInvalid(path, text, "query parameters are not permitted in the URL"));
  return errors;
}

function clientErrors({ url, service }: Webhook["clientConfig"], path: string): FieldError[] {
  if ((url === undefined) === (service === undefined))
    return [fieldRequired(path, "exactly one of url or service is required")];
  if (service === undefined) return urlErrors(url ?? "", `${path}.url`);
  const errors: FieldError[] = [];
  if (!service.name) errors.push(fieldRequired(`${path}.service.name`));
  if (!service.namespace) errors.push(fieldRequired(`${path}.service.namespace`));
  const { port = 443, path: steps } = service;
  if (port < 1 || port > 65_535)
    errors.push(
      fieldInvalid(`${path}.service.port`, port, "port is not valid: must be between 1 and 65535, inclusive"),
    );
  if (
    steps !== undefined &&
    steps !== "/" &&
    !steps.replace(/^\//, "").replace(/\/$/, "").split("/").every(isSubdomain)
  )
    errors.push(fieldInvalid(`${path}.service.path`, steps, "segments must be DNS subdomains"));
  return errors;
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
    if (!isSubdomain(name) || !name.includes("."))
      errors.push(
        fieldInvalid(`${path}.name`, name, "should be a domain with at least two segments separated by dots"),
      );
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
