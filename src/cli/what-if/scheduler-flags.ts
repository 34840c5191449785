import { type Clock, silentLogger } from "#base";
import { parseFeatureGates } from "#config";
import { pluginUrl } from "#controlplane";
import {
  assembleScheduler,
  builtinPlugins,
  choosePlugins,
  type FleetChanges,
  type FleetSnapshot,
  type Gates,
  type Simulation,
  simulateWithPlugins,
} from "#scheduler";
import type { FlagSpec, Parsed } from "../flags.ts";

/** How the server's scheduler was set up: whoever asks what it would do says the same here. */
export const schedulerFlags: readonly FlagSpec[] = [
  { name: "feature-gates", default: "", meaning: "gates of the scheduler, as the server's flag" },
  { name: "plugins", default: "*", meaning: "plugins of the scheduler, as the server's flag" },
  { name: "scheduler-plugin", meaning: "a plugin of one's own, as the server's flag; may be given again" },
  { name: "enable-empty-workload-propagation", isSwitch: true, meaning: "as the server's flag" },
];

/** What the scheduler would do with a fleet, were something different. It changes nothing. */
export type Simulate = (fleet: FleetSnapshot, changes: FleetChanges) => Promise<Simulation>;

/** The values of a flag that may stand several times, each with commas in it. */
export const listOf = (parsed: Parsed, name: string): readonly string[] =>
  parsed.all(name).flatMap((value) => value.split(",").filter(Boolean));

/** A scheduler as the flags say, with the plugins of one's own loaded for as long as `work` takes. */
export async function withScheduler<T>(
  parsed: Parsed,
  clock: Clock,
  work: (simulate: Simulate, gates: Gates) => Promise<T>,
): Promise<T> {
  const gates = parseFeatureGates(parsed.get("feature-gates") ?? "");
  const pluginUrls = listOf(parsed, "scheduler-plugin").map((given) => pluginUrl(given, "--scheduler-plugin"));
  const assembled = await assembleScheduler({ clock, log: silentLogger, gates, pluginUrls });
  const { pluginHosts = [] } = assembled.deps;
  const plugins = choosePlugins(parsed.get("plugins") ?? "*", [
    ...builtinPlugins,
    ...pluginHosts.map(({ name }) => ({ name })),
  ]);
  const propagatesEmptyWorkloads = parsed.isOn("enable-empty-workload-propagation");
  try {
    return await work(
      (fleet, changes) =>
        simulateWithPlugins(
          fleet,
          changes,
          { gates, plugins, propagatesEmptyWorkloads, nowMs: clock.now() },
          pluginHosts,
        ),
      gates,
    );
  } finally {
    assembled.stop();
  }
}
