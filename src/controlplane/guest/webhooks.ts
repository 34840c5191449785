/** Which admission webhooks are registered (wire), and the configurations that register them. */
import { DELETION_PROTECTED } from "#apis/karmada";
import type { KubeObject } from "#machinery";

export interface Webhook {
  readonly name: string;
  readonly path: string;
  readonly group: string;
  readonly resource: string;
  readonly operations: readonly ("CREATE" | "UPDATE" | "DELETE")[];
  readonly timeoutSeconds?: number;
  readonly sideEffects?: "NoneOnDryRun";
  readonly objectSelector?: object;
}

const BOTH = ["CREATE", "UPDATE"] as const;
const hook = (name: string, path: string, group: string, resource: string, more: Partial<Webhook> = {}): Webhook => ({
  name: `${name}.karmada.io`,
  path: `/${path}`,
  group: group === "" ? "" : `${group}.karmada.io`,
  resource,
  operations: BOTH,
  ...more,
});

export const mutatingWebhooks: readonly Webhook[] = [
  hook("propagationpolicy", "mutate-propagationpolicy", "policy", "propagationpolicies"),
  hook("clusterpropagationpolicy", "mutate-clusterpropagationpolicy", "policy", "clusterpropagationpolicies"),
  hook("overridepolicy", "mutate-overridepolicy", "policy", "overridepolicies"),
  hook("resourcebinding", "mutate-resourcebinding", "work", "resourcebindings", { operations: ["CREATE"] }),
  hook("clusterresourcebinding", "mutate-clusterresourcebinding", "work", "clusterresourcebindings", {
    operations: ["CREATE"],
  }),
  hook("work", "mutate-work", "work", "works"),
  hook("autoscaling", "mutate-federatedhpa", "autoscaling", "federatedhpas"),
  hook("multiclusterservice", "mutate-multiclusterservice", "networking", "multiclusterservices"),
  // Cluster is a CRD here, so that its rules come by webhook too.
  hook("cluster", "mutate-cluster", "cluster", "clusters"),
];

export const validatingWebhooks: readonly Webhook[] = [
  hook("propagationpolicy", "validate-propagationpolicy", "policy", "propagationpolicies"),
  hook("clusterpropagationpolicy", "validate-clusterpropagationpolicy", "policy", "clusterpropagationpolicies"),
  hook("overridepolicy", "validate-overridepolicy", "policy", "overridepolicies"),
  hook("clusteroverridepolicy", "validate-clusteroverridepolicy", "policy", "clusteroverridepolicies"),
  hook(
    "config",
    "validate-resourceinterpreterwebhookconfiguration",
    "config",
    "resourceinterpreterwebhookconfigurations",
  ),
  hook(
    "resourceinterpretercustomization",
    "validate-resourceinterpretercustomization",
    "config",
    "resourceinterpretercustomizations",
    { timeoutSeconds: 10 },
  ),
  hook("federatedresourcequota", "validate-federatedresourcequota", "policy", "federatedresourcequotas"),
  hook("multiclusteringress", "validate-multiclusteringress", "networking", "multiclusteringresses"),
  hook("federatedhpa", "validate-federatedhpa", "autoscaling", "federatedhpas"),
  hook("cronfederatedhpa", "validate-cronfederatedhpa", "autoscaling", "cronfederatedhpas"),
  hook("multiclusterservice", "validate-multiclusterservice", "networking", "multiclusterservices"),
  hook("resourcedeletionprotection", "validate-resourcedeletionprotection", "", "*", {
    operations: ["DELETE"],
    objectSelector: {
      matchExpressions: [{ key: DELETION_PROTECTED, operator: "Exists" }],
    },
  }),
  hook("resourcebinding", "validate-resourcebinding", "work", "resourcebindings", { sideEffects: "NoneOnDryRun" }),
  hook("clustertaintpolicy", "validate-clustertaintpolicy", "policy", "clustertaintpolicies"),
  hook("cluster", "validate-cluster", "cluster", "clusters"),
];

export const MUTATING_CONFIG = "mutating-config";
export const VALIDATING_CONFIG = "validating-config";
/** Where versions are converted. */
export const CONVERT_PATH = "/convert";

/** The two configurations; `base` is `https://HOST:PORT`, `caBundle` PEM. */
export function webhookConfigurations(base: string, caBundle: string): readonly KubeObject[] {
  const configuration = (kind: string, name: string, webhooks: readonly Webhook[]) =>
    ({
      apiVersion: "admissionregistration.k8s.io/v1",
      kind,
      metadata: { name, labels: { app: "karmada-webhook" } },
      webhooks: webhooks.map((webhook) => ({
        name: webhook.name,
        clientConfig: { url: `${base}${webhook.path}`, caBundle: Buffer.from(caBundle).toString("base64") },
        rules: [
          {
            operations: webhook.operations,
            apiGroups: [webhook.group === "" ? "*" : webhook.group],
            apiVersions: ["*"],
            resources: [webhook.resource],
            scope: "*",
          },
        ],
        ...(webhook.objectSelector === undefined ? {} : { objectSelector: webhook.objectSelector }),
        admissionReviewVersions: ["v1"],
        failurePolicy: "Fail",
        sideEffects: webhook.sideEffects ?? "None",
        timeoutSeconds: webhook.timeoutSeconds ?? 3,
      })),
    }) as unknown as KubeObject;
  return [
    configuration("MutatingWebhookConfiguration", MUTATING_CONFIG, mutatingWebhooks),
    configuration("ValidatingWebhookConfiguration", VALIDATING_CONFIG, validatingWebhooks),
  ];
}
