import type { User } from "../definition.ts";
import { CertificateVerifier, type PeerChain } from "./certificates.ts";
import { extraHeaders, headerOf, type Headers, headerValues } from "./headers.ts";

/** Whom the server believes when it says on whose behalf it asks, and in which headers (lower case). */
export interface FrontProxyOptions {
  /** PEM of the authorities of such proxies; may change while the server runs. */
  readonly authority: () => string;
  /** Common names that are believed; every name when empty. */
  readonly allowedNames: readonly string[];
  readonly userHeaders: readonly string[];
  readonly uidHeaders: readonly string[];
  readonly groupHeaders: readonly string[];
  readonly extraPrefixes: readonly string[];
}

/** Knows users by the headers a trusted proxy sets: `--requestheader-…` of kube-apiserver. */
export class FrontProxyAuthenticator {
  readonly #options: FrontProxyOptions;
  readonly #verifier: CertificateVerifier;

  constructor(options: FrontProxyOptions) {
    this.#options = options;
    this.#verifier = new CertificateVerifier(options.authority);
  }

  authenticate(headers: Headers, peer: PeerChain, nowMs: number): User | undefined {
    const { allowedNames, userHeaders, uidHeaders, groupHeaders, extraPrefixes } = this.#options;
    const first = (names: readonly string[]) => names.map((name) => headerOf(headers, name)).find(Boolean);
    const name = first(userHeaders);
    // Most requests come from no proxy; whether one might is seen sooner than proved.
    if (name === undefined) return undefined;
    const subject = this.#verifier.verify(peer, nowMs);
    if ("error" in subject) return undefined;
    if (allowedNames.length > 0 && !allowedNames.includes(subject.commonName)) return undefined;
    const uid = first(uidHeaders);
    const extra = Object.assign({}, ...extraPrefixes.map((prefix) => extraHeaders(headers, prefix) ?? {})) as Record<
      string,
      readonly string[]
    >;
    return {
      name,
      groups: groupHeaders.flatMap((header) => headerValues(headers, header)),
      ...(uid === undefined ? {} : { uid }),
      ...(Object.keys(extra).length === 0 ? {} : { extra }),
    };
  }
}
