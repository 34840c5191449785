import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ClusterRole, ClusterRoleBinding, ConfigMap, Namespace } from "#apis/kubernetes";
import { ResourceRegistry } from "#apis/karmada";
import { type Client, createClient } from "#client";
import type { Fleet } from "#controlplane";
import type { KubeObject, ResourceKind } from "#machinery";
import type { SimulatedMember } from "#simulator";
import { eventually, hasKubectl, httpsClient, type HttpsClient, kubectl, startKubectl, startTestFleet } from "#testing";

const ROOT = "/apis/search.karmada.io/v1alpha1";
const CACHE = `${ROOT}/search/cache`;
const PROXY = `${ROOT}/proxying/karmada/proxy`;
const CACHED_FROM = "resource.karmada.io/cached-from-cluster";

let fleet: Fleet;
let plane: Client;
let admin = "";
const members = new Map<string, Client>();

const configMap = (name: string, data: Record<string, string> = {}, labels: Record<string, string> = {}) =>
  ({ apiVersion: "v1", kind: "ConfigMap", metadata: { name, namespace: "shop", labels }, data }) as ConfigMap;
const inMember = (name: string): Client => {
  const member = members.get(name);
  if (member === undefined) throw new Error(`no member ${name}`);
  return member;
};
const raw = async (path: string, method = "GET", body?: object) => {
  const answer = await plane.transport.raw({
    method,
    path,
    headers: { accept: "application/json", "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = Buffer.from(answer.body).toString();
  return {
    status: answer.status,
    text,
    json: (text === "" ? {} : JSON.parse(text)) as Readonly<Record<string, unknown>>,
  };
};
type Listed = {
  readonly metadata: { readonly resourceVersion: string; readonly continue?: string };
  readonly items: KubeObject[];
};
const names = (list: unknown) =>
  (list as Listed).items.map(({ metadata }) => `${metadata.annotations?.[CACHED_FROM]}/${metadata.name}`);
const registry = (name: string, kinds: readonly (readonly [string, string, string?])[]): ResourceRegistry => ({
  apiVersion: "search.karmada.io/v1alpha1",
  kind: "ResourceRegistry",
  metadata: { name },
  spec: {
    targetCluster: {},
    resourceSelectors: kinds.map(([apiVersion, kind, namespace]) => ({
      apiVersion,
      kind,
      ...(namespace === undefined ? {} : { namespace }),
    })),
  },
});

beforeAll(async () => {
  fleet = await startTestFleet(["member1", "member2"]);
  plane = createClient(fleet.controlPlane.transport);
  admin = fleet.kubeconfigs.get("flotilla") ?? "";
  for (const [name, member] of fleet.members) {
    const client = createClient((member as SimulatedMember).api.transport());
    members.set(name, client);
    await client.create(Namespace, { apiVersion: "v1", kind: "Namespace", metadata: { name: "shop" } });
    await client.create(ConfigMap, configMap(`only-${name}`, { at: name }, { which: name }));
    await client.create(ConfigMap, configMap("both", { at: name }));
  }
});
afterAll(() => fleet.stop());

test("[GF-46] without a registry nothing is kept, and the unified endpoint is the control plane", async () => {
  expect((await raw(`${CACHE}/api/v1/configmaps`)).json).toEqual({
    apiVersion: "v1",
    kind: "ConfigMapList",
    metadata: {},
    items: [],
  });
  await plane.create(Namespace, { apiVersion: "v1", kind: "Namespace", metadata: { name: "shop" } });
  await plane.create(ConfigMap, configMap("of-the-plane"));
  const { status, json } = await raw(`${PROXY}/api/v1/namespaces/shop/configmaps`);
  expect(status).toBe(200);
  expect(names(json)).toContain("undefined/of-the-plane");
  expect((await raw(`${PROXY}/version`)).json).toHaveProperty("gitVersion");
});

describe("[GF-46] with a registry", () => {
  beforeAll(async () => {
    await plane.create(
      ResourceRegistry,
      registry("all", [
        ["v1", "ConfigMap", "shop"],
        ["v1", "Pod"],
        ["example.io/v1", "Nothing"],
      ]),
    );
    await eventually(async () => {
      const found = names((await raw(`${CACHE}/api/v1/namespaces/shop/configmaps`)).json);
      // Every namespace gets this one a moment after it is made; later no list would be like the one before.
      return found.includes("member1/kube-root-ca.crt") && found.includes("member2/kube-root-ca.crt");
    }, 60_000);
  });

  test("search finds objects of all members, by label, by name and as JSON alone", async () => {
    const all = await raw(`${CACHE}/api/v1/namespaces/shop/configmaps?limit=1&fieldSelector=nobody`);
    expect(all.json).toMatchObject({ apiVersion: "v1", kind: "ConfigMapList", metadata: {} });
    expect(names(all.json)).toEqual(
      expect.arrayContaining(["member1/both", "member1/only-member1", "member2/both", "member2/only-member2"]),
    );
    expect(names((await raw(`${CACHE}/api/v1/configmaps?labelSelector=which%3Dmember2`)).json)).toEqual([
      "member2/only-member2",
    ]);
    expect(names((await raw(`${CACHE}/api/v1/namespaces/shop/configmaps/both`)).json)).toEqual([
      "member1/both",
      "member2/both",
    ]);
    expect(names((await raw(`${CACHE}/api/v1/namespaces/shop/configmaps/none`)).json)).toEqual([]);
    // The namespaces of a registry are those of the unified endpoint; search looks everywhere.
    expect(names((await raw(`${CACHE}/api/v1/namespaces/kube-system/configmaps`)).json).length).toBeGreaterThan(0);
  });

  test.each([
    [400, "/cache/api/v1/configmaps?labelSelector=%3D%3D", { error: expect.any(String) }],
    [400, "/cache/api/v1/namespaces/shop/pods/x/log", { error: expect.stringContaining("pods/log") }],
    [500, "/cache/apis/none.io/v1/things", { error: expect.stringContaining("things") }],
    [500, "/cache/version", { kind: "Status", status: "Failure" }],
    [500, "/other/api/v1/pods", { kind: "Status", message: "connect with unrecognized search category other" }],
  ])("what cannot be searched is answered with %i: %s", async (status, path, body) => {
    const answer = await raw(`${ROOT}/search${path}`);
    expect(answer.status).toBe(status);
    expect(answer.json).toMatchObject(body);
  });

  test("search in OpenSearch itself is an empty answer, and nothing can be written by search", async () => {
    expect(await raw(`${ROOT}/search/opensearch/api/v1/pods`)).toMatchObject({ status: 200, text: "" });
    expect((await raw(`${CACHE}/api/v1/configmaps`, "POST", {})).status).toBe(405);
  });

  test("lists go through all clusters by pages, whose versions are the same for all of them", async () => {
    const at = `${PROXY}/api/v1/namespaces/shop/configmaps`;
    const whole = (await raw(at)).json as unknown as Listed;
    const seen: string[] = [];
    let next = "";
    let pages = 0;
    do {
      const page = (await raw(`${at}?limit=1${next === "" ? "" : `&continue=${next}`}`)).json as unknown as Listed;
      expect(page.items.length).toBeLessThanOrEqual(1);
      seen.push(...names(page));
      next = page.metadata.continue ?? "";
      pages++;
    } while (next !== "" && pages < 20);
    expect(seen).toEqual(names(whole));
    const clusters = JSON.parse(Buffer.from(whole.metadata.resourceVersion, "base64url").toString()) as object;
    expect(Object.keys(clusters)).toEqual(["member1", "member2"]);
    expect(names((await raw(`${at}?resourceVersion=0`)).json)).toEqual(names(whole));
    expect(names((await raw(`${PROXY}/api/v1/namespaces/kube-system/configmaps`)).json)).toEqual([]);
    expect((await raw(`${at}?continue=abc`)).status).toBe(400);
  });

  test("answers come in the forms clients ask for, and are measured as what they are about", async () => {
    const proxied = httpsClient(fleet.listener.port, await authority(), await adminPair());
    const at = `${PROXY}/api/v1/namespaces/shop/configmaps`;
    const packed = await proxied.ask("GET", at, { headers: { accept: "application/vnd.kubernetes.protobuf" } });
    expect(packed).toMatchObject({ status: 200, json: { kind: "ConfigMapList" } });
    const accept = "application/json;as=Table;v=v1;g=meta.k8s.io";
    const table = (await proxied.ask("GET", at, { headers: { accept } })).json;
    expect(table).toMatchObject({ kind: "Table", metadata: { resourceVersion: expect.any(String) } });
    expect((table["columnDefinitions"] as { name: string }[]).map(({ name }) => name)).toEqual(["Name", "Data", "Age"]);
    const partial = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";
    expect((await proxied.ask("GET", at, { headers: { accept: partial } })).json["kind"]).toBe(
      "PartialObjectMetadataList",
    );
    const counted = (await proxied.ask("GET", "/metrics")).text
      .split("\n")
      .filter((line) => line.startsWith("apiserver_request_total{") && line.includes('resource="configmaps"'));
    expect(counted.some((line) => line.includes('verb="LIST"'))).toBe(true);
    await proxied.close();
  });

  test("an object is found where it is; where it is in several clusters nobody guesses", async () => {
    const at = `${PROXY}/api/v1/namespaces/shop/configmaps`;
    const found = (await raw(`${at}/only-member1`)).json as unknown as ConfigMap;
    expect(found.data).toEqual({ at: "member1" });
    const { resourceVersion = "", annotations } = found.metadata;
    expect(annotations).toEqual({ [CACHED_FROM]: "member1" });
    expect((await raw(`${at}/only-member1?resourceVersion=${resourceVersion}`)).status).toBe(200);
    expect((await raw(`${at}/only-member1?resourceVersion=0`)).json["data"]).toEqual({ at: "member1" });
    expect(await raw(`${at}/none`)).toMatchObject({ status: 404, json: { message: 'configmaps "none" not found' } });
    expect(await raw(`${at}/both`)).toMatchObject({
      status: 409,
      json: {
        message: 'Operation cannot be fulfilled on configmaps "both": ambiguous objects in clusters [member1, member2]',
      },
    });
    expect(await raw(at, "POST", configMap("new"))).toMatchObject({ status: 405 });
    expect(await raw(at, "DELETE")).toMatchObject({ status: 405 });
  });

  test("an update goes to the member with its own version and without the mark of where it was read", async () => {
    const at = `${PROXY}/api/v1/namespaces/shop/configmaps/only-member2`;
    const proxied = httpsClient(fleet.listener.port, await authority(), await adminPair());
    const found = (await proxied.ask("GET", at)).json as unknown as ConfigMap;
    const changed = await proxied.ask("PUT", at, { body: { ...found, data: { at: "changed" } } });
    expect(changed.status, changed.text).toBe(200);
    const stored = await inMember("member2").get(ConfigMap, { namespace: "shop", name: "only-member2" });
    expect(stored.data).toEqual({ at: "changed" });
    expect(stored.metadata.annotations).toBeUndefined();
    // The version it was read with is a promise: who changes what has changed is told.
    const late = await proxied.ask("PUT", at, { body: { ...found, data: { at: "late" } } });
    expect(late.status).toBe(409);
    await proxied.close();
  });

  test("what no registry names is the caller's own business with the control plane", async () => {
    await role("only-proxying", "eve", [
      { apiGroups: ["search.karmada.io"], resources: ["proxying/proxy", "search/api"], verbs: ["*"] },
    ]);
    const eve = await asUser("eve");
    for (const path of [
      `${PROXY}/api/v1/namespaces/shop/secrets`,
      `${PROXY}/api/v1/namespaces/shop/configmaps`,
      `${PROXY}/api/v1/namespaces/shop/configmaps?watch=true`,
      `${PROXY}/api/v1/namespaces/shop/configmaps/only-member1`,
    ])
      expect((await eve.ask("GET", path)).json.message, path).toMatch(/User "eve" cannot \w+ resource/);
    const searched = await eve.ask("GET", `${CACHE}/api/v1/configmaps`);
    expect(searched).toMatchObject({ status: 403, json: { error: expect.stringContaining('User "eve" cannot list') } });
    await role("reads-maps", "eve", [{ apiGroups: [""], resources: ["configmaps"], verbs: ["get", "list"] }]);
    expect((await eve.ask("GET", `${PROXY}/api/v1/namespaces/shop/configmaps`)).status).toBe(200);
    const mallory = await asUser("mallory");
    expect((await mallory.ask("GET", `${PROXY}/version`)).json.message).toMatch(
      /User "mallory" cannot get resource "proxying\/proxy"/,
    );
    expect((await mallory.ask("GET", `${CACHE}/api/v1/configmaps`)).json.message).toMatch(/"search\/api"/);
    await Promise.all([eve.close(), mallory.close()]);
  });
});

describe.skipIf(!hasKubectl())(
  "[GF-46] kubectl with the unified endpoint as its server (skipped without kubectl)",
  () => {
    const one = (...words: readonly string[]) =>
      kubectl(admin, ["--server", `https://127.0.0.1:${fleet.listener.port}${PROXY}`, ...words]);
    beforeAll(async () => {
      for (const name of ["member1", "member2"])
        await inMember(name).create(Pod, {
          apiVersion: "v1",
          kind: "Pod",
          metadata: { name: `web-${name}`, namespace: "shop" },
          spec: { containers: [{ name: "web", image: "nginx" }] },
        } as KubeObject);
      await eventually(
        async () => /web-member1 [\s\S]*web-member2 /.test(await one("get", "pods", "-n", "shop")),
        60_000,
      );
    });

    test("gets pods of all clusters with their columns, whole and by pages", async () => {
      expect(await one("get", "pods", "-n", "shop", "web-member1")).toMatch(
        /NAME +READY +STATUS +RESTARTS +AGE\nweb-member1 +/,
      );
      const all = (await one("get", "pods", "-A", "-o", "name")).trim().split("\n").sort();
      const paged = (await one("get", "pods", "-A", "-o", "name", "--chunk-size=1")).trim().split("\n").sort();
      expect(paged).toEqual(all);
      expect(all).toEqual(expect.arrayContaining(["pod/web-member1", "pod/web-member2"]));
      expect(await one("get", "pods", "-n", "shop", "web-member2", "-o", `jsonpath={.metadata.annotations}`)).toContain(
        "member2",
      );
      expect(await one("get", "namespaces", "-o", "name")).toContain("namespace/karmada-system");
    });

    test("watches all clusters, executes, labels, edits and deletes where the object is", async () => {
      const watching = startKubectl(admin, [
        "--server",
        `https://127.0.0.1:${fleet.listener.port}${PROXY}`,
        ...["get", "pods", "-n", "shop", "-w", "-o", "name"],
      ]);
      await watching.until(/pod\/web-member2/);
      await inMember("member2").create(Pod, {
        apiVersion: "v1",
        kind: "Pod",
        metadata: { name: "late", namespace: "shop" },
        spec: { containers: [{ name: "web", image: "nginx" }] },
      } as KubeObject);
      await watching.until(/pod\/late/);
      await watching.stop();
      await eventually(() => one("exec", "-n", "shop", "late", "--", "echo", "hello"), 30_000);
      await one("label", "-n", "shop", "pod", "late", "a=b");
      expect((await inMember("member2").get(Pod, { namespace: "shop", name: "late" })).metadata.labels).toEqual({
        a: "b",
      });
      await kubectl(
        admin,
        [
          "--server",
          `https://127.0.0.1:${fleet.listener.port}${PROXY}`,
          "edit",
          "-n",
          "shop",
          "configmap",
          "only-member1",
        ],
        undefined,
        { KUBE_EDITOR: "sed -i s/at:.member1/at:\\ edited/" },
      );
      expect((await inMember("member1").get(ConfigMap, { namespace: "shop", name: "only-member1" })).data).toEqual({
        at: "edited",
      });
      await one("delete", "-n", "shop", "pod", "late", "--timeout=20s");
      expect(await inMember("member2").find(Pod, { namespace: "shop", name: "late" })).toBeUndefined();
    });
  },
);

const Pod: ResourceKind<KubeObject> = { group: "", version: "v1", kind: "Pod", resource: "pods", namespaced: true };

async function adminPair() {
  const { readFileSync } = await import("node:fs");
  const text = readFileSync(admin, "utf8");
  const of = (field: string) => Buffer.from(new RegExp(`${field}: (\\S+)`).exec(text)?.[1] ?? "", "base64").toString();
  return { certificate: of("client-certificate-data"), key: of("client-key-data") };
}

async function authority(): Promise<string> {
  const { readFileSync } = await import("node:fs");
  const text = readFileSync(admin, "utf8");
  return Buffer.from(/certificate-authority-data: (\S+)/.exec(text)?.[1] ?? "", "base64").toString();
}

async function role(name: string, user: string, rules: readonly object[]): Promise<void> {
  const head = { apiVersion: "rbac.authorization.k8s.io/v1", metadata: { name } };
  await plane.create(ClusterRole, { ...head, kind: "ClusterRole", rules } as ClusterRole);
  await plane.create(ClusterRoleBinding, {
    ...head,
    kind: "ClusterRoleBinding",
    subjects: [{ kind: "User", name: user, apiGroup: "rbac.authorization.k8s.io" }],
    roleRef: { kind: "ClusterRole", name, apiGroup: "rbac.authorization.k8s.io" },
  } as ClusterRoleBinding);
}

/** The administrator in somebody else's name. */
async function asUser(name: string): Promise<HttpsClient> {
  const client = httpsClient(fleet.listener.port, await authority(), await adminPair());
  return {
    ask: (method, path, more = {}) =>
      client.ask(method, path, { ...more, headers: { ...more.headers, "impersonate-user": name } }),
    close: () => client.close(),
  };
}
