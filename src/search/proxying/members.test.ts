import { describe, expect, it } from "vitest";
import type { KubeObject } from "#machinery";
import { membersObject } from "./members.ts";
import { encodeVersions } from "./tokens.ts";

const FROM = "resource.karmada.io/cached-from-cluster";
const composite = encodeVersions({ isZero: false, of: new Map([["m1", "5"]]) });
const pod = (metadata: object): KubeObject => ({ apiVersion: "v1", kind: "Pod", metadata });

describe("[GF-46] an object that goes back to its cluster", () => {
  it.each([
    ["gets that cluster's version", { resourceVersion: composite }, "m1", { resourceVersion: "5" }],
    ["has none where its cluster had none", { resourceVersion: composite }, "m2", {}],
    ["keeps a version that is the cluster's already", { resourceVersion: "77" }, "m1", { resourceVersion: "77" }],
    [
      "loses the mark of where it was read, and no other",
      { resourceVersion: composite, annotations: { [FROM]: "m1", a: "b" } },
      "m1",
      { resourceVersion: "5", annotations: { a: "b" } },
    ],
    ["has no annotations where there was only that", { annotations: { [FROM]: "m1" } }, "m1", {}],
  ])("%s", (_, metadata, cluster, expected) => {
    expect(membersObject(pod(metadata), cluster).metadata).toEqual(expected);
  });

  it("stays the same where there is nothing to change", () => {
    const object = pod({ name: "x", resourceVersion: "77" });
    expect(membersObject(object, "m1")).toBe(object);
  });
});
