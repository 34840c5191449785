import { Namespace, Secret, ServiceAccount } from "#apis/kubernetes";
import { Cluster } from "#apis/karmada";
import { type Clock, sleep } from "#base";
import type { Client } from "#client";
import type { KubeObject, ResourceKind } from "#machinery";

interface Creation {
  readonly side: string;
  readonly client: Client;
  readonly kind: ResourceKind;
  readonly object: KubeObject;
}

/** What was made so far, in order. It grows with what one command makes, and no further. */
export interface Creations {
  /** A client whose creations count; `side` names its cluster to the user. */
  of(side: string, client: Client): Client;
  /**
   * Removes what was made, the last first, and nothing that was there before or has been made anew since. Gives a line for
   * each object, removed or not, and throws never.
   */
  undo(clock: Clock): Promise<readonly string[]>;
}

const CLUSTER_GONE_MS = 30_000;
const LOOK_MS = 200;

export function recordCreations(): Creations {
  const made: Creation[] = [];
  return {
    of: (side, client) => ({
      ...client,
      async create(kind, object, options) {
        const created = await client.create(kind, object, options);
        made.push({ side, client, kind: kind as unknown as ResourceKind, object: created });
        return created;
      },
    }),
    async undo(clock) {
      const lines: string[] = [];
      for (const creation of made.splice(0).reverse()) {
        const why = await removed(creation, clock).catch((error: unknown) =>
          error instanceof Error ? error.message : String(error),
        );
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

/** Why an object could not be removed; nothing where it is gone. */
async function removed({ client, kind, object }: Creation, clock: Clock): Promise<string | undefined> {
  const { namespace, name = "", uid = "" } = object.metadata;
  if (kind.kind === Namespace.kind && kind.group === Namespace.group) {
    const others = await livingIn(client, name);
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

/** Accounts and secrets in a namespace that Kubernetes did not put there. */
async function livingIn(client: Client, namespace: string): Promise<string[]> {
  const [accounts, secrets] = await Promise.all([
    client.list(ServiceAccount, { namespace }),
    client.list(Secret, { namespace }),
  ]);
  return [
    ...accounts.items
      .filter(({ metadata }) => metadata.name !== "default")
      .map(({ metadata }) => `serviceaccount ${metadata.name}`),
    ...secrets.items.map(({ metadata }) => `secret ${metadata.name}`),
  ];
}
