/** Whether the bytes of a certificate request are one, in the words of Go's readers. */
import { createPublicKey, verify } from "node:crypto";
import { type Element, elementsOf, inSequence, isSequence, Malformed, objectId, readWhole } from "./der.ts";

const BLOCK =
  /-----BEGIN CERTIFICATE REQUEST-----\s*(?:[^:\n]+:[^\n]*\n)*\s*([A-Za-z0-9+/=\s]*?)-----END CERTIFICATE REQUEST-----/;
const NO_BLOCK = "PEM block type must be CERTIFICATE REQUEST";
const ECDSA = "x509: ECDSA verification failure";
const RSA = "crypto/rsa: verification error";

/** Algorithms of signatures by their object id: the hash they use, and what is said where one is wrong. */
const ALGORITHMS: Readonly<Record<string, { readonly hash: string | undefined; readonly failure: string }>> = {
  "1.2.840.10045.4.3.2": { hash: "sha256", failure: ECDSA },
  "1.2.840.10045.4.3.3": { hash: "sha384", failure: ECDSA },
  "1.2.840.10045.4.3.4": { hash: "sha512", failure: ECDSA },
  "1.2.840.113549.1.1.11": { hash: "sha256", failure: RSA },
  "1.2.840.113549.1.1.12": { hash: "sha384", failure: RSA },
  "1.2.840.113549.1.1.13": { hash: "sha512", failure: RSA },
  "1.3.101.112": { hash: undefined, failure: "x509: Ed25519 verification failure" },
};

interface Request {
  /** What is signed. */
  readonly signed: Buffer;
  readonly publicKey: Buffer;
  readonly algorithm: string;
  readonly signature: Buffer;
}

/** What keeps a PEM text from being a certificate request; `undefined` when nothing does. */
export function requestMistake(pem: string): string | undefined {
  const block = BLOCK.exec(pem);
  if (block === null) return NO_BLOCK;
  try {
    return signatureMistake(readRequest(Buffer.from(block[1] as string, "base64")));
  } catch (error) {
    if (error instanceof Malformed) return error.message;
    throw error;
  }
}

/** Reads the parts in the order in which Go does, so that the first mistake is the same. */
function readRequest(der: Buffer): Request {
  const { element: outer, rest } = readWhole(der, isSequence("certificateRequest"));
  const parts = inSequence(outer.content);
  const info = parts.next(isSequence("tbsCertificateRequest"));
  const inner = inSequence(info.content);
  inner.next({ tag: 2, isCompound: false, name: "int" });
  const subject = inner.nextOfAnyKind();
  const key = inner.next(isSequence("publicKeyInfo"));
  const keyParts = inSequence(key.content);
  readAlgorithm(keyParts.next(isSequence("AlgorithmIdentifier")));
  keyParts.next({ tag: 3, isCompound: false, name: "BitString" });
  inner.nextOfAnyKind();
  const algorithm = readAlgorithm(parts.next(isSequence("AlgorithmIdentifier")));
  const signature = parts.next({ tag: 3, isCompound: false, name: "BitString" });
  if (rest > 0) throw new Malformed("syntax", "trailing data");
  readName(subject.bytes);
  return { signed: info.bytes, publicKey: key.bytes, algorithm, signature: signature.content.subarray(1) };
}

const readAlgorithm = ({ content }: Element): string =>
  objectId(inSequence(content).next({ tag: 6, isCompound: false, name: "ObjectIdentifier" }));

/** A name is a sequence of sets of pairs. */
function readName(bytes: Buffer): void {
  const { element } = readWhole(bytes, isSequence("RDNSequence"));
  for (const set of elementsOf(element.content, 17))
    for (const pair of elementsOf(set.content, 16)) {
      const parts = inSequence(pair.content);
      parts.next({ tag: 6, isCompound: false, name: "ObjectIdentifier" });
      parts.nextOfAnyKind();
    }
}

function signatureMistake({ signed, publicKey, algorithm, signature }: Request): string | undefined {
  const known = ALGORITHMS[algorithm];
  if (known === undefined) return "x509: cannot verify signature: algorithm unimplemented";
  try {
    const key = createPublicKey({ key: publicKey, format: "der", type: "spki" });
    return verify(known.hash, signed, key, signature) ? undefined : known.failure;
  } catch {
    // A key that is none of its algorithm verifies nothing.
    return known.failure;
  }
}
