import { expect, test } from "vitest";
import type { KubeObject } from "#machinery";
import { mayDrift } from "./drift.ts";

type Metadata = Readonly<Record<string, unknown>>;
const LISTS = {
  "resourcetemplate.karmada.io/managed-labels": "app,former",
  "resourcetemplate.karmada.io/managed-annotations": "note",
};
const object = (version: string, more: Metadata = {}): KubeObject =>
  ({
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: {
      name: "a",
      namespace: "default",
      resourceVersion: version,
      generation: 1,
      labels: { app: "a" },
      annotations: LISTS,
      ...more,
    },
  }) as KubeObject;
const manifest: KubeObject = object("", { annotations: { ...LISTS, note: "n" } });

test.each<[string, Metadata, Metadata, string | undefined, boolean]>([
  ["a status that moved", {}, {}, "1", false],
  ["our own write", { generation: 2 }, {}, "2", false],
  ["another spec", { generation: 2 }, {}, "1", true],
  ["another spec of what we never compared", { generation: 2 }, {}, undefined, false],
  ["any change of a kind without generations", { generation: undefined }, { generation: undefined }, "1", true],
  ["a label of the manifest", { labels: { app: "b" } }, {}, "1", true],
  ["a label of the manifest that is gone", { labels: {} }, {}, undefined, true],
  ["a label of a former manifest", { labels: { app: "a", former: "x" } }, {}, "1", true],
  ["a label of somebody else", { labels: { app: "a", theirs: "x" } }, {}, "1", false],
  ["an annotation of the manifest", { annotations: { ...LISTS, note: "other" } }, {}, "1", true],
  [
    "a revision noted by the member",
    { annotations: { ...LISTS, "deployment.kubernetes.io/revision": "1" } },
    {},
    "1",
    false,
  ],
  [
    "the digest of the manifest",
    { annotations: { ...LISTS, "execution.flotilla.io/manifest-digest": "" } },
    {},
    "1",
    true,
  ],
])("whether a change is compared with the manifest: %s", (_what, now, before, written, expected) => {
  expect(mayDrift(object("2", now), object("1", before), written, () => manifest)).toBe(expected);
});

test("what no manifest is known of is compared as soon as a label moves", () => {
  const relabelled = object("2", { labels: { app: "a", theirs: "x" } });
  expect(mayDrift(relabelled, object("1"), "1", () => undefined)).toBe(true);
});
