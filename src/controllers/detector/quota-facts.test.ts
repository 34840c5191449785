import { describe, expect, it } from "vitest";
import type { KubeObject } from "#machinery";
import { withQuotaFacts } from "./quota-facts.ts";

const template = (priorityClassName?: string, namespace: string | undefined = "shop") =>
  ({
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: "web", ...(namespace === undefined ? {} : { namespace }) },
    spec: { template: { spec: { ...(priorityClassName === undefined ? {} : { priorityClassName }) } } },
  }) as KubeObject;
const resourceRequest = { cpu: "1" };

describe("what quotas of members are asked by", () => {
  it.each([
    ["the workload's namespace", template(), { resourceRequest }, { resourceRequest, namespace: "shop" }],
    [
      "the priority class of its pods",
      template("gold"),
      { resourceRequest },
      { resourceRequest, namespace: "shop", priorityClassName: "gold" },
    ],
    [
      "what the interpreter said, before that",
      template("gold"),
      { resourceRequest, namespace: "own", priorityClassName: "lead" },
      { resourceRequest, namespace: "own", priorityClassName: "lead" },
    ],
    ["nothing where nothing is required", template("gold"), undefined, undefined],
  ])("%s", (_what, of, requirements, wanted) => {
    expect(withQuotaFacts(of, { replica: 2, requirements })).toEqual({ replica: 2, requirements: wanted });
  });

  it("stays away from kinds whose pods nobody knows", () => {
    const custom = { ...template("gold"), apiVersion: "example.com/v1", kind: "Web" } as KubeObject;
    expect(withQuotaFacts(custom, { replica: 1, requirements: {} })?.requirements).toEqual({ namespace: "shop" });
    expect(withQuotaFacts(custom, undefined)).toBeUndefined();
  });
});
