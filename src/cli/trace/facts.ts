import { Event, Pod } from "#apis/kubernetes";
import {
  type AnyBinding,
  type AnyOverridePolicy,
  type AnyPropagationPolicy,
  bindingName,
  Cluster,
  ClusterOverridePolicy,
  ClusterPropagationPolicy,
  ClusterResourceBinding,
  executionNamespace,
  OverridePolicy,
  PropagationPolicy,
  ResourceBinding,
  Work,
  workName,
} from "#apis/karmada";
import type { Client, DiscoveredResource } from "#client";
import { getPath, isForbidden, type KubeObject } from "#machinery";
import type { Connection } from "../connection.ts";
import { openMember } from "../members.ts";

/** A member's copy, or why it could not be looked at. */
export interface MemberFact {
  readonly cluster: string;
  readonly object?: KubeObject;
  readonly error?: string;
  /** What the member itself says of a copy that is not well: warnings about it and its pods, and what pods wait for. */
  readonly complaints?: readonly string[];
}

/** Everything a trace is made of, as it was at one moment. */
export interface Facts {
  readonly kind: DiscoveredResource;
  readonly namespace: string | undefined;
  readonly name: string;
  readonly nowMs: number;
  readonly template: KubeObject | undefined;
  readonly policies: readonly AnyPropagationPolicy[];
  readonly overrides: readonly AnyOverridePolicy[];
  readonly binding: AnyBinding | undefined;
  readonly clusters: readonly Cluster[];
  readonly works: readonly Work[];
  readonly members: readonly MemberFact[];
  /** Events about template, binding, Works and targets that are not ready, the oldest first. */
  readonly events: readonly Event[];
}

/** What may not be read is as if it were not there; the trace then says less. */
async function permitted<T>(reading: Promise<T>, otherwise: T): Promise<T> {
  try {
    return await reading;
  } catch (error) {
    if (isForbidden(error)) return otherwise;
    throw error;
  }
}

export async function gatherFacts(
  connection: Connection,
  kind: DiscoveredResource,
  given: { readonly namespace: string; readonly name: string; readonly cluster?: string; readonly nowMs: number },
): Promise<Facts> {
  const { client } = connection;
  const namespace = kind.namespaced ? given.namespace : undefined;
  const { name } = given;
  const at = { namespace, name: bindingName(kind.kind, name) };
  const bindingKind = (kind.namespaced ? ResourceBinding : ClusterResourceBinding) as typeof ResourceBinding;
  const inNamespace = { namespace: given.namespace };
  const [template, own, clusterWide, overrides, clusterOverrides, binding, clusters, events] = await Promise.all([
    client.find(kind, { namespace, name }),
    kind.namespaced
      ? permitted(
          client.list(PropagationPolicy, inNamespace).then(({ items }) => items),
          [],
        )
      : [],
    permitted(
      client.list(ClusterPropagationPolicy).then(({ items }) => items),
      [],
    ),
    kind.namespaced
      ? permitted(
          client.list(OverridePolicy, inNamespace).then(({ items }) => items),
          [],
        )
      : [],
    permitted(
      client.list(ClusterOverridePolicy).then(({ items }) => items),
      [],
    ),
    client.find(bindingKind, at) as Promise<AnyBinding | undefined>,
    permitted(
      client.list(Cluster).then(({ items }) => items),
      [],
    ),
    permitted(
      client.list(Event, { namespace: namespace ?? "default" }).then(({ items }) => items),
      [],
    ),
  ]);
  const targets = new Set([
    ...(binding?.spec.clusters ?? []).map((target) => target.name),
    ...(binding?.spec.requiredBy ?? []).flatMap(({ clusters: needed = [] }) => needed.map((target) => target.name)),
  ]);
  const looked = [...targets].filter((each) => given.cluster === undefined || each === given.cluster).sort();
  const works = (await worksOf(connection, binding, workName(kind.kind, name, namespace ?? ""))).filter(
    ({ metadata }) => given.cluster === undefined || metadata.namespace === executionNamespace(given.cluster),
  );
  const members = await Promise.all(
    looked.map(async (each): Promise<MemberFact> => {
      const cluster = clusters.find(({ metadata }) => metadata.name === each);
      if (cluster === undefined) return { cluster: each, error: "there is no such cluster" };
      const work = works.find(({ metadata }) => metadata.namespace === executionNamespace(each));
      const [manifest] = (work?.spec?.workload?.manifests ?? []) as unknown as readonly KubeObject[];
      try {
        const member = await openMember(connection, cluster);
        try {
          const object = await member.client.find(kind, { namespace, name: manifest?.metadata.name ?? name });
          if (object === undefined) return { cluster: each };
          const isWell = work?.status?.manifestStatuses?.some(({ health }) => health === "Healthy") === true;
          return { cluster: each, object, complaints: isWell ? [] : await complaintsOf(member.client, object) };
        } finally {
          await member.close();
        }
      } catch (error) {
        return { cluster: each, error: error instanceof Error ? error.message : String(error) };
      }
    }),
  );
  return {
    kind,
    namespace,
    name,
    nowMs: given.nowMs,
    template,
    policies: [...own, ...clusterWide] as readonly AnyPropagationPolicy[],
    overrides: [...clusterOverrides, ...overrides] as readonly AnyOverridePolicy[],
    binding,
    clusters,
    works,
    members,
    events: [
      ...events.filter(
        ({ involvedObject }) =>
          (involvedObject.kind === kind.kind && involvedObject.name === name) ||
          (involvedObject.kind?.endsWith("ResourceBinding") && involvedObject.name === at.name),
      ),
      ...(await eventsOf(connection, [...works, ...clusters.filter((one) => isUnwellTarget(one, looked))])),
    ].sort((a, b) => (timeOf(a) < timeOf(b) ? -1 : 1)),
  };
}

