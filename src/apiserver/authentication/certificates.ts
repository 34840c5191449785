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

/** From when to when a certificate, or a chain of them, is good. */
interface Period {
  readonly fromMs: number;
  readonly untilMs: number;
}

/** What a connection's certificate proved; a connection shows it with every request. */
interface Proof extends Period {
  /** Among whom it was proved. */
  readonly authorities: readonly X509Certificate[];
  readonly subject: CertificateSubject;
}

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
  readonly #proofs = new WeakMap<X509Certificate, Proof>();

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
    const known = this.#proofs.get(leaf);
    if (known?.authorities === this.#authorities && isWithin(known, nowMs)) return known.subject;
    const usages = leaf.keyUsage as readonly string[] | undefined;
    if (usages !== undefined && !usages.includes(CLIENT_AUTH) && !usages.includes(ANY_USAGE))
      return { error: "x509: certificate specifies an incompatible key usage" };
    const own = periodOf(leaf);
    if (!isWithin(own, nowMs)) return { error: "x509: certificate has expired or is not yet valid" };
    const led = this.#leadsToAuthority(leaf, chain.slice(1), nowMs);
    if (led === undefined) return { error: "x509: certificate signed by unknown authority" };
    const subject = subjectOf(leaf);
    this.#proofs.set(leaf, { ...common(own, led), authorities: this.#authorities, subject });
    return subject;
  }

  /** The time for which a way to an authority is good; `undefined` where there is none. */
  #leadsToAuthority(certificate: X509Certificate, others: PeerChain, nowMs: number, depth = 0): Period | undefined {
    if (depth >= CHAIN_MAX) return undefined;
    const issued = (candidate: X509Certificate): Period | undefined => {
      if (!candidate.ca) return undefined;
      const period = periodOf(candidate);
      return isWithin(period, nowMs) && certificate.checkIssued(candidate) && certificate.verify(candidate.publicKey)
        ? period
        : undefined;
    };
    for (const authority of this.#authorities) {
      const period = issued(authority);
      if (period !== undefined) return period;
    }
    for (const candidate of others) {
      const period = candidate === certificate ? undefined : issued(candidate);
      const led = period === undefined ? undefined : this.#leadsToAuthority(candidate, others, nowMs, depth + 1);
      if (period !== undefined && led !== undefined) return common(period, led);
    }
    return undefined;
  }
}

const periodOf = (certificate: X509Certificate): Period => ({
  fromMs: Date.parse(certificate.validFrom),
  untilMs: Date.parse(certificate.validTo),
});

const isWithin = ({ fromMs, untilMs }: Period, nowMs: number): boolean => fromMs <= nowMs && nowMs <= untilMs;

const common = (one: Period, other: Period): Period => ({
  fromMs: Math.max(one.fromMs, other.fromMs),
  untilMs: Math.min(one.untilMs, other.untilMs),
});

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
