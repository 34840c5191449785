import { getPath, type KubeObject } from "#machinery";
import type { ApiServer } from "../server.ts";

/** Objects a node may read because a pod on it needs them. */
export type Referenced =
  | "secrets"
  | "configmaps"
  | "persistentvolumeclaims"
  | "persistentvolumes"
  | "serviceaccounts"
  | "resourceclaims";

/** Objects of storage and devices that say themselves which node they are for. */
const ON_NODE = { volumeattachments: "storage.k8s.io", resourceslices: "resource.k8s.io" } as const;
export type OnNode = keyof typeof ON_NODE;

type Json = Readonly<Record<string, unknown>>;

export const NODE_USER = "system:node:";
const NODE_GROUP = "system:nodes";
export const MIRROR = "kubernetes.io/config.mirror";

/** The node that asks, by its user name and group, empty where the name names none; `undefined` for everybody else. */
export function nodeOf({ name, groups }: { readonly name: string; readonly groups: readonly string[] }) {
  return name.startsWith(NODE_USER) && groups.includes(NODE_GROUP) ? name.slice(NODE_USER.length) : undefined;
}

/** Knows which pods run on which node, from the first time a node asks. */
export class NodePods {
  readonly #server: ApiServer;
  #byNode: Map<string, Map<string, KubeObject>> | undefined;

  constructor(server: ApiServer) {
    this.#server = server;
  }

  /** Reads the pods there are; later calls are free. To be called before nodes may ask. */
  async load(): Promise<void> {
    for (const resource of ["pods", "nodes", "persistentvolumeclaims", "persistentvolumes"])
      await this.#server.store(this.#server.definition({ group: "", version: "v1", resource })).load();
    for (const [resource, group] of [...Object.entries(ON_NODE), ["csidrivers", "storage.k8s.io"] as const]) {
      const definition = this.#server.registry.find(group, "v1", resource);
      if (definition !== undefined) await this.#server.store(definition).load();
    }
  }

  on(node: string): Iterable<KubeObject> {
    return this.#index().get(node)?.values() ?? [];
  }

  find(namespace: string, name: string): KubeObject | undefined {
    return this.stored("pods", `${namespace}/${name}`);
  }

  /** A stored object of a kind that `load` has read. */
  stored(resource: string, key: string, group = ""): KubeObject | undefined {
    const definition = this.#server.registry.find(group, "v1", resource);
    return definition === undefined ? undefined : this.#server.store(definition).get(key)?.object;
  }

  /** Whether an object is there that is for the node. */
  isFor(node: string, resource: OnNode, name: string): boolean {
    return getPath(this.stored(resource, name, ON_NODE[resource]), "spec", "nodeName") === node;
  }

  #index(): ReadonlyMap<string, ReadonlyMap<string, KubeObject>> {
    if (this.#byNode !== undefined) return this.#byNode;
    const byNode = new Map<string, Map<string, KubeObject>>();
    this.#byNode = byNode;
    const note = (key: string, pod: KubeObject, isThere: boolean): void => {
      const node = String(getPath(pod, "spec", "nodeName") ?? "");
      if (node === "") return;
      let own = byNode.get(node);
      if (own === undefined) byNode.set(node, (own = new Map()));
      if (isThere) own.set(key, pod);
      else own.delete(key);
      if (own.size === 0) byNode.delete(node);
    };
    const store = this.#server.store(this.#server.definition({ group: "", version: "v1", resource: "pods" }));
    for (const [key, { object }] of store.range(undefined)) note(key, object, true);
    store.watch({
      event: ({ type, object }) => {
        note(`${object.metadata.namespace}/${object.metadata.name}`, object, type !== "DELETED");
      },
      closed: () => {},
    });
    return byNode;
  }

