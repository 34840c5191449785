/** Admission of Work: a permanent id, and manifests without what their API server added. */
import { type Work, WORK_ID } from "#apis/karmada";
import type { AdmissionPlugin } from "#apiserver";
import { deepEqual, type Random } from "#base";
import { pruneManifest, recordManaged } from "#interpreter";
import { isJsonObject, type KubeObject, withLabels } from "#machinery";
import { failed } from "../denied.ts";

export function workAdmission(random: Random): AdmissionPlugin {
  return {
    name: "work.karmada.io",
    handles: ({ definition, operation, subresource }) =>
      definition.kind.group === "work.karmada.io" &&
      definition.kind.resource === "works" &&
      operation !== "DELETE" &&
      subresource === undefined,
    mutate({ object }) {
      const marked = object.metadata.labels?.[WORK_ID] ? object : withLabels(object, { [WORK_ID]: random.uuid() });
      const id = marked.metadata.labels?.[WORK_ID] ?? "";
      const work = marked as Work;
      const manifests = (work.spec?.workload?.manifests ?? []) as unknown as readonly KubeObject[];
      const next = manifests.map((manifest) => {
        if (!isJsonObject(manifest) || !isJsonObject(manifest.metadata))
          throw failed("work.karmada.io", "spec.workload.manifests: a manifest must be an object with metadata");
        const settled = recordManaged(withLabels(pruneManifest(manifest), { [WORK_ID]: id }));
        return deepEqual(settled, manifest) ? manifest : settled;
      });
      if (next.every((manifest, at) => manifest === manifests[at])) return work;
      return {
        ...work,
        spec: { ...work.spec, workload: { ...work.spec?.workload, manifests: next } },
      } as unknown as KubeObject;
    },
  };
}
