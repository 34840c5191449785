import { ClusterRole, ClusterRoleBinding, ConfigMap, Secret, Service } from "#apis/kubernetes";
import { Cluster, SYSTEM_NAMESPACE } from "#apis/karmada";
import { FrontProxyAuthenticator, listen } from "#apiserver";
import { type Clock, type Logger, sleep } from "#base";
import type { CertificateAuthority, KubeconfigEndpoint } from "#certs";
import { type Client, createClient } from "#client";
import { getPath, isNotFound, type KubeObject, type ResourceKind, type Transport } from "#machinery";
import type { Search } from "#search";
import { type SearchServing, serveSearch } from "../../search.ts";
import { type Address, AggregatedApi, type ServedGroups } from "./front.ts";
import { type Group, GROUPS, SPOKEN } from "./kept-version.ts";

const NAME = "flotilla-cluster-api";
/** Upstream's name of the role and its binding (wire). */
const PROXY_ADMIN = "cluster-proxy-admin";
const apiServiceOf = (group: Group) => `${SPOKEN}.${group}`;
const AUTOMANAGED = "kube-aggregator.kubernetes.io/automanaged";
const AVAILABLE_MS = 30_000;
const LOOK_MS = 200;
const RENEW_EVERY_MS = 30 * 24 * 3_600_000;
const AUTHENTICATION = { namespace: "kube-system", name: "extension-apiserver-authentication" };

const APIService: ResourceKind<KubeObject> = {
  group: "apiregistration.k8s.io",
  version: "v1",
  kind: "APIService",
  resource: "apiservices",
  namespaced: false,
};

interface Review extends KubeObject {
  readonly status?: { readonly userInfo?: { readonly username?: string } };
}
const SelfSubjectReview: ResourceKind<Review> = {
  group: "authentication.k8s.io",
  version: "v1",
  kind: "SelfSubjectReview",
  resource: "selfsubjectreviews",
  namespaced: false,
};

export interface AggregatedApiOptions extends Pick<SearchServing, "config" | "random"> {
  readonly endpoint: () => KubeconfigEndpoint;
  /** Reaches objects of aggregated kinds where they are kept. */
  readonly transport: Transport;
  readonly authority: CertificateAuthority;
  readonly bindAddress: string;
  /** 0 chooses a free one. */
  readonly port: number;
  /** Name or address the API server reaches this process by. */
  readonly host: string;
  readonly clock: Clock;
  readonly log: Logger;
}

/** What is served, as flags say. A group of which nothing is left stays with its CRD. */
function servedGroups({ disableSearch, disableProxy }: SearchServing["config"]): ServedGroups {
  const addresses: readonly Address[] = [
    ...(disableSearch ? [] : ["search" as const]),
    ...(disableProxy ? [] : ["proxying" as const]),
  ];
  return new Map<Group, readonly Address[]>([
    ["cluster.karmada.io", ["clusters/proxy"]],
    ...(addresses.length === 0 ? [] : [["search.karmada.io", addresses] as const]),
  ]);
}

/**
 * Serves `clusters/NAME/proxy`, `search` and `proxying` behind APIServices of the API server; gives how to stop. Where the API
 * server has no aggregation layer or does not reach this process, objects stay with their CRDs, and the log says why.
 */
