import { DELETION_PROTECTED } from "#apis/karmada";
import type { Logger } from "#base";
import type { Client } from "#client";
import { isNotFound, type KubeObject } from "#machinery";
import { configurationKind, INSTALLER } from "./kinds.ts";

const PolicyKind = configurationKind("ValidatingAdmissionPolicy", "validatingadmissionpolicies");
const BindingKind = configurationKind("ValidatingAdmissionPolicyBinding");

interface Rule {
  readonly name: string;
  readonly resources: { readonly apiGroups: readonly string[]; readonly resources: readonly string[] };
  readonly labels?: Readonly<Record<string, string>>;
  readonly action: "Deny" | "Warn";
  readonly message: string;
}

/** What the API server can decide by itself, where it asks nobody. */
const RULES: readonly Rule[] = [
  {
    name: "resourcedeletionprotection.karmada.io",
    resources: { apiGroups: ["*"], resources: ["*"] },
    labels: { [DELETION_PROTECTED]: "Always" },
    action: "Deny",
    message: `This resource is protected, please make sure to remove the label: ${DELETION_PROTECTED}`,
  },
  {
    name: "overridewithdrawal.flotilla.io",
    resources: { apiGroups: ["policy.karmada.io"], resources: ["overridepolicies", "clusteroverridepolicies"] },
    action: "Warn",
    message:
      "copies are rendered without this override at once, unless no policy claims them any more; see the guide on withdrawing workloads",
  },
];

const objectsOf = ({ name, resources, labels, action, message }: Rule): readonly [KubeObject, KubeObject] => {
  const apiVersion = "admissionregistration.k8s.io/v1";
  const resourceRules = [{ ...resources, apiVersions: ["*"], operations: ["DELETE"] }];
  return [
    {
      apiVersion,
      kind: "ValidatingAdmissionPolicy",
      metadata: { name },
      spec: {
        failurePolicy: "Fail",
        matchConstraints: {
          resourceRules,
          ...(labels === undefined ? {} : { objectSelector: { matchLabels: labels } }),
        },
        validations: [{ expression: "false", message }],
      },
    } as KubeObject,
    {
      apiVersion,
      kind: "ValidatingAdmissionPolicyBinding",
      metadata: { name },
      spec: { policyName: name, validationActions: [action] },
    } as KubeObject,
  ];
};

/** Lets the API server protect and warn by policies of its own, and says what nobody does. */
export async function protectWithoutWebhooks(client: Client, log: Logger): Promise<void> {
  try {
    for (const rule of RULES) {
      const [policy, binding] = objectsOf(rule);
      await client.apply(PolicyKind, policy, INSTALLER);
      await client.apply(BindingKind, binding, INSTALLER);
    }
    log.warn(
      "no admission webhooks: wrong objects are told of by an event Inadmissible and not refused, policies are filled in after they were written, and federated quotas are not enforced; deletion protection is kept by a ValidatingAdmissionPolicy",
    );
  } catch (error) {
    // Before Kubernetes 1.30.
    if (!isNotFound(error)) throw error;
    log.warn(
      `no admission webhooks and no ValidatingAdmissionPolicies: nothing protects templates and policies labelled ${DELETION_PROTECTED} from deletion, nobody warns of overrides that are withdrawn, wrong objects are told of by an event Inadmissible and not refused, and federated quotas are not enforced`,
    );
  }
}

/** Removes them; nothing happens where there are none. */
export async function withdrawPolicies(client: Client): Promise<void> {
  for (const { name } of RULES) for (const kind of [BindingKind, PolicyKind]) await client.delete(kind, { name });
}
