import { expect, it } from "vitest";
import type { CertificateSigningRequest } from "#apis/kubernetes";
import type { CertificateRequest } from "#certs";
import { isUndecided, recognize } from "./plan.ts";

const AGENT = "system:karmada:agent:m1";
const request: CertificateRequest = {
  commonName: AGENT,
  organizations: ["system:karmada:agents"],
  dnsNames: [],
  ipAddresses: [],
  emails: [],
  uris: [],
};
const csr = (usages: string[], username = "system:bootstrap:abcdef") =>
  ({
    spec: { signerName: "kubernetes.io/kube-apiserver-client", usages, username, request: "" },
  }) as unknown as CertificateSigningRequest;
const TWO = ["digital signature", "client auth"];
const THREE = [...TWO, "key encipherment"];

it.each<[string, CertificateSigningRequest, Partial<CertificateRequest>, string[]]>([
  ["a new agent", csr(THREE), {}, ["clusteragent"]],
  ["without key encipherment", csr(TWO), {}, ["clusteragent"]],
  ["an agent that renews its own", csr(THREE, AGENT), {}, ["selfclusteragent", "clusteragent"]],
  ["another group beside", csr(THREE), { organizations: ["system:karmada:agents", "x"] }, []],
  ["another group", csr(THREE), { organizations: ["system:masters"] }, []],
  ["another name", csr(THREE), { commonName: "system:admin" }, []],
  ["an alternative name", csr(THREE), { dnsNames: ["a"] }, []],
  ["an address", csr(THREE), { ipAddresses: ["10.0.0.1"] }, []],
  ["one usage more", csr([...THREE, "server auth"]), {}, []],
  ["one usage less", csr(["client auth"]), {}, []],
  ["a usage twice", csr([...TWO, "client auth"]), {}, []],
])("CE-1 %s", (_title, asked, more, expected) => {
  expect(recognize(asked, { ...request, ...more }).map(({ subresource }) => subresource)).toEqual(expected);
});

it("CE-1 only requests for clients that nobody decided on are looked at", () => {
  const open = csr(THREE);
  expect(isUndecided(open)).toBe(true);
  expect(isUndecided({ ...open, spec: { ...open.spec, signerName: "example.com/x" } })).toBe(false);
  expect(isUndecided({ ...open, status: { certificate: "MA==" } })).toBe(false);
  expect(isUndecided({ ...open, status: { conditions: [{ type: "Denied", status: "True" }] } })).toBe(false);
});
