/** The road from a token to an identity, in a whole control plane over HTTPS. */
import { afterAll, beforeAll, expect, it } from "vitest";
import { CertificateSigningRequest, ClusterRole, ConfigMap, Secret } from "#apis/kubernetes";
import {
  createCertificateRequest,
  describeCertificates,
  isSignedBy,
  parseKubeconfig,
  publicKeyPins,
  readKubeconfig,
  resolveContext,
} from "#certs";
import { type Client, createClient, createHttpTransport, type HttpTransport } from "#client";
import { eventually, startTestFleet } from "#testing";
import type { Fleet } from "./fleet.ts";

let fleet: Fleet;
let admin: Client;
let server: string;
let authority: string;
const transports: HttpTransport[] = [];
const connect = (who: object): Client => {
  const transport = createHttpTransport({ server, certificateAuthority: authority, ...who });
  transports.push(transport);
  return createClient(transport);
};
const token = { id: "abcdef", secret: "0123456789abcdef" };
const base64 = (text: string) => Buffer.from(text).toString("base64");
const tokenSecret = (own: typeof token, more: Readonly<Record<string, string>> = {}): Secret => ({
  apiVersion: "v1",
  kind: "Secret",
  metadata: { namespace: "kube-system", name: `bootstrap-token-${own.id}` },
  type: "bootstrap.kubernetes.io/token",
  data: Object.fromEntries(
    Object.entries({
      "token-id": own.id,
      "token-secret": own.secret,
      "usage-bootstrap-signing": "true",
      "usage-bootstrap-authentication": "true",
      "auth-extra-groups": "system:bootstrappers:karmada:default-cluster-token",
      ...more,
    }).map(([key, value]) => [key, base64(value)]),
  ),
});
const csr = (name: string, request: string, usages = ["digital signature", "key encipherment", "client auth"]) => ({
  apiVersion: "certificates.k8s.io/v1",
  kind: "CertificateSigningRequest",
  metadata: { name },
  spec: {
    request: base64(request),
    signerName: "kubernetes.io/kube-apiserver-client",
    usages,
    expirationSeconds: 7_200,
  },
});
const issued = (client: Client, name: string) =>
  eventually(async () => (await client.get(CertificateSigningRequest, { name })).status?.certificate);
const info = async () => (await admin.get(ConfigMap, { namespace: "kube-public", name: "cluster-info" })).data ?? {};

beforeAll(async () => {
  fleet = await startTestFleet([]);
  const endpoint = resolveContext(parseKubeconfig(fleet.kubeconfigs.get("flotilla") ?? ""));
  server = endpoint.server;
  authority = endpoint.certificateAuthority ?? "";
  admin = connect({ clientCertificate: endpoint.clientCertificate, clientKey: endpoint.clientKey });
});
afterAll(async () => {
  await Promise.all(transports.map((transport) => transport.close()));
  await fleet.stop();
});

it("CE-3 cluster-info is signed by every token that may sign, for anybody to read", async () => {
  await admin.create(Secret, tokenSecret(token));
  const { kubeconfig = "", ...data } = await eventually(async () => {
    const found = await info();
    return found["jws-kubeconfig-abcdef"] === undefined ? undefined : found;
  });
  expect(isSignedBy(data["jws-kubeconfig-abcdef"] ?? "", kubeconfig, token)).toBe(true);
  expect(isSignedBy(data["jws-kubeconfig-abcdef"] ?? "", `${kubeconfig} `, token)).toBe(false);
  const { clusters } = readKubeconfig(kubeconfig);
  expect(clusters).toHaveLength(1);
  expect(await publicKeyPins(resolveContextless(kubeconfig))).toEqual(await publicKeyPins(authority));
  const anonymous = connect({});
  expect(
    (await anonymous.get(ConfigMap, { namespace: "kube-public", name: "cluster-info" })).data?.["kubeconfig"],
  ).toBe(kubeconfig);
  await expect(anonymous.list(ConfigMap, { namespace: "kube-public" })).rejects.toMatchObject({ code: 403 });
  await admin.create(
    Secret,
    tokenSecret({ id: "nosign", secret: token.secret }, { "usage-bootstrap-signing": "false" }),
  );
  await admin.delete(Secret, { namespace: "kube-system", name: "bootstrap-token-abcdef" });
  await eventually(async () => (await info())["jws-kubeconfig-abcdef"] === undefined);
  expect(Object.keys(await info())).toEqual(["kubeconfig"]);
});

const resolveContextless = (text: string): string =>
  Buffer.from(String(readKubeconfig(text).clusters[0]?.value["certificate-authority-data"] ?? ""), "base64").toString();

