import { beforeEach, describe, expect, it } from "vitest";
import type { VirtualClock } from "#base";
import type { ApiError, KubeObject } from "#machinery";
import { createTestServer, settle, type TestServer, watchInto } from "#testing";

let server: TestServer;
beforeEach(async () => {
  server = await createTestServer();
});

const at = { namespace: "default" };
const configMap = (name: string, data: object = {}, metadata: object = {}) =>
  ({ apiVersion: "v1", kind: "ConfigMap", metadata: { name, ...metadata }, data }) as unknown as KubeObject;
const create = (body: KubeObject, resource = "v1/configmaps") => server.send("create", resource, { ...at, body });
const failure = (promise: Promise<unknown>) =>
  promise.then(
    () => {
      throw new Error("the request must be refused");
    },
    (error: ApiError) => error,
  );
interface Loose {
  readonly spec: Readonly<Record<string, unknown>> & {
    readonly template: { readonly spec: { readonly containers: readonly { readonly name: string }[] } };
  };
  readonly data: Readonly<Record<string, string>> | undefined;
}
const read = (object: unknown) => object as Loose;

describe("create", () => {
  it("gives the object what the server owns", async () => {
    const made = await create(configMap("a", { k: "v" }));
    expect(made.metadata).toMatchObject({ name: "a", namespace: "default", creationTimestamp: "2026-01-01T00:00:00Z" });
    expect(made.metadata.uid).toMatch(/^[0-9a-f-]{36}$/);
    expect(Number(made.metadata.resourceVersion)).toBeGreaterThan(1);
    expect(Object.isFrozen(made)).toBe(true);
  });

  it("makes a name from generateName", async () => {
    const made = await create({ ...configMap("x"), metadata: { generateName: "job-" } });
    expect(made.metadata.name).toMatch(/^job-[bcdfghjklmnpqrstvwxz2456789]{5}$/);
  });

  it("refuses what exists, with kube-apiserver's words", async () => {
    await create(configMap("a"));
    const { status } = await failure(create(configMap("a")));
    expect(status).toMatchObject({
      code: 409,
      reason: "AlreadyExists",
      message: 'configmaps "a" already exists',
      details: { name: "a", kind: "configmaps" },
    });
  });

  it("refuses a namespace that is not there", async () => {
    const { status } = await failure(
      server.send("create", "v1/configmaps", { namespace: "nowhere", body: configMap("a") }),
    );
    expect(status).toMatchObject({ code: 404, reason: "NotFound", message: 'namespaces "nowhere" not found' });
  });

  it("refuses a namespace that is being deleted", async () => {
    await server.send("create", "v1/namespaces", {
      body: { apiVersion: "v1", kind: "Namespace", metadata: { name: "going" } },
    });
    const going = await server.send("delete", "v1/namespaces", { name: "going" });
    expect(going).toMatchObject({ status: { phase: "Terminating" } });
    const { status } = await failure(
      server.send("create", "v1/configmaps", { namespace: "going", body: configMap("a") }),
    );
    expect(status).toMatchObject({
      code: 403,
      details: { causes: [{ reason: "NamespaceTerminating", field: "metadata.namespace" }] },
    });
  });

  it("names every mistake of the metadata", async () => {
    const { status } = await failure(create(configMap("Bad_Name", {}, { labels: { "a b": "x" } })));
    expect(status.code).toBe(422);
    expect(status.details?.causes?.map(({ field, reason }) => [field, reason])).toEqual([
      ["metadata.name", "FieldValueInvalid"],
      ["metadata.labels", "FieldValueInvalid"],
    ]);
  });

  it("drops the status a client sends and counts the first generation", async () => {
    const made = await server.send("create", "apps/v1/deployments", {
      ...at,
      body: { ...deployment("a"), status: { replicas: 9 } },
    });
    expect(made).toMatchObject({ metadata: { generation: 1 }, status: {} });
    expect(made).not.toHaveProperty("status.replicas");
  });

  it("writes nothing in a dry run", async () => {
    const made = await server.send("create", "v1/configmaps", {
      ...at,
      body: configMap("a"),
      options: { dryRun: true },
    });
    expect(made.metadata.uid).toBeDefined();
    expect(await failure(server.send("get", "v1/configmaps", { ...at, name: "a" }))).toMatchObject({
      reason: "NotFound",
    });
  });

  it("treats unknown fields as fieldValidation says", async () => {
    const body = { ...configMap("a"), colour: "red" };
    const strict = await failure(
      server.send("create", "v1/configmaps", { ...at, body, options: { fieldValidation: "Strict" } }),
    );
    expect(strict.message).toContain('strict decoding error: unknown field "colour"');
    const warnings: string[] = [];
    const made = await server.send("create", "v1/configmaps", {
      ...at,
      body,
      onWarning: (text: string) => warnings.push(text),
    });
    expect(warnings).toEqual(['unknown field "colour"']);
    expect(made).not.toHaveProperty("colour");
  });
});

