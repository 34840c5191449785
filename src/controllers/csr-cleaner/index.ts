/**
 * Certificate request cleaner: CertificateSigningRequests that were decided an hour ago, wait for a day, or whose
 * certificate has ended are deleted. It decides nothing itself.
 */
import { CertificateSigningRequest } from "#apis/kubernetes";
import { describeCertificates } from "#certs";
import {
  type ControllerContext,
  defineController,
  done,
  type Request,
  requeueAfter,
  type Result,
} from "#controller-runtime";
import { endOf } from "./plan.ts";

export const csrCleaner = defineController<unknown, Record<string, never>>({
  name: "csrcleaner",
  reconciles: [CertificateSigningRequest],
  when: ({ type }) => type !== "deleted",
  writes: [{ kind: CertificateSigningRequest, verbs: ["delete"] }],
  options: {},
  reconcile,
});

async function reconcile(request: Request, context: ControllerContext): Promise<Result> {
  const csr = context.cache(CertificateSigningRequest).get(request.key);
  if (csr === undefined || csr.metadata.deletionTimestamp !== undefined) return done;
  const leftMs = endOf(csr, certificateEnd) - context.clock.now();
  if (leftMs > 0) return requeueAfter(leftMs);
  await context.client.delete(CertificateSigningRequest, { name: request.name });
  return done;
}

function certificateEnd(pem: string): number | undefined {
  try {
    return describeCertificates(pem).notAfterMs;
  } catch {
    return undefined;
  }
}
