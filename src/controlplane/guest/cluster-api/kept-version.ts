import { CLUSTER_KEPT_VERSION } from "#apis/karmada";
import type { KubeObject, ResourceAddress, Transport } from "#machinery";

/** The group of Cluster, and the version its clients speak. */
export const GROUP = "cluster.karmada.io";
export const SPOKEN = "v1alpha1";
/** The version under which the API server keeps Clusters when an APIService has taken the spoken one over. */
export const KEPT = CLUSTER_KEPT_VERSION;

const SPOKEN_API = `${GROUP}/${SPOKEN}`;
const KEPT_API = `${GROUP}/${KEPT}`;

const isSpoken = ({ group, version }: ResourceAddress) => group === GROUP && version === SPOKEN;
const withVersion = <T extends KubeObject>(object: T, from: string, to: string): T =>
  object.apiVersion === from ? { ...object, apiVersion: to } : object;

/** Reads and writes Clusters where the API server keeps them, past any APIService; callers see the spoken version. */
export function keptClusters(transport: Transport): Transport {
  const shown = (object: KubeObject) => withVersion(object, KEPT_API, SPOKEN_API);
  return {
    ...transport,
    async send(request) {
      if (!isSpoken(request)) return transport.send(request);
      const body = (request as { readonly body?: KubeObject }).body;
      const asked = { ...request, version: KEPT };
      return shown(
        await transport.send(
          (body === undefined || Array.isArray(body)
            ? asked
            : { ...asked, body: withVersion(body, SPOKEN_API, KEPT_API) }) as typeof request,
        ),
      );
    },
    async list(request) {
      if (!isSpoken(request)) return transport.list(request);
      const found = await transport.list({ ...request, version: KEPT });
      return { ...found, apiVersion: SPOKEN_API, items: found.items.map(shown) };
    },
    watch: (request, sink) =>
      isSpoken(request)
        ? transport.watch(
            { ...request, version: KEPT },
            { event: (type, object) => sink.event(type, shown(object)), closed: (error) => sink.closed(error) },
          )
        : transport.watch(request, sink),
    raw: (request) => transport.raw(request),
  };
}

const BOTH = { spoken: Buffer.from(`"${SPOKEN_API}"`), kept: Buffer.from(`"${KEPT_API}"`) };

/** A JSON text in the kept version. Only whole strings are touched, so that the length stays. */
export const inKeptVersion = (json: Buffer): Buffer => replaced(Buffer.from(json), BOTH.spoken, BOTH.kept);

/** Replaces a text by one of the same length, in place. */
function replaced(bytes: Buffer, from: Buffer, to: Buffer): Buffer {
  for (let at = bytes.indexOf(from); at >= 0; at = bytes.indexOf(from, at + to.length)) to.copy(bytes, at);
  return bytes;
}

/** JSON of the API server, of any length and cut anywhere, with the spoken version in place of the kept one. */
export class SpokenVersion {
  #rest = Buffer.alloc(0);

  /** What can be passed on of the bytes so far. */
  take(chunk: Buffer): Buffer {
    const bytes = replaced(Buffer.concat([this.#rest, chunk]), BOTH.kept, BOTH.spoken);
    // Only what may be the beginning of the text is held back.
    let held = Math.min(BOTH.kept.length - 1, bytes.length);
    while (held > 0 && !BOTH.kept.subarray(0, held).equals(bytes.subarray(bytes.length - held))) held--;
    this.#rest = Buffer.from(bytes.subarray(bytes.length - held));
    return bytes.subarray(0, bytes.length - held);
  }

  end(): Buffer {
    return this.#rest;
  }
}
