import { ConfigMap, Deployment } from "#apis/kubernetes";
import { ClusterOverridePolicy, ClusterPropagationPolicy, OverridePolicy, PropagationPolicy } from "#apis/karmada";
import { type Random, seededRandom } from "#base";
import { type Client, retryOnConflict } from "#client";
import { apiVersionOf, isNotFound, type KubeObject, type ResourceKind } from "#machinery";
import type { VirtualFleet } from "#testing";

export const NAMESPACE = "default";
/** Kinds of templates, unless a profile says more. */
const TEMPLATE_KINDS = [ConfigMap, Deployment] as const;
const POLICY_KINDS = [PropagationPolicy, ClusterPropagationPolicy, OverridePolicy, ClusterOverridePolicy] as const;

/** An object of a member that is none of ours, as it must stay. */
export interface Foreign {
  readonly cluster: string;
  readonly kind: ResourceKind;
  readonly name: string;
  readonly uid: string;
  readonly text: string;
}

/** What a simulation acts on, and what it must remember to judge. */
export interface World {
  readonly fleet: VirtualFleet;
  readonly random: Random;
  readonly clusters: readonly string[];
  /** What happened, in words, for whoever looks into a failure. */
  readonly history: string[];
  readonly foreign: Foreign[];
  /** Copies somebody deleted in a member on purpose: their going is no fault. `cluster kind/name`. */
  readonly deletedInMembers: Set<string>;
  /** Copies somebody changed or deleted in a member on purpose, since a checker last asked. `cluster kind/name`. */
  readonly changedInMembers: Set<string>;
  /** Kinds templates may have. */
  readonly kinds: readonly ResourceKind[];
  /** How often somebody changed an object, by UID. */
  readonly edits: Map<string, number>;
  /** UIDs of templates somebody deleted. */
  readonly deletedTemplates: Set<string>;
  /** When somebody last took a definition out of a cluster, in virtual milliseconds. */
  readonly droppedMs: Map<string, number>;
  /** UIDs of copies that were let go and preserved: what they carried is the member's own from then on. */
  readonly preserved: Set<string>;
  pick<T>(items: readonly T[]): T;
  chance(share: number): boolean;
}

export function createWorld(
  fleet: VirtualFleet,
  seed: number,
  kinds: readonly ResourceKind[] = TEMPLATE_KINDS as unknown as readonly ResourceKind[],
): World {
  const random = seededRandom(seed);
  return {
    fleet,
    random,
    clusters: [...fleet.members.keys()].sort(),
    history: [],
    foreign: [],
    deletedInMembers: new Set(),
    changedInMembers: new Set(),
    kinds,
    edits: new Map(),
    deletedTemplates: new Set(),
    droppedMs: new Map(),
    preserved: new Set(),
    pick: (items) => items[random.below(items.length)] as (typeof items)[number],
    chance: (share) => random.next() < share,
  };
}

/** Something that may happen. New ones are added to the table of `sim/actions/index.ts`. */
export interface Action<W = World> {
  readonly name: string;
  /** How often it is chosen, beside the others. */
  readonly weight: number;
  /** Does it; gives what to write into the history, or `undefined` when there was nothing to do. */
  run(world: W): Promise<string | undefined>;
}

/** Something that must hold. New ones are added to the table of `sim/checkers/index.ts`. */
export interface Checker<W = World> {
  readonly name: string;
  /** Looks after every step; what it returns is passed to it the next time. Throws what is wrong. */
  readonly watch?: (world: W, before: unknown) => Promise<unknown>;
  /** Throws what does not hold yet; asked until time is up, when everything that was broken works again. */
  readonly settled?: (world: W) => Promise<void>;
}

export type Policy = KubeObject & { readonly spec: Readonly<Record<string, unknown>> };

/** Every policy there is, by kind. */
export async function policiesOf(world: World, kind: (typeof POLICY_KINDS)[number]): Promise<readonly Policy[]> {
  const { items } = await world.fleet.plane.list(kind as ResourceKind);
  return items.filter(({ metadata }) => metadata.deletionTimestamp === undefined) as unknown as readonly Policy[];
}

/** Every template there is: objects the simulation made. */
export async function templatesOf(world: World): Promise<readonly KubeObject[]> {
  return (await objectsOf(world, world.fleet.plane)).filter(
    ({ metadata }) => metadata.labels?.["sim"] === "template" && metadata.deletionTimestamp === undefined,
  );
}

/** Every object of the kinds templates may have, in the control plane or a member; none of a kind that is not there. */
export async function objectsOf({ kinds }: World, client: Client): Promise<readonly KubeObject[]> {
  const lists = await Promise.all(
    kinds.map(async (kind) => {
      try {
        const { items } = await client.list(kind, { namespace: NAMESPACE });
        return items.map((item) => ({ ...item, apiVersion: apiVersionOf(kind), kind: kind.kind }));
      } catch (error) {
        if (isNotFound(error)) return [];
        throw error;
      }
    }),
  );
  return lists.flat();
}

export const isManaged = ({ metadata }: KubeObject): boolean => metadata.labels?.["karmada.io/managed"] === "true";

export function kindOf({ kinds }: World, { kind }: Pick<KubeObject, "kind">): ResourceKind {
  const found = kinds.find((each) => each.kind === kind);
  if (found === undefined) throw new Error(`${kind} is no kind of template`);
  return found;
}

/** Writes what `edit` makes of an object that is there; false when it is gone. */
export async function change(
  world: World,
  kind: ResourceKind,
  name: string,
  edit: (object: KubeObject) => KubeObject,
): Promise<boolean> {
  const at = { namespace: kind.namespaced ? NAMESPACE : undefined, name };
  return retryOnConflict(async () => {
    const present = await world.fleet.plane.find(kind, at);
    if (present === undefined || present.metadata.deletionTimestamp !== undefined) return false;
    await world.fleet.plane.update(kind, edit(present));
    const { uid = "" } = present.metadata;
    world.edits.set(uid, (world.edits.get(uid) ?? 0) + 1);
    return true;
  });
}