const deployment = (name: string, spec: object = {}): KubeObject =>
  ({
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name },
    spec: {
      selector: { matchLabels: { app: name } },
      template: { metadata: { labels: { app: name } }, spec: { containers: [{ name: "c", image: "nginx" }] } },
      ...spec,
    },
  }) as unknown as KubeObject;

describe("a spec that was taken before", () => {
  const template = (body: object) => body as unknown as KubeObject;

  it("is shared between servers of a process, and everything else is looked at as ever", async () => {
    const other = await createTestServer();
    const made = await server.send("create", "apps/v1/deployments", { ...at, body: deployment("a") });
    const { spec } = made as unknown as { readonly spec: object };
    const body = template({
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name: "b", labels: { x: "y" } },
      spec,
    });
    const copied = await other.send("create", "apps/v1/deployments", { ...at, body });
    expect((copied as unknown as { readonly spec: object }).spec).toBe(spec);
    expect(copied).toMatchObject({ metadata: { name: "b", generation: 1, labels: { x: "y" } }, status: {} });
    const plain = await other.send("create", "apps/v1/deployments", {
      ...at,
      body: template(JSON.parse(JSON.stringify({ ...body, metadata: { name: "c", labels: { x: "y" } } }))),
    });
    const told = ({ metadata: _m, ...rest }: KubeObject) => rest;
    expect(told(copied)).toEqual(told(plain));
    const wrong = (more: object) =>
      failure(other.send("create", "apps/v1/deployments", { ...at, body: template({ ...body, ...more }) }));
    expect((await wrong({ metadata: { name: "d", labels: { "a b": "" } } })).status).toMatchObject({ code: 422 });
    expect((await wrong({ metadata: { name: "d" }, spec: { ...spec, replicas: -1 } })).status.message).toContain(
      "spec.replicas: Invalid value: -1",
    );
  });

  it("is looked at anew as a part of another kind", async () => {
    const made = await server.send("create", "apps/v1/deployments", { ...at, body: deployment("a") });
    const { spec } = made as unknown as { readonly spec: object };
    const set = await server.send("create", "apps/v1/replicasets", {
      ...at,
      body: template({ apiVersion: "apps/v1", kind: "ReplicaSet", metadata: { name: "a" }, spec }),
    });
    expect(Object.keys(read(set).spec).sort()).toEqual(["replicas", "selector", "template"]);
  });
});

