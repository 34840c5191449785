import { describe, expect, it } from "vitest";
import type { ApiError, KubeObject } from "#machinery";
import { createTestServer } from "#testing";
import { parseAdmissionConfiguration } from "./admission-configuration.ts";

const HEAD = "apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\n";
const SECURITY = "apiVersion: pod-security.admission.config.k8s.io/v1\nkind: PodSecurityConfiguration\n";
const none = (): string => {
  throw new Error("no file was to be read");
};
const withSecurity = (more: string) =>
  parseAdmissionConfiguration(`${HEAD}plugins: [{name: PodSecurity, path: own.yaml}]`, () => SECURITY + more);

describe("an AdmissionConfiguration", () => {
  it("gives what PodSecurity holds pods to, and whom it exempts", () => {
    expect(withSecurity("defaults: {enforce: baseline, warn-version: v1.30}\nexemptions: {namespaces: [a]}")).toEqual({
      podSecurity: {
        defaults: {
          enforce: "baseline",
          "enforce-version": "latest",
          audit: "privileged",
          "audit-version": "latest",
          warn: "privileged",
          "warn-version": "v1.30",
        },
        exemptions: { usernames: [], runtimeClasses: [], namespaces: ["a"] },
      },
    });
    expect(parseAdmissionConfiguration(HEAD, none)).toEqual({});
  });

  it.each([
    ["kind: Other", "it must be an AdmissionConfiguration of apiserver.config.k8s.io/v1"],
    [`${HEAD}more: x`, "more: unknown field"],
    [
      `${HEAD}plugins: [{name: EventRateLimit}]`,
      'plugins[0].name: "EventRateLimit" takes no configuration here; PodSecurity does',
    ],
    [`${HEAD}plugins: [{path: x}]`, "plugins[0].name: Required value"],
    [
      `${HEAD}plugins: [{name: PodSecurity, path: x, configuration: {}}]`,
      "plugins[0]: path and configuration cannot both be there",
    ],
    [
      `${HEAD}plugins: [{name: PodSecurity, configuration: {kind: X}}]`,
      "plugins[0].configuration: it must be a PodSecurityConfiguration of pod-security.admission.config.k8s.io/v1",
    ],
  ])("is refused: %j", (text, message) => {
    expect(() => parseAdmissionConfiguration(text, none)).toThrow(message);
  });

  it.each([
    [
      "defaults: {enforce: tight}",
      'own.yaml: defaults.enforce: Invalid value: "tight": must be one of privileged, baseline, restricted',
    ],
    [
      "defaults: {warn-version: v2}",
      'own.yaml: defaults.warn-version: Invalid value: "v2": must be "latest" or "v1.x"',
    ],
    ["defaults: {enforced: baseline}", "own.yaml: defaults.enforced: unknown field"],
    ["exemptions: {usernames: [a, a]}", 'own.yaml: exemptions.usernames[1]: Duplicate value: "a"'],
    ["exemptions: {usernames: a}", "own.yaml: exemptions.usernames: it must be a list of names"],
  ])("of PodSecurity is refused: %s", (text, message) => {
    expect(() => withSecurity(text)).toThrow(message);
  });
});

it("namespaces without labels are held to the defaults, and who is exempt is not", async () => {
  const { podSecurity } = withSecurity(
    "defaults: {enforce: baseline, warn: restricted}\nexemptions: {namespaces: [free], usernames: [trusted], runtimeClasses: [own]}",
  );
  const server = await createTestServer({
    ...(podSecurity === undefined ? {} : { admissionConfiguration: { podSecurity } }),
  });
  const make = (resource: string, body: object, namespace?: string) =>
    server.send("create", resource, { body, ...(namespace === undefined ? {} : { namespace }) });
  const labels = { "pod-security.kubernetes.io/enforce": "privileged" };
  for (const metadata of [{ name: "held" }, { name: "free" }, { name: "open", labels }])
    await make("v1/namespaces", { apiVersion: "v1", kind: "Namespace", metadata });
  await make("node.k8s.io/v1/runtimeclasses", {
    apiVersion: "node.k8s.io/v1",
    kind: "RuntimeClass",
    metadata: { name: "own" },
    handler: "h",
  });
  const pod = (name: string, more: object = {}) =>
    ({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name },
      spec: { hostNetwork: true, containers: [{ name: "c", image: "i" }], ...more },
    }) as unknown as KubeObject;
  const told = (namespace: string, body: KubeObject) => {
    const warnings: string[] = [];
    const onWarning = (text: string) => void warnings.push(text.replace(/:.*/, ""));
    return server.send("create", "v1/pods", { namespace, body, onWarning }).then(
      () => warnings,
      (error: ApiError) => error.message,
    );
  };
  expect(await told("held", pod("a"))).toBe(
    'pods "a" is forbidden: violates PodSecurity "baseline:latest": host namespaces (hostNetwork=true)',
  );
  expect(await told("free", pod("a"))).toEqual([]);
  expect(await told("open", pod("a"))).toEqual(['would violate PodSecurity "restricted']);
  expect(await told("held", pod("b", { runtimeClassName: "own" }))).toEqual([]);
  const asTrusted = server.transport({ name: "trusted", groups: ["system:masters"] });
  const at = { group: "", version: "v1", resource: "pods", namespace: "held" };
  await expect(asTrusted.send({ verb: "create", ...at, body: pod("c") })).resolves.toBeDefined();
  server.stop();
});
