import { Cluster } from "#apis/karmada";
import { durationText } from "#apiserver";
import { parseTime } from "#machinery";
import { kubeconfigFlags, openConnection } from "../connection.ts";
import { parseArguments, withHelp } from "../flags.ts";
import { formatTable } from "../table.ts";

/** `flotilla get clusters` */
export function run(words: readonly string[], program: string): Promise<number> {
  return withHelp(async () => {
    const parsed = parseArguments(words, kubeconfigFlags, `${program} get clusters`);
    const { client, transport } = openConnection(parsed.get("kubeconfig"), parsed.get("karmada-context"));
    try {
      const { items } = await client.list(Cluster);
      process.stdout.write(items.length === 0 ? "No resources found\n" : clusterTable(items, Date.now()));
      return 0;
    } finally {
      await transport.close();
    }
  });
}

export function clusterTable(clusters: readonly Cluster[], nowMs: number): string {
  const rows = clusters.map(({ metadata, spec, status }) => {
    const ready = status?.conditions?.find(({ type }) => type === "Ready")?.status ?? "Unknown";
    const age = durationText(nowMs - (parseTime(metadata.creationTimestamp) ?? nowMs));
    return [metadata.name ?? "", status?.kubernetesVersion ?? "", spec?.syncMode ?? "", ready, age];
  });
  return formatTable(["NAME", "VERSION", "MODE", "READY", "AGE"], rows);
}
