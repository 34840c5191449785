import { createHash, createPrivateKey, createPublicKey, type KeyObject } from "node:crypto";
import { decodeJwt, decodeProtectedHeader, exportJWK, type JWTPayload, jwtVerify, SignJWT } from "jose";
import { getPath, type KubeObject } from "#machinery";
import type { User } from "../definition.ts";
import { isSameSecret } from "./static-tokens.ts";

/** Keys of service account tokens, PEM. */
export interface ServiceAccountKeys {
  /** Signs. */
  readonly privateKey: string;
  readonly publicKey: string;
  /** Files of further keys whose tokens are believed, as they are now: keys, public or private, or certificates. */
  readonly further?: () => readonly string[];
}

interface Verifier {
  readonly key: KeyObject;
  readonly algorithm: string;
  readonly id: string;
}

/** The object a token holds as long as. */
export interface BoundObject {
  readonly kind: "Pod" | "Secret" | "Node";
  readonly name: string;
  readonly uid: string;
  /** The node of a bound pod. */
  readonly node?: { readonly name: string; readonly uid?: string };
}

export interface TokenClaims {
  readonly account: KubeObject;
  readonly nowMs: number;
  readonly seconds: number;
  readonly audiences: readonly string[];
  readonly jti: string;
  readonly bound?: BoundObject;
}

/** Finds a stored object by resource and key. */
export type Find = (resource: string, key: string) => Promise<KubeObject | undefined>;

interface Private {
  readonly namespace?: string;
  readonly serviceaccount?: { readonly name?: string; readonly uid?: string };
  readonly pod?: { readonly name: string; readonly uid: string };
  readonly secret?: { readonly name: string; readonly uid: string };
  readonly node?: { readonly name: string; readonly uid?: string };
}

/** Why a token that one of the keys has signed does not hold, as kube-apiserver tells it to who reviews it (wire). */
export class TokenRefused extends Error {}

const UNSIGNED = "go-jose/go-jose: error in cryptographic primitive";
const UNTRUE: Readonly<Record<string, string>> = {
  ERR_JWS_SIGNATURE_VERIFICATION_FAILED: UNSIGNED,
  ERR_JOSE_ALG_NOT_ALLOWED: UNSIGNED,
  ERR_JWT_EXPIRED: "service account token has expired",
};

const asGoList = (texts: readonly string[]) => `[${texts.map((text) => JSON.stringify(text)).join(" ")}]`;

const LEGACY_ISSUER = "kubernetes/serviceaccount";
const LEGACY = "kubernetes.io/serviceaccount/";
const BOUND = { pod: "pods", secret: "secrets", node: "nodes" } as const;

/** Signs and checks service account tokens, those of TokenRequest and those that Secrets hold. */
export class ServiceAccountTokens {
  readonly issuer: string;
  readonly #privateKey: KeyObject;
  readonly #own: Verifier;
  readonly #further: () => readonly string[];
  #texts: readonly string[] = [];
  #verifiers: readonly Verifier[];

  constructor(keys: ServiceAccountKeys, issuer: string) {
    this.issuer = issuer;
    this.#privateKey = createPrivateKey(keys.privateKey);
    this.#own = verifierOf(keys.publicKey);
    this.#further = keys.further ?? (() => []);
    this.#verifiers = [this.#own];
  }

  /** Every key whose tokens are believed, the one that signs first. */
  #believed(): readonly Verifier[] {
    const texts = this.#further();
    if (texts.length === this.#texts.length && texts.every((text, at) => text === this.#texts[at]))
      return this.#verifiers;
    const further = texts.flatMap(readServiceAccountKeys);
    this.#texts = texts;
    this.#verifiers = [this.#own, ...further.filter(({ id }, at) => this.#isFirst(further, id, at))];
    return this.#verifiers;
  }

