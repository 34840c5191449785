import { isReservedNamespace } from "#apis/karmada";
import type { ResourceKind } from "#machinery";

const GROUPS = new Set([
  "cluster.karmada.io",
  "policy.karmada.io",
  "work.karmada.io",
  "config.karmada.io",
  "networking.karmada.io",
  "autoscaling.karmada.io",
  "remedy.karmada.io",
  "apps.karmada.io",
  "events.k8s.io",
]);

/** Compiles `--skipped-propagating-apis`. Throws on a token that is none. */
export function compileSkippedApis(text: string): (kind: ResourceKind) => boolean {
  const rules = text
    .split(";")
    .map((token) => token.trim())
    .filter((token) => token !== "")
    .map((token): ((kind: ResourceKind) => boolean) => {
      const parts = token.split("/");
      if (parts.length === 1) return ({ group }) => group === token;
      const [first = "", second = "", third = ""] = parts;
      if (parts.length === 2 && first === "v1") {
        const kinds = second.split(",");
        return ({ group, kind }) => group === "" && kinds.includes(kind);
      }
      if (parts.length === 2) return ({ group, version }) => group === first && version === second;
      if (parts.length === 3) {
        const kinds = third.split(",");
        return ({ group, version, kind }) => group === first && version === second && kinds.includes(kind);
      }
      throw new Error(
        `--skipped-propagating-apis: ${JSON.stringify(token)} is none of GROUP, GROUP/VERSION, GROUP/VERSION/KIND`,
      );
    });
  return (kind) =>
    GROUPS.has(kind.group) ||
    (kind.group === "coordination.k8s.io" && kind.version === "v1") ||
    (kind.group === "" && kind.kind === "Event") ||
    rules.some((rule) => rule(kind));
}

/** Compiles `--skipped-propagating-namespaces`: each item is matched against the whole name. Throws on a bad one. */
export function compileSkippedNamespaces(items: readonly string[]): (namespace: string) => boolean {
  const patterns = items
    .filter((item) => item !== "")
    .map((item) => {
      try {
        return new RegExp(`^(?:${item})$`);
      } catch (error) {
        throw new Error(`--skipped-propagating-namespaces: ${JSON.stringify(item)} is no regular expression`, {
          cause: error,
        });
      }
    });
  return (namespace) => isReservedNamespace(namespace) || patterns.some((pattern) => pattern.test(namespace));
}
