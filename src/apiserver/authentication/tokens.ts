import type { KubeObject } from "#machinery";
import type { User } from "../definition.ts";
import type { ApiServer } from "../server.ts";
import { bootstrapSecretName, bootstrapUser, isBootstrapToken } from "./bootstrap-tokens.ts";
import type { OidcAuthenticator } from "./oidc.ts";
import {
  type BoundObject,
  type ServiceAccountKeys,
  ServiceAccountTokens,
  TokenRefused,
} from "./service-account-tokens.ts";
import { StaticTokens } from "./static-tokens.ts";

/** Whom a token belongs to, and the asked audiences it holds for. */
export interface TokenUser {
  readonly user: User;
  readonly audiences: readonly string[];
}

export interface TokenOptions {
  readonly keys: ServiceAccountKeys;
  /** Tokens of a file. */
  readonly fixed?: ReadonlyMap<string, User>;
  readonly oidc?: OidcAuthenticator;
}

const ISSUER = "https://kubernetes.default.svc.cluster.local";

/** Knows bearer tokens: fixed ones of a file, bootstrap tokens, service accounts' and those of an OIDC issuer. */
export class TokenAuthenticator {
  readonly issuer = ISSUER;
  /** Audiences of tokens that name none. */
  readonly audiences: readonly string[] = [ISSUER];
  readonly accounts: ServiceAccountTokens;
  readonly #server: ApiServer;
  readonly #fixed: StaticTokens;
  readonly #oidc: OidcAuthenticator | undefined;

  constructor(server: ApiServer, options: TokenOptions) {
    this.#server = server;
    this.accounts = new ServiceAccountTokens(options.keys, ISSUER);
    this.#fixed = new StaticTokens(options.fixed ?? new Map());
    this.#oidc = options.oidc;
  }

  /** A token for a service account that ends after `seconds`. */
  sign(account: KubeObject, seconds: number, audiences: readonly string[] = [], bound?: BoundObject): Promise<string> {
    return this.accounts.sign({
      account,
      nowMs: this.#server.clock.now(),
      seconds,
      audiences: audiences.length > 0 ? audiences : this.audiences,
      jti: this.#server.random.uuid(),
      ...(bound === undefined ? {} : { bound }),
    });
  }

  /** The token of a token Secret. */
  signForSecret(account: KubeObject, secretName: string): Promise<string> {
    return this.accounts.signForSecret(account, secretName);
  }

  /**
   * Whose token this is, where it holds for one of `audiences`; `undefined` otherwise. `tell` hears why one that this server
   * signed does not hold; of others nothing is said.
   */
  async authenticate(
    token: string,
    audiences: readonly string[] = this.audiences,
    tell?: (why: string) => void,
  ): Promise<TokenUser | undefined> {
    const holds = (user: User | undefined): TokenUser | undefined => {
      // Tokens without audiences of their own hold for the API server's.
      const held = audiences.filter((audience) => this.audiences.includes(audience));
      return user === undefined || held.length === 0 ? undefined : { user: authenticated(user), audiences: held };
    };
    const fixed = this.#fixed.authenticate(token);
    if (fixed !== undefined) return holds(fixed);
    if (isBootstrapToken(token)) {
      const secret = await this.#find("secrets", `kube-system/${bootstrapSecretName(token)}`);
      return holds(bootstrapUser(token, secret, this.#server.clock.now()));
    }
    try {
      if (this.#oidc !== undefined && !this.accounts.mayBeOurs(token))
        return holds(await this.#oidc.authenticate(token, this.#server.clock.now()));
      const found = await this.accounts.authenticate(
        token,
        audiences,
        this.audiences,
        this.#server.clock.now(),
        (resource, key) => this.#find(resource, key),
      );
      return { user: authenticated(found.user), audiences: found.audiences };
    } catch (error) {
      this.#server.log.debug("refused a bearer token", { error });
      if (error instanceof TokenRefused) tell?.(error.message);
      return undefined;
    }
  }

  async #find(resource: string, key: string): Promise<KubeObject | undefined> {
    const definition = this.#server.registry.find("", "v1", resource);
    if (definition === undefined) return undefined;
    const store = this.#server.store(definition);
    await store.load();
    return store.get(key)?.object;
  }
}

const ALL = "system:authenticated";

/** Everybody who is known is in the group of those who are known. */
export const authenticated = (user: User): User =>
  user.groups.includes(ALL) ? user : { ...user, groups: [...user.groups, ALL] };
