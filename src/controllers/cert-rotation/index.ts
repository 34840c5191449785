/**
 * Certificate rotation: an agent asks for a new certificate before its own ends, and writes it into the Secret of the
 * member its kubeconfig comes from. It rotates nothing else and approves nothing.
 */
import { CertificateSigningRequest, Secret } from "#apis/kubernetes";
import { Cluster, SYSTEM, SYSTEM_NAMESPACE } from "#apis/karmada";
import { sleep } from "#base";
import { createCertificateRequest, describeCertificates, readKubeconfig, resolveContext, withClient } from "#certs";
import type { Client } from "#client";
import {
  type ControllerContext,
  defineController,
  type Request,
  requeueAfter,
  type Result,
  done,
} from "#controller-runtime";
import { isRotationDue } from "./plan.ts";

export interface CertRotationDeps {
  /** The member the agent runs in, where its kubeconfig lies. */
  readonly member: Client;
  /** The agent's cluster. */
  readonly own: string;
  /** Told of the kubeconfig with the new certificate. */
  readonly rotated: (kubeconfig: string) => void;
}

export interface CertRotationOptions {
  readonly certRotationCheckingIntervalMs: number;
  readonly certRotationRemainingTimeThreshold: number;
  readonly karmadaKubeconfigNamespace: string;
}

type Context = ControllerContext<CertRotationDeps, CertRotationOptions>;

const SECRET = "karmada-kubeconfig";
const POLL_MS = 1_000;
const TIMEOUT_MS = 300_000;
const LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789";

export const certRotation = defineController<CertRotationDeps, CertRotationOptions>({
  name: "certRotation",
  reconciles: [Cluster],
  when: ({ type }) => type === "added",
  writes: [{ kind: CertificateSigningRequest, verbs: ["create"] }],
  options: {
    certRotationCheckingIntervalMs: 300_000,
    certRotationRemainingTimeThreshold: 0.2,
    karmadaKubeconfigNamespace: SYSTEM_NAMESPACE,
  },
  concurrency: () => 1,
  reconcile,
});

async function reconcile(request: Request, context: Context): Promise<Result> {
  const { deps, options, clock } = context;
  if (request.name !== deps.own || context.cache(Cluster).get(request.key) === undefined) return done;
  const at = { namespace: options.karmadaKubeconfigNamespace, name: SECRET };
  const secret = await deps.member.get(Secret, at);
  const text = Buffer.from(secret.data?.[SECRET] ?? "", "base64").toString("utf8");
  const endpoint = resolveContext(readKubeconfig(text, `secret ${at.namespace}/${at.name}`));
  if (endpoint.clientCertificate === undefined)
    throw new Error(`the kubeconfig in secret ${at.namespace}/${at.name} has no client certificate`);
  const life = describeCertificates(endpoint.clientCertificate);
  if (isRotationDue(life, clock.now(), options.certRotationRemainingTimeThreshold)) {
    const client = await renew(life, context);
    const renewed = withClient(text, client);
    await deps.member.update(Secret, {
      ...secret,
      data: { ...secret.data, [SECRET]: Buffer.from(renewed).toString("base64") },
    });
    deps.rotated(renewed);
    context.log.info("rotated the agent's certificate", { cluster: deps.own });
  }
  return requeueAfter(options.certRotationCheckingIntervalMs);
}

/** A new key with a certificate of the same subject and life. */
async function renew(life: ReturnType<typeof describeCertificates>, { client, clock, random, signal, deps }: Context) {
  const { request, key } = await createCertificateRequest(life.commonName, life.organizations);
  const suffix = Array.from({ length: 5 }, () => LETTERS[random.below(LETTERS.length)]).join("");
  const name = `${deps.own}-${suffix}`;
  await client.create(CertificateSigningRequest, {
    apiVersion: "certificates.k8s.io/v1",
    kind: "CertificateSigningRequest",
    metadata: { name, labels: { [SYSTEM]: "true" } },
    spec: {
      request: Buffer.from(request).toString("base64"),
      signerName: "kubernetes.io/kube-apiserver-client",
      expirationSeconds: Math.max(600, Math.round((life.notAfterMs - life.notBeforeMs) / 1000)),
      usages: ["digital signature", "key encipherment", "client auth"],
    },
  });
  const endMs = clock.monotonicMs() + TIMEOUT_MS;
  for (;;) {
    const { status } = await client.get(CertificateSigningRequest, { name });
    if (status?.certificate) return { certificate: Buffer.from(status.certificate, "base64").toString("utf8"), key };
    if (clock.monotonicMs() > endMs || signal.aborted)
      throw new Error(`certificate request ${name} was not signed in time`);
    await sleep(clock, POLL_MS, signal);
  }
}
