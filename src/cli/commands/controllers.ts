import { flagHelp, guestFlags, parseGuestFlags } from "#config";
import { createMetrics, startGuest, uninstall } from "#controlplane";
import { openConnection } from "../connection.ts";
import { loggerOf, realRandom, systemClock } from "../process.ts";
import { untilSignal } from "../signals.ts";

/** `flotilla controllers --kubeconfig F [--uninstall]` */
export async function run(words: readonly string[], program: string): Promise<number> {
  if (words.includes("--help") || words.includes("-h")) {
    process.stdout.write(
      `Usage:\n  ${program} controllers [--kubeconfig F] [flags]\n\nFlags:\n${flagHelp(guestFlags)}\n`,
    );
    return 0;
  }
  const config = parseGuestFlags(words, { env: process.env });
  const log = loggerOf(config);
  const { transport, client } = openConnection(config.kubeconfig, config.kubeContext, {
    userAgent: "flotilla-controllers",
    log,
  });
  try {
    if (config.uninstall) {
      await uninstall({ client, clock: systemClock, log });
      return 0;
    }
    const { metrics, text } = createMetrics();
    const guest = await startGuest({
      config,
      transport,
      endpoint: () => transport.endpoint(),
      clock: systemClock,
      random: realRandom(),
      log,
      metrics,
      metricsText: text,
    });
    try {
      await untilSignal(guest.failed);
    } finally {
      await guest.stop();
    }
  } finally {
    await transport.close();
  }
  log.info("stopped");
  return 0;
}
