/** Admission of ClusterTaintPolicy: NoExecute only where the operator allows it, and each taint once. */
import type { ClusterTaintPolicy } from "#apis/karmada";
import type { AdmissionPlugin } from "#apiserver";
import {
  fieldDuplicate,
  type FieldError,
  fieldForbidden,
  fieldNotSupported,
  fieldRequired,
  labelValueErrors,
  qualifiedNameErrors,
} from "#machinery";
import { denied } from "../denied.ts";

const NO_EXECUTE_TEXT =
  "Configuring taint with NoExecute effect is not allowed, this capability must be explicitly enabled by administrators through command-line flags";

export function clusterTaintPolicyErrors(policy: ClusterTaintPolicy, allowNoExecute: boolean): FieldError[] {
  const { taints } = policy.spec;
  return taints.flatMap(({ key, effect, value }, at) => {
    const path = `spec.taints[${at}]`;
    const errors: FieldError[] = [];
    if (!key) errors.push(fieldRequired(`${path}.key`));
    else errors.push(...qualifiedNameErrors(key, `${path}.key`));
    if (value) errors.push(...labelValueErrors(value, `${path}.value`));
    // The Cluster API refuses what is refused here, so a policy with it could never be carried out.
    if (effect !== "NoSchedule" && effect !== "NoExecute")
      errors.push(fieldNotSupported(`${path}.effect`, effect, ["NoSchedule", "NoExecute"]));
    if (effect === "NoExecute" && !allowNoExecute) errors.push(fieldForbidden(path, NO_EXECUTE_TEXT));
    if (taints.slice(at + 1).some((later) => later.key === key && later.effect === effect))
      errors.push(
        fieldDuplicate(path, `Duplicate taint with the same key(${key}) and effect(${effect}) is not allowed`),
      );
    return errors;
  });
}

export function clusterTaintPolicyAdmission(allowNoExecute: boolean): AdmissionPlugin {
  return {
    name: "clustertaintpolicy.karmada.io",
    handles: ({ definition, operation, subresource }) =>
      definition.kind.group === "policy.karmada.io" &&
      definition.kind.resource === "clustertaintpolicies" &&
      operation !== "DELETE" &&
      subresource === undefined,
    validate({ object }) {
      const errors = clusterTaintPolicyErrors(object as ClusterTaintPolicy, allowNoExecute);
      if (errors.length > 0) throw denied("clustertaintpolicy.karmada.io", errors);
    },
  };
}
