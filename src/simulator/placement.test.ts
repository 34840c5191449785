import { describe, expect, it } from "vitest";
import type { Node, Pod } from "#apis/kubernetes";
import { Placement } from "./placement.ts";

const node = (name: string, cpu = "1", extra: object = {}) =>
  ({
    metadata: { name, labels: {} },
    spec: {},
    status: {
      allocatable: { cpu, memory: "8Gi", pods: "110" },
      conditions: [{ type: "Ready", status: "True" }],
    },
    ...extra,
  }) as unknown as Node;
const pod = (name: string, cpu = "500m", spec: object = {}) =>
  ({
    metadata: { name, namespace: "default", uid: name },
    spec: { containers: [{ name: "c", resources: { requests: { cpu } } }], ...spec },
  }) as unknown as Pod;
const withNodes = (count: number, cpu?: string) => {
  const placement = new Placement();
  for (let at = 0; at < count; at++) placement.putNode(node(`n${at}`, cpu));
  return placement;
};

describe("placement", () => {
  it("spreads pods and says in the scheduler's words why there is no room", () => {
    const placement = withNodes(2);
    const nodes = ["a", "b", "c", "d"].map((name) => placement.place(pod(name)).node);
    expect([...nodes].sort()).toEqual(["n0", "n0", "n1", "n1"]);
    expect(placement.place(pod("e")).why).toBe("0/2 nodes are available: 2 Insufficient cpu.");
    expect(placement.place(pod("f", "10m", { nodeSelector: { disk: "ssd" } })).why).toBe(
      "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector.",
    );
  });

  it("brings back as many waiting pods as a node has room for, and none it has not", () => {
    const placement = withNodes(1);
    const [first, second] = [pod("a"), pod("b")];
    for (const each of [first, second]) placement.place(each);
    for (const name of ["c", "d", "e"]) {
      expect(placement.place(pod(name)).node).toBeUndefined();
      placement.wait(pod(name));
    }
    const big = pod("big", "900m");
    expect(placement.place(big).node).toBeUndefined();
    placement.wait(big);
    expect(placement.release(first)).toBe("n0");
    expect(placement.takeWaiting("n0").map(({ name }) => name)).toEqual(["c"]);
    expect(placement.place(pod("c")).node).toBe("n0");
    placement.putNode(node("n1"));
    expect(placement.takeWaiting("n1").map(({ name }) => name)).toEqual(["d", "e", "big"]);
  });

  it("uses a node again once it is ready, and forgets one that is gone", () => {
    const placement = withNodes(1);
    const lost = { status: { ...node("n0").status, conditions: [{ type: "Ready", status: "Unknown" }] } };
    placement.putNode(node("n0", "1", lost));
    expect(placement.place(pod("a")).why).toBe("0/1 nodes are available: 1 node(s) were not ready.");
    expect(placement.putNode(node("n0"))).toBe(true);
    expect(placement.place(pod("a")).node).toBe("n0");
    placement.removeNode("n0");
    expect(placement.place(pod("b")).why).toBe("0/0 nodes are available.");
  });

  it("does not look at full nodes once for every pod", () => {
    const placement = withNodes(2000, "1");
    let looks = 0;
    const counted = {
      get unschedulable() {
        looks++;
        return false;
      },
    };
    for (let at = 0; at < 2000; at++) placement.putNode(node(`n${at}`, "1", { spec: counted }));
    for (let at = 0; at < 4000; at++) expect(placement.place(pod(`p${at}`)).node).toBeDefined();
    for (let at = 0; at < 1000; at++) expect(placement.place(pod(`q${at}`)).node).toBeUndefined();
    // At most the candidates of each pod, and each node once when it is full.
    expect(looks).toBeLessThanOrEqual(4000 * 64 + 2000);
  });
});
