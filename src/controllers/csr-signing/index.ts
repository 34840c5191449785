/**
 * Certificate signing: approved CertificateSigningRequests of Kubernetes' own signers get their certificate. A request its
 * signer does not accept gets the condition `Failed`. It approves nothing and leaves other signers' requests alone.
 */
import { CertificateSigningRequest } from "#apis/kubernetes";
import { parseCertificateRequest } from "#certs";
import { type ControllerContext, defineController, done, type Request, type Result } from "#controller-runtime";
import { formatTime, isConflict, isNotFound } from "#machinery";
import { isOurSigner, isWaiting, planSigning, type SigningOptions } from "./plan.ts";

interface Deps {
  /** Signs a PEM request; gives PEM. */
  readonly sign: (
    request: string,
    options: { readonly seconds: number; readonly usages: readonly string[] },
  ) => Promise<string>;
}

export const csrSigning = defineController<Deps, SigningOptions>({
  name: "csrsigning",
  reconciles: [CertificateSigningRequest],
  when: ({ type, object }) => type !== "deleted" && isWaiting(object as CertificateSigningRequest),
  writes: [{ kind: CertificateSigningRequest, verbs: ["update"], subresources: ["status"] }],
  options: { clusterSigningDurationMs: 365 * 24 * 3_600_000 },
  reconcile,
});

async function reconcile(request: Request, context: ControllerContext<Deps, SigningOptions>): Promise<Result> {
  const csr = context.cache(CertificateSigningRequest).get(request.key);
  if (csr === undefined || !isWaiting(csr) || !isOurSigner(csr.spec.signerName)) return done;
  const pem = Buffer.from(csr.spec.request, "base64").toString("utf8");
  let status: NonNullable<CertificateSigningRequest["status"]>;
  try {
    const plan = planSigning(csr, parseCertificateRequest(pem), context.options);
    status =
      plan.outcome === "sign"
        ? { ...csr.status, certificate: Buffer.from(await context.deps.sign(pem, plan)).toString("base64") }
        : failed(csr, plan.message, context.clock.now());
  } catch (error) {
    status = failed(csr, error instanceof Error ? error.message : String(error), context.clock.now());
  }
  try {
    await context.client.updateStatus(CertificateSigningRequest, { ...csr, status });
  } catch (error) {
    // A newer version brings the request back.
    if (!isNotFound(error) && !isConflict(error)) throw error;
  }
  return done;
}

function failed(csr: CertificateSigningRequest, message: string, nowMs: number) {
  const now = formatTime(nowMs);
  const condition = {
    type: "Failed",
    status: "True",
    reason: "SignerValidationFailure",
    message,
    lastUpdateTime: now,
    lastTransitionTime: now,
  };
  return { ...csr.status, conditions: [...(csr.status?.conditions ?? []), condition] };
}
