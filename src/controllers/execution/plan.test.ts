import { describe, expect, test } from "vitest";
import { createInterpreter } from "#interpreter";
import type { KubeObject } from "#machinery";
import { DeletionBrake } from "./deletion-brake.ts";
import { contentDigest, MANIFEST_DIGEST, planManifest, releasedObject } from "./plan.ts";

const interpreter = createInterpreter();
type Loose = Readonly<Record<string, unknown>>;
const manifest = (content: Loose, annotations: Loose = {}, kind = "ConfigMap"): KubeObject =>
  ({
    apiVersion: kind === "ConfigMap" ? "v1" : "apps/v1",
    kind,
    metadata: { name: "a", namespace: "default", labels: { "karmada.io/managed": "true" }, annotations },
    ...content,
  }) as KubeObject;
/** What the member holds after `source` was written, with what its server adds. */
const written = (source: KubeObject, more: Loose = {}, labels: Loose = {}): KubeObject =>
  ({
    ...source,
    ...more,
    metadata: {
      ...source.metadata,
      labels: { ...source.metadata.labels, ...labels },
      annotations: { ...source.metadata.annotations, [MANIFEST_DIGEST]: contentDigest(source) },
      uid: "u",
      resourceVersion: "7",
      generation: 1,
    },
  }) as KubeObject;
const actionFor = (source: KubeObject, observed: KubeObject | undefined, settled?: string) =>
  planManifest(source, observed, "m1", interpreter, settled).action;

describe("what to do with a manifest", () => {
  test("what is not there is created, with a digest of what it says", () => {
    const plan = planManifest(manifest({ data: { a: "1" } }), undefined, "m1", interpreter);
    expect(plan).toMatchObject({
      action: "create",
      object: { metadata: { annotations: { [MANIFEST_DIGEST]: expect.any(String) } } },
    });
  });

  test("[DR-34] what is not ours is refused, unless the manifest says to overwrite", () => {
    const theirs = {
      ...manifest({ data: { a: "theirs" } }),
      metadata: { name: "a", namespace: "default", resourceVersion: "3" },
    } as KubeObject;
    expect(planManifest(manifest({ data: {} }), theirs, "m1", interpreter)).toEqual({
      action: "refuse",
      message:
        "resource(kind=ConfigMap, default/a) already exists in the cluster m1 and the work.karmada.io/conflict-resolution strategy value is empty, Karmada will not manage this resource",
    });
    expect(actionFor(manifest({ data: {} }, { "work.karmada.io/conflict-resolution": "overwrite" }), theirs)).toBe(
      "update",
    );
  });

  test("defaults a member fills in are no difference, also after a restart", () => {
    const source = manifest(
      { spec: { replicas: 1, template: { spec: { containers: [{ name: "c" }] } } } },
      {},
      "Deployment",
    );
    const observed = written(source, {
      spec: {
        replicas: 1,
        strategy: { type: "RollingUpdate" },
        template: { spec: { containers: [{ name: "c", imagePullPolicy: "Always" }], restartPolicy: "Always" } },
      },
    });
    expect(actionFor(source, observed)).toBe("none");
    expect(actionFor(source, observed, contentDigest(observed))).toBe("none");
  });

  test("what left the manifest leaves the member, though the member would accept it as a default", () => {
    const before = manifest(
      { spec: { template: { spec: { nodeSelector: { zone: "a" }, containers: [] } } } },
      {},
      "Deployment",
    );
    const now = manifest({ spec: { template: { spec: { containers: [] } } } }, {}, "Deployment");
    expect(actionFor(now, written(before))).toBe("update");
  });

  test("[DR-20] what somebody added in the member is seen: by the record, and in plain data also after a restart", () => {
    const source = manifest({ spec: { template: { spec: { containers: [] } } } }, {}, "Deployment");
    const settled = contentDigest(written(source));
    expect(
      actionFor(
        source,
        written(source, { spec: { template: { spec: { containers: [], hostNetwork: true } } } }),
        settled,
      ),
    ).toBe("update");
    const data = manifest({ data: { a: "1" } });
    expect(actionFor(data, written(data, { data: { a: "1", b: "2" } }))).toBe("update");
    expect(actionFor(manifest({}), written(data))).toBe("update");
  });

  test("labels that members add stay; labels that left the template go", () => {
    const source = manifest({ data: {} }, { "resourcetemplate.karmada.io/managed-labels": "karmada.io/managed" });
    expect(actionFor(source, written(source, {}, { "member/own": "x" }))).toBe("none");
    const old = written(source, {}, { gone: "x" });
    const observed = {
      ...old,
      metadata: {
        ...old.metadata,
        annotations: {
          ...old.metadata.annotations,
          "resourcetemplate.karmada.io/managed-labels": "gone,karmada.io/managed",
        },
      },
    } as KubeObject;
    const plan = planManifest(source, observed, "m1", interpreter);
    expect(plan.action === "update" && plan.object.metadata.labels).toEqual({ "karmada.io/managed": "true" });
  });

  test("[RN-21] [RN-22] a released object carries no mark of ours", () => {
    const source = manifest(
      { data: {} },
      {
        "work.karmada.io/name": "w",
        "work.karmada.io/namespace": "karmada-es-m1",
        "work.karmada.io/conflict-resolution": "abort",
        "resourcetemplate.karmada.io/uid": "u",
        own: "1",
      },
    );
    const { labels = {}, annotations } = releasedObject(written(source)).metadata;
    expect(labels).toEqual({});
    expect(annotations).toEqual({ own: "1" });
  });
});

describe("the mass-deletion brake", () => {
  const brake = (massDeletionShare: number, massDeletionFloor = 2) =>
    new DeletionBrake({ massDeletionShare, massDeletionFloor, massDeletionWindowMs: 1000 });
  const admitted = (subject: DeletionBrake, count: number, nowMs: number, total = 100) =>
    Array.from({ length: count }, () => subject.admits("m1", String(next++), () => total, nowMs)).filter(Boolean)
      .length;
  let next = 0;

  test("is off by default share and on above it", () => {
    expect(brake(0).isOn).toBe(false);
    expect(brake(0.1).isOn).toBe(true);
  });
  test("admits the share of a window, and as much again in the next", () => {
    const subject = brake(0.1);
    expect(admitted(subject, 50, 0)).toBe(10);
    expect(admitted(subject, 50, 999)).toBe(0);
    expect(admitted(subject, 50, 1000)).toBe(10);
  });
  test("never holds fewer than the floor, and counts members apart", () => {
    const subject = brake(0.1, 5);
    expect(admitted(subject, 50, 0, 10)).toBe(5);
    expect(subject.admits("m2", "a", () => 10, 0)).toBe(true);
  });
  test("counts a deletion that is tried again once", () => {
    const subject = brake(0.1, 2);
    expect(["a", "a", "b", "a", "b", "c"].map((uid) => subject.admits("m1", uid, () => 10, 0))).toEqual([
      true,
      true,
      true,
      true,
      true,
      false,
    ]);
  });
  test("knows how many are held", () => {
    const subject = brake(0.1);
    subject.hold("m1", "a");
    expect(subject.hold("m1", "b")).toBe(2);
    expect(subject.letGo("m1", "a")).toBe(1);
    expect(subject.letGo("m1", "a")).toBeUndefined();
  });
});