export async function serveAggregatedApi(options: AggregatedApiOptions): Promise<() => Promise<void>> {
  const { authority, clock, log, transport, host } = options;
  const client = createClient(transport, { fieldManager: "flotilla" });
  const groups = servedGroups(options.config);
  await withdrawAggregatedApi(
    client,
    GROUPS.filter((group) => !groups.has(group)),
  );
  const callers = frontProxyOf(await client.find(ConfigMap, AUTHENTICATION));
  if (callers === undefined) {
    log.warn("clusters/NAME/proxy and search are not served: the API server has no aggregation layer", {
      needs: "--requestheader-client-ca-file, --proxy-client-cert-file",
    });
    return () => Promise.resolve();
  }
  let present = callers;
  const certificate = () => authority.issueServer(NAME, [`${NAME}.${SYSTEM_NAMESPACE}.svc`, host]);
  const startSearch = (ways: Pick<SearchServing, "proxied" | "toControlPlane" | "review">): Search =>
    serveSearch({
      config: options.config,
      transport,
      clock,
      random: options.random,
      log,
      ...ways,
      // Only who leads serves, and only who serves keeps anything.
      isLeading: () => true,
    });
  const api = new AggregatedApi({
    endpoint: options.endpoint,
    client,
    source: {
      cluster: (name) => client.find(Cluster, { name }),
      clusters: async () => (await client.list(Cluster)).items,
      secret: (namespace, name) => client.find(Secret, { namespace, name }),
    },
    groups,
    ...(groups.has("search.karmada.io") ? { startSearch } : {}),
    callers: () => present.callers,
    clock,
    log,
  });
  const pair = await certificate();
  const listener = await listen(api, {
    host: options.bindAddress,
    port: options.port,
    certificate: pair.certificate,
    key: pair.key,
    clientAuthority: present.authority,
  });
  let renewal = clock.after(RENEW_EVERY_MS, function again() {
    void (async () => {
      const [fresh, known] = [await certificate(), frontProxyOf(await client.find(ConfigMap, AUTHENTICATION))];
      present = known ?? present;
      listener.renew({ certificate: fresh.certificate, key: fresh.key, clientAuthority: present.authority });
    })().catch((error: unknown) => log.error("the certificate of aggregated APIs was not renewed", { error }));
    renewal = clock.after(RENEW_EVERY_MS, again);
  });
  await allowOneself(client);
  const served = [...groups.keys()];
  await publish(client, served, { host, port: listener.port, authority: authority.certificate });
  const refusal = await untilAvailable(client, served, clock);
  if (refusal === undefined) log.info("clusters/NAME/proxy is served", { host, port: listener.port, groups: served });
  else {
    log.error("clusters/NAME/proxy is not served: the API server does not reach this process", {
      host,
      port: listener.port,
      refusal,
    });
    await withdrawAggregatedApi(client);
  }
  return async () => {
    renewal.cancel();
    if (refusal === undefined)
      await withdrawAggregatedApi(client).catch((error: unknown) =>
        log.warn("the APIServices of aggregated APIs could not be removed", { error }),
      );
    await listener.close();
    await api.stop();
  };
}

/** Gives groups back to their CRDs; nothing happens where they are with them. */
export async function withdrawAggregatedApi(client: Client, groups: readonly Group[] = GROUPS): Promise<void> {
  for (const group of groups) {
    const name = apiServiceOf(group);
    const service = await client.find(APIService, { name });
    // Without the address of a server it is the API server's own, which it made for the CRD.
    if (getPath(service ?? {}, "spec", "service", "name") === NAME) await client.delete(APIService, { name });
  }
  if (groups === GROUPS) await client.delete(Service, { namespace: SYSTEM_NAMESPACE, name: NAME });
}

/** Removes what lets the one who installed us use the proxy. */
export async function withdrawProxyAdmin(client: Client): Promise<void> {
  for (const kind of [ClusterRoleBinding, ClusterRole]) await client.delete(kind, { name: PROXY_ADMIN });
}

/**
 * Lets the user of our kubeconfig use the proxy. The right of a group is not enough: members let nobody be impersonated whom
 * no role names.
 */
