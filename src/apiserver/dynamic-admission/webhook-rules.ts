/** What a webhook configuration must keep to. */
import {
  type FieldError,
  fieldDuplicate,
  fieldInvalid,
  fieldRequired,
  type KubeObject,
  label1035Errors,
  subdomainErrors,
} from "#machinery";
import { repetitions } from "../builtin/checks.ts";
import { conditionErrors, oneOf, ruleErrors, selectorErrors } from "./rule-checks.ts";
import { goUrlMistake, parseGoUrl } from "./go-url.ts";
import type { Webhook, WebhookClientConfig } from "./types.ts";

const FORM = "desired format: https://host[/path]";
const KNOWN_VERSIONS = ["v1", "v1beta1"];
const SIDE_EFFECTS = ["None", "NoneOnDryRun"];

export function webhookErrors(object: KubeObject): readonly FieldError[] {
  const { webhooks } = object as KubeObject & { webhooks?: readonly Webhook[] | null };
  const wasThere = repetitions();
  return (webhooks ?? []).flatMap((hook, at) => {
    const field = `webhooks[${at}]`;
    const isTaken = wasThere(hook.name);
    const seconds = hook.timeoutSeconds ?? 10;
    return [
      ...domainErrors(hook.name, `${field}.name`),
      ...ruleErrors(hook.rules, `${field}.rules`),
      ...oneOf(hook.failurePolicy, `${field}.failurePolicy`, ["Fail", "Ignore"]),
      ...oneOf(hook.matchPolicy, `${field}.matchPolicy`, ["Equivalent", "Exact"]),
      ...(hook.sideEffects === undefined || hook.sideEffects === null
        ? [fieldRequired(`${field}.sideEffects`, "must specify one of None, NoneOnDryRun")]
        : oneOf(hook.sideEffects, `${field}.sideEffects`, SIDE_EFFECTS)),
      ...(seconds < 1 || seconds > 30
        ? [fieldInvalid(`${field}.timeoutSeconds`, seconds, "the timeout value must be between 1 and 30 seconds")]
        : []),
      ...selectorErrors(hook.namespaceSelector, `${field}.namespaceSelector`),
      ...selectorErrors(hook.objectSelector, `${field}.objectSelector`),
      ...oneOf(hook.reinvocationPolicy, `${field}.reinvocationPolicy`, ["IfNeeded", "Never"]),
      ...clientErrors(hook.clientConfig, `${field}.clientConfig`),
      ...conditionErrors(hook.matchConditions, `${field}.matchConditions`, false),
      ...reviewVersionErrors(hook.admissionReviewVersions ?? [], `${field}.admissionReviewVersions`),
      ...(isTaken ? [fieldDuplicate(`${field}.name`, hook.name)] : []),
    ];
  });
}

function domainErrors(name: string | undefined, field: string): FieldError[] {
  if (!name) return [fieldRequired(field)];
  const wrong = subdomainErrors(name, field);
  if (wrong.length > 0 || name.split(".").length >= 3) return wrong;
  return [fieldInvalid(field, name, "should be a domain with at least three segments separated by dots")];
}

/** Versions of reviews a webhook reads: at least one that is sent. */
export function reviewVersionErrors(versions: readonly string[], field: string): FieldError[] {
  if (versions.length === 0) return [fieldRequired(field, `must specify one of ${KNOWN_VERSIONS.join(", ")}`)];
  const errors = versions.flatMap((version, at) =>
    versions.indexOf(version) < at
      ? [fieldInvalid(`${field}[${at}]`, version, "duplicate version")]
      : label1035Errors(version, `${field}[${at}]`),
  );
  return versions.some((version) => KNOWN_VERSIONS.includes(version))
    ? errors
    : [...errors, fieldInvalid(field, versions, `must include at least one of ${KNOWN_VERSIONS.join(", ")}`)];
}

/** Where a webhook is: at a URL, or behind a Service. */
export function clientErrors(config: WebhookClientConfig | undefined, field: string): FieldError[] {
  const { url, service } = config ?? {};
  if ((url === undefined) === (service === undefined))
    return [fieldRequired(field, "exactly one of url or service is required")];
  if (url !== undefined) return urlErrors(url, `${field}.url`);
  const { name, namespace, port = 443, path } = service as NonNullable<typeof service>;
  return [
    // kube-apiserver names the one where the other is missing.
    ...(namespace ? [] : [fieldRequired(`${field}.service.name`)]),
    ...(name ? [] : [fieldRequired(`${field}.service.namespace`)]),
    ...(port < 1 || port > 65_535
      ? [fieldInvalid(`${field}.service.port`, port, "port is not valid: must be between 1 and 65535, inclusive")]
      : []),
    ...(path === undefined ? [] : pathErrors(path, `${field}.service.path`)),
  ];
}

/** A path whose steps are names. */
function pathErrors(path: string, field: string): FieldError[] {
  if (path === "" || path === "/") return [];
  if (path === "//") return [fieldInvalid(field, path, "segment[0] may not be empty")];
  return [
    ...(path.startsWith("/") ? [] : [fieldInvalid(field, path, "must start with a '/'")]),
    ...path
      .slice(1)
      .replace(/\/$/, "")
      .split("/")
      .flatMap((step, at) =>
        step === ""
          ? [fieldInvalid(field, path, `segment[${at}] may not be empty`)]
          : subdomainErrors(step, field).map(({ message }) =>
              fieldInvalid(field, path, `segment[${at}]: ${message.slice(message.indexOf(": ", 15) + 2)}`),
            ),
      ),
  ];
}

function urlErrors(text: string, field: string): FieldError[] {
  const mistake = goUrlMistake(text);
  if (mistake !== undefined)
    return [
      fieldRequired(
        field,
        `url must be a valid URL: parse ${JSON.stringify(text.replace(/#.*$/s, ""))}: ${mistake}; ${FORM}`,
      ),
    ];
  const { scheme, userinfo, host, query, fragment } = parseGoUrl(text);
  const refuse = (value: string, why: string) => fieldInvalid(field, value, why);
  return [
    ...(scheme === "https" ? [] : [refuse(scheme, `'https' is the only allowed URL scheme; ${FORM}`)]),
    ...(host === "" ? [refuse("", `host must be specified; ${FORM}`)] : []),
    ...(userinfo === "" ? [] : [refuse(userinfo, "user information is not permitted in the URL")]),
    ...(fragment === "" ? [] : [refuse(fragment, "fragments are not permitted in the URL")]),
    ...(query === "" ? [] : [refuse(query, "query parameters are not permitted in the URL")]),
  ];
}
