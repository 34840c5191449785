import type { KubeObject } from "#machinery";
import type { ResourceDefinition, Strategy } from "../definition.ts";
import { bindingErrors, policyErrors } from "./policy-rules.ts";
import type { BindingSpec, MatchResources, PolicySpec, Rule, Webhook } from "./types.ts";
import { webhookErrors } from "./webhook-rules.ts";

type Json = Readonly<Record<string, unknown>>;

const fill = (value: Json, defaults: Json): Json => {
  const missing = Object.entries(defaults).filter(
    ([key, fallback]) => value[key] === undefined && fallback !== undefined,
  );
  return missing.length === 0 ? value : { ...value, ...Object.fromEntries(missing) };
};

const withScope = (rules: readonly Rule[] | undefined) =>
  rules?.map((rule) => fill(rule as Json, { scope: "*" }) as Rule);

function defaultWebhooks(object: KubeObject, isMutating: boolean): KubeObject {
  const { webhooks } = object as KubeObject & { webhooks?: readonly Webhook[] };
  if (webhooks === undefined) return object;
  const filled = webhooks.map((hook) => {
    const { service } = hook.clientConfig ?? {};
    const known: Json = fill(hook as unknown as Json, {
      failurePolicy: "Fail",
      matchPolicy: "Equivalent",
      namespaceSelector: {},
      objectSelector: {},
      timeoutSeconds: 10,
      ...(isMutating ? { reinvocationPolicy: "Never" } : {}),
    });
    return {
      ...known,
      ...(hook.rules === undefined ? {} : { rules: withScope(hook.rules) }),
      ...(service === undefined
        ? {}
        : { clientConfig: { ...hook.clientConfig, service: fill(service as Json, { port: 443 }) } }),
    };
  });
  return { ...object, webhooks: filled } as KubeObject;
}

function defaultMatch(match: MatchResources | undefined): MatchResources | undefined {
  if (match === undefined) return undefined;
  const filled = fill(match as Json, { matchPolicy: "Equivalent", namespaceSelector: {}, objectSelector: {} });
  return {
    ...filled,
    ...(match.resourceRules === undefined ? {} : { resourceRules: withScope(match.resourceRules) }),
    ...(match.excludeResourceRules === undefined
      ? {}
      : { excludeResourceRules: withScope(match.excludeResourceRules) }),
  } as MatchResources;
}

function defaultPolicy(object: KubeObject): KubeObject {
  const { spec } = object as KubeObject & { spec?: PolicySpec };
  if (spec === undefined) return object;
  const matchConstraints = defaultMatch(spec.matchConstraints);
  return {
    ...object,
    spec: {
      ...fill(spec as Json, { failurePolicy: "Fail" }),
      ...(matchConstraints === undefined ? {} : { matchConstraints }),
    },
  } as KubeObject;
}

function defaultBinding(object: KubeObject): KubeObject {
  const { spec } = object as KubeObject & { spec?: BindingSpec };
  const matchResources = defaultMatch(spec?.matchResources);
  return matchResources === undefined ? object : ({ ...object, spec: { ...spec, matchResources } } as KubeObject);
}

const webhookStrategy = (isMutating: boolean): Strategy => ({
  rulesAreWhole: true,
  applyDefaults: (object) => defaultWebhooks(object, isMutating),
  validate: webhookErrors,
});
const policyStrategy = (isMutating: boolean): Strategy => ({
  rulesAreWhole: true,
  applyDefaults: defaultPolicy,
  validate: (object) => policyErrors(object, isMutating),
});
const bindingStrategy = (isMutating: boolean): Strategy => ({
  rulesAreWhole: true,
  applyDefaults: defaultBinding,
  validate: (object) => bindingErrors(object, isMutating),
});

const GROUP = "admissionregistration.k8s.io";

const strategies: Readonly<Record<string, Strategy>> = {
  [`${GROUP}/MutatingWebhookConfiguration`]: webhookStrategy(true),
  [`${GROUP}/ValidatingWebhookConfiguration`]: webhookStrategy(false),
  [`${GROUP}/ValidatingAdmissionPolicy`]: policyStrategy(false),
  [`${GROUP}/ValidatingAdmissionPolicyBinding`]: bindingStrategy(false),
  [`${GROUP}/MutatingAdmissionPolicy`]: policyStrategy(true),
  [`${GROUP}/MutatingAdmissionPolicyBinding`]: bindingStrategy(true),
};

/** Gives the kinds of admission what they do beyond their schema. */
export function withAdmissionStrategy(definition: ResourceDefinition): ResourceDefinition {
  const own = strategies[`${definition.kind.group}/${definition.kind.kind}`];
  return own === undefined ? definition : { ...definition, strategy: { ...definition.strategy, ...own } };
}
