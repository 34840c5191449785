/** Who may, over HTTPS with real certificates and tokens. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createCertificateAuthority, loadPki, type Pki } from "#certs";
import {
  certificateRequest,
  type Answered,
  type Credentials,
  createTestServer,
  type HttpsClient,
  httpsClient,
  type TestServer,
} from "#testing";
import { systemClock } from "#base";
import type { Listener } from "./http/listener.ts";

const RBAC = "/apis/rbac.authorization.k8s.io/v1";
let server: TestServer;
let listener: Listener;
let pki: Pki;
let admin: HttpsClient;
const clients: HttpsClient[] = [];
/** How much later the server believes it is. */
let aheadMs = 0;

const as = (who: Credentials = {}): HttpsClient => {
  const client = httpsClient(listener.port, pki.authority.certificate, who);
  clients.push(client);
  return client;
};
const user = async (name: string, groups: readonly string[] = []): Promise<HttpsClient> =>
  as(await pki.authority.issueClient(name, groups));
const rule = (verbs: string[], resources: string[], more: object = {}) => ({
  verbs,
  apiGroups: [""],
  resources,
  ...more,
});
const role = (name: string, rules: object[], kind = "ClusterRole") => ({
  apiVersion: "rbac.authorization.k8s.io/v1",
  kind,
  metadata: { name },
  rules,
});
const binding = (
  name: string,
  roleName: string,
  subject: string,
  kind = "ClusterRoleBinding",
  roleKind = "ClusterRole",
) => ({
  apiVersion: "rbac.authorization.k8s.io/v1",
  kind,
  metadata: { name },
  subjects: [{ kind: "User", apiGroup: "rbac.authorization.k8s.io", name: subject }],
  roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: roleKind, name: roleName },
});
const must = (answer: Answered): Answered => {
  if (answer.status >= 300) throw new Error(`${answer.status}: ${answer.text}`);
  return answer;
};
/** Gives a user rights everywhere. */
async function grant(name: string, rules: object[]): Promise<void> {
  must(await admin.ask("POST", `${RBAC}/clusterroles`, { body: role(`rights-${name}`, rules) }));
  must(
    await admin.ask("POST", `${RBAC}/clusterrolebindings`, { body: binding(`rights-${name}`, `rights-${name}`, name) }),
  );
}
const roles = (...verbs: string[]) => ({
  verbs,
  apiGroups: ["rbac.authorization.k8s.io"],
  resources: ["clusterroles", "clusterrolebindings", "roles", "rolebindings"],
});
const configMap = (name: string) => ({ apiVersion: "v1", kind: "ConfigMap", metadata: { name }, data: { k: "v" } });
const account = (name: string) => ({ apiVersion: "v1", kind: "ServiceAccount", metadata: { name } });
const ns = "/api/v1/namespaces/default";

beforeAll(async () => {
  pki = await loadPki(undefined);
  const clock = { ...systemClock, now: () => systemClock.now() + aheadMs };
  server = await createTestServer({ clock, serviceAccountKeys: pki.serviceAccount });
  server.setReady(true);
  listener = await server.listen({
    host: "127.0.0.1",
    port: 0,
    certificate: pki.server.certificate,
    key: pki.server.key,
    clientAuthority: pki.authority.certificate,
  });
  admin = as(pki.admin);
});
afterAll(async () => {
  await Promise.all(clients.map((client) => client.close()));
  await listener.close();
  server.stop();
});

