import { plainRequest } from "#admission";
import {
  ClusterOverridePolicy,
  ClusterPropagationPolicy,
  CLUSTER_PROPAGATION_POLICY_ID,
  Cluster,
  ClusterTaintPolicy,
  FederatedResourceQuota,
  kindDefinitions,
  OverridePolicy,
  PROPAGATION_POLICY_ID,
  PropagationPolicy,
  ResourceInterpreterCustomization,
} from "#apis/karmada";
import { admit, type AdmissionPlugin } from "#apiserver";
import { type Clock, deepEqual, type Logger, type Random } from "#base";
import {
  cacheIndex,
  createManager,
  type ControllerContext,
  defineController,
  done,
  type Request,
  type Result,
} from "#controller-runtime";
import {
  ApiError,
  parseTime,
  type KubeObject,
  type ResourceAddress,
  type ResourceKind,
  type Transport,
} from "#machinery";

/** The label admission gives to policies; by it bindings and templates know whose they are. */
const IDS = new Map([
  [PropagationPolicy.resource, PROPAGATION_POLICY_ID],
  [ClusterPropagationPolicy.resource, CLUSTER_PROPAGATION_POLICY_ID],
]);
const POLICIES: readonly ResourceKind[] = [PropagationPolicy, ClusterPropagationPolicy];
const OF_USERS: readonly ResourceKind[] = [
  ...POLICIES,
  OverridePolicy,
  ClusterOverridePolicy,
  Cluster,
  ClusterTaintPolicy,
  FederatedResourceQuota,
  ResourceInterpreterCustomization,
];
const OURS = new Map(
  kindDefinitions.flatMap(({ group, names: { kind, plural }, scope }) =>
    plural === null
      ? []
      : [[`${group}/${plural}`, { group, kind, resource: plural, namespaced: scope === "Namespaced" }] as const],
  ),
);

/** Whether a policy still waits for its id. Users' policies are worked on from then on. */
const isWaiting = ({ resource }: Pick<ResourceAddress, "resource">, { metadata }: KubeObject): boolean => {
  const id = IDS.get(resource);
  return id !== undefined && metadata.labels?.[id] === undefined;
};

/**
 * Where the API server asks nobody: what controllers write passes admission here, on its way, and policies are seen once they
 * have passed `admitLate`.
 */
export function withOwnAdmission(transport: Transport, plugins: readonly AdmissionPlugin[], log: Logger): Transport {
  const warn = (message: string) => log.warn("admission", { message });
  return {
    ...transport,
    async send(request) {
      const kind = OURS.get(`${request.group}/${request.resource}`);
      if (
        kind === undefined ||
        request.subresource !== undefined ||
        (request.verb !== "create" && request.verb !== "update")
      )
        return transport.send(request);
      const operation = request.verb === "create" ? "CREATE" : "UPDATE";
      const asked = plainRequest({ ...kind, version: request.version }, operation, request.body, warn);
      const body = await admit(plugins, asked, (object) => object);
      return transport.send(body === undefined ? request : { ...request, body });
    },
    async list(request) {
      const found = await transport.list(request);
      if (!IDS.has(request.resource)) return found;
      return { ...found, items: found.items.filter((object) => !isWaiting(request, object)) };
    },
    watch: (request, sink) =>
      IDS.has(request.resource)
        ? transport.watch(request, {
            event: (type, object) => {
              if (type === "BOOKMARK" || type === "DELETED" || !isWaiting(request, object)) sink.event(type, object);
            },
            closed: (error) => sink.closed(error),
          })
        : transport.watch(request, sink),
    raw: (request) => transport.raw(request),
  };
}

interface Deps {
  readonly plugins: readonly AdmissionPlugin[];
}

/** What users write passes admission after it was written: it is filled in, and what would have been refused is told. */
const lateAdmission = defineController<Deps, Record<string, never>>({
  name: "late-admission",
  reconciles: OF_USERS,
  when: ({ type }) => type !== "deleted",
  writes: OF_USERS.map((kind) => ({ kind, verbs: ["update"] })),
  indexes: POLICIES.map((kind) =>
    cacheIndex<KubeObject>(kind, "id", ({ metadata }) => [metadata.labels?.[IDS.get(kind.resource) ?? ""] ?? ""]),
  ),
  options: {},
  concurrency: () => 1,
  reconcile,
});

async function reconcile(request: Request, context: ControllerContext<Deps, Record<string, never>>): Promise<Result> {
  const { kind } = request;
  const object = context.cache(kind).get(request.key);
  if (object === undefined || object.metadata.deletionTimestamp !== undefined) return done;
  const id = IDS.get(kind.resource);
  const isNew =
    id === undefined
      ? object.metadata.generation === 1
      : needsId(object, id, (value) => context.cache(kind).byIndex("id", value));
  const asked = plainRequest(kind, isNew ? "CREATE" : "UPDATE", object, () => undefined);
  let admitted: KubeObject = object;
  for (const plugin of context.deps.plugins)
    if (plugin.mutate !== undefined && plugin.handles(asked))
      admitted = await plugin.mutate({ ...asked, object: admitted });
  if (!deepEqual(admitted, object)) {
    await context.client.update(kind, admitted);
    return done;
  }
  try {
    for (const plugin of context.deps.plugins) if (plugin.handles(asked)) await plugin.validate?.(asked);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    context.events.from("flotilla").warning(object, "Inadmissible", error.message);
    context.log.warn("an object would have been refused", {
      kind: kind.kind,
      object: request.key,
      error: error.message,
    });
  }
  return done;
}

/** Whether a policy has no id, or that of an older one it was copied from. */
function needsId({ metadata }: KubeObject, label: string, holders: (id: string) => readonly KubeObject[]): boolean {
  const id = metadata.labels?.[label];
  if (id === undefined) return true;
  const age = (policy: KubeObject) => parseTime(policy.metadata.creationTimestamp) ?? 0;
  // Of the same second, whoever was seen with it first; sorting keeps that order.
  const [first] = [...holders(id)].sort((a, b) => age(a) - age(b));
  return first !== undefined && first.metadata.uid !== metadata.uid;
}

/** Starts the controller. */
export async function admitLate(options: {
  readonly transport: Transport;
  readonly plugins: readonly AdmissionPlugin[];
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}): Promise<{ stop(): Promise<void> }> {
  const { plugins, ...parts } = options;
  const manager = createManager({ ...parts, component: "flotilla" });
  manager.add(lateAdmission, { deps: { plugins } });
  await manager.start();
  return { stop: () => manager.stop() };
}
