import { Secret } from "#apis/kubernetes";
import { Cluster, CLUSTER_NAMESPACE } from "#apis/karmada";
import { type ControllerContext, done, type Request, requeueAfter, type Result } from "#controller-runtime";
import type { ResourceKind } from "#machinery";
import { joinMember, memberId, ownCredentials, refuseRegistered } from "#member";
import type { ClusterApiDeps } from "./context.ts";
import {
  type Departure,
  type Facts,
  isMarked,
  MANAGEMENT,
  OBJECT,
  OBJECT_UID,
  type Plan,
  planClusterApi,
  planLeave,
  type ProvisionedCluster,
} from "./plan.ts";

/** What this process knows and objects do not say; bounded by the objects of the management cluster. */
export interface Memory {
  readonly departed: Map<string, Departure>;
  /** By key: the uids of object and Cluster that need no more looks. */
  readonly settled: Map<string, string>;
  /** By key: what was said last, so that it is said once. */
  readonly told: Map<string, string>;
}

type Context = ControllerContext<ClusterApiDeps, Record<string, never>>;

/** A removal is looked after until the Cluster is gone. */
const REMOVED_LOOK_MS = 1_000;

export const reconcileIn =
  (kind: ResourceKind<ProvisionedCluster>, memory: Memory) =>
  async ({ key, name }: Request, context: Context): Promise<Result> => {
    const { deps, clock, log } = context;
    const facts: Facts = {
      management: deps.management,
      key,
      object: context.cache(kind).get(key),
      cluster: await deps.plane.find(Cluster, { name }),
      departure: memory.departed.get(key),
      nowMs: clock.now(),
    };
    const tell = (what: string) => {
      if (memory.told.get(key) !== what) log.warn(what, { object: key });
      memory.told.set(key, what);
    };
    const act = async (plan: Plan): Promise<Result> => {
      switch (plan.kind) {
        case "nothing":
          if (facts.object === undefined) for (const known of Object.values(memory)) known.delete(key);
          return done;
        case "tell":
          tell(plan.what);
          return done;
        case "look-again":
          return requeueAfter(plan.afterMs);
        case "remove":
          log.info("unjoining a cluster", { cluster: name, object: key, why: plan.why });
          await deps.plane.delete(Cluster, { name });
          return requeueAfter(REMOVED_LOOK_MS);
        default: {
          const pair = [facts.object?.metadata.uid, facts.cluster?.metadata.uid].join(" ");
          if (memory.settled.get(key) === pair) return done;
          const next = await ensureJoined(facts, context);
          if (next !== undefined) return act(next);
          if (facts.cluster !== undefined) memory.settled.set(key, pair);
          memory.told.delete(key);
          return done;
        }
      }
    };
    try {
      return await act(planClusterApi(facts));
    } catch (error) {
      tell(error instanceof Error ? error.message : String(error));
      throw error;
    }
  };

/** Joins the member of an object, unless it is registered; gives what to do where another member has its name. */
async function ensureJoined(facts: Facts, { client, clock, deps, log }: Context): Promise<Plan | undefined> {
  const { key, object, cluster } = facts;
  const { namespace = "", name = "", uid = "" } = object?.metadata ?? {};
  const marks = cluster?.metadata.annotations ?? {};
  if (cluster !== undefined && isMarked(cluster, facts) && marks[OBJECT_UID] === uid) {
    // What was cut short after the Cluster was made is made good.
    await ownCredentials(deps.plane, cluster, CLUSTER_NAMESPACE);
    return undefined;
  }
  const secretName = `${name}-kubeconfig`;
  const secret = await client.find(Secret, { namespace, name: secretName });
  const text = Buffer.from(secret?.data?.["value"] ?? "", "base64").toString("utf8");
  if (text === "") throw new Error(`the Cluster API cluster ${key} has no kubeconfig: Secret ${secretName}, key value`);
  const annotations = { [MANAGEMENT]: deps.management, [OBJECT]: key, [OBJECT_UID]: uid };
  const member = deps.open(text);
  try {
    const id = await memberId(member.client);
    if (cluster !== undefined && cluster.spec?.id === id) {
      // The object was made anew, or moved here from another management cluster. Who was joined by hand stays so.
      if (marks[MANAGEMENT] !== undefined)
        await deps.plane.patch(Cluster, { name }, "application/merge-patch+json", { metadata: { annotations } });
      return undefined;
    }
    if (cluster !== undefined && isMarked(cluster, facts)) return planLeave(cluster, facts);
    refuseRegistered((await deps.plane.list(Cluster)).items, name, id);
    const place = { cluster: name, namespace: CLUSTER_NAMESPACE };
    await joinMember(deps.plane, place, member, { annotations, spec: { id } }, clock);
    log.info("joined a cluster of Cluster API", { cluster: name, object: key });
    return undefined;
  } finally {
    await member.close();
  }
}
