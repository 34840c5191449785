import { CertificateSigningRequest } from "#apis/kubernetes";
import { SYSTEM } from "#apis/karmada";
import { type Clock, sleep } from "#base";
import { createCertificateRequest, type KeyPair } from "#certs";
import type { Client } from "#client";
import { isAlreadyExists } from "#machinery";

const POLL_MS = 1_000;
const FIRST_POLLS_MS = 100;
export const AGENTS = "system:karmada:agents";

export interface IdentityRequest {
  /** Name of the CertificateSigningRequest. */
  readonly name: string;
  readonly commonName: string;
  readonly seconds: number;
  readonly timeoutMs: number;
  readonly clock: Clock;
}

/** Asks the control plane for a client certificate and waits for it. Throws with what keeps it when time is over. */
export async function obtainIdentity(client: Client, wanted: IdentityRequest): Promise<KeyPair> {
  const { name, commonName, seconds, timeoutMs, clock } = wanted;
  const { request, key } = await createCertificateRequest(commonName, [AGENTS]);
  const spec = {
    request: Buffer.from(request).toString("base64"),
    signerName: "kubernetes.io/kube-apiserver-client",
    expirationSeconds: seconds,
    usages: ["digital signature", "key encipherment", "client auth"],
  };
  try {
    await client.create(CertificateSigningRequest, {
      apiVersion: "certificates.k8s.io/v1",
      kind: "CertificateSigningRequest",
      metadata: { name, labels: { [SYSTEM]: "true" } },
      spec,
    });
  } catch (error) {
    // It was made, and the answer was lost.
    if (!isAlreadyExists(error)) throw error;
    const present = await client.get(CertificateSigningRequest, { name });
    if (present.spec?.request !== spec.request) throw error;
  }
  const endMs = clock.monotonicMs() + timeoutMs;
  for (let tries = 0; ; tries++) {
    const { status } = await client.get(CertificateSigningRequest, { name });
    if (status?.certificate) return { certificate: Buffer.from(status.certificate, "base64").toString("utf8"), key };
    const decided = status?.conditions?.at(-1);
    if (decided?.type === "Denied" || decided?.type === "Failed")
      throw new Error(
        `certificate request ${name} was ${decided.type.toLowerCase()}: ${decided.message ?? decided.reason ?? ""}`,
      );
    if (clock.monotonicMs() > endMs)
      throw new Error(
        decided?.type === "Approved"
          ? `certificate request ${name} is approved but not signed: does the controller csrsigning run?`
          : `certificate request ${name} is not approved: does the controller agentcsrapproving run, and may the sender create certificatesigningrequests/clusteragent? An administrator can approve it: kubectl certificate approve ${name}`,
      );
    await sleep(clock, tries < 10 ? FIRST_POLLS_MS : POLL_MS);
  }
}
