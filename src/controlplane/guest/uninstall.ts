import { Namespace } from "#apis/kubernetes";
import {
  CLUSTER_PROPAGATION_POLICY_ID,
  EXECUTION_NAMESPACE_PREFIX,
  executionNamespace,
  kindDefinitions,
  PROPAGATION_POLICY_ID,
} from "#apis/karmada";
import { type Clock, type Logger, sleep } from "#base";
import { type Client, createClient, createKindMapper } from "#client";
import {
  ApiError,
  isNotFound,
  type KubeObject,
  type ResourceKind,
  withAnnotations,
  withLabels,
  withMetadata,
} from "#machinery";
import { keptKinds, withdrawAggregatedApi, withdrawProxyAdmin } from "./aggregated-api/index.ts";
import { withdrawPolicies } from "./admission-policies.ts";
import { withdrawWebhooks } from "./install.ts";
import { CustomResourceDefinition } from "./kinds.ts";

/** What marks an object of this cluster as a template. */
const TEMPLATE_LABELS = [PROPAGATION_POLICY_ID, CLUSTER_PROPAGATION_POLICY_ID] as const;
const PREFIXES = [
  "propagationpolicy.karmada.io/",
  "clusterpropagationpolicy.karmada.io/",
  "resourcebinding.karmada.io/",
  "clusterresourcebinding.karmada.io/",
  "resourcetemplate.karmada.io/",
  "policy.karmada.io/",
  "namespace.karmada.io/",
];
const GONE_MS = 60_000;
const LOOK_MS = 200;

export interface UninstallOptions {
  readonly client: Client;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * Removes what was installed and every mark on templates. Nothing is deleted in members and no workload of this cluster is
 * touched beyond our marks: finalizers go first, so that deleting a Work or a Cluster carries nothing out any more. No
 * controller may run meanwhile.
 */
export async function uninstall({ client: given, clock, log }: UninstallOptions): Promise<void> {
  const client = createClient(keptKinds(given.transport), { fieldManager: "flotilla" });
  await withdrawAggregatedApi(client);
  await withdrawProxyAdmin(client);
  await withdrawWebhooks(client);
  await withdrawPolicies(client);
  await unmarkTemplates(client, clock, log);
  const executionNamespaces = await removeKinds(client, clock, log);
  for (const name of [...executionNamespaces, "karmada-cluster", "karmada-system"])
    await client.delete(Namespace, { name });
  log.info("uninstalled", { namespaces: executionNamespaces.length + 2 });
}

async function unmarkTemplates(client: Client, clock: Clock, log: Logger): Promise<void> {
  const kinds = await createKindMapper(client.transport, clock).all();
  let count = 0;
  for (const kind of kinds) {
    if (!["list", "update"].every((verb) => kind.verbs.includes(verb)) || !kind.isPreferred) continue;
    if (kindDefinitions.some(({ group, names }) => group === kind.group && names.plural === kind.resource)) continue;
    for (const label of TEMPLATE_LABELS)
      for (const object of (await patiently(clock, () => client.list(kind, { labelSelector: label }))).items) {
        await retried(client, kind, object, withoutMarks);
        count++;
      }
  }
  log.info("templates have no marks any more", { count });
}

function withoutMarks(object: KubeObject): KubeObject {
  const none = (keys: Readonly<Record<string, string>> | undefined) =>
    Object.fromEntries(
      Object.keys(keys ?? {})
        .filter((key) => PREFIXES.some((prefix) => key.startsWith(prefix)))
        .map((key) => [key, undefined]),
    );
  return withAnnotations(withLabels(object, none(object.metadata.labels)), none(object.metadata.annotations));
}

async function removeKinds(client: Client, clock: Clock, log: Logger): Promise<readonly string[]> {
  const namespaces = new Set<string>();
  const names: string[] = [];
  for (const { group, names: own, scope, versions, persisted } of kindDefinitions) {
    const stored = versions.find(({ storage }) => storage) ?? versions[0];
    if (!persisted || own.plural === null || stored === undefined || group === "operator.karmada.io") continue;
    const kind: ResourceKind<KubeObject> = {
      group,
      version: stored.name,
      kind: own.kind,
      resource: own.plural,
      namespaced: scope === "Namespaced",
    };
    const name = `${own.plural}.${group}`;
    if ((await client.find(CustomResourceDefinition, { name })) === undefined) continue;
    names.push(name);
    for (const object of (await patiently(clock, () => client.list(kind))).items) {
      if (own.kind === "Work" && object.metadata.namespace?.startsWith(EXECUTION_NAMESPACE_PREFIX))
        namespaces.add(object.metadata.namespace);
      if (own.kind === "Cluster") namespaces.add(executionNamespace(object.metadata.name ?? ""));
      if ((object.metadata.finalizers ?? []).length > 0)
        await retried(client, kind, object, (latest) => withMetadata(latest, { finalizers: [] }));
    }
  }
  for (const name of names) await client.delete(CustomResourceDefinition, { name });
  const untilMs = clock.now() + GONE_MS;
  for (const name of names)
    while ((await client.find(CustomResourceDefinition, { name })) !== undefined) {
      if (clock.now() > untilMs) throw new Error(`the CustomResourceDefinition ${name} is still being deleted`);
      await sleep(clock, LOOK_MS);
    }
  log.info("kinds are gone", { count: names.length });
  const existing: string[] = [];
  for (const name of namespaces) if ((await client.find(Namespace, { name })) !== undefined) existing.push(name);
  return existing;
}

/** A server that has just changed what it serves asks for patience. */
async function patiently<T>(clock: Clock, ask: () => Promise<T>): Promise<T> {
  const untilMs = clock.now() + GONE_MS;
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      const isBusy = error instanceof ApiError && (error.code === 429 || error.code === 503);
      if (!isBusy || clock.now() > untilMs) throw error;
      await sleep(clock, LOOK_MS);
    }
  }
}

async function retried(
  client: Client,
  kind: ResourceKind<KubeObject>,
  object: KubeObject,
  change: (object: KubeObject) => KubeObject,
): Promise<void> {
  let latest: KubeObject | undefined = object;
  for (let tries = 0; latest !== undefined; tries++) {
    try {
      await client.update(kind, change(latest));
      return;
    } catch (error) {
      if (isNotFound(error)) return;
      if (tries >= 4) throw error;
      latest = await client.find(kind, { namespace: object.metadata.namespace, name: object.metadata.name ?? "" });
    }
  }
}
