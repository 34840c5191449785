import type { Clock, Logger } from "#base";
import { createInformers, createKindMapper, type DiscoveredResource } from "#client";
import type { TemplateKinds } from "#controllers/detector";
import { apiVersionOf, type KubeObject, type ResourceKind, type Transport } from "#machinery";

const CustomResourceDefinition: ResourceKind<KubeObject> = {
  group: "apiextensions.k8s.io",
  version: "v1",
  kind: "CustomResourceDefinition",
  resource: "customresourcedefinitions",
  namespaced: false,
};

/** Discovery is asked again this long after a CRD has changed, for it lags behind. */
const AFTER_CHANGE_MS = 1_000;
/** And from time to time, for aggregated APIs announce nothing; upstream's period. */
const PERIOD_MS = 30_000;

export interface DiscoveredKinds extends TemplateKinds {
  stop(): void;
}

/** The kinds of a foreign API server whose objects may be templates, kept in step with what it serves. */
export async function followDiscovery(transport: Transport, clock: Clock, log: Logger): Promise<DiscoveredKinds> {
  const mapper = createKindMapper(transport, clock);
  const informers = createInformers(transport, { clock, log });
  const reactions = new Set<() => void>();
  let kinds: readonly ResourceKind[] = [];
  let signature = "";
  let isStopped = false;

  async function look(): Promise<void> {
    await mapper.refresh();
    const found = templatesOf(await mapper.all());
    const now = found.map((kind) => `${apiVersionOf(kind)}/${kind.resource}`).join(" ");
    if (now === signature) return;
    signature = now;
    kinds = found;
    for (const react of [...reactions]) react();
  }
  const lookQuietly = () =>
    look().catch((error: unknown) => log.warn("the kinds of the API server could not be asked for", { error }));
  await look();
  let soon: { cancel(): void } | undefined;
  const lookSoon = () => {
    soon?.cancel();
    soon = clock.after(AFTER_CHANGE_MS, () => void lookQuietly());
  };
  const unwatch = informers.of(CustomResourceDefinition).handle({
    add: (_object, isInitial) => {
      if (!isInitial) lookSoon();
    },
    update: lookSoon,
    delete: lookSoon,
  });
  informers.start();
  let periodic = clock.after(PERIOD_MS, function again() {
    void lookQuietly().finally(() => {
      if (!isStopped) periodic = clock.after(PERIOD_MS, again);
    });
  });
  return {
    list: () => kinds,
    onChange: (react) => {
      reactions.add(react);
      return () => reactions.delete(react);
    },
    find: (apiVersion, kind) => mapper.known(apiVersion, kind),
    stop() {
      isStopped = true;
      unwatch();
      soon?.cancel();
      periodic.cancel();
      informers.stop();
      reactions.clear();
    },
  };
}

/** What can be listed, watched and deleted, each resource in one version: the group's preferred one if it serves it. */
function templatesOf(resources: readonly DiscoveredResource[]): readonly ResourceKind[] {
  const chosen = new Map<string, DiscoveredResource>();
  for (const resource of resources) {
    if (!["list", "watch", "delete"].every((verb) => resource.verbs.includes(verb))) continue;
    if (resource.resource === "events" && (resource.group === "" || resource.group === "events.k8s.io")) continue;
    const key = `${resource.group}/${resource.resource}`;
    if (!chosen.has(key) || resource.isPreferred) chosen.set(key, resource);
  }
  return [...chosen.values()].map(({ group, version, kind, resource, namespaced }) => ({
    group,
    version,
    kind,
    resource,
    namespaced,
  }));
}