describe("nobody gives away more than they hold", () => {
  it("a role with more than its writer's rights is refused, with what is missing", async () => {
    await grant("eve", [roles("create", "update", "get"), rule(["get"], ["pods"])]);
    const eve = await user("eve", ["crew"]);
    const made = await eve.ask("POST", `${RBAC}/clusterroles`, {
      body: role("more", [
        rule(["get", "list", "delete"], ["pods"]),
        { verbs: ["get"], nonResourceURLs: ["/metrics"] },
      ]),
    });
    expect(made.status).toBe(403);
    expect(made.json.message).toBe(
      `clusterroles.rbac.authorization.k8s.io "more" is forbidden: user "eve" (groups=["crew" "system:authenticated"]) is attempting to grant RBAC permissions not currently held:\n{APIGroups:[""], Resources:["pods"], Verbs:["delete" "list"]}\n{NonResourceURLs:["/metrics"], Verbs:["get"]}`,
    );
    expect(
      (await eve.ask("POST", `${RBAC}/clusterroles`, { body: role("same", [rule(["get"], ["pods"])]) })).status,
    ).toBe(201);
    const raised = role("same", [rule(["*"], ["*"])]);
    expect((await eve.ask("PUT", `${RBAC}/clusterroles/same`, { body: raised })).status).toBe(403);
    expect(
      (
        await eve.ask("POST", `${RBAC}/namespaces/default/roles`, {
          body: role("here", [rule(["get"], ["secrets"])], "Role"),
        })
      ).status,
    ).toBe(403);
    const gathering = { ...role("all", []), aggregationRule: { clusterRoleSelectors: [{ matchLabels: { a: "b" } }] } };
    expect((await eve.ask("POST", `${RBAC}/clusterroles`, { body: gathering })).json.message).toContain(
      "must have cluster-admin privileges to use the aggregationRule",
    );
  });

  it("a binding needs the rules of its role, or the verb bind; a role needs them or escalate", async () => {
    await grant("mallory", [roles("create", "update", "get")]);
    const mallory = await user("mallory");
    const bind = (name: string, to = "cluster-admin") =>
      mallory.ask("POST", `${RBAC}/clusterrolebindings`, { body: binding(name, to, "mallory") });
    const refused = await bind("me");
    expect(refused.status).toBe(403);
    expect(refused.json.message).toBe(
      `clusterrolebindings.rbac.authorization.k8s.io "me" is forbidden: user "mallory" (groups=["system:authenticated"]) is attempting to grant RBAC permissions not currently held:\n{APIGroups:["*"], Resources:["*"], Verbs:["*"]}\n{NonResourceURLs:["*"], Verbs:["*"]}`,
    );
    expect((await bind("none", "no-such-role")).status).toBe(404);
    expect((await bind("discovery", "system:discovery")).status).toBe(201);
    await grant("binder", [
      roles("create"),
      {
        verbs: ["bind"],
        apiGroups: ["rbac.authorization.k8s.io"],
        resources: ["clusterroles"],
        resourceNames: ["view"],
      },
      { verbs: ["escalate"], apiGroups: ["rbac.authorization.k8s.io"], resources: ["roles"] },
    ]);
    const binder = await user("binder");
    const post = (path: string, body: object) => binder.ask("POST", `${RBAC}${path}`, { body });
    expect((await post("/clusterrolebindings", binding("v", "view", "x"))).status).toBe(201);
    expect((await post("/clusterrolebindings", binding("e", "system:aggregate-to-edit", "x"))).status).toBe(403);
    expect((await post("/namespaces/default/roles", role("r", [rule(["*"], ["*"])], "Role"))).status).toBe(201);
    expect((await post("/clusterroles", role("r", [rule(["*"], ["*"])]))).status).toBe(403);
  });

  it("impersonation needs a right for every user, group, uid and extra", async () => {
    const key = "userextras/scopes";
    await grant("imp", [
      rule(["impersonate"], ["users"], { resourceNames: ["bob"] }),
      rule(["impersonate"], ["groups"], { resourceNames: ["dev, ops"] }),
      {
        verbs: ["impersonate"],
        apiGroups: ["authentication.k8s.io"],
        resources: ["uids", key],
        resourceNames: ["u1", "view"],
      },
    ]);
    const imp = await user("imp");
    const whoami = (headers: Record<string, string | string[]>) =>
      imp.ask("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", { body: {}, headers });
    const asBob = await whoami({
      "Impersonate-User": "bob",
      "Impersonate-Group": "dev, ops",
      "Impersonate-Uid": "u1",
      "Impersonate-Extra-Scopes": "view",
    });
    expect(asBob.json["status"]).toEqual({
      userInfo: {
        username: "bob",
        uid: "u1",
        groups: ["dev, ops", "system:authenticated"],
        extra: { scopes: ["view"] },
      },
    });
    const denied = async (headers: Record<string, string | string[]>) => (await whoami(headers)).json.message;
    expect(await denied({ "Impersonate-User": "eve" })).toBe(
      'users "eve" is forbidden: User "imp" cannot impersonate resource "users" in API group "" at the cluster scope',
    );
    expect(await denied({ "Impersonate-User": "bob", "Impersonate-Group": ["dev, ops", "system:masters"] })).toMatch(
      /^groups "system:masters" is forbidden/,
    );
    expect(await denied({ "Impersonate-User": "bob", "Impersonate-Extra-Scopes": "edit" })).toMatch(
      /^userextras.authentication.k8s.io "edit" is forbidden.*"userextras\/scopes"/,
    );
    expect(await denied({ "Impersonate-User": "system:serviceaccount:kube-system:x" })).toMatch(
      /^serviceaccounts "x" is forbidden.*in the namespace "kube-system"/,
    );
    const nameless = await whoami({ "Impersonate-Group": "dev", "Impersonate-Extra-A": "b" });
    expect([nameless.status, nameless.json.message]).toEqual([
      400,
      'requested &user.DefaultInfo{Name:"", UID:"", Groups:[]string{"dev"}, Extra:map[string][]string{"a":[]string{"b"}}} without impersonating a user name',
    ]);
  });
});