describe("update", () => {
  it("changes nothing and makes no revision when nothing differs", async () => {
    const made = await create(configMap("a", { k: "v" }));
    const same = await server.send("update", "v1/configmaps", { ...at, name: "a", body: made });
    expect(same.metadata.resourceVersion).toBe(made.metadata.resourceVersion);
  });

  it("refuses a version that is no longer the present one", async () => {
    const made = await create(configMap("a"));
    await server.send("update", "v1/configmaps", { ...at, name: "a", body: configMap("a", { k: "1" }) });
    const { status } = await failure(
      server.send("update", "v1/configmaps", { ...at, name: "a", body: { ...made, data: { k: "2" } } }),
    );
    expect(status).toMatchObject({
      code: 409,
      reason: "Conflict",
      message:
        'Operation cannot be fulfilled on configmaps "a": the object has been modified; please apply your changes to the latest version and try again',
    });
  });

  it("refuses another name or namespace than the path's", async () => {
    await create(configMap("a"));
    expect(
      await failure(server.send("update", "v1/configmaps", { ...at, name: "a", body: configMap("b") })),
    ).toMatchObject({ reason: "BadRequest" });
    const elsewhere = configMap("a", {}, { namespace: "kube-system" });
    expect(await failure(server.send("update", "v1/configmaps", { ...at, name: "a", body: elsewhere }))).toMatchObject({
      reason: "BadRequest",
    });
  });

  it("creates a Lease that is not there, but no ConfigMap", async () => {
    const lease = {
      apiVersion: "coordination.k8s.io/v1",
      kind: "Lease",
      metadata: { name: "l" },
      spec: { holderIdentity: "me" },
    };
    const made = await server.send("update", "coordination.k8s.io/v1/leases", { ...at, name: "l", body: lease });
    expect(made.metadata.uid).toBeDefined();
    expect(
      await failure(server.send("update", "v1/configmaps", { ...at, name: "none", body: configMap("none") })),
    ).toMatchObject({ reason: "NotFound" });
  });

  it("keeps spec and status apart and counts generations of the spec only", async () => {
    const made = await server.send("create", "apps/v1/deployments", { ...at, body: deployment("a") });
    const both = { ...made, spec: { ...read(made).spec, replicas: 5 }, status: { replicas: 3 } };
    const written = await server.send("update", "apps/v1/deployments", {
      ...at,
      name: "a",
      subresource: "status",
      body: both,
    });
    expect(written).toMatchObject({ metadata: { generation: 1 }, spec: { replicas: 1 }, status: { replicas: 3 } });
    const spec = await server.send("update", "apps/v1/deployments", {
      ...at,
      name: "a",
      body: { ...written, spec: { ...read(written).spec, replicas: 5 }, status: {} },
    });
    expect(spec).toMatchObject({ metadata: { generation: 2 }, spec: { replicas: 5 }, status: { replicas: 3 } });
  });

  it("changes the status with the rest in one write where a caller in the process asks for it", async () => {
    await server.send("create", "apps/v1/deployments", { ...at, body: deployment("a") });
    const both = await server.send("patch", "apps/v1/deployments", {
      ...at,
      name: "a",
      patchType: "application/merge-patch+json",
      body: { spec: { replicas: 5 }, status: { replicas: 9 } },
      options: { statusPatch: { replicas: 3, unheardOf: true } },
    });
    expect(both).toMatchObject({ metadata: { generation: 2 }, spec: { replicas: 5 }, status: { replicas: 3 } });
    expect(both).not.toHaveProperty("status.unheardOf");
    const same = await server.send("patch", "apps/v1/deployments", {
      ...at,
      name: "a",
      patchType: "application/merge-patch+json",
      body: { spec: { replicas: 5 } },
      options: { statusPatch: { replicas: 3 } },
    });
    expect(same.metadata.resourceVersion).toBe(both.metadata.resourceVersion);
    const refused = await failure(
      server.send("patch", "apps/v1/deployments", {
        ...at,
        name: "a",
        patchType: "application/merge-patch+json",
        body: {},
        options: { statusPatch: { replicas: -1 } },
      }),
    );
    expect(refused.status).toMatchObject({ code: 422, reason: "Invalid" });
    const create = (name: string, statusPatch: object) =>
      server.send("create", "apps/v1/deployments", {
        ...at,
        body: { ...deployment(name), status: { replicas: 9 } },
        options: { statusPatch },
      });
    expect(await create("b", { replicas: 3 })).toMatchObject({ metadata: { generation: 1 }, status: { replicas: 3 } });
    expect((await failure(create("c", { replicas: -1 }))).status).toMatchObject({ code: 422, reason: "Invalid" });
  });

  it("scales through the scale subresource", async () => {
    await server.send("create", "apps/v1/deployments", { ...at, body: deployment("a") });
    const scale = await server.send("get", "apps/v1/deployments", { ...at, name: "a", subresource: "scale" });
    expect(scale).toMatchObject({
      kind: "Scale",
      apiVersion: "autoscaling/v1",
      spec: { replicas: 1 },
      status: { selector: "app=a" },
    });
    await server.send("update", "apps/v1/deployments", {
      ...at,
      name: "a",
      subresource: "scale",
      body: { ...scale, spec: { replicas: 7 } },
    });
    expect(await server.send("get", "apps/v1/deployments", { ...at, name: "a" })).toMatchObject({
      spec: { replicas: 7 },
      metadata: { generation: 2 },
    });
  });
});

