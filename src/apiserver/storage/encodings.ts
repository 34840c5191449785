import { holderOf, type KubeObject } from "#machinery";
import { HeldRevision } from "./held-revision.ts";

const encodings = new WeakMap<KubeObject, Buffer>();
const QUOTE = 0x22;

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

/** Nothing where the value is not in the form we write. */
function withRevision({ kind, apiVersion }: KubeObject, { value, revision }: HeldRevision): Buffer | undefined {
  const head = Buffer.from(`{"kind":${JSON.stringify(kind)},"apiVersion":${JSON.stringify(apiVersion)},"metadata":{`);
  if (value[head.length] !== QUOTE || head.compare(value, 0, head.length) !== 0) return undefined;
  return Buffer.concat([head, Buffer.from(`"resourceVersion":"${revision}",`), value.subarray(head.length)]);
}