describe("access reviews", () => {
  const review = async (kind: string, spec: object, path = `/apis/authorization.k8s.io/v1/${kind}`, client = admin) =>
    client.ask("POST", path, { body: { spec } });
  const statusOf = ({ json }: Answered) => json["status"];

  it("say whether somebody may, and why", async () => {
    await grant("dora", [rule(["get"], ["pods", "pods/log"]), { verbs: ["get"], nonResourceURLs: ["/metrics"] }]);
    const ask = async (resourceAttributes: object, user = "dora", groups: string[] = []) =>
      statusOf(await review("subjectaccessreviews", { user, groups, resourceAttributes }));
    expect(await ask({ verb: "get", resource: "pods", namespace: "a" })).toEqual({
      allowed: true,
      reason: 'RBAC: allowed by ClusterRoleBinding "rights-dora" of ClusterRole "rights-dora" to User "dora"',
    });
    expect(await ask({ verb: "get", resource: "pods", subresource: "log" })).toMatchObject({ allowed: true });
    expect(await ask({ verb: "list", resource: "pods" })).toEqual({ allowed: false });
    expect(await ask({ verb: "*", resource: "*", group: "*" }, "x", ["system:masters"])).toEqual({ allowed: true });
    const metrics = { user: "dora", nonResourceAttributes: { path: "/metrics", verb: "get" } };
    expect(statusOf(await review("subjectaccessreviews", metrics))).toMatchObject({ allowed: true });
    const dora = await user("dora");
    const own = await review(
      "selfsubjectaccessreviews",
      { resourceAttributes: { verb: "get", resource: "pods" } },
      undefined,
      dora,
    );
    expect(statusOf(own)).toMatchObject({ allowed: true });
    const rules = statusOf(await review("selfsubjectrulesreviews", { namespace: "a" }, undefined, dora)) as {
      resourceRules: object[];
      nonResourceRules: object[];
    };
    expect(rules.resourceRules).toContainEqual(rule(["get"], ["pods", "pods/log"]));
    expect(rules.nonResourceRules).toContainEqual({ verbs: ["get"], nonResourceURLs: ["/metrics"] });
  });

  it.each<[string, string, object, number]>([
    ["nobody", "subjectaccessreviews", { resourceAttributes: {} }, 422],
    ["nothing", "subjectaccessreviews", { user: "a" }, 422],
    ["both", "selfsubjectaccessreviews", { resourceAttributes: {}, nonResourceAttributes: {} }, 422],
    ["no namespace", "selfsubjectrulesreviews", {}, 400],
  ])("about %s are refused", async (_title, kind, spec, code) => {
    expect((await review(kind, spec)).status).toBe(code);
  });

  it("are read as objects of their kind are", async () => {
    const path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    const post = async (body: object, query = "") => (await admin.ask("POST", path + query, { body })).json;
    expect(await post({ spec: { user: 5 } })).toMatchObject({
      code: 400,
      message:
        'SubjectAccessReview in version "v1" cannot be handled as a SubjectAccessReview: json: cannot unmarshal number into Go struct field SubjectAccessReviewSpec.spec.user of type string',
    });
    const former = { apiVersion: "authorization.k8s.io/v1beta1", kind: "SubjectAccessReview" };
    expect(await post(former)).toMatchObject({
      code: 400,
      message:
        "the API version in the data (authorization.k8s.io/v1beta1) does not match the expected API version (authorization.k8s.io/v1)",
    });
    const strict = await post({ spec: { user: "u", nope: 1, resourceAttributes: {} } }, "?fieldValidation=Strict");
    expect(strict).toMatchObject({ code: 400 });
    const selectors = { fieldSelector: { rawSelector: "a in (" }, labelSelector: { rawSelector: "!!" } };
    const asked = await post({ spec: { user: "u", resourceAttributes: { verb: "list", ...selectors } } });
    expect(asked["status"]).toEqual({
      allowed: false,
      evaluationError:
        "spec.resourceAttributes.fieldSelector ignored due to parse error; spec.resourceAttributes.labelSelector ignored due to parse error",
    });
  });

  it("of a namespace ask about that namespace only", async () => {
    const path = "/apis/authorization.k8s.io/v1/namespaces/default/localsubjectaccessreviews";
    const ask = async (namespace: string) => {
      const attributes = { namespace, verb: "get", resource: "pods" };
      const body = { metadata: { namespace: "default" }, spec: { user: "dora", resourceAttributes: attributes } };
      return admin.ask("POST", path, { body });
    };
    expect(statusOf(await ask("default"))).toMatchObject({ allowed: true });
    expect((await ask("other")).status).toBe(422);
    const elsewhere = { metadata: { namespace: "other" }, spec: { user: "dora", resourceAttributes: {} } };
    expect((await admin.ask("POST", path, { body: elsewhere })).status).toBe(400);
  });
});

