import type { Cluster } from "#apis/karmada";
import type { Metrics } from "#base";
import { quantityMilliValue, quantityValue } from "#machinery";

type Amounts = Readonly<Record<string, string>> | undefined;

const LABELS = ["member_cluster"];

/** Gauges of a cluster by upstream's names (wire), with how each is read from the status. */
const GAUGES: readonly { readonly name: string; readonly help: string; readonly read: (cluster: Cluster) => number }[] =
  [
    {
      name: "cluster_ready_state",
      help: "State of the cluster (1 if ready, 0 otherwise)",
      read: ({ status }) =>
        status?.conditions?.some(({ type, status: is }) => type === "Ready" && is === "True") ? 1 : 0,
    },
    { name: "cluster_node_number", help: "Number of nodes in the cluster", read: nodes("totalNum") },
    { name: "cluster_ready_node_number", help: "Number of ready nodes in the cluster", read: nodes("readyNum") },
    ...(["allocatable", "allocated"] as const).flatMap((which) => [
      {
        name: `cluster_memory_${which}_bytes`,
        help: `${which} cluster memory in bytes`,
        read: amount(which, (amounts) => quantityValue(amounts?.["memory"])),
      },
      {
        name: `cluster_cpu_${which}_number`,
        help: `Number of ${which} CPU in the cluster`,
        read: amount(which, (amounts) => quantityMilliValue(amounts?.["cpu"]) / 1000),
      },
      {
        name: `cluster_pod_${which}_number`,
        help: `Number of ${which} pods in the cluster`,
        read: amount(which, (amounts) => quantityValue(amounts?.["pods"])),
      },
    ]),
  ];

function nodes(field: "totalNum" | "readyNum") {
  return ({ status }: Cluster) => status?.nodeSummary?.[field] ?? 0;
}

function amount(which: "allocatable" | "allocated", read: (amounts: Amounts) => number) {
  return ({ status }: Cluster) => read(status?.resourceSummary?.[which] as Amounts);
}

export function publishMetrics(metrics: Metrics, cluster: Cluster, seconds: number): void {
  const labels = { member_cluster: cluster.metadata.name ?? "" };
  for (const { name, help, read } of GAUGES) metrics.gauge(name, help, LABELS).set(read(cluster), labels);
  metrics
    .histogram(
      "cluster_sync_status_duration_seconds",
      "Duration in seconds for syncing the status of the cluster once",
      ["member_cluster"],
    )
    .observe(seconds, labels);
}

export function forgetMetrics(metrics: Metrics, cluster: string): void {
  for (const { name, help } of GAUGES) metrics.gauge(name, help, LABELS).remove({ member_cluster: cluster });
}
