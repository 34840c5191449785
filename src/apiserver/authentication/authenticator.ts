import type { User } from "../definition.ts";
import { CertificateVerifier, type PeerChain } from "./certificates.ts";
import { FrontProxyAuthenticator, type FrontProxyOptions } from "./front-proxy.ts";
import { headerOf, type Headers } from "./headers.ts";
import { authenticated, type TokenAuthenticator } from "./tokens.ts";

export interface AuthenticatorOptions {
  readonly tokens: TokenAuthenticator;
  /** PEM of the authorities of client certificates; may change while the server runs. */
  readonly clientAuthority?: () => string;
  readonly frontProxy?: FrontProxyOptions;
  /** Whether somebody who shows nothing is `system:anonymous`; default true. */
  readonly allowsAnonymous?: boolean;
  readonly now: () => number;
}

export const ANONYMOUS: User = { name: "system:anonymous", groups: ["system:unauthenticated"] };

/**
 * Says who asks, in kube-apiserver's order: front proxy, client certificate, bearer token, anonymous. Somebody who shows
 * something that does not hold is nobody (401), not anonymous.
 */
export class Authenticator {
  readonly #options: AuthenticatorOptions;
  readonly #certificates: CertificateVerifier | undefined;
  readonly #frontProxy: FrontProxyAuthenticator | undefined;

  constructor(options: AuthenticatorOptions) {
    this.#options = options;
    const { clientAuthority, frontProxy } = options;
    this.#certificates = clientAuthority === undefined ? undefined : new CertificateVerifier(clientAuthority);
    this.#frontProxy = frontProxy === undefined ? undefined : new FrontProxyAuthenticator(frontProxy);
  }

  /** The user, or `undefined` for 401. */
  async authenticate(headers: Headers, peer: PeerChain): Promise<User | undefined> {
    const { tokens, now, allowsAnonymous = true } = this.#options;
    let isRefused = false;
    if (peer.length > 0) {
      const proxied = this.#frontProxy?.authenticate(headers, peer, now());
      if (proxied !== undefined) return authenticated(proxied);
      const subject = this.#certificates?.verify(peer, now());
      if (subject !== undefined && !("error" in subject) && subject.commonName !== "")
        return authenticated({
          name: subject.commonName,
          groups: subject.organizations,
          extra: { "authentication.kubernetes.io/credential-id": [`X509SHA256=${subject.fingerprint}`] },
        });
      isRefused = true;
    }
    const token = /^Bearer\s+(\S.*)$/i.exec(headerOf(headers, "authorization") ?? "")?.[1]?.trim();
    if (token !== undefined && token !== "") {
      const found = await tokens.authenticate(token);
      if (found !== undefined) return found.user;
      isRefused = true;
    }
    return isRefused || !allowsAnonymous ? undefined : ANONYMOUS;
  }
}
