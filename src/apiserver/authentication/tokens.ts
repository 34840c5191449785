import { createPrivateKey, createPublicKey } from "node:crypto";
import { jwtVerify, SignJWT } from "jose";
import { getPath, type KubeObject, parseTime } from "#machinery";
import type { User } from "../definition.ts";
import type { ApiServer } from "../server.ts";

/** Knows bearer tokens: service accounts', bootstrap tokens, and fixed ones of a file. */
export class TokenAuthenticator {
  readonly issuer = "https://kubernetes.default.svc.cluster.local";
  readonly #server: ApiServer;
  readonly #privateKey: ReturnType<typeof createPrivateKey>;
  readonly #publicKey: ReturnType<typeof createPublicKey>;
  readonly #fixed: ReadonlyMap<string, User>;

  constructor(
    server: ApiServer,
    keys: { readonly privateKey: string; readonly publicKey: string },
    fixed: ReadonlyMap<string, User> = new Map(),
  ) {
    this.#server = server;
    this.#privateKey = createPrivateKey(keys.privateKey);
    this.#publicKey = createPublicKey(keys.publicKey);
    this.#fixed = fixed;
  }

  /** A token for a service account; `seconds` 0 gives one without an end, as token Secrets hold. */
  sign(account: KubeObject, nowMs: number, seconds: number, audiences: readonly string[] = []): Promise<string> {
    const { name = "", namespace = "", uid = "" } = account.metadata;
    const jwt = new SignJWT({ "kubernetes.io": { namespace, serviceaccount: { name, uid } } })
      .setProtectedHeader({ alg: "ES256" })
      .setIssuer(this.issuer)
      .setSubject(`system:serviceaccount:${namespace}:${name}`)
      .setAudience(audiences.length > 0 ? [...audiences] : this.issuer)
      .setIssuedAt(Math.floor(nowMs / 1000))
      .setNotBefore(Math.floor(nowMs / 1000));
    return (seconds > 0 ? jwt.setExpirationTime(Math.floor(nowMs / 1000) + seconds) : jwt).sign(this.#privateKey);
  }

  /** Whose token this is; `undefined` when it is nobody's, has ended, or its account is gone. */
  async authenticate(token: string): Promise<User | undefined> {
    const fixed = this.#fixed.get(token);
    if (fixed !== undefined) return fixed;
    if (/^[a-z0-9]{6}\.[a-z0-9]{16}$/.test(token)) return this.#bootstrap(token);
    try {
      const { payload } = await jwtVerify(token, this.#publicKey, {
        issuer: this.issuer,
        currentDate: new Date(this.#server.clock.now()),
      });
      const { namespace, serviceaccount } = (payload["kubernetes.io"] ?? {}) as {
        namespace?: string;
        serviceaccount?: { name?: string; uid?: string };
      };
      const account = await this.#find("serviceaccounts", `${namespace}/${serviceaccount?.name}`);
      if (account === undefined || account.metadata.uid !== serviceaccount?.uid) return undefined;
      return {
        name: `system:serviceaccount:${namespace}:${serviceaccount?.name}`,
        uid: serviceaccount?.uid ?? "",
        groups: ["system:serviceaccounts", `system:serviceaccounts:${namespace}`, "system:authenticated"],
      };
    } catch {
      return undefined;
    }
  }

  async #bootstrap(token: string): Promise<User | undefined> {
    const [id = "", secret = ""] = token.split(".");
    const object = await this.#find("secrets", `kube-system/bootstrap-token-${id}`);
    if (object === undefined || getPath(object, "type") !== "bootstrap.kubernetes.io/token") return undefined;
    const field = (name: string) => Buffer.from(String(getPath(object, "data", name) ?? ""), "base64").toString();
    const endMs = parseTime(field("expiration"));
    if (field("token-secret") !== secret || field("usage-bootstrap-authentication") !== "true") return undefined;
    if (endMs !== undefined && endMs < this.#server.clock.now()) return undefined;
    const groups = field("auth-extra-groups")
      .split(",")
      .filter((group) => group.startsWith("system:bootstrappers:"));
    return { name: `system:bootstrap:${id}`, groups: ["system:bootstrappers", ...groups, "system:authenticated"] };
  }

  async #find(resource: string, key: string): Promise<KubeObject | undefined> {
    const definition = this.#server.registry.find("", "v1", resource);
    if (definition === undefined) return undefined;
    const store = this.#server.store(definition);
    await store.load();
    return store.get(key)?.object;
  }
}
