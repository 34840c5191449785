import { duration, wholeNumber } from "#config";
import { kubeconfigFlags, openConnection } from "../connection.ts";
import { drainCluster } from "../drain/drain.ts";
import { parseArguments, withHelp } from "../flags.ts";
import { systemClock } from "../process.ts";
import { schedulerFlags, withScheduler } from "../what-if/scheduler-flags.ts";

const counted = (count: number) => `${count} workload${count === 1 ? "" : "s"}`;

/** `flotilla drain cluster NAME`: moves all workloads off a cluster, gracefully. `flotilla uncordon NAME` opens it again. */
export function run(words: readonly string[], program: string): Promise<number> {
  return withHelp(async () => {
    const parsed = parseArguments(
      words,
      [
        ...kubeconfigFlags,
        { name: "timeout", default: "15m", meaning: "how long to wait until the old copies are gone" },
        { name: "grace-period", meaning: "seconds an old copy waits for its successor; default is the server's" },
        { name: "force", isSwitch: true, meaning: "move workloads that fit nowhere else as well" },
        { name: "dry-run", isSwitch: true, meaning: "only say what would happen" },
        ...schedulerFlags,
      ],
      `${program} drain cluster NAME`,
    );
    const [name, ...more] = parsed.args;
    if (name === undefined) throw new Error("cluster name is required");
    if (more.length > 0) throw new Error("more than one cluster name is not supported");
    const grace = parsed.get("grace-period");
    const { client, transport } = openConnection(parsed.get("kubeconfig"), parsed.get("karmada-context"));
    try {
      const { moved, left, pending } = await withScheduler(parsed, systemClock, (simulate) =>
        drainCluster(name, {
          client,
          clock: systemClock,
          simulate,
          isForced: parsed.isOn("force"),
          isDryRun: parsed.isOn("dry-run"),
          ...(grace === undefined ? {} : { gracePeriodSeconds: wholeNumber(1).read(grace, "--grace-period") }),
          timeoutMs: duration.read(parsed.get("timeout") ?? "15m", "--timeout"),
          say: (line) => process.stderr.write(`${line}\n`),
        }),
      );
      if (parsed.isOn("dry-run")) return 0;
      for (const workload of pending) process.stdout.write(`${workload} has not left ${name} yet\n`);
      process.stdout.write(
        `cluster/${name} drained of ${counted(moved.length)}${left.length > 0 ? `; ${counted(left.length)} ${left.length === 1 ? "stays" : "stay"}` : ""}\n`,
      );
      return pending.length + left.length > 0 ? 1 : 0;
    } finally {
      await transport.close();
    }
  });
}
