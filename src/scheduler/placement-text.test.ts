import { describe, expect, it } from "vitest";
import { matchesAffinity, type Cluster, type Placement } from "#apis/karmada";
import { placementText } from "./index.ts";

describe("the applied placement", () => {
  it("is compact JSON in the order of the API at every level, maps by key, with nothing added or lost", () => {
    const placement = {
      workloadAffinity: { affinity: { groupByLabelKey: "app" } },
      replicaScheduling: {
        weightPreference: { staticWeightList: [{ weight: 2, targetCluster: { exclude: ["b"], clusterNames: ["a"] } }] },
        replicaDivisionPreference: "Weighted",
        replicaSchedulingType: "Divided",
      },
      spreadConstraints: [{ minGroups: 1, spreadByField: "cluster" }],
      clusterTolerations: [{ operator: "Exists", key: "k" }],
      clusterAffinities: [
        {
          overflowAffinities: [{ clusterNames: ["z"] }],
          labelSelector: {
            matchLabels: { b: "1", a: "2" },
            matchExpressions: [{ values: [], operator: "Exists", key: "x" }],
          },
          affinityName: "one",
        },
      ],
    } as unknown as Placement;
    const text =
      '{"clusterAffinities":[{"affinityName":"one","labelSelector":{"matchLabels":{"a":"2","b":"1"},"matchExpressions":[{"key":"x","operator":"Exists","values":[]}]},"overflowAffinities":[{"clusterNames":["z"]}]}],"clusterTolerations":[{"key":"k","operator":"Exists"}],"spreadConstraints":[{"spreadByField":"cluster","minGroups":1}],"replicaScheduling":{"replicaSchedulingType":"Divided","replicaDivisionPreference":"Weighted","weightPreference":{"staticWeightList":[{"targetCluster":{"clusterNames":["a"],"exclude":["b"]},"weight":2}]}},"workloadAffinity":{"affinity":{"groupByLabelKey":"app"}}}';
    expect(placementText(placement)).toBe(text);
    expect(JSON.parse(text)).toEqual(placement);
  });
});

describe("D28: providers and regions", () => {
  const cluster = { metadata: { name: "m" }, spec: { region: "East US 2/a", provider: "me & co" } } as Cluster;
  const matches = (key: string, operator: string, values?: readonly string[]) =>
    matchesAffinity(
      { fieldSelector: { matchExpressions: [{ key, operator, ...(values === undefined ? {} : { values }) }] } },
      cluster,
    );

  it.each<[string, string, readonly string[] | undefined, boolean]>([
    ["region", "In", ["East US 2/a"], true],
    ["region", "In", ["East US 2"], false],
    ["provider", "NotIn", ["me & co"], false],
    ["provider", "Exists", undefined, true],
    ["planet", "DoesNotExist", undefined, true],
    ["region", "Near", ["East US 2/a"], false],
    ["region", "In", [], false],
  ])("are plain strings: %s %s %j", (key, operator, values, isMatch) => {
    expect(matches(key, operator, values)).toBe(isMatch);
  });
});
