/** Marks a new template with the policy that claims it in the write that creates it. A dry run shows what the client sent. */
import type { AdmissionPlugin } from "#apiserver";
import type { KubeObject } from "#machinery";

export const templateMarks = (mark: (object: KubeObject) => KubeObject): AdmissionPlugin => ({
  name: "templatemarks.karmada.io",
  handles: ({ operation, subresource, isDryRun }) => operation === "CREATE" && subresource === undefined && !isDryRun,
  mutate: ({ object }) => mark(object),
});
