import { X509Certificate } from "node:crypto";

/** What a client showed when it connected: its own certificate first, then those it sent along. */
export type PeerChain = readonly X509Certificate[];

/** The names a verified certificate carries. */
export interface CertificateSubject {
  readonly commonName: string;
  readonly organizations: readonly string[];
  /** SHA-256 of the certificate, hexadecimal. */
  readonly fingerprint: string;
}

const CLIENT_AUTH = "1.3.6.1.5.5.7.3.2";
const ANY_USAGE = "2.5.29.37.0";
const CHAIN_MAX = 8;
const PEM = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g;

/** Reads all certificates of a PEM text. Throws when one is none. */
export function readCertificates(pem: string): readonly X509Certificate[] {
  return (pem.match(PEM) ?? []).map((text) => new X509Certificate(text));
}

/** Knows clients by certificates of the authorities in `pem()`, which is read again whenever its text changes. */
export class CertificateVerifier {
  readonly #pem: () => string;
  #text: string | undefined;
  #authorities: readonly X509Certificate[] = [];

  constructor(pem: () => string) {
    this.#pem = pem;
  }

  /** Gives the subject, or the reason why the chain proves nothing. */
  verify(chain: PeerChain, nowMs: number): CertificateSubject | { readonly error: string } {
    const leaf = chain[0];
    if (leaf === undefined) return { error: "no certificate" };
    const text = this.#pem();
    if (text !== this.#text) {
      this.#authorities = readCertificates(text);
      this.#text = text;
    }
    const usages = leaf.keyUsage as readonly string[] | undefined;
    if (usages !== undefined && !usages.includes(CLIENT_AUTH) && !usages.includes(ANY_USAGE))
      return { error: "x509: certificate specifies an incompatible key usage" };
    if (!isCurrent(leaf, nowMs)) return { error: "x509: certificate has expired or is not yet valid" };
    if (!this.#leadsToAuthority(leaf, chain.slice(1), nowMs))
      return { error: "x509: certificate signed by unknown authority" };
    return subjectOf(leaf);
  }

  #leadsToAuthority(certificate: X509Certificate, others: PeerChain, nowMs: number, depth = 0): boolean {
    if (depth >= CHAIN_MAX) return false;
    const issued = (candidate: X509Certificate) =>
      candidate.ca &&
      isCurrent(candidate, nowMs) &&
      certificate.checkIssued(candidate) &&
      certificate.verify(candidate.publicKey);
    if (this.#authorities.some(issued)) return true;
    return others.some(
      (candidate) =>
        candidate !== certificate && issued(candidate) && this.#leadsToAuthority(candidate, others, nowMs, depth + 1),
    );
  }
}

const isCurrent = (certificate: X509Certificate, nowMs: number) =>
  Date.parse(certificate.validFrom) <= nowMs && nowMs <= Date.parse(certificate.validTo);

function subjectOf(certificate: X509Certificate): CertificateSubject {
  const subject = certificate.toLegacyObject().subject as Readonly<Record<string, string | string[] | undefined>>;
  const all = (value: string | string[] | undefined) =>
    value === undefined ? [] : Array.isArray(value) ? value : [value];
  return {
    commonName: all(subject["CN"]).at(-1) ?? "",
    organizations: all(subject["O"]),
    fingerprint: certificate.fingerprint256.replaceAll(":", "").toLowerCase(),
  };
}
