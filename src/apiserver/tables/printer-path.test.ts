import { expect, it } from "vitest";
import { isColumnPath, readFirst } from "./printer-path.ts";

const work = { spec: { workload: { manifests: [{ kind: "Deployment" }, { kind: "Service" }] } } };

it.each([
  ["the first of several", ".spec.workload.manifests[*].kind", "Deployment"],
  ["the last element", ".spec.workload.manifests[-1].kind", "Service"],
  ["nothing where a field is absent", ".spec.workloads[*].kind", undefined],
  ["nothing where the path cannot be read", ".spec[*", undefined],
])("a column shows %s", (_, path, shown) => {
  expect(readFirst(work, path)).toBe(shown);
});

it("reads names in brackets as paths of their own, and none in double quotes", () => {
  const object = { "a.b": "dotted", a: { b: "nested" }, list: [{ k: "x", v: 1 }] };
  expect(readFirst(object, "['a.b']")).toBe("nested");
  expect(readFirst(object, "['a\\.b']")).toBe("dotted");
  expect(readFirst(object, ".list[?(@.k=='x')].v")).toBe(1);
  expect(isColumnPath('["a.b"]')).toBe(false);
});
