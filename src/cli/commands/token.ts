import { stringify } from "yaml";
import { Secret } from "#apis/kubernetes";
import { createBootstrapToken, type KubeconfigEndpoint, parseBootstrapToken, publicKeyPins } from "#certs";
import type { Client } from "#client";
import { duration } from "#config";
import { isNotFound } from "#machinery";
import { type Connection, kubeconfigFlags, openConnection } from "../connection.ts";
import { type Parsed, parseArguments, withHelp } from "../flags.ts";
import { formatTable } from "../table.ts";
import {
  DEFAULT_GROUP,
  deleteExpiredTokens,
  listTokens,
  TOKEN_NAMESPACE,
  tokenRow,
  tokenSecret,
  tokenSecretName,
  tokenView,
} from "../registration/tokens.ts";

const actions: Readonly<Record<string, (parsed: Parsed, connection: Connection, program: string) => Promise<string>>> =
  {
    create: async (parsed, { client, endpoint }, program) => {
      const token = createBootstrapToken();
      const request = {
        token,
        ttlMs: duration.read(parsed.get("ttl") ?? "", "--ttl"),
        usages: parsed.list("usages"),
        groups: parsed.list("groups"),
        description: parsed.get("description") ?? "",
      };
      const secret = tokenSecret(request, Date.now());
      const command = parsed.isOn("print-register-command") ? await registerCommand(endpoint, program) : undefined;
      const at = { namespace: TOKEN_NAMESPACE, name: tokenSecretName(token.id) };
      if ((await client.find(Secret, at)) !== undefined)
        throw new Error(`a token with id "${token.id}" already exists`);
      await client.create(Secret, secret);
      const text = `${token.id}.${token.secret}`;
      return command === undefined ? `${text}\n` : `${command(text)}\n`;
    },
    list: async (parsed, { client }) => {
      const output = parsed.get("output") ?? "";
      if (!["", "json", "yaml", "name"].includes(output))
        throw new Error(`--output: ${JSON.stringify(output)} must be one of json, yaml, name`);
      if (parsed.args.length > 0) throw new Error(`token list takes no arguments, received ${parsed.args.length}`);
      const tokens = await listTokens(client);
      const nowMs = Date.now();
      if (output === "json" || output === "yaml") {
        const items = tokens.map((secret) => tokenView(secret, nowMs, parsed.isOn("show-secret")));
        return output === "json" ? `${JSON.stringify(items, undefined, 2)}\n` : stringify(items);
      }
      if (output === "name") return tokens.map(({ metadata }) => `secret/${metadata.name}\n`).join("");
      const rows = tokens.map((secret) => tokenRow(secret, nowMs)).filter((row) => row !== undefined);
      return formatTable(["TOKEN", "TTL", "EXPIRES", "USAGES", "DESCRIPTION", "EXTRA GROUPS"], rows);
    },
    delete: async (parsed, { client }) => {
      const given = parsed.args.map((text) => {
        const id = /^[a-z0-9]{6}$/.test(text) ? text : parseBootstrapToken(text)?.id;
        if (id === undefined)
          throw new Error(
            `given token didn't match pattern "\\\\A([a-z0-9]{6})\\\\z" or "\\\\A([a-z0-9]{6})\\\\.([a-z0-9]{16})\\\\z"`,
          );
        return id;
      });
      if (given.length > 0 && parsed.isOn("expired")) throw new Error("--expired takes no tokens besides");
      if (parsed.isOn("expired")) {
        const ids = await deleteExpiredTokens(client, Date.now());
        return ids.map((id) => `bootstrap token "${id}" deleted\n`).join("");
      }
      if (given.length === 0) throw new Error("missing subcommand; the id or the value of a token is needed");
      let said = "";
      for (const id of given) {
        await deleteToken(client, id);
        said += `bootstrap token "${id}" deleted\n`;
      }
      return said;
    },
  };

async function deleteToken(client: Client, id: string): Promise<void> {
  const at = { namespace: TOKEN_NAMESPACE, name: tokenSecretName(id) };
  try {
    await client.get(Secret, at);
    await client.delete(Secret, at);
  } catch (error) {
    if (!isNotFound(error)) throw error;
    throw new Error(`failed to delete bootstrap token "${id}", err: secrets "${at.name}" not found`, { cause: error });
  }
}

/** The line a member registers with: where the server is, the token, and its authority's key. */
async function registerCommand(
  { server, certificateAuthority }: KubeconfigEndpoint,
  program: string,
): Promise<(token: string) => string> {
  const pins = certificateAuthority === undefined ? [] : await publicKeyPins(certificateAuthority);
  if (pins.length === 0) throw new Error("failed to get register command, err: no CA certificates found in kubeconfig");
  const host = server.replace(/^https:\/\//, "").replace(/\/$/, "");
  return (token) => `${program} register ${host} --token ${token} --discovery-token-ca-cert-hash ${pins.join(",")}`;
}

/** `flotilla token create|list|delete`: the tokens by which clusters register. */
export function run(words: readonly string[], program: string): Promise<number> {
  return withHelp(async () => {
    const [name = "", ...rest] = words;
    const isAction = Object.hasOwn(actions, name);
    const parsed = parseArguments(
      isAction ? rest : words,
      [
        ...kubeconfigFlags,
        ...(name === "list"
          ? [
              { name: "output", short: "o", meaning: "json, yaml or name; default is a table" },
              { name: "show-secret", isSwitch: true, meaning: "show whole tokens in json and yaml" },
            ]
          : []),
        ...(name === "delete"
          ? [{ name: "expired", isSwitch: true, meaning: "delete the tokens whose time is over" }]
          : []),
        ...(isAction && name !== "create"
          ? []
          : [
              { name: "ttl", default: "24h0m0s", meaning: "how long the token holds; 0 for ever" },
              { name: "usages", default: "signing,authentication", meaning: "what the token may be used for" },
              { name: "groups", default: DEFAULT_GROUP, meaning: "further groups of who shows the token" },
              { name: "description", default: "", meaning: "what the token is for" },
              {
                name: "print-register-command",
                isSwitch: true,
                meaning: "print the whole line a cluster registers with",
              },
            ]),
      ],
      `${program} token create|list|delete [TOKEN…]`,
    );
    const action = actions[name];
    if (action === undefined)
      throw new Error(
        name === ""
          ? "one of create, list, delete is required"
          : `unknown command ${JSON.stringify(name)} for "${program} token"`,
      );
    const connection = openConnection(parsed.get("kubeconfig"), parsed.get("karmada-context"));
    try {
      process.stdout.write(await action(parsed, connection, program));
      return 0;
    } finally {
      await connection.transport.close();
    }
  });
}