/** When an event was last seen, as it says. */
export const timeOf = ({ lastTimestamp, firstTimestamp, metadata }: Event): string =>
  lastTimestamp ?? firstTimestamp ?? metadata.creationTimestamp ?? "";

const isUnwellTarget = ({ metadata, status }: Cluster, targets: readonly string[]): boolean =>
  targets.includes(metadata.name ?? "") &&
  status?.conditions?.some((condition) => condition.type === "Ready" && condition.status === "True") !== true;

async function eventsOf({ client }: Connection, objects: readonly KubeObject[]): Promise<readonly Event[]> {
  const lists = await Promise.all(
    objects.map(({ kind, metadata: { namespace = "default", name } }) =>
      permitted(
        client
          .list(Event, { namespace, fieldSelector: `involvedObject.kind=${kind},involvedObject.name=${name}` })
          .then(({ items }) => items),
        [],
      ),
    ),
  );
  return lists.flat();
}

const COMPLAINTS_MAX = 5;

/** The last warnings of a member about an object and its pods, and why its pods wait. */
async function complaintsOf(client: Client, object: KubeObject): Promise<readonly string[]> {
  const { namespace, name = "" } = object.metadata;
  if (namespace === undefined) return [];
  try {
    const selector = getPath(object, "spec", "selector", "matchLabels") as Readonly<Record<string, string>> | undefined;
    const [events, pods] = await Promise.all([
      client.list(Event, { namespace, fieldSelector: "type=Warning" }),
      selector === undefined || Object.keys(selector).length === 0
        ? []
        : client
            .list(Pod, {
              namespace,
              labelSelector: Object.entries(selector)
                .map(([key, value]) => `${key}=${value}`)
                .join(","),
            })
            .then(({ items }) => items),
    ]);
    const names = new Set([name, ...pods.map(({ metadata }) => metadata.name)]);
    const warnings = events.items
      .filter(({ involvedObject }) => names.has(involvedObject.name))
      .sort((a, b) => (timeOf(a) < timeOf(b) ? 1 : -1))
      .map(
        ({ involvedObject, reason, message }) => `${involvedObject.kind} ${involvedObject.name}: ${reason}: ${message}`,
      );
    return [...new Set([...pods.flatMap(waitsFor), ...warnings])].slice(0, COMPLAINTS_MAX);
  } catch {
    // Only a courtesy: what a member does not let us read is left out.
    return [];
  }
}

interface Waiting {
  readonly name?: string;
  readonly state?: { readonly waiting?: { readonly reason?: string; readonly message?: string } };
}

function waitsFor(pod: Pod): readonly string[] {
  const {
    conditions = [],
    containerStatuses = [],
    initContainerStatuses = [],
  } = (pod.status ?? {}) as {
    readonly conditions?: readonly { type: string; status: string; reason?: string; message?: string }[];
    readonly containerStatuses?: readonly Waiting[];
    readonly initContainerStatuses?: readonly Waiting[];
  };
  const unscheduled = conditions.find(({ type, status }) => type === "PodScheduled" && status === "False");
  const reasons = [...initContainerStatuses, ...containerStatuses].flatMap(({ name, state }) =>
    state?.waiting?.reason === undefined
      ? []
      : [
          `container ${name} waits: ${state.waiting.reason}${state.waiting.message ? `: ${state.waiting.message}` : ""}`,
        ],
  );
  return [
    ...(unscheduled === undefined ? [] : [`${unscheduled.reason ?? "not scheduled"}: ${unscheduled.message ?? ""}`]),
    ...reasons,
  ].map((text) => `Pod ${pod.metadata.name}: ${text}`);
}

/** Works of a binding wherever they are, and those of the object's name, which outlive a binding that is gone. */
async function worksOf(
  { client }: Connection,
  binding: AnyBinding | undefined,
  named: string,
): Promise<readonly Work[]> {
  const label = `${binding?.kind === "ClusterResourceBinding" ? "clusterresourcebinding" : "resourcebinding"}.karmada.io/permanent-id`;
  const id = binding?.metadata.labels?.[label];
  const list = (selector: { readonly labelSelector?: string; readonly fieldSelector?: string }) =>
    permitted(
      client.list(Work, selector).then(({ items }) => items),
      [],
    );
  const found = await Promise.all([
    list({ fieldSelector: `metadata.name=${named}` }),
    id === undefined ? [] : list({ labelSelector: `${label}=${id}` }),
  ]);
  return [...new Map(found.flat().map((work) => [work.metadata.uid, work])).values()];
}
