import { describe, expect, it } from "vitest";
import type { ApiError, KubeObject } from "#machinery";
import { createTestServer, type TestServer } from "#testing";

const PREFIX = "pod-security.kubernetes.io/";
const labelled = (labels: Readonly<Record<string, string>>) =>
  Object.fromEntries(Object.entries(labels).map(([key, value]) => [`${PREFIX}${key}`, value]));
const OPEN = { containers: [{ name: "c", image: "x" }] };
const HOST = { ...OPEN, hostNetwork: true };
const at = { namespace: "n" };

/** What came of a request: its warnings, or the message of its refusal. */
async function heard(server: TestServer, verb: string, resource: string, rest: object): Promise<readonly string[]> {
  const warnings: string[] = [];
  const onWarning = (text: string) => void warnings.push(text);
  return server.send(verb as "create", resource, { ...rest, onWarning }).then(
    () => warnings,
    (error: ApiError) => [error.message],
  );
}

const namespace = (server: TestServer, labels: Readonly<Record<string, string>> = {}) =>
  heard(server, "create", "v1/namespaces", {
    body: { apiVersion: "v1", kind: "Namespace", metadata: { name: "n", labels: labelled(labels) } },
  });
const relabel = (server: TestServer, labels: Readonly<Record<string, string>>, dryRun = false) =>
  heard(server, "patch", "v1/namespaces", {
    name: "n",
    patchType: "application/merge-patch+json",
    body: { metadata: { labels: labelled(labels) } },
    options: { dryRun },
  });
const pod = (server: TestServer, name: string, spec: object) =>
  heard(server, "create", "v1/pods", { ...at, body: { apiVersion: "v1", kind: "Pod", metadata: { name }, spec } });
const patch = (server: TestServer, body: object, rest: object = {}) =>
  heard(server, "patch", "v1/pods", {
    ...at,
    name: "p",
    patchType: "application/strategic-merge-patch+json",
    body,
    ...rest,
  });