  /** Whether a pod on the node needs the object. Pods a node made itself give it no rights. */
  needs(node: string, resource: Referenced, namespace: string, name: string): boolean {
    for (const pod of this.on(node)) {
      if (pod.metadata.annotations?.[MIRROR] !== undefined) continue;
      if (resource !== "persistentvolumes" && resource !== "secrets" && pod.metadata.namespace !== namespace) continue;
      if (this.#referencesOf(pod, resource, namespace).has(name)) return true;
    }
    return false;
  }

  #referencesOf(pod: KubeObject, resource: Referenced, namespace: string): ReadonlySet<string> {
    switch (resource) {
      case "serviceaccounts":
        return new Set([String(getPath(pod, "spec", "serviceAccountName") || "default")]);
      case "persistentvolumeclaims":
        return claimsOf(pod);
      case "resourceclaims":
        return new Set(
          listOf(getPath(pod, "status", "resourceClaimStatuses"))
            .map((claim) => String(claim["resourceClaimName"] ?? ""))
            .concat(
              listOf(getPath(pod, "spec", "resourceClaims")).map((claim) => String(claim["resourceClaimName"] ?? "")),
            )
            .filter(Boolean),
        );
      case "persistentvolumes":
        return this.volumesOf(pod);
      case "configmaps":
        return pod.metadata.namespace === namespace ? configMapsOf(pod) : new Set();
      case "secrets": {
        const found = new Set(pod.metadata.namespace === namespace ? secretsOf(pod) : []);
        for (const volume of this.volumesOf(pod))
          for (const reference of volumeSecretsOf(this.stored("persistentvolumes", volume)))
            if ((reference["namespace"] ?? pod.metadata.namespace) === namespace) found.add(String(reference["name"]));
        return found;
      }
    }
  }

  /** Volumes of a pod by its claims. */
  volumesOf(pod: KubeObject): ReadonlySet<string> {
    const claims = [...claimsOf(pod)].map((claim) =>
      this.stored("persistentvolumeclaims", `${pod.metadata.namespace}/${claim}`),
    );
    return new Set(claims.map((claim) => String(getPath(claim, "spec", "volumeName") ?? "")).filter(Boolean));
  }
}

const listOf = (value: unknown): readonly Json[] => (Array.isArray(value) ? (value as readonly Json[]) : []);

const volumesIn = (pod: KubeObject) => listOf(getPath(pod, "spec", "volumes"));

const containersOf = (pod: KubeObject): readonly Json[] =>
  ["containers", "initContainers", "ephemeralContainers"].flatMap((part) => listOf(getPath(pod, "spec", part)));

/** Names below any member with this name, however deep: volumes have references in many places. */
function* namesUnder(value: unknown, members: ReadonlySet<string>, field = "name"): Generator<string> {
  if (Array.isArray(value)) for (const item of value) yield* namesUnder(item, members, field);
  else if (typeof value === "object" && value !== null)
    for (const [key, member] of Object.entries(value))
      if (members.has(key) && typeof (member as Json | null)?.[field] === "string")
        yield (member as Json)[field] as string;
      else yield* namesUnder(member, members, field);
}

const SECRET_MEMBERS = new Set(["secretRef", "secretKeyRef", "nodePublishSecretRef"]);
const CONFIG_MEMBERS = new Set(["configMapRef", "configMapKeyRef"]);

function secretsOf(pod: KubeObject): readonly string[] {
  const volumes = volumesIn(pod);
  const projected = volumes.flatMap((volume) => listOf((volume["projected"] as Json | undefined)?.["sources"]));
  return [
    ...listOf(getPath(pod, "spec", "imagePullSecrets")).map(({ name }) => String(name)),
    ...namesUnder(
      containersOf(pod).map(({ env, envFrom }) => [env, envFrom]),
      SECRET_MEMBERS,
    ),
    ...namesUnder(volumes, SECRET_MEMBERS),
    ...namesUnder(projected, new Set(["secret"])),
    ...volumes
      .flatMap((volume) => [
        (volume["secret"] as Json | undefined)?.["secretName"],
        (volume["azureFile"] as Json | undefined)?.["secretName"],
      ])
      .flatMap((name) => (typeof name === "string" ? [name] : [])),
  ];
}

