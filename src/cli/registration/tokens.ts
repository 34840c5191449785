import type { Secret } from "#apis/kubernetes";
import type { BootstrapToken } from "#certs";
import { formatTime, parseTime } from "#machinery";

export const TOKEN_NAMESPACE = "kube-system";
export const TOKEN_TYPE = "bootstrap.kubernetes.io/token";
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
  const field = (name: string) => Buffer.from(secret.data?.[name] ?? "", "base64").toString();
  const id = field("token-id");
  if (id === "" || secret.metadata.name !== tokenSecretName(id)) return undefined;
  const expiration = field("expiration");
  const endMs = parseTime(expiration);
  const usages = USAGES.filter((usage) => field(USAGE + usage) === "true").sort();
  return [
    `${id}.${field("token-secret")}`,
    endMs === undefined ? "<forever>" : endMs <= nowMs ? "<invalid>" : shortDuration(endMs - nowMs),
    expiration === "" ? "<never>" : expiration,
    usages.length === 0 ? "<none>" : usages.join(","),
    field("description") || "<none>",
    field("auth-extra-groups") || "<none>",
  ];
}

function shortDuration(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)}m`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3_600)}h`;
  return `${Math.floor(seconds / 86_400)}d`;
}
