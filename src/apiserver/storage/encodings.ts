import { holderOf, type KubeObject } from "#machinery";
import { HeldRevision } from "./held-revision.ts";

const encodings = new WeakMap<KubeObject, Buffer>();
const METADATA = '"metadata":{';

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
  const stored = withRevision(object);
  if (stored !== undefined) return stored;
  let bytes = encodings.get(object);
  if (bytes === undefined) {
    const { kind, apiVersion, ...rest } = object;
    bytes = Buffer.from(JSON.stringify({ kind, apiVersion, ...rest }));
    encodings.set(object, bytes);
  }
  return bytes;
}

/** Stored bytes, and where in them the fields of the metadata begin. */
export interface StoredForm {
  readonly value: Uint8Array;
  readonly start: number;
}

/** What comes before the fields of the metadata in an answer; the stored bytes from `start` on follow. */
export const metadataHead = ({ metadata }: KubeObject): string =>
  `"metadata":{"resourceVersion":"${metadata.resourceVersion}",`;

/**
 * The stored bytes of a revision, for lists that do not repeat kind and version in every item; nothing where it is none, or
 * its value is not in the form we write.
 */
export function storedForm(object: KubeObject): StoredForm | undefined {
  const holder = holderOf(object);
  if (!(holder instanceof HeldRevision)) return undefined;
  let value = values.get(object);
  if (value === undefined) {
    value = holder.value;
    values.set(object, value);
  }
  const head = storedHead(object);
  if (head.compare(value, 0, head.length) !== 0) return undefined;
  return { value, start: head.length - 1 };
}

/** Values of the decoded objects: who is listed once is listed again, and the driver gives a copy each time. */
const values = new WeakMap<KubeObject, Uint8Array>();
let lastHead: { readonly kind: string; readonly apiVersion: string; readonly bytes: Buffer } | undefined;

/** What a value in our form begins with, up to the quote of its first field of metadata; made once for items of a kind. */
function storedHead({ kind, apiVersion }: KubeObject): Buffer {
  if (lastHead?.kind !== kind || lastHead.apiVersion !== apiVersion)
    lastHead = {
      kind,
      apiVersion,
      bytes: Buffer.from(`{"kind":${JSON.stringify(kind)},"apiVersion":${JSON.stringify(apiVersion)},"metadata":{"`),
    };
  return lastHead.bytes;
}

function withRevision(object: KubeObject): Buffer | undefined {
  const found = storedForm(object);
  if (found === undefined) return undefined;
  const { value, start } = found;
  return Buffer.concat([
    value.subarray(0, start - METADATA.length),
    Buffer.from(metadataHead(object)),
    value.subarray(start),
  ]);
}
