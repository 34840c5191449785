import { copyWithout } from "#base";
import { holderOf, type KubeObject, writeJson } from "#machinery";
import { HeldRevision } from "./held-revision.ts";

const encodings = new WeakMap<KubeObject, Buffer>();
const METADATA = '"metadata":{';

/** An object as it is stored: kind, version and metadata first, without a resource version, which the revision is. */
export function encodeForStore(object: KubeObject): Buffer {
  const { kind, apiVersion } = object;
  const metadata = copyWithout(object.metadata, "resourceVersion");
  const rest = copyWithout(object, "kind", "apiVersion", "metadata");
  return Buffer.from(writeJson({ kind, apiVersion, metadata, ...rest }));
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
    const { kind, apiVersion } = object;
    bytes = Buffer.from(writeJson({ kind, apiVersion, ...copyWithout(object, "kind", "apiVersion") }));
    encodings.set(object, bytes);
  }
  return bytes;
}

/** What comes before the fields of the metadata in an answer; the stored bytes from `start` on follow. */
export const metadataHead = (resourceVersion: number | string | undefined): string =>
  `"metadata":{"resourceVersion":"${resourceVersion}",`;

/**
 * Shows the stored bytes of a revision, and from where on its fields of metadata begin, if they are of this kind and version
 * and in the form we write; then nobody has to decode them to show them. They are good for the call only.
 */
export function withStoredForm<T>(
  held: HeldRevision,
  head: { readonly kind: string; readonly apiVersion: string },
  use: (value: Uint8Array, start: number) => T,
): T | undefined {
  const begins = storedHead(head);
  return held.read((value) =>
    value.length < begins.length || begins.compare(value, 0, begins.length) !== 0
      ? undefined
      : use(value, begins.length - 1),
  );
}

let lastHead: { readonly kind: string; readonly apiVersion: string; readonly bytes: Buffer } | undefined;

/** What a value in our form begins with, up to the quote of its first field of metadata; made once for items of a kind. */
function storedHead({ kind, apiVersion }: { readonly kind: string; readonly apiVersion: string }): Buffer {
  if (lastHead?.kind !== kind || lastHead.apiVersion !== apiVersion)
    lastHead = {
      kind,
      apiVersion,
      bytes: Buffer.from(`{"kind":${JSON.stringify(kind)},"apiVersion":${JSON.stringify(apiVersion)},"metadata":{"`),
    };
  return lastHead.bytes;
}

function withRevision(object: KubeObject): Buffer | undefined {
  const holder = holderOf(object);
  if (!(holder instanceof HeldRevision)) return undefined;
  return withStoredForm(holder, object, (value, start) =>
    Buffer.concat([
      value.subarray(0, start - METADATA.length),
      Buffer.from(metadataHead(object.metadata.resourceVersion)),
      value.subarray(start),
    ]),
  );
}
