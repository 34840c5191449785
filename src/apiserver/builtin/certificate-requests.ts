/** Whether the bytes of a certificate request can be one: its outer form, in the words of Go's reader. */

const BLOCK = /-----BEGIN CERTIFICATE REQUEST-----\s*([A-Za-z0-9+/=\s]*?)-----END CERTIFICATE REQUEST-----/;
const SEQUENCE = 0x30;
const BIT_STRING = 0x03;

interface Element {
  readonly tag: number;
  readonly content: Buffer;
  readonly rest: Buffer;
}

class Malformed extends Error {}

/** The first element of some DER bytes. Throws a `Malformed` for what is none. */
function readElement(bytes: Buffer): Element {
  if (bytes.length < 2) throw new Malformed("asn1: syntax error: data truncated");
  const [tag = 0, first = 0] = bytes;
  let at = 2;
  let length = first;
  if (first === 0x80) throw new Malformed("asn1: syntax error: indefinite length found (not DER)");
  if (first > 0x80) {
    const count = first & 0x7f;
    if (count > 4) throw new Malformed("asn1: structure error: length too large");
    if (bytes.length < at + count) throw new Malformed("asn1: syntax error: truncated base 128 integer");
    length = bytes.readUIntBE(at, count);
    at += count;
    if (length < 0x80) throw new Malformed("asn1: structure error: non-minimal length");
  }
  if (bytes.length < at + length) throw new Malformed("asn1: syntax error: data truncated");
  return { tag, content: bytes.subarray(at, at + length), rest: bytes.subarray(at + length) };
}

/** What keeps a PEM text from being a certificate request; `undefined` when nothing does. */
export function requestMistake(pem: string): string | undefined {
  const block = BLOCK.exec(pem);
  if (block === null) return "PEM block type must be CERTIFICATE REQUEST";
  try {
    const outer = readElement(Buffer.from(block[1] as string, "base64"));
    if (outer.tag !== SEQUENCE) return "asn1: structure error: tags don't match";
    if (outer.rest.length > 0) return "asn1: syntax error: trailing data";
    const info = readElement(outer.content);
    const algorithm = readElement(info.rest);
    const signature = readElement(algorithm.rest);
    const isWhole = info.tag === SEQUENCE && algorithm.tag === SEQUENCE && signature.tag === BIT_STRING;
    return isWhole ? undefined : "asn1: structure error: tags don't match";
  } catch (error) {
    if (error instanceof Malformed) return error.message;
    throw error;
  }
}
