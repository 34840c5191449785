import { Cluster, clusterOfExecutionNamespace, executionNamespace, KEPT, Work } from "#apis/karmada";
import type { Client } from "#client";
import { duration } from "#config";
import { parseTime } from "#machinery";
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

/** Works of clusters that `isMeant` means, with what they carry. */
async function worksOf(client: Client, clusters: readonly Cluster[], isMeant: (work: Work) => boolean) {
  const lists = await Promise.all(
    clusters.map(({ metadata }) => client.list(Work, { namespace: executionNamespace(metadata.name ?? "") })),
  );
  return lists.flatMap(({ items }) => items).filter(isMeant);
}

function rowOf({ metadata, spec }: Work): readonly string[] {
  const [manifest] = (spec?.workload?.manifests ?? []) as unknown as readonly {
    readonly kind: string;
    readonly metadata: { readonly namespace?: string; readonly name?: string };
  }[];
  const { kind = "", metadata: of = {} } = manifest ?? {};
  return [clusterOfExecutionNamespace(metadata.namespace) ?? "", kind, of.namespace ?? "", of.name ?? ""];
}

const isKept = ({ metadata }: Work) =>
  metadata.annotations?.[KEPT] !== undefined && metadata.deletionTimestamp === undefined;

const deletions: Brake = {
  name: "deletions",
  annotation: "execution.flotilla.io/release-deletions-until",
  headings: ["CLUSTER", "KIND", "NAMESPACE", "NAME"],
  async held(client, clusters) {
    const isHeld = ({ status }: Work) =>
      status?.conditions?.some(({ type, status: is }) => type === "DeletionHeld" && is === "True") ?? false;
    return (await worksOf(client, clusters, isHeld)).map(rowOf);
  },
};

const EVICTIONS = "failover.flotilla.io/release-evictions-until";

/** What is said of a cluster that was let go already: its condition follows within moments. */
const releasedUntil = (until: string | undefined) =>
  (parseTime(until) ?? 0) > systemClock.now() ? `released until ${until}` : undefined;

const evictions: Brake = {
  name: "evictions",
  annotation: EVICTIONS,
  headings: ["CLUSTER", "SINCE", "WHY"],
  held: (_client, clusters) =>
    Promise.resolve(
      clusters.flatMap(({ metadata, status }) =>
        (status?.conditions ?? [])
          .filter(({ type, status: is }) => type === "EvictionHeld" && is === "True")
          .map(({ lastTransitionTime, message }) => [
            metadata.name ?? "",
            lastTransitionTime ?? "",
            releasedUntil(metadata.annotations?.[EVICTIONS]) ?? message ?? "",
          ]),
      ),
    ),
};

const brakes = [deletions, evictions];

/** Copies whose kind vanished from the control plane: withdraws them where a cluster is named, otherwise lists them. */
async function releaseKept(client: Client, clusters: readonly Cluster[], isWithdrawn: boolean): Promise<void> {
  const works = await worksOf(client, clusters, isKept);
  process.stdout.write(
    works.length === 0
      ? "No copies are kept.\n"
      : formatTable(["CLUSTER", "KIND", "NAMESPACE", "NAME"], works.map(rowOf)),
  );
  if (!isWithdrawn) return;
  for (const { metadata } of works)
    await client.delete(Work, { namespace: metadata.namespace, name: metadata.name ?? "" });
  process.stdout.write(`${works.length} kept copies are withdrawn.\n`);
}

/**
 * `flotilla release [deletions|evictions|kept] [CLUSTER]`: lets what a brake holds in a cluster go on, or withdraws copies
 * that were kept because their kind vanished; without a cluster it lists, without a word it is about the brakes.
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
      `${program} release [deletions|evictions|kept] [CLUSTER]`,
    );
    const chosen = brakes.filter((brake) => brake.name === parsed.args[0]);
    const isAboutKept = parsed.args[0] === "kept";
    const [name, ...more] = chosen.length > 0 || isAboutKept ? parsed.args.slice(1) : parsed.args;
    if (more.length > 0) throw new Error("one cluster at a time");
    const { client, transport } = openConnection(parsed.get("kubeconfig"), parsed.get("karmada-context"));
    try {
      const clusters = name === undefined ? (await client.list(Cluster)).items : [await client.get(Cluster, { name })];
      if (isAboutKept) {
        await releaseKept(client, clusters, name !== undefined && !parsed.isOn("dry-run"));
        return 0;
      }
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
