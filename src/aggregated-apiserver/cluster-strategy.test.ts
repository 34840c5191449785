import { describe, expect, it } from "vitest";
import type { Cluster } from "#apis/karmada";
import { defaultResourceModels } from "#estimator";
import { clusterErrors, resourceModelError } from "./cluster-strategy.ts";

const errors = (spec: object, name = "m1") =>
  clusterErrors({ metadata: { name }, spec: { syncMode: "Push", ...spec } } as unknown as Cluster).map(
    ({ field, message }) => `${field}: ${message}`,
  );

describe("CL-4 a Cluster", () => {
  it.each([
    ["as it should be", { apiEndpoint: "https://10.0.0.1:6443", proxyURL: "socks5://p:1080" }, []],
    [
      "without a way to synchronise",
      { syncMode: "" },
      ["spec.syncMode: Required value", 'spec.syncMode: Unsupported value: "": supported values: "Pull", "Push"'],
    ],
    [
      "with secrets in its address",
      { apiEndpoint: "https://me:pw@h/#x" },
      [
        'spec.apiEndpoint: Invalid value: "me": user information is not permitted in the URL',
        'spec.apiEndpoint: Invalid value: "x": fragments are not permitted in the URL',
      ],
    ],
    [
      "behind an unknown proxy",
      { proxyURL: "ftp://p" },
      ['spec.proxyURL: Invalid value: "ftp://p": unsupported scheme "ftp", must be http, https, or socks5'],
    ],
    ["with half a secret", { secretRef: { name: "a" } }, ["spec.secretRef.namespace: Required value"]],
    [
      "with zone and zones",
      { zone: "a", zones: ["b"] },
      ['spec.zone: Invalid value: "a": Zone and Zones cannot co-exist'],
    ],
    [
      "with a taint it cannot carry, twice",
      {
        taints: [
          { key: "a", effect: "PreferNoSchedule" },
          { key: "a", effect: "PreferNoSchedule" },
        ],
      },
      [
        'spec.taints[0].effect: Unsupported value: "PreferNoSchedule": supported values: "NoSchedule", "NoExecute"',
        'spec.taints[1].effect: Unsupported value: "PreferNoSchedule": supported values: "NoSchedule", "NoExecute"',
        'spec.taints[1]: Duplicate value: "a:PreferNoSchedule": taints must be unique by key and effect pair',
      ],
    ],
  ])("%s", (_, spec, expected) => {
    expect(errors(spec)).toEqual(expected);
  });

  it("has a name of at most 48 characters, since other names are made from it", () => {
    expect(errors({}, "m".repeat(49))).toEqual([
      `metadata.name: Invalid value: "${"m".repeat(49)}": must be no more than 48 characters`,
    ]);
  });
});

describe("resource models", () => {
  const MAX = "9223372036854775807";
  const model = (grade: number, min: string, max: string, name = "cpu") => ({ grade, ranges: [{ name, min, max }] });
  it.each([
    ["touch however amounts are written", [model(0, "0", "2000m"), model(1, "2", MAX)], undefined],
    [
      "have grades of their own",
      [model(1, "0", "2"), model(1, "2", MAX)],
      "The grade of each models should not be the same",
    ],
    [
      "go upwards",
      [model(0, "0", "0"), model(1, "0", MAX)],
      "The max value of each resource must be greater than the min value",
    ],
    ["begin at nothing", [model(0, "1", MAX)], "The min value of each resource in the first model should be 0"],
    [
      "speak of the same",
      [model(0, "0", "2"), model(1, "2", MAX, "memory")],
      "The resource types of each models should be the same",
    ],
    [
      "leave no gap",
      [model(0, "0", "2"), model(1, "3", MAX)],
      "Model intervals for resources must be contiguous and non-overlapping",
    ],
    [
      "end at everything",
      [model(0, "0", "2"), model(1, "2", "4")],
      "The max value of each resource in the last model should be MaxInt64",
    ],
  ])("%s", (_, models, detail) => {
    expect(resourceModelError(models, "spec.resourceModels")?.message.split(": ").at(-1)).toBe(detail);
  });

  it("that are filled in are right themselves", () => {
    expect(resourceModelError(defaultResourceModels(), "spec.resourceModels")).toBeUndefined();
  });
});