function configMapsOf(pod: KubeObject): ReadonlySet<string> {
  const volumes = volumesIn(pod);
  const projected = volumes.flatMap((volume) => listOf((volume["projected"] as Json | undefined)?.["sources"]));
  return new Set([
    ...namesUnder(
      containersOf(pod).map(({ env, envFrom }) => [env, envFrom]),
      CONFIG_MEMBERS,
    ),
    ...namesUnder([...volumes, ...projected], new Set(["configMap"])),
  ]);
}

function claimsOf(pod: KubeObject): ReadonlySet<string> {
  return new Set(
    volumesIn(pod).flatMap((volume) => {
      if (volume["ephemeral"] !== undefined) return [`${pod.metadata.name}-${String(volume["name"])}`];
      const claim = (volume["persistentVolumeClaim"] as Json | undefined)?.["claimName"];
      return typeof claim === "string" ? [claim] : [];
    }),
  );
}

/** The first kind of object a pod needs, as kube-apiserver names it to nodes that may make pods without any (wire). */
export function apiReferenceOf(pod: KubeObject): string | undefined {
  if (getPath(pod, "spec", "serviceAccountName")) return "serviceaccounts";
  if (secretsOf(pod).length > 0) return "secrets";
  if (configMapsOf(pod).size > 0) return "configmaps";
  if (listOf(getPath(pod, "spec", "resourceClaims")).length > 0) return "resourceclaims";
  for (const volume of volumesIn(pod)) {
    if (volume["persistentVolumeClaim"] !== undefined) return "persistentvolumeclaims";
    if (volume["ephemeral"] !== undefined) return "persistentvolumeclaims (via ephemeral volumes)";
    if (volume["csi"] !== undefined) return "csidrivers (via CSI volumes)";
    const sources = listOf((volume["projected"] as Json | undefined)?.["sources"]);
    if (sources.some((source) => source["serviceAccountToken"] !== undefined))
      return "serviceaccounts (via projected volumes)";
    if (sources.some((source) => source["clusterTrustBundle"] !== undefined)) return "clustertrustbundles";
    if (sources.some((source) => source["podCertificate"] !== undefined)) return "podcertificates";
  }
  return undefined;
}

/** Audiences a pod has tokens for: those of its volumes, and those its volumes' drivers are given tokens for. */
export function audiencesOf(pod: KubeObject, pods: NodePods): ReadonlySet<string> {
  const found = new Set<string>();
  const driven = (driver: unknown): void => {
    const asked = getPath(pods.stored("csidrivers", String(driver), "storage.k8s.io"), "spec", "tokenRequests");
    for (const { audience } of listOf(asked)) found.add(String(audience ?? ""));
  };
  for (const volume of volumesIn(pod)) {
    for (const source of listOf((volume["projected"] as Json | undefined)?.["sources"]))
      if (source["serviceAccountToken"] !== undefined)
        found.add(String((source["serviceAccountToken"] as Json)["audience"] ?? ""));
    if (volume["csi"] !== undefined) driven((volume["csi"] as Json)["driver"]);
  }
  for (const name of pods.volumesOf(pod))
    driven(getPath(pods.stored("persistentvolumes", name), "spec", "csi", "driver"));
  return found;
}

/** Secrets a volume's driver needs on the node. */ /** Secrets a volume's driver needs on the node. */
function volumeSecretsOf(volume: KubeObject | undefined): readonly Json[] {
  const csi = (getPath(volume, "spec", "csi") ?? {}) as Json;
  return ["nodePublishSecretRef", "nodeStageSecretRef", "nodeExpandSecretRef"].flatMap((member) =>
    csi[member] === undefined ? [] : [csi[member] as Json],
  );
}