async function allowOneself(client: Client): Promise<void> {
  const { status } = await client.create(SelfSubjectReview, {
    apiVersion: "authentication.k8s.io/v1",
    kind: "SelfSubjectReview",
    metadata: {},
  });
  const name = status?.userInfo?.username;
  if (name === undefined) return;
  const head = { apiVersion: "rbac.authorization.k8s.io/v1", metadata: { name: PROXY_ADMIN } };
  const options = { fieldManager: "flotilla-install", force: true };
  const rules = [{ apiGroups: ["cluster.karmada.io"], resources: ["clusters/proxy"], verbs: ["*"] }];
  await client.apply(ClusterRole, { ...head, kind: "ClusterRole", rules }, options);
  await client.apply(
    ClusterRoleBinding,
    {
      ...head,
      kind: "ClusterRoleBinding",
      subjects: [{ apiGroup: "rbac.authorization.k8s.io", kind: "User", name }],
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: PROXY_ADMIN },
    },
    options,
  );
}

async function publish(
  client: Client,
  groups: readonly Group[],
  { host, port, authority }: { readonly host: string; readonly port: number; readonly authority: string },
): Promise<void> {
  const at = { namespace: SYSTEM_NAMESPACE, name: NAME };
  await client.apply(
    Service,
    {
      apiVersion: "v1",
      kind: "Service",
      metadata: at,
      spec: { type: "ExternalName", externalName: host, ports: [{ port, protocol: "TCP" }] },
    },
    { fieldManager: "flotilla-install", force: true },
  );
  for (const group of groups) {
    const spec = {
      group,
      version: SPOKEN,
      groupPriorityMinimum: 1000,
      versionPriority: 100,
      service: { ...at, port },
      caBundle: Buffer.from(authority).toString("base64"),
    };
    const name = apiServiceOf(group);
    // The API server keeps one of its own for the CRD as long as it bears this label.
    const patch = { metadata: { labels: { [AUTOMANAGED]: null } }, spec };
    try {
      await client.patch(APIService, { name }, "application/merge-patch+json", patch);
    } catch (error) {
      if (!isNotFound(error)) throw error;
      await client.create(APIService, {
        apiVersion: "apiregistration.k8s.io/v1",
        kind: "APIService",
        metadata: { name },
        spec,
      } as KubeObject);
    }
  }
}

/** Resolves when requests arrive here; gives what the API server says when they do not. */
async function untilAvailable(client: Client, groups: readonly Group[], clock: Clock): Promise<string | undefined> {
  const untilMs = clock.monotonicMs() + AVAILABLE_MS;
  const waiting = [...groups];
  for (;;) {
    const [group] = waiting;
    if (group === undefined) return undefined;
    const service = await client.find(APIService, { name: apiServiceOf(group) });
    const conditions = (getPath(service ?? {}, "status", "conditions") ?? []) as readonly {
      readonly type: string;
      readonly status: string;
      readonly reason?: string;
      readonly message?: string;
    }[];
    const available = conditions.find(({ type }) => type === "Available");
    if (available?.status === "True" && available.reason !== "Local") {
      waiting.shift();
      continue;
    }
    if (clock.monotonicMs() > untilMs) return available?.message ?? "it says nothing";
    await sleep(clock, LOOK_MS);
  }
}

/** Whom the API server's aggregation layer shows itself as. */
function frontProxyOf(
  config: ConfigMap | undefined,
): { readonly callers: FrontProxyAuthenticator; readonly authority: string } | undefined {
  const data = config?.data ?? {};
  const authority = data["requestheader-client-ca-file"];
  if (authority === undefined || authority === "") return undefined;
  const list = (key: string): readonly string[] => {
    const found: unknown = JSON.parse(data[`requestheader-${key}`] ?? "[]");
    return Array.isArray(found) ? found.map(String) : [];
  };
  const lower = (key: string) => list(key).map((name) => name.toLowerCase());
  const callers = new FrontProxyAuthenticator({
    authority: () => authority,
    allowedNames: list("allowed-names"),
    userHeaders: lower("username-headers"),
    uidHeaders: lower("uid-headers"),
    groupHeaders: lower("group-headers"),
    extraPrefixes: lower("extra-headers-prefix"),
  });
  return { callers, authority };
}
