import type { CertificateSigningRequest } from "#apis/kubernetes";
import { parseTime } from "#machinery";

const HOUR_MS = 3_600_000;
const DECIDED_MS = HOUR_MS;
const PENDING_MS = 24 * HOUR_MS;

/** When a request has served its time: an hour after it was decided, a day when nobody did, or with its certificate. */
export function endOf(csr: CertificateSigningRequest, certificateEnd: (pem: string) => number | undefined): number {
  const createdMs = parseTime(csr.metadata.creationTimestamp) ?? 0;
  const { conditions = [], certificate } = csr.status ?? {};
  const ends = conditions
    .filter(({ type }) => type === "Denied" || type === "Failed" || (type === "Approved" && certificate))
    .map(({ lastUpdateTime }) => (parseTime(lastUpdateTime) ?? createdMs) + DECIDED_MS);
  if (ends.length === 0) ends.push(createdMs + PENDING_MS);
  if (certificate) ends.push(certificateEnd(Buffer.from(certificate, "base64").toString()) ?? Number.POSITIVE_INFINITY);
  return Math.min(...ends);
}
