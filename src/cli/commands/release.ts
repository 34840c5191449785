import { Cluster, executionNamespace, Work } from "#apis/karmada";
import type { Client } from "#client";
import { duration } from "#config";
import { kubeconfigFlags, openConnection } from "../connection.ts";
import { parseArguments, withHelp } from "../flags.ts";
import { systemClock } from "../process.ts";
import { formatTable } from "../table.ts";

/** What holds something back until a person lets it go on. */
interface Brake {
  readonly name: string;
  /** On a Cluster: the time until which what is held goes on. */
  readonly annotation: string;
  readonly headings: readonly string[];
  /** A row for each thing that is held; the first cell is the cluster. */
  held(client: Client, clusters: readonly Cluster[]): Promise<readonly (readonly string[])[]>;
}

const deletions: Brake = {
  name: "deletions",
  annotation: "execution.flotilla.io/release-deletions-until",
  headings: ["CLUSTER", "KIND", "NAMESPACE", "NAME"],
  async held(client, clusters) {
    const works = await Promise.all(
      clusters.map(({ metadata }) => client.list(Work, { namespace: executionNamespace(metadata.name ?? "") })),
    );
    return works
      .flatMap(({ items }) => items)
      .filter((work) =>
        work.status?.conditions?.some(({ type, status }) => type === "DeletionHeld" && status === "True"),
      )
      .map(({ metadata, spec }) => {
        const [manifest] = (spec?.workload?.manifests ?? []) as unknown as readonly {
          readonly kind: string;
          readonly metadata: { readonly namespace?: string; readonly name?: string };
        }[];
        const { kind = "", metadata: of = {} } = manifest ?? {};
        return [metadata.namespace?.replace(/^karmada-es-/, "") ?? "", kind, of.namespace ?? "", of.name ?? ""];
      });
  },
};

const evictions: Brake = {
  name: "evictions",
  annotation: "failover.flotilla.io/release-evictions-until",
  headings: ["CLUSTER", "SINCE", "WHY"],
  held: (_client, clusters) =>
    Promise.resolve(
      clusters.flatMap(({ metadata, status }) =>
        (status?.conditions ?? [])
          .filter(({ type, status: is }) => type === "EvictionHeld" && is === "True")
          .map(({ lastTransitionTime, message }) => [metadata.name ?? "", lastTransitionTime ?? "", message ?? ""]),
      ),
    ),
};

const brakes = [deletions, evictions];

/**
 * `flotilla release [deletions|evictions] [CLUSTER]`: lets what a brake holds in a cluster go on; without a cluster it lists
 * what is held, without a brake it is about all of them.
 */
export function run(words: readonly string[], program: string): Promise<number> {
  return withHelp(async () => {
    const parsed = parseArguments(
      words,
      [
        ...kubeconfigFlags,
        { name: "for", default: "10m", meaning: "how long it goes on" },
        { name: "dry-run", isSwitch: true, meaning: "only say what is held" },
      ],
      `${program} release [deletions|evictions] [CLUSTER]`,
    );
    const chosen = brakes.filter((brake) => brake.name === parsed.args[0]);
    const [name, ...more] = chosen.length > 0 ? parsed.args.slice(1) : parsed.args;
    if (more.length > 0) throw new Error("one cluster at a time");
    const { client, transport } = openConnection(parsed.get("kubeconfig"), parsed.get("karmada-context"));
    try {
      const clusters = name === undefined ? (await client.list(Cluster)).items : [await client.get(Cluster, { name })];
      for (const brake of chosen.length > 0 ? chosen : brakes) {
        const rows = await brake.held(client, clusters);
        process.stdout.write(rows.length === 0 ? `No ${brake.name} are held.\n` : formatTable(brake.headings, rows));
        if (name === undefined || parsed.isOn("dry-run")) continue;
        const until = new Date(systemClock.now() + duration.read(parsed.get("for") ?? "10m", "--for"));
        await client.patch(Cluster, { name }, "application/merge-patch+json", {
          metadata: { annotations: { [brake.annotation]: until.toISOString().replace(/\.\d+Z$/, "Z") } },
        });
        process.stdout.write(`cluster/${name}: ${brake.name} go on until ${until.toISOString()}\n`);
      }
      return 0;
    } finally {
      await transport.close();
    }
  });
}