describe("creating by another verb", () => {
  it("an apply or a PUT that creates needs the right to create, and answers 201", async () => {
    await grant("patcher", [rule(["get", "patch", "update"], ["configmaps", "endpoints"])]);
    const patcher = await user("patcher");
    const headers = { "content-type": "application/apply-patch+yaml" };
    const apply = (client: HttpsClient) =>
      client.ask("PATCH", `${ns}/configmaps/made?fieldManager=t`, { body: configMap("made"), headers });
    const refused = await apply(patcher);
    expect(refused.status).toBe(403);
    expect(refused.json.message).toBe(
      'configmaps "made" is forbidden: User "patcher" cannot create resource "configmaps" in API group "" in the namespace "default"',
    );
    expect((await apply(admin)).status).toBe(201);
    expect((await apply(patcher)).status).toBe(200);
    const endpoints = { apiVersion: "v1", kind: "Endpoints", metadata: { name: "put" } };
    const put = (client: HttpsClient) => client.ask("PUT", `${ns}/endpoints/put`, { body: endpoints });
    expect((await put(patcher)).status).toBe(403);
    expect((await put(admin)).status).toBe(201);
    expect((await put(patcher)).status).toBe(200);
    expect((await admin.ask("PUT", `${ns}/configmaps/absent`, { body: configMap("absent") })).status).toBe(404);
  });

  it("who asks for a certificate is what the server knows, and approval needs the right for the signer", async () => {
    const path = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
    await grant("node", [
      {
        verbs: ["create", "update"],
        apiGroups: ["certificates.k8s.io"],
        resources: [
          "certificatesigningrequests",
          "certificatesigningrequests/approval",
          "certificatesigningrequests/status",
        ],
      },
    ]);
    const node = await user("node");
    const request = Buffer.from(certificateRequest).toString("base64");
    const body = {
      apiVersion: "certificates.k8s.io/v1",
      kind: "CertificateSigningRequest",
      metadata: { name: "c" },
      spec: {
        request,
        signerName: "kubernetes.io/kube-apiserver-client",
        usages: ["client auth"],
        username: "system:admin",
        uid: "0",
        extra: { a: ["b"] },
        groups: ["system:masters"],
      },
    };
    const made = must(await node.ask("POST", path, { body })).json;
    expect(made["spec"]).toMatchObject({ username: "node", groups: ["system:authenticated"] });
    expect((made["spec"] as { uid?: string }).uid).toBeUndefined();
    expect((made["spec"] as { extra: object }).extra).not.toHaveProperty("a");
    const conditions = [{ type: "Approved", status: "True", reason: "x", message: "" }];
    const approved = await node.ask("PUT", `${path}/c/approval`, { body: { ...made, status: { conditions } } });
    expect(approved.json.message).toContain(
      'user not permitted to approve requests with signerName "kubernetes.io/kube-apiserver-client"',
    );
    const certificate = Buffer.from("-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n").toString(
      "base64",
    );
    const signed = await node.ask("PUT", `${path}/c/status`, { body: { ...made, status: { certificate } } });
    expect(signed.json.message).toContain("user not permitted to sign requests with signerName");
  });
});