describe("patch", () => {
  it.each([
    ["application/merge-patch+json", { data: { a: null, b: "2" } }],
    [
      "application/json-patch+json",
      [
        { op: "remove", path: "/data/a" },
        { op: "add", path: "/data/b", value: "2" },
      ],
    ],
    ["application/strategic-merge-patch+json", { data: { a: null, b: "2" } }],
  ])("%s changes what it names", async (patchType, body) => {
    await create(configMap("a", { a: "1", c: "3" }));
    const patched = await server.send("patch", "v1/configmaps", { ...at, name: "a", patchType, body });
    expect(patched).toMatchObject({ data: { b: "2", c: "3" } });
    expect(patched).not.toHaveProperty("data.a");
  });

  it("merges containers by name in a strategic patch", async () => {
    await server.send("create", "apps/v1/deployments", { ...at, body: deployment("a") });
    const body = { spec: { template: { spec: { containers: [{ name: "side", image: "busybox:1" }] } } } };
    const patched = await server.send("patch", "apps/v1/deployments", {
      ...at,
      name: "a",
      patchType: "application/strategic-merge-patch+json",
      body,
    });
    const { containers } = read(patched).spec.template.spec;
    expect(containers.map(({ name }) => name).sort()).toEqual(["c", "side"]);
  });

  it("loses no write when many patch one object at the same time", async () => {
    await create(configMap("a"));
    await Promise.all(
      Array.from({ length: 50 }, (_, n) =>
        server.send("patch", "v1/configmaps", {
          ...at,
          name: "a",
          patchType: "application/merge-patch+json",
          body: { data: { [`k${n}`]: "x" } },
        }),
      ),
    );
    const result = await server.send("get", "v1/configmaps", { ...at, name: "a" });
    expect(Object.keys(read(result).data ?? {})).toHaveLength(50);
  });
});

describe("server-side apply", () => {
  const apply = (manager: string, data: object, rest: object = {}) =>
    server.send("patch", "v1/configmaps", {
      ...at,
      name: "a",
      patchType: "application/apply-patch+yaml",
      body: configMap("a", data),
      options: { fieldManager: manager, ...rest },
    });

  it("creates, owns, and removes what its owner leaves out", async () => {
    await apply("one", { a: "1", b: "2" });
    const after = await apply("one", { b: "2" });
    expect(read(after).data).toEqual({ b: "2" });
    expect(after.metadata.managedFields).toMatchObject([
      { manager: "one", operation: "Apply", fieldsV1: { "f:data": { "f:b": {} } } },
    ]);
  });

  it("refuses to take fields of others, unless forced", async () => {
    await apply("one", { a: "1" });
    const { status } = await failure(apply("two", { a: "2" }));
    expect(status).toMatchObject({
      code: 409,
      message: 'Apply failed with 1 conflict: conflict with "one": .data.a',
      details: { causes: [{ reason: "FieldManagerConflict", field: ".data.a" }] },
    });
    const forced = await apply("two", { a: "2" }, { force: true });
    expect(read(forced).data).toEqual({ a: "2" });
    expect(forced.metadata.managedFields?.map(({ manager }) => manager)).toEqual(["two"]);
  });
});

