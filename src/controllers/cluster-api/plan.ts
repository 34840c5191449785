import type { Cluster } from "#apis/karmada";
import { DNS_LABEL, type KubeObject, parseTime } from "#machinery";

/** A Cluster of Cluster API, as far as it matters here. */
export interface ProvisionedCluster extends KubeObject {
  readonly spec?: { readonly paused?: boolean };
  readonly status?: { readonly phase?: string };
}

/** The management cluster a member was joined from, and the object there: annotations of its Cluster. */
export const MANAGEMENT = "cluster-api.flotilla.io/management";
export const OBJECT = "cluster-api.flotilla.io/object";
export const OBJECT_UID = "cluster-api.flotilla.io/uid";

/** On an object, `false` keeps its cluster out. */
export const JOIN = "cluster-api.flotilla.io/join";

/** What `clusterctl move` writes on objects it is about to delete because they live elsewhere now. */
const DELETE_FOR_MOVE = "clusterctl.cluster.x-k8s.io/delete-for-move";
/** How long a Cluster may take to go before somebody is told (`failover.md` §17). */
const GONE_MS = 60_000;
const LOOK_MS = 5_000;
const NAME_LENGTH_MAX = 48;

/** How an object went that this process had seen. */
export type Departure = "removed" | "moved";

/** An object that is moved to another management cluster is paused first; its cluster lives on. */
export const departureOf = ({ metadata, spec }: ProvisionedCluster): Departure =>
  spec?.paused === true || metadata.annotations?.[DELETE_FOR_MOVE] !== undefined ? "moved" : "removed";

export interface Facts {
  /** Which management cluster this is. */
  readonly management: string;
  /** `namespace/name` of the object. */
  readonly key: string;
  readonly object: ProvisionedCluster | undefined;
  /** The Cluster of that name in the control plane. */
  readonly cluster: Cluster | undefined;
  /** Known where the object went before the eyes of this process. */
  readonly departure: Departure | undefined;
  readonly nowMs: number;
}

export type Plan =
  | { readonly kind: "nothing" }
  | { readonly kind: "join" }
  /** A Cluster of that name is there: whether it is the same member, only the member can tell. */
  | { readonly kind: "compare" }
  /** Joined by us: its credentials must go with it. */
  | { readonly kind: "joined" }
  | { readonly kind: "remove"; readonly why: string }
  /** Told once; something has to change before there is more to do. */
  | { readonly kind: "tell"; readonly what: string }
  | { readonly kind: "look-again"; readonly afterMs: number };

const NOTHING: Plan = { kind: "nothing" };

const isReady = ({ status }: Cluster) =>
  status?.conditions?.some((condition) => condition.type === "Ready" && condition.status === "True") === true;

/** Whether a Cluster was joined from the object, or from one of that name before it. */
export function isMarked({ metadata }: Cluster, { management, key }: Pick<Facts, "management" | "key">): boolean {
  return metadata.annotations?.[MANAGEMENT] === management && metadata.annotations[OBJECT] === key;
}

/** What an object of the management cluster, or its absence, asks for. */
export function planClusterApi(facts: Facts): Plan {
  const { object, cluster } = facts;
  if (object === undefined || object.metadata.deletionTimestamp !== undefined)
    return object === undefined && cluster !== undefined && isMarked(cluster, facts)
      ? planLeave(cluster, facts)
      : NOTHING;
  if (object.status?.phase !== "Provisioned" || object.metadata.annotations?.[JOIN] === "false") return NOTHING;
  const name = object.metadata.name ?? "";
  if (name.length > NAME_LENGTH_MAX || !DNS_LABEL.test(name))
    return {
      kind: "tell",
      what: `invalid cluster name(${name}): a lowercase RFC 1123 label of no more than ${NAME_LENGTH_MAX} characters is required`,
    };
  if (cluster === undefined) return { kind: "join" };
  if (cluster.metadata.deletionTimestamp !== undefined) return { kind: "look-again", afterMs: LOOK_MS };
  const { [MANAGEMENT]: management, [OBJECT]: key, [OBJECT_UID]: uid } = cluster.metadata.annotations ?? {};
  if (management !== facts.management) return { kind: "compare" };
  if (key !== facts.key)
    return { kind: "tell", what: `the cluster name ${name} is taken by the Cluster API object ${key}` };
  return { kind: uid === object.metadata.uid ? "joined" : "compare" };
}

/**
 * The object of a Cluster is gone. Where nobody saw it go (this process was down, or the management cluster lost its data),
 * a member that still answers is kept: unjoining it would take its workloads along.
 */
export function planLeave(cluster: Cluster, { departure, nowMs }: Pick<Facts, "departure" | "nowMs">): Plan {
  const { name, deletionTimestamp } = cluster.metadata;
  if (deletionTimestamp !== undefined)
    return nowMs - (parseTime(deletionTimestamp) ?? nowMs) < GONE_MS
      ? { kind: "look-again", afterMs: LOOK_MS }
      : { kind: "tell", what: `the cluster ${name} is still being removed` };
  if (departure === "removed") return { kind: "remove", why: "its Cluster API object was deleted" };
  if (departure === "moved")
    return {
      kind: "tell",
      what: `the Cluster API object of ${name} moved elsewhere: the cluster stays, unjoin it by hand`,
    };
  return isReady(cluster)
    ? {
        kind: "tell",
        what: `the Cluster API object of ${name} is gone, but the cluster is Ready: it stays until it is not, or is unjoined by hand`,
      }
    : { kind: "remove", why: "its Cluster API object is gone and it does not answer" };
}
