/** Reads DER as Go's `encoding/asn1` does, with its words for what is wrong. */

export class Malformed extends Error {
  constructor(kind: "syntax" | "structure", why: string) {
    super(`asn1: ${kind} error: ${why}`);
  }
}

export interface Element {
  /** All of it, its head included. */
  readonly bytes: Buffer;
  readonly content: Buffer;
}

/** What must come next, and the name of the Go type it is read into. */
interface Wanted {
  readonly tag: number;
  readonly isCompound: boolean;
  readonly name: string;
}

interface Head {
  readonly class: number;
  readonly tag: number;
  readonly length: number;
  readonly isCompound: boolean;
  /** Where the content begins. */
  readonly offset: number;
}

export const isSequence = (name: string): Wanted => ({ tag: 16, isCompound: true, name });

const LENGTH_MAX = 2 ** 23;
const PARAMETERS =
  "{optional:false explicit:false application:false private:false defaultValue:<nil> tag:<nil> stringType:0 timeType:0 set:false omitEmpty:false}";

function readHead(bytes: Buffer, at: number): Head {
  let offset = at;
  const next = (): number => {
    const byte = bytes[offset++];
    if (byte === undefined) throw new Malformed("syntax", "truncated tag or length");
    return byte;
  };
  const first = next();
  let tag = first & 0x1f;
  if (tag === 0x1f) {
    const number = readNumber(bytes, offset);
    ({ value: tag, offset } = number);
    if (tag < 0x1f) throw new Malformed("syntax", "non-minimal tag");
  }
  const byte = next();
  let length = byte;
  if (byte === 0x80) throw new Malformed("syntax", "indefinite length found (not DER)");
  if (byte > 0x80) {
    length = 0;
    for (let left = byte & 0x7f; left > 0; left--) {
      const part = next();
      if (length >= LENGTH_MAX) throw new Malformed("structure", "length too large");
      length = length * 256 + part;
      if (length === 0) throw new Malformed("structure", "superfluous leading zeros in length");
    }
    if (length < 0x80) throw new Malformed("structure", "non-minimal length");
  }
  return { class: first >> 6, tag, length, isCompound: (first & 0x20) !== 0, offset };
}

/** A number in groups of seven bits. */
function readNumber(bytes: Buffer, at: number): { readonly value: number; readonly offset: number } {
  let value = 0;
  for (let shifted = 0; at + shifted < bytes.length; shifted++) {
    if (shifted === 5) throw new Malformed("structure", "base 128 integer too large");
    const byte = bytes[at + shifted] as number;
    if (shifted === 0 && byte === 0x80) throw new Malformed("syntax", "integer is not minimally encoded");
    value = value * 128 + (byte & 0x7f);
    if ((byte & 0x80) !== 0) continue;
    if (value > 0x7f_ff_ff_ff) throw new Malformed("structure", "base 128 integer too large");
    return { value, offset: at + shifted + 1 };
  }
  throw new Malformed("syntax", "truncated base 128 integer");
}

/** The element that begins at a place, which must be what is wanted. */
function elementAt(bytes: Buffer, at: number, wanted: Wanted | undefined): Element & { readonly end: number } {
  if (at >= bytes.length) throw new Malformed("syntax", "sequence truncated");
  const head = readHead(bytes, at);
  const { tag, length, isCompound, offset } = head;
  if (wanted !== undefined && (head.class !== 0 || tag !== wanted.tag || isCompound !== wanted.isCompound))
    throw new Malformed(
      "structure",
      `tags don't match (${wanted.tag} vs {class:${head.class} tag:${tag} length:${length} isCompound:${isCompound}}) ${PARAMETERS} ${wanted.name} @${offset}`,
    );
  const end = offset + length;
  if (end > bytes.length) throw new Malformed("syntax", "data truncated");
  const element = { bytes: bytes.subarray(at, end), content: bytes.subarray(offset, end), end };
  if (wanted?.tag === 2) checkInteger(element.content);
  if (wanted?.tag === 3) checkBits(element.content);
  if (wanted?.tag === 6) objectId(element);
  return element;
}

function checkInteger(content: Buffer): void {
  const [first, second = 0] = content;
  if (first === undefined) throw new Malformed("structure", "empty integer");
  const isPadded = content.length > 1 && ((first === 0 && second < 0x80) || (first === 0xff && second >= 0x80));
  if (isPadded) throw new Malformed("structure", "integer not minimally-encoded");
  if (content.length > 8) throw new Malformed("structure", "integer too large");
}

function checkBits(content: Buffer): void {
  const [padding] = content;
  if (padding === undefined) throw new Malformed("syntax", "zero length BIT STRING");
  const last = content[content.length - 1] as number;
  if (padding > 7 || (content.length === 1 && padding > 0) || (last & ((1 << padding) - 1)) !== 0)
    throw new Malformed("syntax", "invalid padding bits in BIT STRING");
}

/** An object id as a text of numbers. */
export function objectId({ content }: Element): string {
  if (content.length === 0) throw new Malformed("syntax", "zero length OBJECT IDENTIFIER");
  const numbers: number[] = [];
  for (let at = 0; at < content.length; ) {
    const { value, offset } = readNumber(content, at);
    if (numbers.length > 0) numbers.push(value);
    else numbers.push(Math.min(Math.floor(value / 40), 2), value - 40 * Math.min(Math.floor(value / 40), 2));
    at = offset;
  }
  return numbers.join(".");
}

/** The first element of some bytes, and how many bytes follow it. */
export function readWhole(bytes: Buffer, wanted: Wanted): { readonly element: Element; readonly rest: number } {
  const element = elementAt(bytes, 0, wanted);
  return { element, rest: bytes.length - element.end };
}

/** Reads one element after the other from the content of a sequence. */
export function inSequence(content: Buffer): { next(wanted: Wanted): Element; nextOfAnyKind(): Element } {
  let at = 0;
  const read = (wanted: Wanted | undefined): Element => {
    const element = elementAt(content, at, wanted);
    at = element.end;
    return element;
  };
  return { next: read, nextOfAnyKind: () => read(undefined) };
}

/** All elements of a list, which must have the same tag. */
export function elementsOf(content: Buffer, tag: number): readonly Element[] {
  const found: Element[] = [];
  for (let at = 0; at < content.length; ) {
    const head = readHead(content, at);
    if (head.class !== 0 || !head.isCompound || head.tag !== tag)
      throw new Malformed("structure", "sequence tag mismatch");
    const end = head.offset + head.length;
    if (end > content.length) throw new Malformed("syntax", "truncated sequence");
    found.push({ bytes: content.subarray(at, end), content: content.subarray(head.offset, end) });
    at = end;
  }
  return found;
}