describe("delete", () => {
  it("answers with what was deleted", async () => {
    const made = await create(configMap("a"));
    expect(await server.send("delete", "v1/configmaps", { ...at, name: "a" })).toMatchObject({
      kind: "Status",
      status: "Success",
      details: { name: "a", kind: "configmaps", uid: made.metadata.uid },
    });
  });

  it("holds to preconditions", async () => {
    await create(configMap("a"));
    const { status } = await failure(
      server.send("delete", "v1/configmaps", { ...at, name: "a", options: { preconditions: { uid: "other" } } }),
    );
    expect(status.message).toContain("the UID in the precondition (other) does not match");
  });

  it("waits for finalizers and goes with the last one", async () => {
    await create(configMap("a", {}, { finalizers: ["example.com/hold"] }));
    const marked = await server.send("delete", "v1/configmaps", { ...at, name: "a" });
    expect(marked.metadata).toMatchObject({ deletionTimestamp: "2026-01-01T00:00:00Z", deletionGracePeriodSeconds: 0 });
    await server.send("update", "v1/configmaps", {
      ...at,
      name: "a",
      body: { ...marked, metadata: { ...marked.metadata, finalizers: [] } },
    });
    expect(await failure(server.send("get", "v1/configmaps", { ...at, name: "a" }))).toMatchObject({
      reason: "NotFound",
    });
  });

  it("takes no new finalizer while an object is being deleted", async () => {
    await create(configMap("a", {}, { finalizers: ["example.com/hold"] }));
    const marked = await server.send("delete", "v1/configmaps", { ...at, name: "a" });
    const more = { ...marked, metadata: { ...marked.metadata, finalizers: ["example.com/hold", "example.com/more"] } };
    expect(await failure(server.send("update", "v1/configmaps", { ...at, name: "a", body: more }))).toMatchObject({
      reason: "Invalid",
    });
  });

  it.each([
    ["Foreground", "foregroundDeletion"],
    ["Orphan", "orphan"],
  ])("%s leaves the dependents to the garbage collector", async (propagationPolicy, finalizer) => {
    await create(configMap("a"));
    const marked = await server.send("delete", "v1/configmaps", { ...at, name: "a", options: { propagationPolicy } });
    expect(marked.metadata.finalizers).toEqual([finalizer]);
  });

  it("gives a running pod its grace, and a shorter one when asked again", async () => {
    const pod = {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "p" },
      spec: { nodeName: "n", containers: [{ name: "c", image: "i" }] },
    };
    await server.send("create", "v1/pods", { ...at, body: pod });
    const marked = await server.send("delete", "v1/pods", { ...at, name: "p" });
    expect(marked.metadata).toMatchObject({
      deletionTimestamp: "2026-01-01T00:00:30Z",
      deletionGracePeriodSeconds: 30,
    });
    expect(
      await server.send("delete", "v1/pods", { ...at, name: "p", options: { gracePeriodSeconds: 0 } }),
    ).toMatchObject({ kind: "Pod", metadata: { deletionGracePeriodSeconds: 0 } });
    await expect(server.send("get", "v1/pods", { ...at, name: "p" })).rejects.toMatchObject({ code: 404 });
  });

  it("deletes a collection by its selector", async () => {
    await create(configMap("a", {}, { labels: { app: "x" } }));
    await create(configMap("b", {}, { labels: { app: "y" } }));
    await server.send("deletecollection", "v1/configmaps", { ...at, selection: { labelSelector: "app=x" } });
    const { items } = await server.inside.list({ group: "", version: "v1", resource: "configmaps", ...at });
    expect(items.map(({ metadata }) => metadata.name)).toEqual(["b"]);
  });
});

