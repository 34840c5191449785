import { createHmac, randomInt, timingSafeEqual } from "node:crypto";

const TOKEN = /^([a-z0-9]{6})\.([a-z0-9]{16})$/;
const ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789";

/** A bootstrap token taken apart. */
export interface BootstrapToken {
  readonly id: string;
  readonly secret: string;
}

/** Reads `ID.SECRET`; `undefined` for any other text. */
export function parseBootstrapToken(text: string): BootstrapToken | undefined {
  const found = TOKEN.exec(text);
  return found === null ? undefined : { id: found[1] as string, secret: found[2] as string };
}

/** A new token, from the operating system's chance. */
export function createBootstrapToken(): BootstrapToken {
  const word = (length: number) => Array.from({ length }, () => ALPHABET[randomInt(ALPHABET.length)]).join("");
  return { id: word(6), secret: word(16) };
}

/** The detached HS256 signature of a text by a token (wire: the header is compared byte for byte). */
export function detachedSignature(text: string, { id, secret }: BootstrapToken): string {
  const encode = (value: string) => Buffer.from(value).toString("base64url");
  const header = encode(JSON.stringify({ alg: "HS256", kid: id }));
  const signature = createHmac("sha256", secret)
    .update(`${header}.${encode(text)}`)
    .digest("base64url");
  return `${header}..${signature}`;
}

/** Whether a detached signature is the token's for this text. */
export function isSignedBy(signature: string, text: string, token: BootstrapToken): boolean {
  const own = Buffer.from(detachedSignature(text, token));
  const given = Buffer.from(signature);
  return own.length === given.length && timingSafeEqual(own, given);
}