describe("service account tokens", () => {
  const review = async (token: string, audiences?: string[]) =>
    (await admin.ask("POST", "/apis/authentication.k8s.io/v1/tokenreviews", { body: { spec: { token, audiences } } }))
      .json["status"] as {
      authenticated?: boolean;
      audiences?: string[];
      user: { username?: string; extra?: Record<string, string[]> };
      error?: string;
    };
  const request = async (name: string, spec: object) =>
    admin.ask("POST", `${ns}/serviceaccounts/${name}/token`, {
      body: { apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest", spec },
    });
  const tokenOf = (answer: Answered) => (must(answer).json["status"] as { token: string }).token;

  it("a token holds for its audiences only", async () => {
    must(await admin.ask("POST", `${ns}/serviceaccounts`, { body: account("robot") }));
    const vault = tokenOf(await request("robot", { audiences: ["vault"] }));
    expect((await as({ token: vault }).ask("GET", "/api")).status).toBe(401);
    expect(await review(vault)).toEqual({
      user: {},
      error:
        '[invalid bearer token, token audiences ["vault"] is invalid for the target audiences ["https://kubernetes.default.svc.cluster.local"]]',
    });
    expect(await review(vault, ["other", "vault"])).toMatchObject({
      authenticated: true,
      audiences: ["vault"],
      user: { username: "system:serviceaccount:default:robot" },
    });
    const own = tokenOf(await request("robot", {}));
    expect((await as({ token: own }).ask("GET", "/api")).status).toBe(200);
    expect(await review(own)).toMatchObject({ audiences: ["https://kubernetes.default.svc.cluster.local"] });
    expect((await review(own)).user.extra?.["authentication.kubernetes.io/credential-id"]?.[0]).toMatch(/^JTI=/);
    expect((await review("")).error).toBeUndefined();
    expect((await as({ token: `${own}x` }).ask("GET", "/api")).status).toBe(401);
    expect((await request("robot", { expirationSeconds: 60 })).status).toBe(422);
    expect((await request("nobody", {})).status).toBe(404);
  });

  it("a token ends when its time is over, and whoever has it reviewed is told so", async () => {
    must(await admin.ask("POST", `${ns}/serviceaccounts`, { body: account("brief") }));
    const token = tokenOf(await request("brief", { expirationSeconds: 600 }));
    const robot = as({ token });
    expect((await robot.ask("GET", "/api")).status).toBe(200);
    try {
      aheadMs = 590_000;
      expect((await robot.ask("GET", "/api")).status).toBe(200);
      aheadMs = 601_000;
      expect((await robot.ask("GET", "/api")).status).toBe(401);
      expect(await review(token)).toEqual({
        user: {},
        error: "[invalid bearer token, service account token has expired]",
      });
      const next = tokenOf(await request("brief", { expirationSeconds: 600 }));
      expect((await as({ token: next }).ask("GET", "/api")).status).toBe(200);
    } finally {
      aheadMs = 0;
    }
  });

  it("a token ends with the object it is bound to, and with its account", async () => {
    must(await admin.ask("POST", `${ns}/serviceaccounts`, { body: account("bound") }));
    const secret = { apiVersion: "v1", kind: "Secret", metadata: { name: "holder" } };
    must(await admin.ask("POST", `${ns}/secrets`, { body: secret }));
    const ref = { kind: "Secret", apiVersion: "v1", name: "holder" };
    const answer = must(await request("bound", { boundObjectRef: ref }));
    expect((answer.json["spec"] as { boundObjectRef: object }).boundObjectRef).toEqual(ref);
    const token = tokenOf(answer);
    expect((await as({ token }).ask("GET", "/api")).status).toBe(200);
    expect((await request("bound", { boundObjectRef: { ...ref, uid: "other" } })).status).toBe(409);
    expect((await request("bound", { boundObjectRef: { ...ref, name: "none" } })).status).toBe(404);
    expect((await request("bound", { boundObjectRef: { ...ref, kind: "ConfigMap" } })).status).toBe(400);
    must(await admin.ask("DELETE", `${ns}/secrets/holder`));
    expect((await as({ token }).ask("GET", "/api")).status).toBe(401);
    const plain = tokenOf(await request("bound", {}));
    must(await admin.ask("DELETE", `${ns}/serviceaccounts/bound`));
    must(await admin.ask("POST", `${ns}/serviceaccounts`, { body: account("bound") }));
    expect((await as({ token: plain }).ask("GET", "/api")).status).toBe(401);
  });

  it("issuer and keys are published to who may read them", async () => {
    const found = must(await admin.ask("GET", "/.well-known/openid-configuration")).json;
    expect(found).toMatchObject({ issuer: "https://kubernetes.default.svc.cluster.local" });
    const keys = must(await admin.ask("GET", "/openid/v1/jwks")).json["keys"] as object[];
    expect(keys[0]).toMatchObject({ use: "sig", kty: "EC", alg: "ES256" });
    expect((await as().ask("GET", "/openid/v1/jwks")).status).toBe(403);
  });
});

describe("who asks", () => {
  it("a certificate of a foreign authority is nobody, not anonymous; a good token beside it counts", async () => {
    const foreign = await createCertificateAuthority("other");
    const pair = await foreign.issueClient("system:admin", ["system:masters"]);
    expect((await as(pair).ask("GET", "/version")).status).toBe(401);
    expect((await as().ask("GET", "/version")).status).toBe(200);
    const serving = await pki.authority.issueServer("system:admin", ["localhost"]);
    expect((await as(serving).ask("GET", "/version")).status).toBe(401);
    must(await admin.ask("POST", `${ns}/serviceaccounts`, { body: account("beside") }));
    const { json } = await admin.ask("POST", `${ns}/serviceaccounts/beside/token`, { body: { spec: {} } });
    const { token } = json["status"] as { token: string };
    expect((await as({ ...pair, token }).ask("GET", "/api")).status).toBe(200);
  });

  it.each([
    ["/version", 200],
    ["/healthz", 200],
    ["/readyz", 200],
    ["/api", 403],
    ["/apis", 403],
    ["/openapi/v3", 403],
    ["/metrics", 403],
    [`${ns}/pods`, 403],
  ])("anonymous asks for %s and gets %i", async (path, status) => {
    expect((await as().ask("GET", path)).status).toBe(status);
  });
});

describe("paths", () => {
  it("a health path that names no check is none", async () => {
    expect((await admin.ask("GET", "/healthz/ping")).status).toBe(200);
    expect((await admin.ask("GET", "/healthz/")).status).toBe(404);
  });

  it("rights on a name hold for lists and watches that select it", async () => {
    await grant("reader", [rule(["get", "list", "watch"], ["configmaps"], { resourceNames: ["mine"] })]);
    const reader = await user("reader");
    const get = async (query: string) => (await reader.ask("GET", `${ns}/configmaps?${query}`)).status;
    expect(await get("fieldSelector=metadata.name%3Dmine")).toBe(200);
    expect(await get("fieldSelector=metadata.name%3Dmine&watch=true&timeoutSeconds=1")).toBe(200);
    expect(await get("fieldSelector=metadata.name%3Dother")).toBe(403);
    expect(await get("fieldSelector=metadata.name!%3Dmine")).toBe(403);
    expect(await get("")).toBe(403);
  });

  it.each([
    ["GET", "/api/v1/namespaces/%zz", 400],
    ["GET", "/apis/%E0%A4%A", 400],
    ["GET", "/livez/nonsense", 404],
    ["GET", "/livez/ping", 200],
    ["GET", "/readyz/poststarthook/start-controllers", 200],
    ["GET", "/livez/poststarthook/start-controllers", 404],
    ["POST", "/livez", 200],
  ])("%s %s answers %i", async (method, path, status) => {
    expect((await admin.ask(method, path)).status).toBe(status);
  });

  it("health is told check by check, and checks can be left out", async () => {
    const read = async (path: string) => (await admin.ask("GET", path)).text;
    expect(await read("/readyz?verbose")).toBe(
      "[+]ping ok\n[+]etcd ok\n[+]poststarthook/start-controllers ok\nreadyz check passed\n",
    );
    server.setReady(false);
    const failed = await admin.ask("GET", "/readyz");
    expect([failed.status, failed.text]).toEqual([
      500,
      "[+]ping ok\n[+]etcd ok\n[-]poststarthook/start-controllers failed: reason withheld\nreadyz check failed\n",
    ]);
    expect((await admin.ask("GET", "/readyz?exclude=poststarthook/start-controllers")).text).toBe("ok");
    expect(await read("/livez?verbose&exclude=x")).toContain(
      'warn: some health checks cannot be excluded: no matches for "x"',
    );
    server.setReady(true);
  });
});
