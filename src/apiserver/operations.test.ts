/** How the server is run: known users beyond certificates, audit, fairness, measurements, renewal and shutdown, over HTTPS. */
import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { createServer, type Server } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { AddressInfo } from "node:net";
import { exportJWK, SignJWT } from "jose";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type Metrics, systemClock } from "#base";
import { type CertificateAuthority, createCertificateAuthority, loadPki, type Pki } from "#certs";
import { createHttpTransport } from "#client";
import {
  createTestServer,
  type Credentials,
  eventually,
  type HttpsClient,
  httpsClient,
  type TestServer,
} from "#testing";
import type { AdmissionPlugin } from "./admission.ts";
import { Auditor } from "./audit/auditor.ts";
import { openAuditFile } from "./audit/log-file.ts";
import { parseAuditPolicy } from "./audit/policy.ts";
import { parseTokenFile } from "./authentication/static-tokens.ts";
import type { Listener } from "./http/listener.ts";
import type { StartOptions } from "./start.ts";

let pki: Pki;
let proxies: CertificateAuthority;
const stops: (() => unknown)[] = [];
const folder = mkdtempSync(join(tmpdir(), "flotilla-operations-"));

beforeAll(async () => {
  pki = await loadPki(undefined);
  proxies = await createCertificateAuthority("proxies");
});
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Running {
  readonly server: TestServer;
  readonly listener: Listener;
  as(who?: Credentials): HttpsClient;
}

async function start(options: Partial<StartOptions> = {}): Promise<Running> {
  const server = await createTestServer({ clock: systemClock, serviceAccountKeys: pki.serviceAccount, ...options });
  const authority = pki.authority.certificate;
  const listener = await server.listen({
    host: "127.0.0.1",
    port: 0,
    certificate: pki.server.certificate,
    key: pki.server.key,
    clientAuthority: `${authority}${proxies.certificate}`,
  });
  stops.push(() => server.stop());
  stops.push(() => listener.close(0));
  return {
    server,
    listener,
    as(who) {
      const client = httpsClient(listener.port, authority, who);
      stops.push(() => client.close());
      return client;
    },
  };
}

const WHO = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
const whoIs = async (client: HttpsClient, headers: Record<string, string | string[]> = {}) => {
  const { status, json } = await client.ask("POST", WHO, { body: {}, headers });
  return status === 201 ? (json["status"] as { userInfo: object }).userInfo : status;
};
const ns = "/api/v1/namespaces/default";
const configMap = (name: string) => ({ apiVersion: "v1", kind: "ConfigMap", metadata: { name }, data: { k: "v" } });

