import type { LogFields } from "#base";
import { createMetrics, type Program, type ProgramOptions } from "#controlplane";
import { openConnection } from "./connection.ts";
import { loggerOf, realRandom, systemClock } from "./process.ts";
import { untilSignal } from "./signals.ts";

type ProgramConfig = Parameters<typeof loggerOf>[0] & {
  readonly kubeconfig: string | undefined;
  readonly master?: string | undefined;
};

/** Runs a long-lived program against the server its kubeconfig names, until a signal or its failure. */
export async function runProgram<C extends ProgramConfig, P extends Program>(
  config: C,
  name: string,
  start: (options: ProgramOptions<C>) => Promise<P>,
  describe: (program: P) => LogFields = () => ({}),
): Promise<number> {
  const log = loggerOf(config);
  const { kubeconfig, master } = config;
  const { transport } = openConnection(kubeconfig, undefined, {
    userAgent: name,
    log,
    ...(master === undefined ? {} : { server: master }),
  });
  try {
    const { metrics, text } = createMetrics();
    const random = realRandom();
    const program = await start({ config, transport, clock: systemClock, random, log, metrics, metricsText: text });
    log.info(`${name} runs`, describe(program));
    try {
      await untilSignal(program.failed);
    } finally {
      await program.stop();
    }
  } finally {
    await transport.close();
  }
  log.info("stopped");
  return 0;
}