it("CE-1 [DR-3] a token becomes an agent's identity; the identity renews itself; others wait for ever", async () => {
  await admin.create(Secret, tokenSecret(token));
  const newcomer = connect({ token: `${token.id}.${token.secret}` });
  const agent = "system:karmada:agent:m1";
  const { request, key } = await createCertificateRequest(agent, ["system:karmada:agents"]);
  await newcomer.create(CertificateSigningRequest, csr("m1-abcde", request));
  const pem = Buffer.from(await issued(newcomer, "m1-abcde"), "base64").toString();
  const { commonName, organizations, notBeforeMs, notAfterMs } = describeCertificates(pem);
  expect({ commonName, organizations }).toEqual({ commonName: agent, organizations: ["system:karmada:agents"] });
  expect(Math.round((notAfterMs - notBeforeMs) / 60_000)).toBe(125);
  const decided = await admin.get(CertificateSigningRequest, { name: "m1-abcde" });
  expect(decided.spec.username).toBe("system:bootstrap:abcdef");
  expect(decided.status?.conditions?.[0]).toMatchObject({
    type: "Approved",
    reason: "AutoApproved",
    message: "Auto approving karmada agent certificate after SubjectAccessReview.",
  });

  const own = connect({ clientCertificate: pem, clientKey: key });
  await expect(own.list(Secret, { namespace: "kube-system" })).rejects.toMatchObject({ code: 403 });
  // The rights to ask again come with the registration; here the administrator gives them.
  await admin.create(ClusterRole, {
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind: "ClusterRole",
    metadata: { name: "asks" },
    rules: [
      { apiGroups: ["certificates.k8s.io"], resources: ["certificatesigningrequests"], verbs: ["create", "get"] },
    ],
  });
  await admin.transport.send({
    verb: "create",
    group: "rbac.authorization.k8s.io",
    version: "v1",
    resource: "clusterrolebindings",
    body: {
      apiVersion: "rbac.authorization.k8s.io/v1",
      kind: "ClusterRoleBinding",
      metadata: { name: "asks" },
      subjects: [{ kind: "User", name: agent }],
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "asks" },
    } as never,
  });
  await own.create(CertificateSigningRequest, csr("m1-renew", request));
  await issued(own, "m1-renew");
  expect((await admin.get(CertificateSigningRequest, { name: "m1-renew" })).status?.conditions?.[0]?.message).toBe(
    "Auto approving self karmada agent certificate after SubjectAccessReview.",
  );
  const foreign = await createCertificateRequest("system:karmada:agent:m2", ["system:karmada:agents"]);
  await own.create(CertificateSigningRequest, csr("m2-theft", foreign.request));
  const masters = await createCertificateRequest("root", ["system:masters"]);
  await expect(newcomer.create(CertificateSigningRequest, csr("root", masters.request))).rejects.toMatchObject({
    code: 403,
    message: expect.stringContaining(
      "use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed",
    ) as string,
  });
  await fleet.controlPlane.manager.whenIdle();
  expect((await admin.get(CertificateSigningRequest, { name: "m2-theft" })).status?.conditions).toBeUndefined();
});

it("CE-3 tokens that are over let nobody in and are removed", async () => {
  const over = { id: "overdu", secret: token.secret };
  const ends = new Date(Date.now() + 1_200).toISOString();
  await admin.create(Secret, tokenSecret(over, { expiration: ends }));
  const late = connect({ token: `${over.id}.${over.secret}` });
  await late.list(CertificateSigningRequest);
  await eventually(
    async () => (await admin.find(Secret, { namespace: "kube-system", name: "bootstrap-token-overdu" })) === undefined,
  );
  await expect(late.list(CertificateSigningRequest)).rejects.toMatchObject({ code: 401 });
  await expect(
    connect({ token: `${token.id}.${"x".repeat(16)}` }).list(CertificateSigningRequest),
  ).rejects.toMatchObject({ code: 401 });
});

it("roles gather the rules of roles their selectors choose", async () => {
  const rulesOf = async () => JSON.stringify((await admin.get(ClusterRole, { name: "view" })).rules);
  await eventually(async () => (await rulesOf()).includes("propagationpolicies"));
  const labels = { "rbac.authorization.k8s.io/aggregate-to-view": "true" };
  const rules = [{ apiGroups: ["example.com"], resources: ["widgets"], verbs: ["get"] }];
  await admin.create(ClusterRole, {
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind: "ClusterRole",
    metadata: { name: "w", labels },
    rules,
  });
  await eventually(async () => (await rulesOf()).includes("widgets"));
  await eventually(async () =>
    JSON.stringify((await admin.get(ClusterRole, { name: "admin" })).rules).includes("widgets"),
  );
  await admin.delete(ClusterRole, { name: "w" });
  await eventually(async () => !(await rulesOf()).includes("widgets"));
});
