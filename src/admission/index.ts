/**
 * Admission: what happens to Karmada's objects on their way into the store. One folder a kind; `karmadaAdmission` is the
 * table of all. Refusals read like those of the webhooks they stand for (wire).
 */
import type { AdmissionPlugin } from "#apiserver";
import type { Clock, Random } from "#base";
import type { Client } from "#client";
import type { KubeObject, ResourceKind } from "#machinery";
import { createChargeBook } from "./binding/charge-book.ts";
import { bindingAdmission } from "./binding/index.ts";
import { clusterTaintPolicyAdmission } from "./cluster-taint-policy/index.ts";
import { cronFederatedHpaAdmission } from "./cron-federated-hpa/index.ts";
import { deletionProtection } from "./deletion-protection/index.ts";
import { federatedHpaAdmission } from "./federated-hpa/index.ts";
import { federatedResourceQuotaAdmission } from "./federated-resource-quota/index.ts";
import { interpreterCustomizationAdmission } from "./interpreter-customization/index.ts";
import { interpreterWebhookAdmission } from "./interpreter-webhook/index.ts";
import { multiClusterIngressAdmission } from "./multi-cluster-ingress/index.ts";
import { multiClusterServiceAdmission } from "./multi-cluster-service/index.ts";
import { overridePolicyAdmission } from "./override-policy/index.ts";
import { type DefaultTolerations, propagationPolicyAdmission } from "./propagation-policy/index.ts";
import { templateMarks } from "./template-marks/index.ts";
import { workAdmission } from "./work/index.ts";

export { plainRequest } from "./plain-request.ts";
export { answerWebhook, type WebhookAnswer } from "./webhook/review.ts";
export { type WebhookAddress, webhookConfigurations } from "./webhook/configurations.ts";
export { aggregatedRoutes, type WebhookRoute, webhookRoutes } from "./webhook/routes.ts";
export { defaultedPolicy, placementErrors, policyErrors } from "./propagation-policy/index.ts";

export interface KarmadaAdmissionOptions {
  /** Lets ClusterTaintPolicies set NoExecute taints (`--allow-no-execute-taint-policy`, default false). */
  readonly allowNoExecuteTaintPolicy?: boolean;
  /** Feature gates that are on; FederatedQuotaEnforcement and MultiplePodTemplatesScheduling matter here. */
  readonly gates?: ReadonlySet<string>;
  /** What is wrong with the text of a Lua script; absent: scripts are not looked at. */
  readonly luaSyntaxError?: (script: string) => string | undefined;
  /** Reads and writes the objects refusals depend on; asked for when first needed. */
  readonly client: () => Client;
  readonly clock: Clock;
  /** Tolerations of a cluster that is not ready or unreachable, given to every policy; none by default. */
  readonly defaultTolerations?: DefaultTolerations;
  /** Gives a new object with the marks of the policy that claims it; absent: whoever claims templates writes them later. */
  readonly markNew?: (object: KubeObject) => KubeObject;
}

export function karmadaAdmission(random: Random, options: KarmadaAdmissionOptions): readonly AdmissionPlugin[] {
  const { client, clock, gates = new Set<string>() } = options;
  const isIdHeld = async (kind: ResourceKind, label: string, id: string) =>
    (await client().list(kind, { labelSelector: `${label}=${id}`, limit: 1 })).items.length > 0;
  return [
    propagationPolicyAdmission(false, random, options.defaultTolerations, isIdHeld),
    propagationPolicyAdmission(true, random, options.defaultTolerations, isIdHeld),
    overridePolicyAdmission(false, client),
    overridePolicyAdmission(true, client),
    bindingAdmission(false, random, {
      checksComponents: gates.has("MultiplePodTemplatesScheduling"),
      ...(gates.has("FederatedQuotaEnforcement")
        ? { quotas: { client, clock, book: createChargeBook({ client, clock }) } }
        : {}),
    }),
    bindingAdmission(true, random),
    workAdmission(random),
    clusterTaintPolicyAdmission(options.allowNoExecuteTaintPolicy ?? false),
    federatedResourceQuotaAdmission,
    federatedHpaAdmission,
    cronFederatedHpaAdmission,
    multiClusterServiceAdmission(random),
    multiClusterIngressAdmission,
    interpreterWebhookAdmission,
    interpreterCustomizationAdmission({ client, clock, syntaxError: options.luaSyntaxError }),
    deletionProtection,
    ...(options.markNew === undefined ? [] : [templateMarks(options.markNew)]),
  ];
}
