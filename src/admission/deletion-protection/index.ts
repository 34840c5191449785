/** Refuses to delete what is labelled as protected. */
import { DELETION_PROTECTED } from "#apis/karmada";
import type { AdmissionPlugin } from "#apiserver";
import { denied } from "../denied.ts";

export const deletionProtection: AdmissionPlugin = {
  name: "resourcedeletionprotection.karmada.io",
  handles: ({ operation, oldObject }) =>
    operation === "DELETE" && oldObject?.metadata.labels?.[DELETION_PROTECTED] === "Always",
  validate() {
    throw denied(
      "resourcedeletionprotection.karmada.io",
      `This resource is protected, please make sure to remove the label: ${DELETION_PROTECTED}`,
    );
  },
};
