import { holderOf, type KubeObject } from "#machinery";
import { HeldRevision } from "./held-revision.ts";

const encodings = new WeakMap<KubeObject, Buffer>();
const QUOTE = 0x22;
const METADATA = Buffer.from('"metadata":{');

/** An object as it is stored: kind, version and metadata first, without a resource version, which the revision is. */
export function encodeForStore(object: KubeObject): Buffer {
  const { kind, apiVersion, metadata, ...rest } = object;
  const { resourceVersion: _revision, ...stored } = metadata;
  return Buffer.from(JSON.stringify({ kind, apiVersion, metadata: stored, ...rest }));
}

/**
 * The JSON bytes of a revision, its kind and version first. Those of a stored one are its stored bytes with the resource
 * version put in; of any other object they are made once and shared.
 */
export function encodingOf(object: KubeObject): Buffer {
  const holder = holderOf(object);
  const stored = holder instanceof HeldRevision ? withRevision(object, holder) : undefined;
  if (stored !== undefined) return stored;
  let bytes = encodings.get(object);
  if (bytes === undefined) {
    const { kind, apiVersion, ...rest } = object;
    bytes = Buffer.from(JSON.stringify({ kind, apiVersion, ...rest }));
    encodings.set(object, bytes);
  }
  return bytes;
}

/**
 * The same in pieces, without what comes before the metadata, for lists that do not repeat it in every item; nothing where
 * the value is not in the form we write.
 */
export function storedPieces(object: KubeObject): readonly [Buffer, Uint8Array] | undefined {
  const holder = holderOf(object);
  return holder instanceof HeldRevision ? pieces(object, holder, headOf(object)) : undefined;
}

const headOf = ({ kind, apiVersion }: KubeObject): Buffer =>
  Buffer.from(`{"kind":${JSON.stringify(kind)},"apiVersion":${JSON.stringify(apiVersion)},`);

function withRevision(object: KubeObject, holder: HeldRevision): Buffer | undefined {
  const head = headOf(object);
  const found = pieces(object, holder, head);
  return found === undefined ? undefined : Buffer.concat([head, ...found]);
}

function pieces(
  { metadata: { resourceVersion } }: KubeObject,
  { value }: HeldRevision,
  head: Buffer,
): readonly [Buffer, Uint8Array] | undefined {
  const start = head.length + METADATA.length;
  if (value[start] !== QUOTE || head.compare(value, 0, head.length) !== 0) return undefined;
  if (METADATA.compare(value, head.length, start) !== 0) return undefined;
  return [Buffer.from(`"metadata":{"resourceVersion":"${resourceVersion}",`), value.subarray(start)];
}
