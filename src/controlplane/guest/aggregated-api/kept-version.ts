import { KEPT_VERSION } from "#apis/karmada";
import type { KubeObject, ResourceAddress, Transport } from "#machinery";

/** Groups of kinds that no CRD can serve whole, and the version their clients speak. */
export const GROUPS = ["cluster.karmada.io", "search.karmada.io"] as const;
export type Group = (typeof GROUPS)[number];
export const SPOKEN = "v1alpha1";
/** The version under which the API server keeps their objects when an APIService has taken the spoken one over. */
export const KEPT = KEPT_VERSION;

const spokenApi = (group: string) => `${group}/${SPOKEN}`;
const keptApi = (group: string) => `${group}/${KEPT}`;

const isSpoken = ({ group, version }: ResourceAddress) =>
  version === SPOKEN && (GROUPS as readonly string[]).includes(group);
const withVersion = <T extends KubeObject>(object: T, from: string, to: string): T =>
  object.apiVersion === from ? { ...object, apiVersion: to } : object;

/** Reads and writes such objects where the API server keeps them, past any APIService; callers see the spoken version. */
export function keptKinds(transport: Transport): Transport {
  const shownOf =
    ({ group }: ResourceAddress) =>
    (object: KubeObject) =>
      withVersion(object, keptApi(group), spokenApi(group));
  return {
    ...transport,
    async send(request) {
      if (!isSpoken(request)) return transport.send(request);
      const body = (request as { readonly body?: KubeObject }).body;
      const asked = { ...request, version: KEPT };
      return shownOf(request)(
        await transport.send(
          (body === undefined || Array.isArray(body)
            ? asked
            : {
                ...asked,
                body: withVersion(body, spokenApi(request.group), keptApi(request.group)),
              }) as typeof request,
        ),
      );
    },
    async list(request) {
      if (!isSpoken(request)) return transport.list(request);
      const found = await transport.list({ ...request, version: KEPT });
      return { ...found, apiVersion: spokenApi(request.group), items: found.items.map(shownOf(request)) };
    },
    watch: (request, sink) =>
      isSpoken(request)
        ? transport.watch(
            { ...request, version: KEPT },
            {
              event: (type, object) => sink.event(type, shownOf(request)(object)),
              closed: (error) => sink.closed(error),
            },
          )
        : transport.watch(request, sink),
    raw: (request) => transport.raw(request),
  };
}

const quoted = (text: string) => Buffer.from(JSON.stringify(text));

/** A JSON text in the kept version. Only whole strings are touched, so that the length stays. */
export const inKeptVersion = (json: Buffer, group: Group): Buffer =>
  replaced(Buffer.from(json), quoted(spokenApi(group)), quoted(keptApi(group)));

/** Replaces a text by one of the same length, in place. */
function replaced(bytes: Buffer, from: Buffer, to: Buffer): Buffer {
  for (let at = bytes.indexOf(from); at >= 0; at = bytes.indexOf(from, at + to.length)) to.copy(bytes, at);
  return bytes;
}

/** JSON of the API server, of any length and cut anywhere, with the spoken version in place of the kept one. */
export class SpokenVersion {
  readonly #spoken: Buffer;
  readonly #kept: Buffer;
  #rest = Buffer.alloc(0);

  constructor(group: Group) {
    this.#spoken = quoted(spokenApi(group));
    this.#kept = quoted(keptApi(group));
  }

  /** What can be passed on of the bytes so far. */
  take(chunk: Buffer): Buffer {
    const bytes = replaced(Buffer.concat([this.#rest, chunk]), this.#kept, this.#spoken);
    // Only what may be the beginning of the text is held back.
    let held = Math.min(this.#kept.length - 1, bytes.length);
    while (held > 0 && !this.#kept.subarray(0, held).equals(bytes.subarray(bytes.length - held))) held--;
    this.#rest = Buffer.from(bytes.subarray(bytes.length - held));
    return bytes.subarray(0, bytes.length - held);
  }

  end(): Buffer {
    return this.#rest;
  }
}