describe("who asks", () => {
  it("a token of the file is its user; without anonymous access who shows nothing is nobody", async () => {
    const tokens = parseTokenFile('# comment\nsecret1,jane,7,"dev, ops"\nsecret2,joe,8\n');
    const { as } = await start({ tokens, authentication: { allowsAnonymous: false } });
    expect(await whoIs(as({ token: "secret1" }))).toEqual({
      username: "jane",
      uid: "7",
      groups: ["dev", "ops", "system:authenticated"],
    });
    expect(await whoIs(as({ token: "secret3" }))).toBe(401);
    expect((await as().ask("GET", "/version")).status).toBe(401);
    for (const text of ["a,b", ",b,c", "a,b,c\na,d,e", '"a,b,c'])
      expect(() => parseTokenFile(text)).toThrow(/^token file line \d: /);
  });

  it("a proxy that is believed speaks for others; another certificate or name does not", async () => {
    const frontProxy = {
      authority: () => proxies.certificate,
      allowedNames: ["front"],
      userHeaders: ["x-remote-user"],
      uidHeaders: ["x-remote-uid"],
      groupHeaders: ["x-remote-group"],
      extraPrefixes: ["x-remote-extra-"],
    };
    const { as } = await start({ authentication: { frontProxy, clientAuthority: () => pki.authority.certificate } });
    const headers = {
      "X-Remote-User": "jane",
      "X-Remote-Uid": "7",
      "X-Remote-Group": ["a,b", "c"],
      "X-Remote-Extra-Acme.com%2Fscope": "x",
    };
    expect(await whoIs(as(await proxies.issueClient("front")), headers)).toEqual({
      username: "jane",
      uid: "7",
      groups: ["a,b", "c", "system:authenticated"],
      extra: { "acme.com/scope": ["x"] },
    });
    expect(await whoIs(as(await proxies.issueClient("other")), headers)).toBe(401);
    expect(await whoIs(as(await proxies.issueClient("front")))).toBe(401);
    const own = await whoIs(as(await pki.authority.issueClient("front", ["system:masters"])), headers);
    expect(own).toMatchObject({ username: "front" });
    expect(await whoIs(as(), headers)).toBe(403);
  });

  it("ID tokens of an issuer are known by its published keys", async () => {
    const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    const serving = await pki.authority.issueServer("issuer", ["127.0.0.1"]);
    let asked = 0;
    const issuer: Server = createServer({ cert: serving.certificate, key: serving.key }, (request, response) => {
      asked++;
      const { port } = issuer.address() as AddressInfo;
      const url = `https://127.0.0.1:${port}`;
      void exportJWK(publicKey).then((key) =>
        response.end(
          JSON.stringify(
            request.url === "/keys"
              ? { keys: [{ ...key, kid: "k1", alg: "RS256", use: "sig" }] }
              : { issuer: url, jwks_uri: `${url}/keys` },
          ),
        ),
      );
    });
    await new Promise<void>((resolve) => issuer.listen(0, "127.0.0.1", resolve));
    stops.push(
      () => new Promise((resolve) => issuer.close(resolve)),
      () => issuer.closeAllConnections(),
    );
    const issuerUrl = `https://127.0.0.1:${(issuer.address() as AddressInfo).port}`;
    const { as } = await start({
      authentication: {
        oidc: {
          issuerUrl,
          clientId: "kubernetes",
          usernameClaim: "email",
          groupsClaim: "groups",
          groupsPrefix: "oidc:",
          requiredClaims: { team: "core" },
          signingAlgorithms: ["RS256"],
          certificateAuthority: pki.authority.certificate,
        },
      },
    });
    const sign = (claims: object, audience = "kubernetes", seconds = 60, by = privateKey) =>
      new SignJWT({ email: "jane@x.io", team: "core", groups: ["dev"], ...claims })
        .setProtectedHeader({ alg: "RS256", kid: "k1" })
        .setIssuer(issuerUrl)
        .setSubject("1")
        .setAudience(audience)
        .setIssuedAt()
        .setExpirationTime(Math.floor(Date.now() / 1000) + seconds)
        .sign(by);
    const known = async (...of: Parameters<typeof sign>) => whoIs(as({ token: await sign(...of) }));
    expect(await known({})).toEqual({ username: "jane@x.io", groups: ["oidc:dev", "system:authenticated"] });
    expect(await known({ email_verified: false })).toBe(401);
    expect(await known({ team: "other" })).toBe(401);
    expect(await known({}, "another")).toBe(401);
    expect(await known({}, "kubernetes", -60)).toBe(401);
    const stranger = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;
    expect(await known({}, "kubernetes", 60, stranger)).toBe(401);
    expect(asked).toBe(2);
  });
});

