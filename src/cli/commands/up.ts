import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseFlags } from "#config";
import { createLogger, type FleetMember, startFleet } from "#controlplane";
import { parseArguments, withHelp } from "../flags.ts";
import { realRandom, systemClock } from "../process.ts";
import { untilSignal } from "../signals.ts";
import { followFaults, runTour } from "../tour/tour.ts";

/** Members of different size in two regions. */
function membersOf(count: number): readonly FleetMember[] {
  const sizes = [
    { nodes: [{ count: 3, cpu: "8", memory: "32Gi" }], region: "europe", zone: "europe-a" },
    { nodes: [{ count: 2, cpu: "8", memory: "32Gi" }], region: "europe", zone: "europe-b" },
    { nodes: [{ count: 4, cpu: "4", memory: "16Gi" }], region: "america", zone: "america-a" },
  ];
  return Array.from({ length: count }, (_, at) => ({
    name: `member${at + 1}`,
    ...(sizes[at % sizes.length] as (typeof sizes)[number]),
  }));
}

/** The folder of examples beside the program, whether it runs from sources or built. */
function examplesFolder(): string {
  for (const up of ["../examples/quickstart", "../../examples/quickstart", "../../../examples/quickstart"]) {
    const path = fileURLToPath(new URL(up, import.meta.url));
    if (existsSync(path)) return path;
  }
  throw new Error("the examples are not beside the program");
}

/** `flotilla up`: the quickstart. */
export function run(words: readonly string[], program: string): Promise<number> {
  return withHelp(async () => {
    const parsed = parseArguments(
      words,
      [
        { name: "once", isSwitch: true, meaning: "run the tour and end" },
        { name: "no-tour", isSwitch: true, meaning: "start without the tour" },
        { name: "in-memory", isSwitch: true, meaning: "keep nothing on disk but kubeconfigs" },
        { name: "members", default: "3", meaning: "number of simulated members" },
        { name: "data-dir", default: ".flotilla", meaning: "folder of everything" },
        { name: "port", default: "5443", meaning: "port of the API server; 0 chooses a free one" },
        { name: "log-level", default: "warn", meaning: "debug, info, warn, error or silent" },
      ],
      `${program} up`,
    );
    const count = Number(parsed.get("members"));
    if (!Number.isInteger(count) || count < 1 || count > 100)
      throw new Error(`--members: ${JSON.stringify(parsed.get("members"))} must be a whole number from 1 to 100`);
    const dataDir = parsed.get("data-dir") ?? ".flotilla";
    const startedMs = performance.now();
    // Shorter times than a fleet in production would use, so that the tour shows in seconds what takes minutes there.
    const config = parseFlags([
      `--data-dir=${dataDir}`,
      `--secure-port=${parsed.get("port")}`,
      "--feature-gates=Failover=true",
      "--enable-no-execute-taint-eviction=true",
      "--allow-no-execute-taint-policy=true",
      "--resource-eviction-rate=50",
      "--cluster-status-update-frequency=500ms",
      "--cluster-failure-threshold=1s",
      "--cluster-success-threshold=1s",
      `--log-level=${parsed.get("log-level")}`,
    ]);
    const log = createLogger(config.logLevel);
    const fleet = await startFleet({
      config,
      members: membersOf(count),
      clock: systemClock,
      random: realRandom(),
      log,
      isInMemory: parsed.isOn("in-memory"),
    });
    const print = (text: string) => void process.stdout.write(text);
    print(
      `Flotilla is ready after ${((performance.now() - startedMs) / 1000).toFixed(2)} s: a control plane and ${count} simulated member cluster${count === 1 ? "" : "s"} in one process.\n`,
    );
    try {
      if (!parsed.isOn("no-tour")) {
        const tourMs = performance.now();
        await runTour(fleet, examplesFolder(), print);
        print(`\nThe tour took ${((performance.now() - tourMs) / 1000).toFixed(1)} s.\n`);
      }
      if (parsed.isOn("once")) return 0;
      followFaults(fleet);
      const admin = fleet.kubeconfigs.get("flotilla") ?? "";
      print("\nKubeconfigs:\n");
      for (const [name, path] of fleet.kubeconfigs) print(`  ${name.padEnd(10)} ${path}\n`);
      print(
        `\nTry, in another terminal:\n  export KUBECONFIG=${admin}\n  kubectl get clusters\n  kubectl scale deployment nginx --replicas=30\n  kubectl --kubeconfig ${join(dataDir, "member1.kubeconfig")} get pods\n  node bin/flotilla.mjs simulate fault member2 down\n  node bin/flotilla.mjs explain placement deployment/nginx\n\nCtrl-C stops it; the next start finds everything again.\n`,
      );
      await untilSignal();
      print("\nStopping …\n");
      return 0;
    } finally {
      await fleet.stop();
    }
  });
}
