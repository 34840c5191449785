import { Cluster } from "#apis/karmada";
import type { DiscoveredResource } from "#client";
import { pruneManifest } from "#interpreter";
import type { KubeObject } from "#machinery";
import type { Connection } from "../connection.ts";
import { openMember } from "../members.ts";
import { differences, readable } from "./plan.ts";

/** One member's object beside the reference's. */
export interface Comparison {
  readonly cluster: string;
  readonly object?: KubeObject;
  readonly error?: string;
}

/** The live objects of a name in every member, or in those that are named; one that cannot be looked at says why. */
export async function lookAcross(
  connection: Connection,
  kind: DiscoveredResource,
  at: { readonly namespace: string | undefined; readonly name: string },
): Promise<readonly Comparison[]> {
  const { items } = await connection.client.list(Cluster);
  const clusters = [...items].sort((a, b) => ((a.metadata.name ?? "") < (b.metadata.name ?? "") ? -1 : 1));
  return Promise.all(
    clusters.map(async (cluster): Promise<Comparison> => {
      const name = cluster.metadata.name ?? "";
      try {
        const member = await openMember(connection, cluster);
        try {
          const object = await member.client.find(kind, at);
          return { cluster: name, ...(object === undefined ? {} : { object }) };
        } finally {
          await member.close();
        }
      } catch (error) {
        return { cluster: name, error: error instanceof Error ? error.message : String(error) };
      }
    }),
  );
}

/** What users say of an object: without status, marks of ours and what each member fills in by itself. */
const content = (object: KubeObject): KubeObject => readable(pruneManifest(object));

export interface Across {
  /** The member the others are compared with. */
  readonly reference: string;
  readonly others: readonly {
    readonly cluster: string;
    readonly state: "equal" | "different" | "absent" | "unknown";
    readonly patch?: ReturnType<typeof differences>;
    readonly live?: KubeObject;
    readonly message?: string;
  }[];
}

/** Compares members with one of them: the one that is named, or the first that has the object. */
export function compareAcross(found: readonly Comparison[], named: string | undefined): Across {
  const reference = found.find(({ cluster, object }) =>
    named === undefined ? object !== undefined : cluster === named,
  );
  if (reference === undefined)
    throw new Error(named === undefined ? "no member has the object" : `there is no cluster ${JSON.stringify(named)}`);
  const { object } = reference;
  if (object === undefined)
    throw new Error(`cluster ${reference.cluster}: ${reference.error ?? "it does not have the object"}`);
  const wanted = content(object);
  return {
    reference: reference.cluster,
    others: found
      .filter(({ cluster }) => cluster !== reference.cluster)
      .map(({ cluster, object: other, error }) => {
        if (error !== undefined) return { cluster, state: "unknown", message: error };
        if (other === undefined) return { cluster, state: "absent" };
        const live = content(other);
        // Whatever the other has beside it is a difference too: it stands in for the last manifest.
        const patch = differences(live, wanted, live);
        return patch.length === 0 ? { cluster, state: "equal" } : { cluster, state: "different", patch, live };
      }),
  };
}