describe("the audit log", () => {
  const POLICY = `
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
omitManagedFields: true
rules:
- level: None
  nonResourceURLs: ["/healthz*", "/version"]
- level: Metadata
  resources: [{group: "", resources: ["secrets"]}]
- level: RequestResponse
  verbs: [create, patch]
  resources: [{group: "", resources: ["configmaps"]}]
- level: Request
  users: ["system:admin"]
  namespaces: ["default"]
- level: Metadata
`;

  it("tells who did what at the level the policy asks for", async () => {
    const path = join(folder, "audit.log");
    const sink = openAuditFile({ path, sizeMax: 0, backupsMax: 0, ageDaysMax: 0, clock: systemClock });
    const audit = new Auditor(parseAuditPolicy(POLICY), sink, () => systemClock.now());
    const { as } = await start({ audit });
    const admin = as(pki.admin);
    await admin.ask("GET", "/version");
    const made = await admin.ask("POST", `${ns}/configmaps`, {
      body: configMap("a"),
      headers: { "audit-id": "mine", "user-agent": "test/1" },
    });
    expect(made.headers["audit-id"]).toBe("mine");
    const secret = { apiVersion: "v1", kind: "Secret", metadata: { name: "s" }, stringData: { password: "hunter2" } };
    await admin.ask("POST", `${ns}/secrets`, { body: secret });
    await admin.ask("PUT", `${ns}/configmaps/none`, {
      body: configMap("none"),
      headers: { "Impersonate-User": "system:admin" },
    });
    await admin.ask("GET", `${ns}/configmaps?watch=true&timeoutSeconds=1`);
    await as().ask("GET", `${ns}/pods`);
    await as({ token: "nobody's" }).ask("GET", `${ns}/pods`);
    await as().ask("GET", `${ns}/pods`, { headers: { "Impersonate-User": "system:admin" } });
    await audit.close();
    expect(statSync(path).mode & 0o777).toBe(0o600);
    const text = readFileSync(path, "utf8");
    expect(text).not.toContain("hunter2");
    const events = text
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(events.map(({ verb, stage, level }) => `${verb as string} ${stage as string} ${level as string}`)).toEqual([
      "create ResponseComplete RequestResponse",
      "create ResponseComplete Metadata",
      "update ResponseComplete Request",
      "watch ResponseStarted Request",
      "watch ResponseComplete Request",
      "list ResponseComplete Metadata",
      "list ResponseComplete Metadata",
      "list ResponseComplete Metadata",
    ]);
    expect(events.slice(6).map(({ user, responseStatus }) => [user, responseStatus])).toMatchObject([
      [{ username: "" }, { code: 401 }],
      [
        { username: "system:anonymous" },
        { code: 403, message: expect.stringContaining("cannot impersonate") as string },
      ],
    ]);
    expect(events[0]).toMatchObject({
      kind: "Event",
      apiVersion: "audit.k8s.io/v1",
      auditID: "mine",
      requestURI: `${ns}/configmaps`,
      user: { username: "system:admin", groups: ["system:masters", "system:authenticated"] },
      sourceIPs: ["127.0.0.1"],
      userAgent: "test/1",
      objectRef: { resource: "configmaps", namespace: "default", apiVersion: "v1" },
      responseStatus: { code: 201 },
      requestObject: { data: { k: "v" } },
      responseObject: { metadata: { name: "a" } },
      annotations: { "authorization.k8s.io/decision": "allow" },
    });
    expect(events[0]).not.toHaveProperty("responseObject.metadata.managedFields");
    expect(events[1]).not.toHaveProperty("requestObject");
    expect(events[2]).toMatchObject({
      impersonatedUser: { username: "system:admin", groups: ["system:authenticated"] },
      responseStatus: { code: 403, status: "Failure", reason: "Forbidden" },
    });
    expect(events[5]).toMatchObject({ user: { username: "system:anonymous" }, responseStatus: { code: 403 } });
  });

  it("begins a new file when one is full, and keeps so many", async () => {
    const own = mkdtempSync(join(folder, "turn-"));
    let now = Date.UTC(2026, 0, 1);
    const clock = { now: () => (now += 1_000), monotonicMs: () => now, after: () => ({ cancel() {} }) };
    const sink = openAuditFile({ path: join(own, "a.log"), sizeMax: 1, backupsMax: 2, ageDaysMax: 0, clock });
    const line = "x".repeat(600 * 1024);
    for (let at = 0; at < 5; at++) sink.write(line);
    await sink.close();
    const names = readdirSync(own).sort();
    expect(names).toHaveLength(3);
    expect(names.at(-1)).toBe("a.log");
    expect(names[0]).toMatch(/^a-2026-01-01T00-00-\d\d\.\d{3}Z\.log$/);
    expect(statSync(join(own, "a.log")).size).toBe(600 * 1024 + 1);
  });

  it.each([
    ["no policy", "kind: X", "it must be a Policy"],
    ["no rules", "apiVersion: audit.k8s.io/v1\nkind: Policy", "rules: Required value"],
    [
      "a level nobody knows",
      "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: All}]",
      'rules[0].level: Unsupported value: "All"',
    ],
    [
      "a stage nobody knows",
      "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [Never]\nrules: [{level: None}]",
      'omitStages: Unsupported value: "Never"',
    ],
    [
      "both kinds of requests",
      'apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: None, nonResourceURLs: ["/x"], namespaces: [a]}]',
      "rules[0].nonResourceURLs",
    ],
  ])("refuses %s", (_title, text, message) => {
    expect(() => parseAuditPolicy(text)).toThrow(message);
  });
});

