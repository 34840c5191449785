import { getPath, type KubeObject, parseTime } from "#machinery";
import type { User } from "../definition.ts";
import { isSameSecret } from "./static-tokens.ts";

const TOKEN = /^[a-z0-9]{6}\.[a-z0-9]{16}$/;
const GROUP = /^system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]$/;

export const isBootstrapToken = (token: string): boolean => TOKEN.test(token);

/** The Secret in `kube-system` that says whether a bootstrap token holds. */
export const bootstrapSecretName = (token: string): string => `bootstrap-token-${token.split(".")[0]}`;

/**
 * Whose bootstrap token this is, by the Secret that names it; `undefined` when the Secret is of another type, being
 * deleted, over, not for authentication, or holds another secret or a group that no bootstrap token may carry.
 */
export function bootstrapUser(token: string, secret: KubeObject | undefined, nowMs: number): User | undefined {
  const [id = "", own = ""] = token.split(".");
  if (secret === undefined || getPath(secret, "type") !== "bootstrap.kubernetes.io/token") return undefined;
  if (secret.metadata.deletionTimestamp !== undefined) return undefined;
  const field = (name: string) => Buffer.from(String(getPath(secret, "data", name) ?? ""), "base64").toString();
  if (field("token-id") !== id || !isSameSecret(field("token-secret"), own)) return undefined;
  if (field("usage-bootstrap-authentication") !== "true") return undefined;
  const expiration = field("expiration");
  if (expiration !== "") {
    const endMs = parseTime(expiration);
    if (endMs === undefined || endMs < nowMs) return undefined;
  }
  const groups = field("auth-extra-groups").split(",").filter(Boolean);
  if (groups.some((group) => !GROUP.test(group))) return undefined;
  return { name: `system:bootstrap:${id}`, groups: ["system:bootstrappers", ...groups] };
}
