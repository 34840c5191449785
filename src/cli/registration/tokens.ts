import { Secret } from "#apis/kubernetes";
import type { BootstrapToken } from "#certs";
import type { Client } from "#client";
import { formatTime, isConflict, parseTime } from "#machinery";

export const TOKEN_NAMESPACE = "kube-system";
const TOKEN_TYPE = "bootstrap.kubernetes.io/token";
export const DEFAULT_GROUP = "system:bootstrappers:karmada:default-cluster-token";
const GROUP = /^system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]$/;
const USAGES = ["signing", "authentication"] as const;
const USAGE = "usage-bootstrap-";

export const tokenSecretName = (id: string): string => `bootstrap-token-${id}`;

export interface TokenRequest {
  readonly token: BootstrapToken;
  /** 0 for a token without an end. */
  readonly ttlMs: number;
  readonly usages: readonly string[];
  readonly groups: readonly string[];
  readonly description: string;
}

/** The Secret that makes a token hold. Throws with the usage or group that no token may have. */
export function tokenSecret({ token, ttlMs, usages, groups, description }: TokenRequest, nowMs: number): Secret {
  for (const usage of usages)
    if (!(USAGES as readonly string[]).includes(usage))
      throw new Error(`invalid bootstrap token usage ${JSON.stringify(usage)}: valid are ${USAGES.join(", ")}`);
  for (const group of groups)
    if (!GROUP.test(group))
      throw new Error(
        `bootstrap group ${JSON.stringify(group)} is invalid (must match \\A${GROUP.source.slice(1, -1)}\\z)`,
      );
  const values: Record<string, string> = {
    "token-id": token.id,
    "token-secret": token.secret,
    ...(description === "" ? {} : { description }),
    ...(ttlMs === 0 ? {} : { expiration: formatTime(nowMs + ttlMs) }),
    ...Object.fromEntries(usages.map((usage) => [USAGE + usage, "true"])),
    ...(groups.length === 0 ? {} : { "auth-extra-groups": groups.join(",") }),
  };
  return {
    apiVersion: "v1",
    kind: "Secret",
    metadata: { namespace: TOKEN_NAMESPACE, name: tokenSecretName(token.id) },
    type: TOKEN_TYPE,
    data: Object.fromEntries(
      Object.entries(values).map(([key, value]) => [key, Buffer.from(value).toString("base64")]),
    ),
  };
}

/** The cells of a token in `token list`; `undefined` for Secrets that are no token. */
export function tokenRow(secret: Secret, nowMs: number): readonly string[] | undefined {
  const field = (name: string) => fieldOf(secret, name);
  const id = field("token-id");
  if (id === "" || secret.metadata.name !== tokenSecretName(id)) return undefined;
  const expiration = field("expiration");
  const endMs = parseTime(expiration);
  const usages = usagesOf(secret);
  return [
    `${id}.${field("token-secret")}`,
    endMs === undefined ? "<forever>" : endMs <= nowMs ? "<invalid>" : shortDuration(endMs - nowMs),
    expiration === "" ? "<never>" : expiration,
    usages.length === 0 ? "<none>" : usages.join(","),
    field("description") || "<none>",
    field("auth-extra-groups") || "<none>",
  ];
}

/** A token in `token list -o json|yaml`; its secret part only where it is asked for. */
export function tokenView(secret: Secret, nowMs: number, showsSecret: boolean): Readonly<Record<string, unknown>> {
  const id = fieldOf(secret, "token-id");
  const [expiration, description] = [fieldOf(secret, "expiration"), fieldOf(secret, "description")];
  return {
    id,
    ...(showsSecret ? { token: `${id}.${fieldOf(secret, "token-secret")}` } : {}),
    ...(description === "" ? {} : { description }),
    ...(expiration === "" ? {} : { expires: expiration }),
    expired: isExpired(secret, nowMs),
    usages: usagesOf(secret),
    groups: fieldOf(secret, "auth-extra-groups").split(",").filter(Boolean),
  };
}

/** Whether a token's time is over. An end that cannot be read is no end that has come. */
function isExpired(secret: Secret, nowMs: number): boolean {
  const endMs = parseTime(fieldOf(secret, "expiration"));
  return endMs !== undefined && endMs <= nowMs;
}

const fieldOf = (secret: Secret, name: string): string => Buffer.from(secret.data?.[name] ?? "", "base64").toString();
const usagesOf = (secret: Secret) => USAGES.filter((usage) => fieldOf(secret, USAGE + usage) === "true").sort();

function shortDuration(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)}m`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3_600)}h`;
  return `${Math.floor(seconds / 86_400)}d`;
}

/** The tokens, without Secrets of their type that are none. */
export async function listTokens(client: Client): Promise<readonly Secret[]> {
  const { items } = await client.list(Secret, {
    namespace: TOKEN_NAMESPACE,
    fieldSelector: `type=${TOKEN_TYPE}`,
  });
  return items.filter((secret) => tokenRow(secret, 0) !== undefined);
}

/** Deletes the tokens whose time is over, as they were looked at: one that was renewed since stays. Gives their ids. */
export async function deleteExpiredTokens(client: Client, nowMs: number): Promise<readonly string[]> {
  const ids: string[] = [];
  for (const secret of (await listTokens(client)).filter((token) => isExpired(token, nowMs))) {
    const { namespace, name = "", uid = "", resourceVersion = "" } = secret.metadata;
    try {
      if (await client.delete(Secret, { namespace, name }, { preconditions: { uid, resourceVersion } }))
        ids.push(fieldOf(secret, "token-id"));
    } catch (error) {
      if (!isConflict(error)) throw error;
    }
  }
  return ids;
}
