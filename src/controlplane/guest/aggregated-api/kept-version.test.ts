import fc from "fast-check";
import { expect, it } from "vitest";
import { inKeptVersion, SpokenVersion } from "./kept-version.ts";

const list = {
  apiVersion: "cluster.karmada.io/v1alpha1",
  kind: "ClusterList",
  items: [
    { metadata: { name: "ä", managedFields: [{ apiVersion: "cluster.karmada.io/v1alpha1" }] } },
    { metadata: { annotations: { note: 'says "cluster.karmada.io/v1direct" and cluster.karmada.io/v1alpha1' } } },
  ],
};
const text = Buffer.from(JSON.stringify(list));

it("the version changes in whole strings only, the length never", () => {
  const kept = inKeptVersion(text, "cluster.karmada.io");
  expect(kept).toHaveLength(text.length);
  const read = JSON.parse(kept.toString()) as typeof list;
  expect([read.apiVersion, read.items[0]?.metadata.managedFields?.[0]?.apiVersion, read.items[1]]).toEqual([
    "cluster.karmada.io/v1direct",
    "cluster.karmada.io/v1direct",
    list.items[1],
  ]);
  // What was handed in stays as it was.
  expect(JSON.parse(text.toString())).toEqual(list);
});

it("an answer comes back whole wherever it was cut, and nothing is held back that could be shown", () => {
  const kept = inKeptVersion(text, "cluster.karmada.io");
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: kept.length }), { maxLength: 12 }), (cuts) => {
      const spoken = new SpokenVersion("cluster.karmada.io");
      const ends = [...cuts, kept.length].sort((one, other) => one - other);
      let from = 0;
      const parts = ends.map((end) => {
        const part = spoken.take(kept.subarray(from, end));
        from = end;
        return Buffer.from(part);
      });
      expect(Buffer.concat([...parts, spoken.end()]).toString()).toBe(text.toString());
    }),
  );
  // A frame of a watch ends with a newline and is passed on at once.
  expect(new SpokenVersion("cluster.karmada.io").take(Buffer.from('{"type":"ADDED"}\n')).toString()).toBe(
    '{"type":"ADDED"}\n',
  );
});
