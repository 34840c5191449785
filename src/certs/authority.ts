import { webcrypto, X509Certificate } from "node:crypto";
import { x509 } from "./x509.ts";
import { usageExtensions } from "./key-usages.ts";
import {
  distinguishedName as subject,
  exportKey,
  makeKeys,
  serialNumber as serial,
  SIGNING as ALGORITHM,
} from "./primitives.ts";

/** A certificate and its private key, both PEM. */
export interface KeyPair {
  readonly certificate: string;
  readonly key: string;
}

export interface CertificateAuthority extends KeyPair {
  /** A certificate for a server under the given DNS names and IP addresses. */
  issueServer(commonName: string, hosts: readonly string[]): Promise<KeyPair>;
  /** A certificate for a client: `commonName` is the user, `organizations` are the groups. */
  issueClient(commonName: string, organizations?: readonly string[]): Promise<KeyPair>;
  /**
   * Signs a PEM request; gives the certificate, with the request's subject and alternative names. Throws when the request
   * is none or badly signed, or asks for a usage nobody knows. `seconds` are cut to what the authority itself has left.
   */
  sign(request: string, options: { readonly seconds: number; readonly usages: readonly string[] }): Promise<string>;
}

const YEAR_MS = 365 * 24 * 3_600_000;
/** As kube-controller-manager signs requests. */
const BACKDATED_MS = 300_000;
/** Of a long life so much is added before: a share that no one sees who renews when a fifth is left. */
const BACKDATED_SHARE = 0.01;
/** A machine whose time is set back soon after its first start still knows its own certificates. */
const OWN_BACKDATED_MS = 24 * 3_600_000;

/** How long before its signing a certificate is valid already: five minutes, a hundredth of a long life, a day at most. */
const backdatedMs = (lifeMs: number) => Math.min(OWN_BACKDATED_MS, Math.max(BACKDATED_MS, lifeMs * BACKDATED_SHARE));

/** Milliseconds since the Unix epoch. */
type Now = () => number;

const until = (years: number, now: Now) => ({
  notBefore: new Date(now() - OWN_BACKDATED_MS),
  notAfter: new Date(now() + years * YEAR_MS),
});

/**
 * A new authority, valid for ten years from `now`; what it issues is valid for one year from when it is issued. All of it is
 * valid since a day before.
 */
export async function createCertificateAuthority(
  commonName: string,
  now: Now = Date.now,
): Promise<CertificateAuthority> {
  const keys = await makeKeys();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serial(),
    name: subject(commonName, []),
    ...until(10, now),
    keys: keys as never,
    signingAlgorithm: ALGORITHM,
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(
        x509.KeyUsageFlags.keyCertSign |
          x509.KeyUsageFlags.cRLSign |
          x509.KeyUsageFlags.digitalSignature |
          x509.KeyUsageFlags.keyEncipherment,
        true,
      ),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey as never),
    ],
  });
  return authorityOf(
    { certificate: `${certificate.toString("pem")}\n`, key: await exportKey(keys.privateKey) },
    keys.privateKey,
    now,
  );
}

/** An authority from what was kept. Throws when the texts are no certificate and key. */
export async function loadCertificateAuthority(pair: KeyPair, now: Now = Date.now): Promise<CertificateAuthority> {
  const der = Buffer.from(pair.key.replace(/-----[^-]+-----|\s/g, ""), "base64");
  return authorityOf(pair, await webcrypto.subtle.importKey("pkcs8", der, ALGORITHM, true, ["sign"]), now);
}

function authorityOf(pair: KeyPair, signingKey: webcrypto.CryptoKey, now: Now): CertificateAuthority {
  const issuer = new x509.X509Certificate(pair.certificate);
  async function issue(name: string, usage: string, extensions: x509.Extension[]): Promise<KeyPair> {
    const keys = await makeKeys();
    const certificate = await x509.X509CertificateGenerator.create({
      serialNumber: serial(),
      subject: name,
      issuer: issuer.subject,
      ...until(1, now),
      publicKey: keys.publicKey as never,
      signingKey: signingKey as never,
      signingAlgorithm: ALGORITHM,
      extensions: [
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature | x509.KeyUsageFlags.keyEncipherment, true),
        new x509.ExtendedKeyUsageExtension([usage]),
        await x509.AuthorityKeyIdentifierExtension.create(issuer.publicKey),
        ...extensions,
      ],
    });
    return { certificate: `${certificate.toString("pem")}\n`, key: await exportKey(keys.privateKey) };
  }
  return {
    ...pair,
    issueServer: (commonName, hosts) =>
      issue(subject(commonName, []), "1.3.6.1.5.5.7.3.1", [
        new x509.SubjectAlternativeNameExtension(
          hosts.map((host) => ({ type: /^[\d.]+$|:/.test(host) ? ("ip" as const) : ("dns" as const), value: host })),
        ),
      ]),
    issueClient: (commonName, organizations = []) => issue(subject(commonName, organizations), "1.3.6.1.5.5.7.3.2", []),
    async sign(request, { seconds, usages }) {
      const parsed = new x509.Pkcs10CertificateRequest(request);
      if (!(await parsed.verify())) throw new Error("the certificate request is not signed by its own key");
      const alternatives = parsed.extensions.filter((found) => found instanceof x509.SubjectAlternativeNameExtension);
      const certificate = await x509.X509CertificateGenerator.create({
        serialNumber: serial(),
        subject: parsed.subject,
        issuer: issuer.subject,
        notBefore: new Date(now() - backdatedMs(seconds * 1000)),
        notAfter: new Date(Math.min(now() + seconds * 1000, issuer.notAfter.getTime())),
        publicKey: parsed.publicKey,
        signingKey: signingKey as never,
        signingAlgorithm: ALGORITHM,
        extensions: [
          ...usageExtensions(usages),
          new x509.BasicConstraintsExtension(false, undefined, true),
          await x509.AuthorityKeyIdentifierExtension.create(issuer.publicKey),
          ...alternatives,
        ],
      });
      return `${certificate.toString("pem")}\n`;
    },
  };
}

/** Whether a PEM certificate ends within the given time. */
export function expiresWithin(certificate: string, ms: number, nowMs = Date.now()): boolean {
  return Date.parse(new X509Certificate(certificate).validTo) < nowMs + ms;
}
