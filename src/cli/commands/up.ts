import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { boolean, flag, flagHelp, readFlags, serverFlags, wholeNumber } from "#config";
import { type FleetMember, startFleet } from "#controlplane";
import { loggerOf, realRandom, systemClock } from "../process.ts";
import { untilSignal } from "../signals.ts";
import { followFaults } from "../faults/follow.ts";
import { runTour } from "../tour/tour.ts";

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

/** Flags of `flotilla up` besides those of the server. */
const ownFlags = {
  once: flag("once", boolean, "false", "run the tour and end", { of: "flotilla", by: "cli" }),
  noTour: flag("no-tour", boolean, "false", "start without the tour", { of: "flotilla", by: "cli" }),
  inMemory: flag("in-memory", boolean, "false", "keep nothing on disk but kubeconfigs", { of: "flotilla", by: "cli" }),
  members: flag("members", wholeNumber(1, 100), "3", "number of simulated members", { of: "flotilla", by: "cli" }),
  memberThreads: flag(
    "member-threads",
    wholeNumber(0, 64),
    "0",
    "threads of their own the simulated members share, so that they use further cores; 0 for the control plane's",
    { of: "flotilla", by: "cli" },
  ),
  port: flag("port", wholeNumber(-1, 65535), "-1", "short for --secure-port", { of: "flotilla", by: "cli" }),
};
const upFlags = { ...ownFlags, ...serverFlags };

/** Shorter times than a fleet in production would use, so that the tour shows in seconds what takes minutes there. */
const TOUR_DEFAULTS = {
  "data-dir": ".flotilla",
  "feature-gates": "Failover=true",
  "enable-no-execute-taint-eviction": "true",
  "allow-no-execute-taint-policy": "true",
  "resource-eviction-rate": "50",
  "cluster-status-update-frequency": "500ms",
  "cluster-failure-threshold": "1s",
  "cluster-success-threshold": "1s",
  "enable-scheduler-estimator": "true",
  "log-level": "warn",
};

/** `flotilla up`: the quickstart. */
export async function run(words: readonly string[], program: string): Promise<number> {
  if (words.includes("--help") || words.includes("-h")) {
    process.stdout.write(
      `Usage:\n  ${program} up [flags]\n\nFlags:\n${flagHelp(ownFlags)}\n\nFlags of the server, with the tour's defaults where they differ:\n${flagHelp(serverFlags, TOUR_DEFAULTS)}\n`,
    );
    return 0;
  }
  const startedMs = performance.now();
  const {
    once,
    noTour,
    inMemory,
    members: count,
    memberThreads,
    port,
    ...given
  } = readFlags(upFlags, words, {
    env: process.env,
    defaults: TOUR_DEFAULTS,
  });
  const config = port < 0 ? given : { ...given, securePort: port };
  const log = loggerOf(config);
  const fleet = await startFleet({
    config,
    members: membersOf(count),
    clock: systemClock,
    random: realRandom(),
    log,
    isInMemory: inMemory,
    memberThreads,
  });
  const print = (text: string) => void process.stdout.write(text);
  print(
    `Flotilla is ready after ${((performance.now() - startedMs) / 1000).toFixed(2)} s: a control plane and ${count} simulated member cluster${count === 1 ? "" : "s"} in one process.\n`,
  );
  try {
    if (!noTour) {
      const tourMs = performance.now();
      await runTour(fleet, examplesFolder(), print);
      print(`\nThe tour took ${((performance.now() - tourMs) / 1000).toFixed(1)} s.\n`);
    }
    if (once) return 0;
    followFaults(fleet);
    const admin = fleet.kubeconfigs.get("flotilla") ?? "";
    print("\nKubeconfigs:\n");
    for (const [name, path] of fleet.kubeconfigs) print(`  ${name.padEnd(10)} ${path}\n`);
    print(
      `\nTry, in another terminal:\n  export KUBECONFIG=${admin}\n  kubectl get clusters\n  kubectl scale deployment nginx --replicas=30\n  kubectl --kubeconfig ${join(config.dataDir, "member1.kubeconfig")} get pods\n  node bin/flotilla.mjs simulate fault member2 down\n  node bin/flotilla.mjs explain placement deployment/nginx\n\nCtrl-C stops it; the next start finds everything again.\n`,
    );
    await untilSignal();
    print("\nStopping …\n");
    return 0;
  } finally {
    await fleet.stop();
  }
}
