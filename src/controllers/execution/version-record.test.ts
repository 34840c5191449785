import { expect, it, vi } from "vitest";
import type { KubeObject } from "#machinery";
import { contentDigest } from "./plan.ts";
import { VersionRecord } from "./version-record.ts";

const map = (resourceVersion?: string, value = "1"): KubeObject =>
  ({
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { namespace: "default", name: "a", ...(resourceVersion === undefined ? {} : { resourceVersion }) },
    data: { key: value },
  }) as KubeObject;

it("reads the answer of a member once, when somebody asks", () => {
  const versions = new VersionRecord();
  const read = vi.fn(() => map("7", "defaulted"));
  versions.setUnread("m1", map(), read);
  expect(read).not.toHaveBeenCalled();
  expect(versions.get("m1", map())).toBe("7");
  expect(versions.digestOf("m1", map())).toBe(contentDigest(map("7", "defaulted")));
  expect(versions.get("m2", map())).toBeUndefined();
  expect(read).toHaveBeenCalledTimes(1);
});

it("takes the latest of what was written, read and confirmed", () => {
  const versions = new VersionRecord();
  versions.set("m1", map("6"));
  versions.setUnread("m1", map(), () => map("7"));
  expect(versions.get("m1", map())).toBe("7");
  versions.setUnread("m1", map(), () => map("8"));
  versions.set("m1", map("9"));
  expect(versions.get("m1", map())).toBe("9");
  versions.setUnread("m1", map(), () => map("10"));
  versions.delete("m1", map());
  expect(versions.get("m1", map())).toBeUndefined();
});

it("knows nothing of an object whose answer was none", () => {
  const versions = new VersionRecord();
  versions.set("m1", map("6"));
  versions.setUnread("m1", map(), () => {
    throw new Error("no object");
  });
  expect(versions.digestOf("m1", map())).toBeUndefined();
  expect(versions.get("m1", map())).toBeUndefined();
});
