import { describe, expect, it } from "vitest";
import { type Node, type Pod, STANDS_FOR } from "#apis/kubernetes";
import { defaultResourceModels, NodeAccounts } from "#estimator";
import { ResourceLedger } from "./resource-ledger.ts";

const node = (name: string, count?: number): Node =>
  ({
    metadata: { name, ...(count === undefined ? {} : { annotations: { [STANDS_FOR]: String(count) } }) },
    status: {
      allocatable: { cpu: "8", memory: "32Gi", pods: "110" },
      conditions: [{ type: "Ready", status: "True" }],
    },
  }) as unknown as Node;
const pod = (name: string, nodeName: string, count?: number): Pod =>
  ({
    metadata: {
      namespace: "default",
      name,
      ...(count === undefined ? {} : { annotations: { [STANDS_FOR]: String(count) } }),
    },
    spec: { nodeName, containers: [{ name: "c", resources: { requests: { cpu: "500m", memory: "1Gi" } } }] },
    status: { phase: "Running" },
  }) as unknown as Pod;
const models = defaultResourceModels();

type Change = (target: ResourceLedger) => void;
function accountOf(...changes: readonly Change[]) {
  const ledger = new ResourceLedger();
  for (const change of changes) change(ledger);
  return ledger.account(models);
}
const holds =
  (one: Node): Change =>
  (ledger) =>
    ledger.putNode(one);
const runs =
  (one: Pod): Change =>
  (ledger) =>
    ledger.putPod(one);

describe("an account of nodes that stand for their class", () => {
  const each = Array.from({ length: 4 }, (_, at) => [
    holds(node(`n${at}`)),
    ...["a", "b", "c"].map((name) => runs(pod(`${name}${at}`, `n${at}`))),
  ]).flat();

  it("is that of the nodes themselves, in whatever order they come", () => {
    const single = accountOf(...each);
    expect(accountOf(holds(node("class", 4)), runs(pod("group", "class", 12)))).toEqual(single);
    expect(accountOf(runs(pod("group", "class", 12)), holds(node("class", 4)))).toEqual(single);
    expect(single.nodeSummary).toEqual({ totalNum: 4, readyNum: 4 });
    expect(single.resourceSummary).toMatchObject({ allocated: { cpu: "6", pods: "12" } });
  });

  it("follows classes and groups that change their size or go", () => {
    const grown = accountOf(
      holds(node("class", 2)),
      runs(pod("group", "class", 5)),
      (ledger) => ledger.removePod(pod("group", "class", 5)),
      runs(pod("group", "class", 12)),
      holds(node("class", 4)),
    );
    expect(grown).toEqual(accountOf(...each));
    const empty = accountOf(holds(node("class", 4)), runs(pod("group", "class", 12)), (ledger) => {
      ledger.removePod(pod("group", "class", 12));
      ledger.removeNode(node("class", 4));
    });
    expect(empty.nodeSummary).toEqual({});
    expect(empty.resourceSummary).not.toHaveProperty("allocated");
  });

  it("takes a pod for one pod where its node is one node", () => {
    expect(accountOf(holds(node("n0")), runs(pod("liar", "n0", 100)))).toEqual(
      accountOf(holds(node("n0")), runs(pod("liar", "n0"))),
    );
  });
});

describe("an estimator's account of such nodes", () => {
  const classesOf = (nodes: readonly Node[], pods: readonly Pod[]) => {
    const accounts = new NodeAccounts();
    for (const one of pods) accounts.setPod(one);
    for (const one of nodes) accounts.setNode(one);
    return accounts.classes().map(({ count, free, pods: slots }) => ({ count, cpu: free.get("cpu"), slots }));
  };

  it("[AE-3] has what is free on each of them, and takes a pod for one pod where its node is one node", () => {
    expect(classesOf([node("class", 4)], [pod("group", "class", 12)])).toEqual([{ count: 4, cpu: 6_500, slots: 107 }]);
    expect(classesOf([node("n0")], [pod("liar", "n0", 100)])).toEqual([{ count: 1, cpu: 7_500, slots: 109 }]);
  });
});
