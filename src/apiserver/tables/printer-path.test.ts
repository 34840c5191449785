import { expect, it } from "vitest";
import { givesMany, readFirst } from "./printer-path.ts";

const work = { spec: { workload: { manifests: [{ kind: "Deployment" }, { kind: "Service" }] } } };

it.each([
  ["the first of several", ".spec.workload.manifests[*].kind", "Deployment"],
  ["the last element", ".spec.workload.manifests[-1].kind", "Service"],
  ["nothing where a field is absent", ".spec.workloads[*].kind", undefined],
  ["nothing where the path cannot be read", ".spec[*", undefined],
])("a column shows %s", (_, path, shown) => {
  expect(givesMany(path) || path.endsWith("[*")).toBe(true);
  expect(readFirst(work, path)).toBe(shown);
});

it("leaves simple paths to the quick reader", () => {
  expect(givesMany('.status.conditions[?(@.type=="Ready")].status')).toBe(false);
});
