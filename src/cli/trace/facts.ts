import { Event } from "#apis/kubernetes";
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
} from "#apis/karmada";
import type { DiscoveredResource } from "#client";
import { isForbidden, type KubeObject } from "#machinery";
import type { Connection } from "../connection.ts";
import { openMember } from "../members.ts";

/** A member's copy, or why it could not be looked at. */
export interface MemberFact {
  readonly cluster: string;
  readonly object?: KubeObject;
  readonly error?: string;
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
  const works = binding === undefined ? [] : await worksOf(connection, binding, looked);
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
          return { cluster: each, ...(object === undefined ? {} : { object }) };
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
    events: events.filter(
      ({ involvedObject }) =>
        (involvedObject.kind === kind.kind && involvedObject.name === name) ||
        (involvedObject.kind?.endsWith("ResourceBinding") && involvedObject.name === at.name),
    ),
  };
}

async function worksOf(
  { client }: Connection,
  binding: AnyBinding,
  clusters: readonly string[],
): Promise<readonly Work[]> {
  const key = binding.kind === "ClusterResourceBinding" ? "clusterresourcebinding" : "resourcebinding";
  const label = `${key}.karmada.io/permanent-id`;
  const id = binding.metadata.labels?.[label] ?? "";
  const lists = await Promise.all(
    clusters.map((cluster) =>
      permitted(
        client
          .list(Work, { namespace: executionNamespace(cluster), labelSelector: `${label}=${id}` })
          .then(({ items }) => items),
        [],
      ),
    ),
  );
  return lists.flat();
}
