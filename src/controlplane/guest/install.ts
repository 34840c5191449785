import { clusterRoutes, webhookConfigurations, webhookRoutes } from "#admission";
import { Namespace } from "#apis/kubernetes";
import { guestCustomResourceDefinitions } from "#apis/karmada";
import { type Clock, type Logger, sleep } from "#base";
import type { Client } from "#client";
import { getPath, isAlreadyExists, type KubeObject, type ResourceKind } from "#machinery";

export const CustomResourceDefinition: ResourceKind<KubeObject> = {
  group: "apiextensions.k8s.io",
  version: "v1",
  kind: "CustomResourceDefinition",
  resource: "customresourcedefinitions",
  namespaced: false,
};
export const configurationKind = (kind: string): ResourceKind<KubeObject> => ({
  group: "admissionregistration.k8s.io",
  version: "v1",
  kind,
  resource: `${kind.toLowerCase()}s`,
  namespaced: false,
});

/** What identifies our installation to server-side apply. */
const MANAGER = { fieldManager: "flotilla-install", force: true } as const;
const NAMESPACES = ["karmada-system", "karmada-cluster"];
const ESTABLISHED_MS = 30_000;
const LOOK_MS = 100;

export interface InstallOptions {
  readonly client: Client;
  readonly clock: Clock;
  readonly log: Logger;
  /** Where the API server reaches admission: `https://HOST:PORT`. */
  readonly webhooks: string;
  /** PEM. */
  readonly caBundle: string;
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
export async function install({ client, clock, log, webhooks, caBundle }: InstallOptions): Promise<void> {
  await ensureNamespaces(client);
  const definitions = guestCustomResourceDefinitions({
    url: `${webhooks}/convert`,
    caBundle: Buffer.from(caBundle).toString("base64"),
  });
  await Promise.all(definitions.map((definition) => client.apply(CustomResourceDefinition, definition, MANAGER)));
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
  const address = { url: webhooks, authority: caBundle };
  for (const configuration of webhookConfigurations(address, [...webhookRoutes, ...clusterRoutes]))
    await client.apply(configurationKind(configuration.kind), configuration, MANAGER);
  log.info("installed", { definitions: definitions.length, webhooks });
}