describe("fairness", () => {
  it("a client that floods waits and is turned away; others and administrators are not", async () => {
    let release: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    let held = 0;
    const slow: AdmissionPlugin = {
      name: "Slow",
      handles: ({ name, operation }) => operation === "CREATE" && name.startsWith("slow"),
      async validate() {
        held++;
        await gate;
      },
    };
    const counted = new Map<string, number>();
    const measures = countInto(counted);
    // Of 245 seats for all, `global-default` has 20; the rest is not lent in this test.
    const { server, as } = await start({ admission: [slow], measures, flow: { seatsMax: 245, waitMaxMs: 60_000 } });
    const rbac = "rbac.authorization.k8s.io";
    const level = (name: string) => `flowcontrol.apiserver.k8s.io/v1/${name}`;
    const config = await server.send("get", level("prioritylevelconfigurations"), { name: "global-default" });
    const limited = {
      nominalConcurrencyShares: 2,
      borrowingLimitPercent: 0,
      lendablePercent: 0,
      limitResponse: { type: "Queue", queuing: { queues: 16, handSize: 2, queueLengthLimit: 10 } },
    };
    await server.send("update", level("prioritylevelconfigurations"), {
      name: "global-default",
      body: { ...config, spec: { type: "Limited", limited } },
    });
    await server.send("create", `${rbac}/v1/clusterrolebindings`, {
      body: {
        apiVersion: `${rbac}/v1`,
        kind: "ClusterRoleBinding",
        metadata: { name: "all" },
        subjects: [{ kind: "Group", apiGroup: rbac, name: "system:authenticated" }],
        roleRef: { apiGroup: rbac, kind: "ClusterRole", name: "cluster-admin" },
      },
    });
    const greedy = as(await pki.authority.issueClient("greedy"));
    const modest = as(await pki.authority.issueClient("modest"));
    const create = (client: HttpsClient, name: string) =>
      client.ask("POST", `${ns}/configmaps`, { body: configMap(name) });
    const flood = Array.from({ length: 60 }, (_, at) => create(greedy, `slow${at}`));
    await eventually(() => held >= 1);
    // Whoever is turned away is told when to come again.
    const refused = await Promise.race(flood);
    expect([refused.status, refused.headers["retry-after"]]).toEqual([429, "1"]);
    expect((await as(pki.admin).ask("GET", `${ns}/configmaps`)).status).toBe(200);
    expect((await as().ask("GET", "/readyz")).status).toBe(500);
    const patient = create(modest, "quick");
    release();
    expect((await patient).status).toBe(201);
    const ends = await Promise.all(flood);
    const turnedAway = ends.filter(({ status }) => status === 429).length;
    expect(ends.filter(({ status }) => status === 201).length + turnedAway).toBe(60);
    expect(turnedAway).toBeGreaterThanOrEqual(60 - 20 - 10);
    expect(counted.get("apiserver_flowcontrol_rejected_requests_total global-default global-default queue-full")).toBe(
      turnedAway,
    );
    const schema = await server.send("get", level("flowschemas"), { name: "global-default" });
    expect(ends.find(({ status }) => status === 201)?.headers["x-kubernetes-pf-flowschema-uid"]).toBe(
      schema.metadata.uid,
    );
  });
});

