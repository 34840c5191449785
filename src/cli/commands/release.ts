import { Cluster, executionNamespace, Work } from "#apis/karmada";
import { duration } from "#config";
import { kubeconfigFlags, openConnection } from "../connection.ts";
import { parseArguments, withHelp } from "../flags.ts";
import { systemClock } from "../process.ts";
import { formatTable } from "../table.ts";

/** On a Cluster: the time until which deletions beyond the brake's share go on. */
const RELEASE_DELETIONS = "execution.flotilla.io/release-deletions-until";

/** `flotilla release CLUSTER`: lets deletions that the mass-deletion brake holds go on; without a cluster lists them. */
export function run(words: readonly string[], program: string): Promise<number> {
  return withHelp(async () => {
    const parsed = parseArguments(
      words,
      [
        ...kubeconfigFlags,
        { name: "for", default: "10m", meaning: "how long deletions go on" },
        { name: "dry-run", isSwitch: true, meaning: "only say what is held" },
      ],
      `${program} release [CLUSTER]`,
    );
    const [name, ...more] = parsed.args;
    if (more.length > 0) throw new Error("one cluster at a time");
    const { client, transport } = openConnection(parsed.get("kubeconfig"), parsed.get("karmada-context"));
    try {
      const clusters = name === undefined ? (await client.list(Cluster)).items : [await client.get(Cluster, { name })];
      const held = (
        await Promise.all(
          clusters.map(async ({ metadata }) => {
            const { items } = await client.list(Work, { namespace: executionNamespace(metadata.name ?? "") });
            return items.filter((work) =>
              work.status?.conditions?.some(({ type, status }) => type === "DeletionHeld" && status === "True"),
            );
          }),
        )
      ).flat();
      const rows = held.map(({ metadata, spec }) => {
        const [manifest] = (spec?.workload?.manifests ?? []) as unknown as readonly {
          readonly kind: string;
          readonly metadata: { readonly namespace?: string; readonly name?: string };
        }[];
        const { kind = "", metadata: of = {} } = manifest ?? {};
        return [metadata.namespace?.replace(/^karmada-es-/, "") ?? "", kind, of.namespace ?? "", of.name ?? ""];
      });
      process.stdout.write(
        rows.length === 0 ? "No deletions are held.\n" : formatTable(["CLUSTER", "KIND", "NAMESPACE", "NAME"], rows),
      );
      if (name === undefined || parsed.isOn("dry-run")) return 0;
      const until = new Date(systemClock.now() + duration.read(parsed.get("for") ?? "10m", "--for"));
      await client.patch(Cluster, { name }, "application/merge-patch+json", {
        metadata: { annotations: { [RELEASE_DELETIONS]: until.toISOString().replace(/\.\d+Z$/, "Z") } },
      });
      process.stdout.write(`cluster/${name}: deletions go on until ${until.toISOString()}\n`);
      return 0;
    } finally {
      await transport.close();
    }
  });
}
