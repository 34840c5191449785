import { describe, expect, it } from "vitest";
import { getPath, type KubeObject } from "#machinery";
import { APP_ARMOR, appArmorConflicts, withAppArmorFields } from "./app-armor.ts";

const LOCAL = { type: "Localhost", localhostProfile: "x" };
const UNCONFINED = { type: "Unconfined" };

/** A pod of one container with an annotation, and a profile of its own where one is given. */
const podOf = (annotation: string, own?: object, spec: object = {}) =>
  ({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "p", annotations: { [`${APP_ARMOR}c`]: annotation, [`${APP_ARMOR}nobody`]: "unconfined" } },
    spec: {
      containers: [{ name: "c", ...(own === undefined ? {} : { securityContext: { appArmorProfile: own } }) }],
      ...spec,
    },
  }) as unknown as KubeObject;

describe("AppArmor by annotations", () => {
  it.each<[string, KubeObject, object | undefined, number]>([
    ["becomes a field", podOf("unconfined"), UNCONFINED, 1],
    ["becomes a field with its file", podOf("localhost/x"), LOCAL, 1],
    ["is told of where it means nothing", podOf("localhost/"), undefined, 1],
    ["leaves the container's own profile", podOf("unconfined", LOCAL), LOCAL, 0],
    [
      "says nothing new where the pod says it",
      podOf("unconfined", undefined, { securityContext: { appArmorProfile: UNCONFINED } }),
      undefined,
      0,
    ],
    ["is not for Windows", podOf("unconfined", undefined, { os: { name: "windows" } }), undefined, 0],
  ])("%s", (_, pod, profile, warnings) => {
    const heard: string[] = [];
    const result = withAppArmorFields(pod, (text) => void heard.push(text));
    expect(getPath(result, "spec", "containers", "0", "securityContext", "appArmorProfile")).toEqual(profile);
    expect(heard).toHaveLength(warnings);
  });

  it.each<[string, object, string, readonly string[]]>([
    ["of another type", { type: "RuntimeDefault" }, "unconfined", ["type: Forbidden: apparmor type"]],
    ["of another file", LOCAL, "localhost/y", ["localhostProfile: Forbidden: apparmor profile"]],
    ["that says the same", LOCAL, "localhost/x", []],
  ])("may stand beside a field %s, or not", (_, own, annotation, expected) => {
    const { spec, metadata } = podOf(annotation, own) as KubeObject & { spec: Readonly<Record<string, unknown>> };
    const found = appArmorConflicts(spec, metadata.annotations ?? {});
    expect(found.map(({ field, message }) => `${field}: ${message}`)).toEqual(
      expected.map(
        (text) => `spec.containers[0].securityContext.appArmorProfile.${text} in annotation and field must match`,
      ),
    );
  });
});