/** Counts by name and label values. */
function countInto(counted: Map<string, number>, updates: (() => void)[] = []): Metrics {
  const add = (name: string, labels: object, amount: number) => {
    const key = [name, ...Object.values(labels as Record<string, string>)].join(" ");
    counted.set(key, (counted.get(key) ?? 0) + amount);
  };
  return {
    counter: (name) => ({ add: (amount, labels = {}) => add(name, labels, amount) }),
    gauge: (name) => ({
      set: (value, labels = {}) => void counted.set([name, ...Object.values(labels)].join(" "), value),
      remove() {},
    }),
    histogram: (name) => ({ observe: (_value, labels = {}) => add(name, labels, 1) }),
    onRead: (update) => void updates.push(update),
  };
}

describe("running", () => {
  it("requests are measured by upstream's names", async () => {
    const counted = new Map<string, number>();
    const { as } = await start({ measures: countInto(counted) });
    const admin = as(pki.admin);
    await admin.ask("POST", `${ns}/configmaps?dryRun=All`, { body: configMap("a") });
    await admin.ask("GET", `${ns}/configmaps/none`);
    await admin.ask("GET", "/apis");
    await admin.ask("GET", `${ns}/configmaps?watch=true&timeoutSeconds=1`);
    const apply = { body: configMap("b"), headers: { "content-type": "application/apply-patch+yaml" } };
    await admin.ask("PATCH", `${ns}/configmaps/b?fieldManager=t`, apply);
    const total = (...labels: string[]) => counted.get(["apiserver_request_total", ...labels].join(" "));
    expect(total("POST", "All", "", "v1", "configmaps", "", "resource", "apiserver", "201")).toBe(1);
    expect(total("GET", "", "", "v1", "configmaps", "", "resource", "apiserver", "404")).toBe(1);
    expect(total("GET", "", "", "", "", "apis", "", "apiserver", "200")).toBe(1);
    expect(total("WATCH", "", "", "v1", "configmaps", "", "namespace", "apiserver", "200")).toBe(1);
    expect(total("APPLY", "", "", "v1", "configmaps", "", "resource", "apiserver", "201")).toBe(1);
    const keys = [...counted.keys()].join("\n");
    expect(keys).toContain("apiserver_request_duration_seconds POST");
    expect(keys).not.toContain("apiserver_request_duration_seconds WATCH");
    expect(counted.get("apiserver_longrunning_requests WATCH  v1 configmaps  namespace apiserver")).toBe(0);
    expect(counted.get("apiserver_current_inflight_requests mutating")).toBe(0);
    expect(counted.get("authentication_attempts success")).toBe(5);
  });

  it("objects, watches, the store and webhooks are measured by upstream's names", async () => {
    const counted = new Map<string, number>();
    const updates: (() => void)[] = [];
    const { as } = await start({ measures: countInto(counted, updates) });
    const admin = as(pki.admin);
    const read = (...name: string[]) => {
      for (const update of updates) update();
      return counted.get(name.join(" "));
    };
    const webhooks = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
    const hook = (name: string, resource: string, failurePolicy: string) => ({
      name,
      failurePolicy,
      clientConfig: { url: "https://127.0.0.1:1/" },
      rules: [{ apiGroups: [""], apiVersions: ["v1"], operations: ["CREATE"], resources: [resource] }],
      sideEffects: "None",
      admissionReviewVersions: ["v1"],
    });
    for (const name of ["a", "b"]) await admin.ask("POST", `${ns}/configmaps`, { body: configMap(name) });
    await admin.ask("GET", `${ns}/configmaps?watch=true&timeoutSeconds=1&resourceVersion=0`);
    expect(read("apiserver_watch_events_total", "", "v1", "configmaps")).toBe(2);
    expect(read("apiserver_storage_objects", "configmaps")).toBe(3);
    expect(read("apiserver_resource_objects", "", "configmaps")).toBe(3);
    await admin.ask("DELETE", `${ns}/configmaps/b`);
    expect(read("apiserver_storage_objects", "configmaps")).toBe(2);
    expect(read("etcd_requests_total", "create", "", "configmaps")).toBe(3);
    expect(read("etcd_requests_total", "delete", "", "configmaps")).toBe(1);
    expect(read("etcd_request_duration_seconds", "list", "", "configmaps")).toBe(1);
    const body = {
      apiVersion: "admissionregistration.k8s.io/v1",
      kind: "ValidatingWebhookConfiguration",
      metadata: { name: "w" },
      webhooks: [hook("strict.io.x", "configmaps", "Fail"), hook("lax.io.x", "secrets", "Ignore")],
    };
    expect((await admin.ask("POST", webhooks, { body })).status).toBe(201);
    expect((await admin.ask("POST", `${ns}/configmaps`, { body: configMap("c") })).status).toBe(500);
    const secret = { apiVersion: "v1", kind: "Secret", metadata: { name: "s" } };
    expect((await admin.ask("POST", `${ns}/secrets`, { body: secret })).status).toBe(201);
    const calls = "apiserver_admission_webhook";
    expect(read(`${calls}_request_total`, "strict.io.x", "validating", "CREATE", "503", "true")).toBe(1);
    expect(read(`${calls}_request_total`, "lax.io.x", "validating", "CREATE", "503", "false")).toBe(1);
    expect(
      read(`${calls}_rejection_count`, "strict.io.x", "validating", "CREATE", "calling_webhook_error", "503"),
    ).toBe(1);
    expect(read(`${calls}_fail_open_count`, "lax.io.x", "validating")).toBe(1);
    expect(read(`${calls}_admission_duration_seconds`, "lax.io.x", "validating", "CREATE", "false")).toBe(1);
  });

  it("another certificate is served without a restart", async () => {
    const { listener } = await start();
    const other = await createCertificateAuthority("other");
    const serving = await other.issueServer("server", ["127.0.0.1"]);
    const asked = async () => {
      const client = httpsClient(listener.port, other.certificate);
      const answer = await client.ask("GET", "/version").then(
        ({ status }) => status,
        (error: Error) => error.message,
      );
      await client.close();
      return answer;
    };
    expect(await asked()).not.toBe(200);
    listener.renew({ ...serving, clientAuthority: pki.authority.certificate });
    expect(await asked()).toBe(200);
  });

  it("a server that stops ends what was asked, closes watches cleanly, and takes nothing new", async () => {
    let release: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    let isHeld = false;
    const slow: AdmissionPlugin = {
      name: "Slow",
      handles: ({ name, operation }) => operation === "CREATE" && name === "slow",
      async validate() {
        isHeld = true;
        await gate;
      },
    };
    const { listener, as } = await start({ admission: [slow] });
    const admin = as(pki.admin);
    const transport = createHttpTransport({
      server: `https://127.0.0.1:${listener.port}`,
      certificateAuthority: pki.authority.certificate,
      clientCertificate: pki.admin.certificate,
      clientKey: pki.admin.key,
    });
    stops.push(() => transport.close());
    const ended = new Promise<Error | undefined>((resolve) => {
      transport.watch({ group: "", version: "v1", resource: "configmaps" }, { event() {}, closed: resolve });
    });
    const writing = admin.ask("POST", `${ns}/configmaps`, { body: configMap("slow") });
    await eventually(() => isHeld);
    const closing = listener.close();
    await expect(as(pki.admin).ask("GET", "/version")).rejects.toThrow();
    release();
    expect((await writing).status).toBe(201);
    await closing;
    expect(await ended).toBeUndefined();
  });
});