  #isFirst(all: readonly Verifier[], id: string, at: number): boolean {
    return id !== this.#own.id && all.findIndex((other) => other.id === id) === at;
  }

  sign({ account, nowMs, seconds, audiences, jti, bound }: TokenClaims): Promise<string> {
    const { name = "", namespace = "", uid = "" } = account.metadata;
    const now = Math.floor(nowMs / 1000);
    const own: Record<string, unknown> = { namespace, serviceaccount: { name, uid } };
    if (bound !== undefined) own[bound.kind.toLowerCase()] = { name: bound.name, uid: bound.uid };
    if (bound?.node !== undefined) own["node"] = bound.node;
    return new SignJWT({ "kubernetes.io": own })
      .setProtectedHeader({ alg: this.#own.algorithm, kid: this.#own.id })
      .setIssuer(this.issuer)
      .setSubject(`system:serviceaccount:${namespace}:${name}`)
      .setAudience([...audiences])
      .setJti(jti)
      .setIssuedAt(now)
      .setNotBefore(now)
      .setExpirationTime(now + seconds)
      .sign(this.#privateKey);
  }

  /** The token a Secret of type `kubernetes.io/service-account-token` holds: it ends with the Secret. */
  signForSecret(account: KubeObject, secretName: string): Promise<string> {
    const { name = "", namespace = "", uid = "" } = account.metadata;
    return new SignJWT({
      [`${LEGACY}namespace`]: namespace,
      [`${LEGACY}secret.name`]: secretName,
      [`${LEGACY}service-account.name`]: name,
      [`${LEGACY}service-account.uid`]: uid,
    })
      .setProtectedHeader({ alg: this.#own.algorithm, kid: this.#own.id })
      .setIssuer(LEGACY_ISSUER)
      .setSubject(`system:serviceaccount:${namespace}:${name}`)
      .sign(this.#privateKey);
  }

  /** Whether a text looks like one of these tokens, so that another check of tokens need not be asked. */
  mayBeOurs(token: string): boolean {
    try {
      const { kid } = decodeProtectedHeader(token);
      return this.#believed().some(({ id }) => id === kid);
    } catch {
      return false;
    }
  }

  /**
   * The account of a token that holds for one of `audiences`, with the audiences it holds for. Throws with the reason
   * when the signature, the times, the audiences, the account or the object it is bound to do not hold.
   */
  async authenticate(
    token: string,
    audiences: readonly string[],
    defaults: readonly string[],
    nowMs: number,
    find: Find,
  ): Promise<{ readonly user: User; readonly audiences: readonly string[] }> {
    const payload = await this.#verify(token, nowMs);
    if (payload.iss === LEGACY_ISSUER) return this.#legacy(token, payload, audiences, defaults, find);
    const named = payload.aud === undefined ? [] : Array.isArray(payload.aud) ? payload.aud : [payload.aud];
    const held = audiences.filter((audience) => named.includes(audience));
    if (held.length === 0)
      throw new TokenRefused(
        `token audiences ${asGoList(named)} is invalid for the target audiences ${asGoList(audiences)}`,
      );
    const claims = (payload["kubernetes.io"] ?? {}) as Private;
    const { namespace = "", serviceaccount = {} } = claims;
    await accountOf(namespace, serviceaccount.name ?? "", serviceaccount.uid ?? "", find);
    for (const [claim, resource] of Object.entries(BOUND) as ["pod" | "secret" | "node", string][]) {
      const bound = claims[claim];
      // The node beside a pod is a hint; a node alone is what the token is bound to.
      if (bound === undefined || (claim === "node" && claims.pod !== undefined)) continue;
      const key = claim === "node" ? bound.name : `${namespace}/${bound.name}`;
      const found = await find(resource, key);
      if (found === undefined || isOver(found, nowMs))
        throw new TokenRefused("service account token has been invalidated");
      if (found.metadata.uid !== bound.uid)
        throw new TokenRefused(
          `${claim} UID (${found.metadata.uid}) does not match service account ${claim} ref claim (${bound.uid})`,
        );
    }
    const extra = {
      ...(payload.jti === undefined ? {} : { "authentication.kubernetes.io/credential-id": [`JTI=${payload.jti}`] }),
      ...(claims.node === undefined ? {} : { "authentication.kubernetes.io/node-name": [claims.node.name] }),
      ...(claims.node?.uid === undefined ? {} : { "authentication.kubernetes.io/node-uid": [claims.node.uid] }),
      ...(claims.pod === undefined
        ? {}
        : {
            "authentication.kubernetes.io/pod-name": [claims.pod.name],
            "authentication.kubernetes.io/pod-uid": [claims.pod.uid],
          }),
    };
    return { user: userOf(namespace, serviceaccount.name ?? "", serviceaccount.uid ?? "", extra), audiences: held };
  }

  /** What a token says, where one of the keys has signed it: the one it names, or any where it names none. */
  async #verify(token: string, nowMs: number): Promise<JWTPayload> {
    const { kid } = decodeProtectedHeader(token);
    const all = this.#believed();
    const named = all.filter(({ id }) => id === kid);
    let failure: unknown;
    for (const { key, algorithm } of named.length > 0 ? named : all)
      try {
        const verified = await jwtVerify(token, key, {
          issuer: [this.issuer, LEGACY_ISSUER],
          algorithms: [algorithm],
          currentDate: new Date(nowMs),
        });
        return verified.payload;
      } catch (error) {
        failure = error;
      }
    throw this.#refusalOf(token, failure);
  }

  /** What is said of a token in this issuer's name; of others nothing is. */
  #refusalOf(token: string, failure: unknown): unknown {
    const why = UNTRUE[(failure as { readonly code?: string } | undefined)?.code ?? ""];
    return why !== undefined && decodeJwt(token).iss === this.issuer ? new TokenRefused(why) : failure;
  }

  async #legacy(
    token: string,
    payload: JWTPayload,
    audiences: readonly string[],
    defaults: readonly string[],
    find: Find,
  ) {
    const claim = (name: string) => String(payload[`${LEGACY}${name}`] ?? "");
    const held = audiences.filter((audience) => defaults.includes(audience));
    if (held.length === 0) throw new Error("the token holds for the audiences of the API server only");
    const namespace = claim("namespace");
    const secret = await find("secrets", `${namespace}/${claim("secret.name")}`);
    const present = Buffer.from(String(getPath(secret, "data", "token") ?? ""), "base64").toString();
    if (secret === undefined || secret.metadata.deletionTimestamp !== undefined || !isSameSecret(present, token))
      throw new TokenRefused("service account token has been invalidated");
    const name = claim("service-account.name");
    const uid = claim("service-account.uid");
    await accountOf(namespace, name, uid, find);
    return { user: userOf(namespace, name, uid, {}), audiences: held };
  }

  /** What `/openid/v1/jwks` answers. */
  async keySet(): Promise<unknown> {
    const keys = this.#believed().map(async ({ key, algorithm, id }) => {
      const exported = await exportJWK(key);
      return { use: "sig", kty: exported.kty, kid: id, alg: algorithm, ...exported };
    });
    return { keys: await Promise.all(keys) };
  }

  /** What `/.well-known/openid-configuration` answers. */
  discovery(address: string): unknown {
    return {
      issuer: this.issuer,
      jwks_uri: `https://${address}/openid/v1/jwks`,
      response_types_supported: ["id_token"],
      subject_types_supported: ["public"],
      id_token_signing_alg_values_supported: [...new Set(this.#believed().map(({ algorithm }) => algorithm))],
    };
  }
}

const PEM = /-----BEGIN ([A-Z ]+)-----[\s\S]+?-----END \1-----/g;

function verifierOf(pem: string): Verifier {
  const key = createPublicKey(pem);
  const id = createHash("sha256")
    .update(key.export({ type: "spki", format: "der" }))
    .digest("base64url");
  return { key, algorithm: algorithmOf(key), id };
}

/** All keys of a file, of which a private one stands for its public one. Throws when there is none, or one is broken. */
export function readServiceAccountKeys(text: string): readonly Verifier[] {
  const blocks = [...text.matchAll(PEM)].filter(([, kind]) => kind !== "EC PARAMETERS").map(([block]) => block);
  if (blocks.length === 0) throw new Error("there is no key in it, PEM");
  return blocks.map(verifierOf);
}

function algorithmOf(key: KeyObject): string {
  if (key.asymmetricKeyType === "rsa") return "RS256";
  const curves: Readonly<Record<string, string>> = { prime256v1: "ES256", secp384r1: "ES384", secp521r1: "ES512" };
  const algorithm = curves[key.asymmetricKeyDetails?.namedCurve ?? ""];
  if (algorithm === undefined) throw new Error("service account keys must be RSA or ECDSA P-256, P-384 or P-521");
  return algorithm;
}

async function accountOf(namespace: string, name: string, uid: string, find: Find): Promise<void> {
  const account = await find("serviceaccounts", `${namespace}/${name}`);
  if (account === undefined) throw new TokenRefused(`serviceaccounts ${JSON.stringify(name)} not found`);
  if (account.metadata.deletionTimestamp !== undefined)
    throw new TokenRefused(`service account ${namespace}/${name} has been deleted`);
  if (account.metadata.uid !== uid)
    throw new TokenRefused(`service account UID (${account.metadata.uid}) does not match claim (${uid})`);
}

/** Objects that end get a minute, as their containers still run. */
const isOver = ({ metadata: { deletionTimestamp } }: KubeObject, nowMs: number) =>
  typeof deletionTimestamp === "string" && Date.parse(deletionTimestamp) + 60_000 < nowMs;

const userOf = (
  namespace: string,
  name: string,
  uid: string,
  extra: Readonly<Record<string, readonly string[]>>,
): User => ({
  name: `system:serviceaccount:${namespace}:${name}`,
  uid,
  groups: ["system:serviceaccounts", `system:serviceaccounts:${namespace}`],
  ...(Object.keys(extra).length === 0 ? {} : { extra }),
});