describe("PodSecurity", () => {
  it("refuses pods below the level that is enforced, and updates that count", async () => {
    const server = await createTestServer();
    await namespace(server, { enforce: "baseline" });
    expect(await pod(server, "p", HOST)).toEqual([
      'pods "p" is forbidden: violates PodSecurity "baseline:latest": host namespaces (hostNetwork=true)',
    ]);
    expect(await pod(server, "p", OPEN)).toEqual([]);
    const debug = { spec: { ephemeralContainers: [{ name: "e", image: "x", securityContext: { privileged: true } }] } };
    expect(await patch(server, debug, { subresource: "ephemeralcontainers" })).toEqual([
      'pods "p" is forbidden: violates PodSecurity "baseline:latest": privileged (container "e" must not set securityContext.privileged=true)',
    ]);
    await relabel(server, { enforce: "restricted" });
    expect(await patch(server, { metadata: { labels: { a: "b" } }, spec: { activeDeadlineSeconds: 5 } })).toEqual([]);
    const [refusal] = await patch(server, { spec: { containers: [{ name: "c", image: "other" }] } });
    expect(refusal).toMatch(
      /^pods "p" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation/,
    );
    server.stop();
  });

  it.each<[string, Readonly<Record<string, string>>, readonly string[]]>([
    [
      "by the level to warn by",
      { enforce: "privileged", warn: "baseline", "warn-version": "v1.20" },
      ["baseline:v1.20"],
    ],
    [
      "by what is enforced, where nothing else is said",
      { enforce: "baseline", "enforce-version": "v1.30" },
      ["baseline:v1.30"],
    ],
    ["not where nobody wants to be warned", { enforce: "baseline", warn: "privileged" }, []],
    ["not for audits", { audit: "baseline" }, []],
    ["not without labels", {}, []],
  ])("warns of templates %s", async (_, labels, policies) => {
    const server = await createTestServer();
    await namespace(server, labels);
    const template = { metadata: { labels: { a: "b" } }, spec: HOST };
    const spec = { selector: { matchLabels: { a: "b" } }, template };
    const job = { template: { spec: { ...HOST, restartPolicy: "Never" } } };
    const warnings = policies.map(
      (policy) => `would violate PodSecurity "${policy}": host namespaces (hostNetwork=true)`,
    );
    const create = (resource: string, kind: string, members: object) => {
      const apiVersion = resource.slice(0, resource.lastIndexOf("/"));
      return heard(server, "create", resource, {
        ...at,
        body: { apiVersion, kind, metadata: { name: "w" }, ...members },
      });
    };
    expect(await create("apps/v1/deployments", "Deployment", { spec })).toEqual(warnings);
    expect(await create("v1/podtemplates", "PodTemplate", { template })).toEqual(warnings);
    expect(
      await create("batch/v1/cronjobs", "CronJob", { spec: { schedule: "* * * * *", jobTemplate: { spec: job } } }),
    ).toEqual(warnings);
    server.stop();
  });

  it("refuses labels that say nothing, and forgives those that were there", async () => {
    const server = await createTestServer();
    expect(await namespace(server, { enforce: "strict", "warn-version": "1.22" })).toEqual([
      'Namespace "n" is invalid: [metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: "strict": must be one of privileged, baseline, restricted, metadata.labels[pod-security.kubernetes.io/warn-version]: Invalid value: "1.22": must be "latest" or "v1.x"]',
    ]);
    await namespace(server);
    expect(await relabel(server, { audit: "" })).toEqual([
      'Namespace "n" is invalid: metadata.labels[pod-security.kubernetes.io/audit]: Invalid value: "": must be one of privileged, baseline, restricted',
    ]);
    server.stop();
  });

  it("tells of pods that are there when a namespace becomes stricter", async () => {
    const server = await createTestServer();
    await namespace(server);
    for (const name of ["z", "a", "b"]) await pod(server, name, name === "z" ? HOST : OPEN);
    const told = (policy: string, ...lines: readonly string[]) => [
      `existing pods in namespace "n" violate the new PodSecurity enforce level "${policy}"`,
      ...lines,
    ];
    const OLD = "allowPrivilegeEscalation != false, runAsNonRoot != true";
    expect(await relabel(server, { enforce: "baseline" }, true)).toEqual(told("baseline:latest", "z: host namespaces"));
    expect(await relabel(server, { enforce: "restricted", "enforce-version": "v1.18" })).toEqual(
      told("restricted:v1.18", `a (and 1 other pod): ${OLD}`, `z: host namespaces, ${OLD}`),
    );
    expect(await relabel(server, { enforce: "baseline" }, true)).toEqual([]);
    expect(await relabel(server, { warn: "restricted" }, true)).toEqual([]);
    server.stop();
  });

  it("notes in the audit log what is enforced and what audits find", async () => {
    const server = await createTestServer();
    await namespace(server, { enforce: "privileged", audit: "baseline" });
    const plugin = server.server.admission.find(({ name }) => name === "PodSecurity");
    const definition = server.server.registry.find("", "v1", "pods");
    const notes: Record<string, string> = {};
    const object = { apiVersion: "v1", kind: "Pod", metadata: { name: "p", namespace: "n" }, spec: HOST } as KubeObject;
    const user = { name: "somebody", groups: [] };
    const request = { operation: "CREATE", definition, object, namespace: "n", name: "p", user };
    const annotate = (key: string, value: string) => {
      notes[key] = value;
    };
    await plugin?.validate?.({ ...request, annotate, warn: () => {} } as unknown as Parameters<
      NonNullable<typeof plugin.validate>
    >[0]);
    expect(notes).toEqual(
      labelled({
        "enforce-policy": "privileged:latest",
        "audit-violations": 'would violate PodSecurity "baseline:latest": host namespaces (hostNetwork=true)',
      }),
    );
    server.stop();
  });
});