describe("list", () => {
  const list = (rest: object = {}) =>
    server.inside.list({ group: "", version: "v1", resource: "configmaps", ...at, ...rest });

  it("gives pages of one revision, whatever is written meanwhile", async () => {
    for (const name of ["a", "b", "c", "d", "e"]) await create(configMap(name));
    const first = await list({ limit: 2 });
    expect(first.metadata).toMatchObject({ remainingItemCount: 3 });
    await server.send("delete", "v1/configmaps", { ...at, name: "d" });
    let othersHadTheirTurn = false;
    setImmediate(() => {
      othersHadTheirTurn = true;
    });
    const second = await list({ limit: 2, continue: first.metadata.continue });
    expect(othersHadTheirTurn, "between two pages").toBe(true);
    const third = await list({ limit: 2, continue: second.metadata.continue });
    expect([first, second, third].flatMap(({ items }) => items.map(({ metadata }) => metadata.name))).toEqual([
      "a",
      "b",
      "c",
      "d",
      "e",
    ]);
    expect(third.metadata.resourceVersion).toBe(first.metadata.resourceVersion);
    expect(third.metadata.continue).toBeUndefined();
  });

  it("finds the rest of a list again by its token alone, while its revision is known", async () => {
    for (const name of ["a", "b", "c", "d"]) await create(configMap(name));
    const first = await list({ limit: 1 });
    const backend = server.server.backend;
    const other = await createTestServer({ backend });
    await other.server.store(other.server.registry.find("", "v1", "configmaps") as never).load();
    const again = (rest: object) =>
      other.inside.list({ group: "", version: "v1", resource: "configmaps", ...at, ...rest });
    const names = (page: { readonly items: readonly KubeObject[] }) => page.items.map(({ metadata }) => metadata.name);
    await server.send("delete", "v1/configmaps", { ...at, name: "c" });
    const second = await again({ limit: 2, continue: first.metadata.continue });
    expect(names(second)).toEqual(["b", "c"]);
    expect(second.metadata.resourceVersion).toBe(first.metadata.resourceVersion);
    const wrong = Buffer.from(JSON.stringify({ v: "meta.k8s.io/v1", rv: 1, start: "a\u0000" })).toString("base64url");
    const expired = await failure(again({ continue: wrong }));
    expect(expired).toMatchObject({ code: 410, reason: "Expired" });
    const { continue: token } = expired.status.metadata as { readonly continue: string };
    expect(names(await again({ continue: token })), "the token of the refusal goes on with what is there now").toEqual([
      "b",
      "d",
    ]);
  });

  it.each([
    ["bm9uc2Vuc2U", "invalid character 'o' in literal null (expecting 'u')"],
    [Buffer.from('{"v":"x"}').toString("base64url"), "server does not recognize this encoded version x"],
    [Buffer.from('{"v":"meta.k8s.io/v1","rv":0}').toString("base64url"), "incorrect encoded start resourceVersion"],
    [Buffer.from('{"v":"meta.k8s.io/v1","rv":5}').toString("base64url"), "encoded start key empty"],
  ])("refuses a token nobody gave (%#)", async (token, message) => {
    const error = await failure(list({ continue: token }));
    expect(error.code).toBe(400);
    expect(error.message).toContain(`invalid continue token: continue key is not valid: ${message}`);
  });

  it("gives the state of exactly the version asked for", async () => {
    await create(configMap("a", { k: "old" }));
    const made = await create(configMap("b"));
    await server.send("update", "v1/configmaps", { ...at, name: "a", body: configMap("a", { k: "new" }) });
    await server.send("delete", "v1/configmaps", { ...at, name: "b" });
    await create(configMap("c"));
    const { items, metadata } = await list({
      resourceVersion: made.metadata.resourceVersion,
      resourceVersionMatch: "Exact",
    });
    expect(items.map((item) => [item.metadata.name, read(item).data?.k])).toEqual([
      ["a", "old"],
      ["b", undefined],
    ]);
    expect(metadata.resourceVersion).toBe(made.metadata.resourceVersion);
  });

  it("selects by label and field", async () => {
    await create(configMap("a", {}, { labels: { tier: "web" } }));
    await create(configMap("b", {}, { labels: { tier: "db" } }));
    expect((await list({ labelSelector: "tier in (web)" })).items.map(({ metadata }) => metadata.name)).toEqual(["a"]);
    expect((await list({ fieldSelector: "metadata.name!=a" })).items.map(({ metadata }) => metadata.name)).toEqual([
      "b",
    ]);
    expect(await failure(list({ fieldSelector: "data.k=v" }))).toMatchObject({ reason: "BadRequest" });
  });

  it("refuses options that contradict each other", async () => {
    expect((await failure(list({ resourceVersionMatch: "Exact" }))).message).toBe(
      'ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided',
    );
    expect(await failure(list({ resourceVersionMatch: "Exact", resourceVersion: "0" }))).toMatchObject({
      reason: "Invalid",
    });
  });

  it("refuses a version of the future", async () => {
    expect(await failure(list({ resourceVersion: "999999" }))).toMatchObject({ reason: "Timeout" });
  });
});

