import { ConfigMap, Deployment } from "#apis/kubernetes";
import { ClusterOverridePolicy, ClusterPropagationPolicy, OverridePolicy, PropagationPolicy } from "#apis/karmada";
import { type Random, seededRandom } from "#base";
import { retryOnConflict } from "#client";
import type { KubeObject, ResourceKind } from "#machinery";
import type { VirtualFleet } from "#testing";

export const NAMESPACE = "default";
export const TEMPLATE_KINDS = [ConfigMap, Deployment] as const;
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
  pick<T>(items: readonly T[]): T;
  chance(share: number): boolean;
}

export function createWorld(fleet: VirtualFleet, seed: number): World {
  const random = seededRandom(seed);
  return {
    fleet,
    random,
    clusters: [...fleet.members.keys()].sort(),
    history: [],
    foreign: [],
    deletedInMembers: new Set(),
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

/** Every template there is: ConfigMaps and Deployments the simulation made. */
export async function templatesOf(world: World): Promise<readonly KubeObject[]> {
  const lists = await Promise.all(
    TEMPLATE_KINDS.map((kind) => world.fleet.plane.list(kind as ResourceKind, { namespace: NAMESPACE })),
  );
  return lists
    .flatMap(({ items }) => items)
    .filter(({ metadata }) => metadata.labels?.["sim"] === "template" && metadata.deletionTimestamp === undefined);
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
    return true;
  });
}
