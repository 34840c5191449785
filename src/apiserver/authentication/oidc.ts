import { createRemoteJWKSet, customFetch, type JWTPayload, jwtVerify } from "jose";
import { Agent, fetch as fetchWith } from "undici";
import type { User } from "../definition.ts";

/** How users of an OpenID Connect issuer are known: the `--oidc-…` flags of kube-apiserver. */
export interface OidcOptions {
  /** `https://…`, as tokens name it. */
  readonly issuerUrl: string;
  readonly clientId: string;
  readonly usernameClaim: string;
  /** Before the user name; `-` for none, absent for `ISSUER#` unless the claim is `email`. */
  readonly usernamePrefix?: string;
  readonly groupsClaim?: string;
  readonly groupsPrefix: string;
  readonly requiredClaims: Readonly<Record<string, string>>;
  readonly signingAlgorithms: readonly string[];
  /** PEM of the issuer's authority; default: the ones Node trusts. */
  readonly certificateAuthority?: string;
}

const TIMEOUT_MS = 10_000;
const DISCOVERY_RETRY_MS = 10_000;

/** Checks ID tokens by the keys the issuer publishes. It is asked for its keys when the first token comes. */
export class OidcAuthenticator {
  readonly #options: OidcOptions;
  readonly #agent: Agent;
  #keys: ReturnType<typeof createRemoteJWKSet> | undefined;
  #discovering: Promise<ReturnType<typeof createRemoteJWKSet>> | undefined;
  #failedAtMs = 0;

  constructor(options: OidcOptions) {
    if (!options.issuerUrl.startsWith("https://"))
      throw new Error(`--oidc-issuer-url: ${JSON.stringify(options.issuerUrl)} must be an https URL`);
    if (options.clientId === "") throw new Error("--oidc-client-id: needed with --oidc-issuer-url");
    this.#options = options;
    const { certificateAuthority } = options;
    this.#agent = new Agent(certificateAuthority === undefined ? {} : { connect: { ca: certificateAuthority } });
  }

  /** The user of a token. Throws with the reason when it does not hold or the issuer cannot be asked. */
  async authenticate(token: string, nowMs: number): Promise<User> {
    const { issuerUrl, clientId, signingAlgorithms } = this.#options;
    const { payload } = await jwtVerify(token, await this.#keySet(nowMs), {
      issuer: issuerUrl,
      audience: clientId,
      algorithms: [...signingAlgorithms],
      requiredClaims: ["exp"],
      currentDate: new Date(nowMs),
    });
    return oidcUser(payload, this.#options);
  }

  close(): Promise<void> {
    return this.#agent.close();
  }

  async #keySet(nowMs: number): Promise<ReturnType<typeof createRemoteJWKSet>> {
    if (this.#keys !== undefined) return this.#keys;
    if (this.#discovering === undefined && nowMs - this.#failedAtMs < DISCOVERY_RETRY_MS)
      throw new Error(`oidc: ${this.#options.issuerUrl} could not be asked for its keys a moment ago`);
    this.#discovering ??= this.#discover();
    try {
      return (this.#keys = await this.#discovering);
    } catch (error) {
      this.#failedAtMs = nowMs;
      throw error;
    } finally {
      this.#discovering = undefined;
    }
  }

  async #discover(): Promise<ReturnType<typeof createRemoteJWKSet>> {
    const { issuerUrl } = this.#options;
    const ask = (url: string, init: object = {}) =>
      fetchWith(url, { ...init, dispatcher: this.#agent, signal: AbortSignal.timeout(TIMEOUT_MS) });
    const answer = await ask(`${issuerUrl.replace(/\/$/, "")}/.well-known/openid-configuration`);
    if (!answer.ok) throw new Error(`oidc: ${issuerUrl} answered discovery with ${answer.status}`);
    const document = (await answer.json()) as { readonly issuer?: string; readonly jwks_uri?: string };
    if (document.issuer !== issuerUrl)
      throw new Error(`oidc: issuer did not match, expected ${issuerUrl}, got ${document.issuer ?? ""}`);
    if (document.jwks_uri === undefined) throw new Error(`oidc: ${issuerUrl} names no jwks_uri`);
    return createRemoteJWKSet(new URL(document.jwks_uri), {
      [customFetch]: (url: string, init: object) => ask(url, init) as unknown as Promise<Response>,
    });
  }
}

/** Reads a user out of checked claims. */
export function oidcUser(claims: JWTPayload, options: OidcOptions): User {
  const { usernameClaim, usernamePrefix, groupsClaim, groupsPrefix, requiredClaims, issuerUrl } = options;
  const name = claims[usernameClaim];
  if (typeof name !== "string" || name === "") throw new Error(`oidc: claim ${usernameClaim} is absent or no text`);
  if (usernameClaim === "email" && claims["email_verified"] !== undefined && claims["email_verified"] !== true)
    throw new Error("oidc: email not verified");
  for (const [claim, value] of Object.entries(requiredClaims))
    if (claims[claim] !== value) throw new Error(`oidc: required claim ${claim} is not ${JSON.stringify(value)}`);
  const prefix = usernamePrefix === "-" ? "" : (usernamePrefix ?? (usernameClaim === "email" ? "" : `${issuerUrl}#`));
  const given = groupsClaim === undefined ? undefined : claims[groupsClaim];
  const groups = given === undefined || given === null ? [] : Array.isArray(given) ? (given as unknown[]) : [given];
  if (groups.some((group) => typeof group !== "string")) throw new Error(`oidc: claim ${groupsClaim} holds no texts`);
  return { name: `${prefix}${name}`, groups: groups.map((group) => `${groupsPrefix}${String(group)}`) };
}
