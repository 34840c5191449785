import type { Clock, Logger } from "#base";
import type { SchedulerDeps } from "./options.ts";
import { startPluginHost } from "./plugin-host/host.ts";
import type { PluginHost } from "./plugins/plugin.ts";

/** What a program gives a scheduler; users' plugins are still to be loaded. */
export interface SchedulerSetup extends Omit<SchedulerDeps, "pluginHosts"> {
  readonly clock: Clock;
  readonly log: Logger;
  /** `--scheduler-plugin`: URLs of users' modules. */
  readonly pluginUrls?: readonly string[];
}

export interface AssembledScheduler {
  /** To be handed to `schedulerController`. */
  readonly deps: SchedulerDeps;
  /** Ends plugin threads; call it after the scheduler stopped. */
  stop(): void;
}

/** Loads users' plugins. Rejects when one cannot be used, with its URL and cause; nothing is left running then. */
export async function assembleScheduler(setup: SchedulerSetup): Promise<AssembledScheduler> {
  const { clock, log, pluginUrls = [], ...deps } = setup;
  const pluginHosts: PluginHost[] = [];
  const stop = () => {
    for (const host of pluginHosts) host.close();
  };
  try {
    for (const url of pluginUrls) {
      const host = await startPluginHost({ url, clock, log });
      pluginHosts.push(host);
      if (pluginHosts.some((other) => other !== host && other.name === host.name))
        throw new Error(`two scheduler plugins are named ${JSON.stringify(host.name)}`);
    }
  } catch (error) {
    stop();
    throw error;
  }
  return { deps: { ...deps, pluginHosts }, stop };
}
