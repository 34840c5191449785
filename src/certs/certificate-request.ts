import { webcrypto, X509Certificate } from "node:crypto";
import { x509 } from "./x509.ts";
import { distinguishedName, exportKey, makeKeys, SIGNING } from "./primitives.ts";

/** What a PKCS#10 request asks for. */
export interface CertificateRequest {
  readonly commonName: string;
  readonly organizations: readonly string[];
  readonly dnsNames: readonly string[];
  readonly ipAddresses: readonly string[];
  readonly emails: readonly string[];
  readonly uris: readonly string[];
}

/** Reads a PEM request. Throws when it is none; whether its own key signed it, signing checks. */
export function parseCertificateRequest(pem: string): CertificateRequest {
  let request: x509.Pkcs10CertificateRequest;
  try {
    request = new x509.Pkcs10CertificateRequest(pem);
  } catch (error) {
    throw new Error("the text is no PEM certificate request", { cause: error });
  }
  const names = request.extensions
    .filter((found) => found instanceof x509.SubjectAlternativeNameExtension)
    .flatMap(({ names: { items } }) => items);
  const of = (type: string) => names.filter((name) => name.type === type).map(({ value }) => value);
  return {
    commonName: request.subjectName.getField("CN").at(-1) ?? "",
    organizations: request.subjectName.getField("O"),
    dnsNames: of("dns"),
    ipAddresses: of("ip"),
    emails: of("email"),
    uris: of("url"),
  };
}

/** A new key and a request for it, both PEM. */
export async function createCertificateRequest(
  commonName: string,
  organizations: readonly string[] = [],
): Promise<{ readonly request: string; readonly key: string }> {
  const keys = await makeKeys();
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    name: distinguishedName(commonName, organizations),
    keys: keys as never,
    signingAlgorithm: SIGNING,
  });
  return { request: `${request.toString("pem")}\n`, key: await exportKey(keys.privateKey) };
}

/** When a chain of PEM certificates holds: from the latest start to the earliest end, and whom the first names. */
export function describeCertificates(pem: string): {
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly commonName: string;
  readonly organizations: readonly string[];
} {
  const texts = pem.match(/-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g) ?? [];
  if (texts.length === 0) throw new Error("the text holds no PEM certificate");
  const chain = texts.map((text) => new X509Certificate(text));
  const subject = (chain[0] as X509Certificate).toLegacyObject().subject as Readonly<Record<string, string | string[]>>;
  const all = (value: string | string[] | undefined) => (value === undefined ? [] : [value].flat());
  return {
    notBeforeMs: Math.max(...chain.map(({ validFrom }) => Date.parse(validFrom))),
    notAfterMs: Math.min(...chain.map(({ validTo }) => Date.parse(validTo))),
    commonName: all(subject["CN"]).at(-1) ?? "",
    organizations: all(subject["O"]),
  };
}

/** `sha256:HEX` of the public key of each certificate in a PEM text: what `--discovery-token-ca-cert-hash` pins. */
export async function publicKeyPins(pem: string): Promise<readonly string[]> {
  const texts = pem.match(/-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g) ?? [];
  return Promise.all(
    texts.map(async (text) => {
      const key = new X509Certificate(text).publicKey.export({ type: "spki", format: "der" });
      return `sha256:${Buffer.from(await webcrypto.subtle.digest("SHA-256", key)).toString("hex")}`;
    }),
  );
}

/** When a certificate expired, in ISO form; `undefined` while it is valid, or where it cannot be read. */
export function expiredSince(pem: string, nowMs: number): string | undefined {
  try {
    const { notAfterMs } = describeCertificates(pem);
    return notAfterMs < nowMs ? new Date(notAfterMs).toISOString() : undefined;
  } catch {
    return undefined;
  }
}