describe("watch", () => {
  it("reports what comes in, changes and leaves the selection", async () => {
    const watch = watchInto(server, "v1/configmaps", {
      ...at,
      labelSelector: "on=yes",
      resourceVersion: String(server.server.backend.revision),
    });
    await settle();
    const made = await create(configMap("a", {}, { labels: { on: "yes" } }));
    await create(configMap("b", {}, { labels: { on: "no" } }));
    await server.send("patch", "v1/configmaps", {
      ...at,
      name: "a",
      patchType: "application/merge-patch+json",
      body: { data: { k: "v" } },
    });
    const off = await server.send("patch", "v1/configmaps", {
      ...at,
      name: "a",
      patchType: "application/merge-patch+json",
      body: { metadata: { labels: { on: "no" } } },
    });
    await settle();
    expect(watch.seen).toEqual(["ADDED a", "MODIFIED a", "DELETED a"]);
    expect(watch.objects[0]).toEqual(made);
    expect(watch.objects[2]?.metadata).toMatchObject({
      labels: { on: "yes" },
      resourceVersion: off.metadata.resourceVersion,
    });
    watch.stop();
  });

  it("resumes after a revision without loss or repetition", async () => {
    const first = await create(configMap("a"));
    await create(configMap("b"));
    await server.send("delete", "v1/configmaps", { ...at, name: "a" });
    const watch = watchInto(server, "v1/configmaps", {
      ...at,
      resourceVersion: first.metadata.resourceVersion as string,
    });
    await settle();
    await create(configMap("c"));
    await settle();
    expect(watch.seen).toEqual(["ADDED b", "DELETED a", "ADDED c"]);
    watch.stop();
  });

  it("ends the initial events with an annotated bookmark", async () => {
    await create(configMap("a"));
    const watch = watchInto(server, "v1/configmaps", {
      ...at,
      sendInitialEvents: true,
      resourceVersionMatch: "NotOlderThan",
      allowWatchBookmarks: true,
    });
    await settle();
    expect(watch.seen).toEqual(["ADDED a", "BOOKMARK"]);
    expect(watch.objects[1]?.metadata.annotations).toEqual({ "k8s.io/initial-events-end": "true" });
    watch.stop();
  });

  it("ends in order after timeoutSeconds and says where it stands meanwhile", async () => {
    const watch = watchInto(server, "v1/configmaps", { ...at, allowWatchBookmarks: true, timeoutSeconds: 90 });
    await settle();
    await (server.clock as VirtualClock).advance(100_000);
    expect(watch.seen).toEqual(["BOOKMARK", "closed"]);
  });

  it("says 410 when the revision is no longer held", async () => {
    const watch = watchInto(server, "v1/secrets", { ...at, resourceVersion: "1" });
    await settle();
    expect(watch.seen).toEqual(["closed Expired"]);
  });

  it("refuses a revision of the future, so that clients of a lost store list anew", async () => {
    const watch = watchInto(server, "v1/configmaps", { ...at, resourceVersion: "999999" });
    await settle();
    expect(watch.seen).toEqual(["closed Expired"]);
  });

  it("gives every watcher the same frozen object", async () => {
    const watches = [watchInto(server, "v1/configmaps", at), watchInto(server, "v1/configmaps", at)];
    await settle();
    await create(configMap("a"));
    await settle();
    expect(watches[0]?.objects[0]).toBe(watches[1]?.objects[0]);
    for (const watch of watches) watch.stop();
  });
});
