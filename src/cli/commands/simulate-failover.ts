import { ClusterTaintPolicy } from "#apis/karmada";
import { amount } from "#config";
import { kubeconfigFlags, openConnection } from "../connection.ts";
import { parseArguments, withHelp } from "../flags.ts";
import { systemClock } from "../process.ts";
import { forecastFailover, forecastText, meansOutages } from "../what-if/failover.ts";
import { listOf, schedulerFlags, withScheduler } from "../what-if/scheduler-flags.ts";
import { readSnapshot, takeSnapshot } from "../what-if/snapshot.ts";

/** Three workers evict at `--resource-eviction-rate` each. */
const WORKERS = 3;

/** `flotilla simulate failover --cluster m2`: what would move where, were clusters lost. It changes nothing. */
export function run(words: readonly string[], program: string): Promise<number> {
  return withHelp(async () => {
    const parsed = parseArguments(
      words,
      [
        ...kubeconfigFlags,
        { name: "cluster", meaning: "cluster that fails" },
        { name: "at-once", meaning: "further clusters that fail with it, separated by commas" },
        { name: "against", default: "live", meaning: "the fleet: live, or a file of simulate snapshot" },
        { name: "resource-eviction-rate", default: "100", meaning: "as the server's flag" },
        { name: "eviction-brake-share", default: "0.75", meaning: "as the server's flag" },
        ...schedulerFlags,
        { name: "output", short: "o", default: "table", meaning: "table or json" },
      ],
      `${program} simulate failover --cluster NAME [--at-once NAME,…]`,
    );
    const failed = [...listOf(parsed, "cluster"), ...listOf(parsed, "at-once")];
    if (failed.length === 0) throw new Error("--cluster is required");
    const output = parsed.get("output") ?? "table";
    if (output !== "table" && output !== "json")
      throw new Error(`--output: ${JSON.stringify(output)} must be one of table, json`);
    const number = (name: string) => amount.read(parsed.get(name) ?? "", `--${name}`);
    const settings = {
      evictionsPerSecond: number("resource-eviction-rate") * WORKERS,
      brakeShare: number("eviction-brake-share"),
    };
    const against = parsed.get("against") ?? "live";
    const { client, transport } =
      against === "live"
        ? openConnection(parsed.get("kubeconfig"), parsed.get("karmada-context"))
        : { client: undefined, transport: undefined };
    try {
      const fleet = client === undefined ? readSnapshot(against) : await takeSnapshot(client, systemClock.now());
      const forecast = await withScheduler(parsed, systemClock, (simulate) =>
        forecastFailover(fleet, [...new Set(failed)], { ...settings, simulate }),
      );
      if (output === "table") {
        process.stdout.write(forecastText(forecast));
        if (client !== undefined && !(await client.list(ClusterTaintPolicy)).items.some(meansOutages))
          process.stdout.write(
            "No ClusterTaintPolicy gives clusters that are not ready a NoExecute taint: unless somebody taints them, or the server runs with --failover-profile=v1.3 or v1.12, nothing leaves them.\n",
          );
      } else {
        const bindings = forecast.simulation.bindings.map(({ decision: _decision, ...rest }) => rest);
        const { placed: _placed, ...told } = forecast;
        const answer = { ...told, simulation: { ...forecast.simulation, bindings } };
        process.stdout.write(
          `${JSON.stringify({ apiVersion: "flotilla.io/v1alpha1", kind: "FailoverSimulation", ...answer }, undefined, 4)}\n`,
        );
      }
      return 0;
    } finally {
      await transport?.close();
    }
  });
}
