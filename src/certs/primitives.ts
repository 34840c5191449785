import { webcrypto } from "node:crypto";
import { x509 } from "./x509.ts";

x509.cryptoProvider.set(webcrypto as unknown as Parameters<typeof x509.cryptoProvider.set>[0]);

export const SIGNING = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;

const pem = (label: string, der: ArrayBuffer) => {
  const lines =
    Buffer.from(der)
      .toString("base64")
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
};

export const exportKey = async (key: webcrypto.CryptoKey): Promise<string> =>
  pem("PRIVATE KEY", await webcrypto.subtle.exportKey("pkcs8", key));

export const makeKeys = () => webcrypto.subtle.generateKey(SIGNING, true, ["sign", "verify"]);

export const serialNumber = (): string =>
  Buffer.from(webcrypto.getRandomValues(new Uint8Array(8)))
    .toString("hex")
    .replace(/^[89a-f]/, "1");

/** Names inside a distinguished name may hold characters that its text form would read as structure. */
export const distinguishedName = (commonName: string, organizations: readonly string[]): string =>
  new x509.Name([
    ...organizations.map((organization) => ({ O: [{ utf8String: organization }] })),
    { CN: [{ utf8String: commonName }] },
  ]).toString();
