import { x509 } from "./x509.ts";

const { KeyUsageFlags } = x509;

/** Kubernetes' words for what a key may be used for. */
const KEY_USAGES: Readonly<Record<string, number>> = {
  signing: KeyUsageFlags.digitalSignature,
  "digital signature": KeyUsageFlags.digitalSignature,
  "content commitment": KeyUsageFlags.nonRepudiation,
  "key encipherment": KeyUsageFlags.keyEncipherment,
  "key agreement": KeyUsageFlags.keyAgreement,
  "data encipherment": KeyUsageFlags.dataEncipherment,
  "cert sign": KeyUsageFlags.keyCertSign,
  "crl sign": KeyUsageFlags.cRLSign,
  "encipher only": KeyUsageFlags.encipherOnly,
  "decipher only": KeyUsageFlags.decipherOnly,
};
const EXTENDED: Readonly<Record<string, string>> = {
  any: "2.5.29.37.0",
  "server auth": "1.3.6.1.5.5.7.3.1",
  "client auth": "1.3.6.1.5.5.7.3.2",
  "code signing": "1.3.6.1.5.5.7.3.3",
  "email protection": "1.3.6.1.5.5.7.3.4",
  "s/mime": "1.3.6.1.5.5.7.3.4",
  timestamping: "1.3.6.1.5.5.7.3.8",
  "ocsp signing": "1.3.6.1.5.5.7.3.9",
};

/** The extensions that say what a key may be used for. Throws with the usage nobody knows. */
export function usageExtensions(usages: readonly string[]): x509.Extension[] {
  let flags = 0;
  const extended: string[] = [];
  for (const usage of usages) {
    const flag = KEY_USAGES[usage];
    const extra = EXTENDED[usage];
    if (flag === undefined && extra === undefined)
      throw new Error(`unrecognized usage values: ${JSON.stringify(usage)}`);
    if (flag !== undefined) flags |= flag;
    if (extra !== undefined && !extended.includes(extra)) extended.push(extra);
  }
  return [
    ...(flags === 0 ? [] : [new x509.KeyUsagesExtension(flags, true)]),
    ...(extended.length === 0 ? [] : [new x509.ExtendedKeyUsageExtension(extended)]),
  ];
}
