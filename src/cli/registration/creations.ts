import { Namespace } from "#apis/kubernetes";
import { Cluster } from "#apis/karmada";
import { type Clock, sleep } from "#base";
import type { Client } from "#client";
import { ApiError, type KubeObject, type ResourceKind } from "#machinery";
import { strangersIn } from "./strangers.ts";

interface Creation {
  readonly side: string;
  readonly client: Client;
  readonly kind: ResourceKind;
  /** As the server gave it, or as it was sent to one that never answered. */
  readonly object: KubeObject;
}

/** What was made so far, in order. It grows with what one command makes, and no further. */
export interface Creations {
  /** A client whose creations count; `side` names its cluster to the user. */
  of(side: string, client: Client): Client;
  /**
   * Removes what was made, the last first, and nothing that was there before or has been made anew since. What was asked for
   * without an answer is looked up, and removed where it is what was asked for. Gives a line for each object, removed or not,
   * and throws never.
   */
  undo(clock: Clock): Promise<readonly string[]>;
}

const CLUSTER_GONE_MS = 30_000;
const LOOK_MS = 200;

export function recordCreations(): Creations {
  const creations: Creation[] = [];
  return {
    of: (side, client) => ({
      ...client,
      async create(kind, object, options) {
        const made = (one: KubeObject) =>
          creations.push({ side, client, kind: kind as unknown as ResourceKind, object: one });
        try {
          const created = await client.create(kind, object, options);
          made(created);
          return created;
        } catch (error) {
          if (!isRefused(error)) made(object);
          throw error;
        }
      },
    }),
    async undo(clock) {
      const lines: string[] = [];
      for (const creation of creations.splice(0).reverse()) {
        const why = await undone(creation, clock).catch((error: unknown) =>
          error instanceof Error ? error.message : String(error),
        );
        if (why === NOT_THERE) continue;
        lines.push(why === undefined ? `removed ${described(creation)}` : `${described(creation)} stays: ${why}`);
      }
      return lines;
    },
  };
}

function described({ side, kind, object: { metadata } }: Creation): string {
  const place = metadata.namespace === undefined ? "" : ` in ${metadata.namespace}`;
  return `${kind.kind.toLowerCase()}/${metadata.name}${place} of the ${side}`;
}

/** Whether a server said that it did not do what it was asked: below 500 it did not, and else nobody knows. */
const isRefused = (error: unknown) => error instanceof ApiError && error.code < 500;

const NOT_THERE = Symbol();

/** Why an object could not be removed; nothing where it is gone, `NOT_THERE` where it never came to be. */
async function undone(creation: Creation, clock: Clock): Promise<string | typeof NOT_THERE | undefined> {
  const { client, kind, object } = creation;
  if (object.metadata.uid !== undefined) return removed(creation, clock);
  const { namespace, name = "" } = object.metadata;
  const present = await client.find(kind, { namespace, name });
  if (present === undefined) return NOT_THERE;
  if (!holds(present, object)) return "nobody answered when it was made, and what stands there is something else";
  return removed({ ...creation, object: present }, clock);
}

/** Whether a value has all that another one says; servers add to what they are sent. */
function holds(present: unknown, sent: unknown): boolean {
  if (typeof sent !== "object" || sent === null) return present === sent;
  if (typeof present !== "object" || present === null) return false;
  return Object.entries(sent).every(([key, value]) => holds((present as Record<string, unknown>)[key], value));
}

/** Why an object could not be removed; nothing where it is gone. */
async function removed({ client, kind, object }: Creation, clock: Clock): Promise<string | undefined> {
  const { namespace, name = "", uid = "" } = object.metadata;
  if (kind.kind === Namespace.kind && kind.group === Namespace.group) {
    const others = await strangersIn(client, name);
    if (others.length > 0) return `${others.join(", ")} live in it`;
  }
  await client.delete(kind, { namespace, name }, { preconditions: { uid } });
  if (kind.kind !== Cluster.kind || kind.group !== Cluster.group) return undefined;
  // The control plane clears up with the credentials that go next.
  const endMs = clock.monotonicMs() + CLUSTER_GONE_MS;
  while ((await client.find(Cluster, { name }))?.metadata.uid === uid) {
    if (clock.monotonicMs() > endMs) return "it is still being removed";
    await sleep(clock, LOOK_MS);
  }
  return undefined;
}
