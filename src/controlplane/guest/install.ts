import { aggregatedRoutes, webhookConfigurations, webhookRoutes } from "#admission";
import { Namespace } from "#apis/kubernetes";
import { guestCustomResourceDefinitions } from "#apis/karmada";
import { type Clock, type Logger, sleep } from "#base";
import type { Client } from "#client";
import { getPath, isAlreadyExists } from "#machinery";
import { protectWithoutWebhooks, withdrawPolicies } from "./admission-policies.ts";
import { configurationKind, CustomResourceDefinition, INSTALLER } from "./kinds.ts";

const NAMESPACES = ["karmada-system", "karmada-cluster"];
const ESTABLISHED_MS = 30_000;
const LOOK_MS = 100;

export interface InstallOptions {
  readonly client: Client;
  readonly clock: Clock;
  readonly log: Logger;
  /** Where the API server reaches admission; absent where it does not. */
  readonly webhooks: { readonly url: string; readonly authority: string } | undefined;
}

/** Makes the namespaces that leases and credentials of members are in; those that are there stay as they are. */
export async function ensureNamespaces(client: Client, names: readonly string[] = NAMESPACES): Promise<void> {
  for (const name of names) {
    try {
      await client.create(Namespace, { apiVersion: "v1", kind: "Namespace", metadata: { name } });
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
    }
  }
}

/** Puts namespaces, CRDs and webhook configurations in place; what is there already is brought up to date. */
export async function install({ client, clock, log, webhooks }: InstallOptions): Promise<void> {
  await ensureNamespaces(client);
  // What leads to a process that nobody reaches, or that was killed, would refuse everything that follows.
  if (webhooks === undefined) await withdrawWebhooks(client);
  const definitions = guestCustomResourceDefinitions(
    webhooks && { url: `${webhooks.url}/convert`, caBundle: Buffer.from(webhooks.authority).toString("base64") },
  );
  await Promise.all(definitions.map((definition) => client.apply(CustomResourceDefinition, definition, INSTALLER)));
  const untilMs = clock.now() + ESTABLISHED_MS;
  for (const { metadata } of definitions)
    for (;;) {
      const found = await client.get(CustomResourceDefinition, { name: metadata.name ?? "" });
      const conditions = (getPath(found, "status", "conditions") ?? []) as readonly {
        readonly type: string;
        readonly status: string;
        readonly message?: string;
      }[];
      if (conditions.some(({ type, status }) => type === "Established" && status === "True")) break;
      if (clock.now() > untilMs)
        throw new Error(
          `the CustomResourceDefinition ${metadata.name} is not established: ${conditions.map(({ message }) => message).join("; ")}`,
        );
      await sleep(clock, LOOK_MS);
    }
  if (webhooks === undefined) await protectWithoutWebhooks(client, log);
  else {
    for (const configuration of webhookConfigurations(webhooks, [...webhookRoutes, ...aggregatedRoutes]))
      await client.apply(configurationKind(configuration.kind), configuration, INSTALLER);
    await withdrawPolicies(client);
  }
  log.info("installed", { definitions: definitions.length, webhooks: webhooks?.url ?? "none" });
}

/** Removes the configurations that make the API server ask us; nothing happens where there are none. */
export async function withdrawWebhooks(client: Client): Promise<void> {
  for (const [kind, name] of [
    ["MutatingWebhookConfiguration", "mutating-config"],
    ["ValidatingWebhookConfiguration", "validating-config"],
  ] as const)
    await client.delete(configurationKind(kind), { name });
}
