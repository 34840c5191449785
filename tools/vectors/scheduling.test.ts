import { existsSync, readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { adapter } from "./scheduling.ts";

const FOLDER = new URL("../../../shared/contract/vectors/scheduling/", import.meta.url);

/** Vectors that show a known defect of upstream which we do not share, and the page that says why. */
const DIFFERENCES: Readonly<Record<string, string>> = {
  "select-clusters/cluster-no-max": "0500",
  "select-clusters/cluster-no-max-divided": "0500",
  "select-clusters/region-no-max": "0500",
  "select-clusters/region-max-less-than-regions": "0503",
  "general-estimate/models-missing-resource": "0501",
  "node-estimate/quota-empty-namespace": "0502",
  "placement-changed/bad-annotation": "0505",
  "schedule-binding/unchanged-duplicated-reordered": "0506",
  "schedule-binding/terms-no-fit-then-insufficient": "0507",
  "queue/duplicate-push": "0508",
  "cluster-affinity/field-region-value-with-space": "0513",
};

interface VectorFile {
  readonly kind: string;
  readonly vectors: readonly { readonly name: string; readonly tags?: readonly string[] }[];
}

const isPresent = existsSync(FOLDER);

describe.skipIf(!isPresent)(
  "scheduling vectors (skipped when the contract does not stand beside this checkout)",
  () => {
    for (const file of isPresent ? readdirSync(FOLDER).filter((name) => name.endsWith(".json")) : []) {
      const content = JSON.parse(readFileSync(new URL(file, FOLDER), "utf8")) as VectorFile;
      it(`agrees with every ${content.kind} vector`, async () => {
        expect(adapter.accepts(content)).toBe(true);
        for (const vector of content.vectors) {
          const { outcome, detail } = await adapter.run(content, vector as never);
          const page = DIFFERENCES[`${content.kind}/${vector.name}`];
          if (page !== undefined && vector.tags?.includes("upstream-defect")) continue;
          expect(outcome, `${vector.name}: ${detail ?? ""}`).toBe("passed");
        }
      });
    }

    it("has a decision record for every difference", () => {
      const pages = readdirSync(new URL("../../docs/decisions/", import.meta.url));
      for (const page of new Set(Object.values(DIFFERENCES)))
        expect(
          pages.some((name) => name.startsWith(page)),
          page,
        ).toBe(true);
    });
  },
);
