import { expect, it } from "vitest";
import type { CertificateSigningRequest } from "#apis/kubernetes";
import type { CertificateRequest } from "#certs";
import { isWaiting, planSigning } from "./plan.ts";

const DAY_MS = 86_400_000;
const options = { clusterSigningDurationMs: DAY_MS };
const CLIENT = ["digital signature", "key encipherment", "client auth"];
const asks = (signer: string, usages: string[], expirationSeconds?: number) =>
  ({
    spec: { signerName: `kubernetes.io/${signer}`, usages, request: "", expirationSeconds },
  }) as unknown as CertificateSigningRequest;
const who = (
  commonName: string,
  organizations: string[] = [],
  more: Partial<CertificateRequest> = {},
): CertificateRequest => ({
  commonName,
  organizations,
  dnsNames: [],
  ipAddresses: [],
  emails: [],
  uris: [],
  ...more,
});
const NODE = who("system:node:a", ["system:nodes"]);

it.each<[string, CertificateSigningRequest, CertificateRequest, string | number]>([
  ["a client gets a certificate", asks("kube-apiserver-client", CLIENT), who("jane"), 86_400],
  ["a life asked for is kept to", asks("kube-apiserver-client", CLIENT, 3_600), who("jane"), 3_600],
  ["too short a life is lengthened", asks("kube-apiserver-client", CLIENT, 5), who("jane"), 600],
  ["too long a life is cut", asks("kube-apiserver-client", CLIENT, 10_000_000), who("jane"), 86_400],
  [
    "the generator of agents' rights lives an hour (D-21)",
    asks("kube-apiserver-client", CLIENT, 31_536_000),
    who("system:karmada:agent:rbac-generator", ["system:karmada:agents"]),
    3_600,
  ],
  [
    "an administrator is not made so",
    asks("kube-apiserver-client", CLIENT),
    who("a", ["system:masters"]),
    "system:masters",
  ],
  ["a client must be one", asks("kube-apiserver-client", ["digital signature"]), who("a"), "must include client auth"],
  ["a client is no server", asks("kube-apiserver-client", [...CLIENT, "server auth"]), who("a"), "must be among"],
  [
    "a kubelet gets a client certificate",
    asks("kube-apiserver-client-kubelet", ["digital signature", "client auth"]),
    NODE,
    86_400,
  ],
  [
    "a kubelet is in the nodes' group",
    asks("kube-apiserver-client-kubelet", CLIENT),
    who("system:node:a", ["x"]),
    "system:nodes",
  ],
  [
    "a kubelet has a node's name",
    asks("kube-apiserver-client-kubelet", CLIENT),
    who("a", ["system:nodes"]),
    "begin with system:node:",
  ],
  [
    "a kubelet's client has no addresses",
    asks("kube-apiserver-client-kubelet", CLIENT),
    { ...NODE, dnsNames: ["a"] },
    "not allowed",
  ],
  [
    "a kubelet serves under a name",
    asks("kubelet-serving", ["digital signature", "server auth"]),
    { ...NODE, ipAddresses: ["10.0.0.1"] },
    86_400,
  ],
  [
    "a kubelet must serve under a name",
    asks("kubelet-serving", ["digital signature", "server auth"]),
    NODE,
    "DNS or IP name is required",
  ],
  [
    "a serving kubelet is no client",
    asks("kubelet-serving", CLIENT),
    { ...NODE, dnsNames: ["a"] },
    "exactly digital signature and server auth",
  ],
])("%s", (_title, csr, request, expected) => {
  const plan = planSigning(csr, request, options);
  if (typeof expected === "number") expect(plan).toMatchObject({ outcome: "sign", seconds: expected });
  else expect(plan).toMatchObject({ outcome: "fail", message: expect.stringContaining(expected) as string });
});

it.each([
  ["approved", ["Approved"], undefined, true],
  ["undecided", [], undefined, false],
  ["denied", ["Approved", "Denied"], undefined, false],
  ["failed", ["Approved", "Failed"], undefined, false],
  ["issued", ["Approved"], "MA==", false],
])("a request that is %s waits: %#", (_title, types, certificate, expected) => {
  const status = { conditions: types.map((type) => ({ type, status: "True" })), certificate };
  expect(isWaiting({ ...asks("kube-apiserver-client", CLIENT), status } as never)).toBe(expected);
});
