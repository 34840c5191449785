import { createPlaneConnection, startAgent } from "#agent";
import { parseKubeconfig, resolveContext } from "#certs";
import { restMetrics } from "#client";
import { agentFlags, flagHelp, readFlags } from "#config";
import { createInterpretation, createMetrics, pluginUrl, startPlainListeners } from "#controlplane";
import { DNS_LABEL } from "#machinery";
import { openConnection } from "../connection.ts";
import { loggerOf, realRandom, systemClock } from "../process.ts";
import { untilSignal } from "../signals.ts";

/** `flotilla agent --karmada-kubeconfig FILE --cluster-name NAME`: looks after a pull member, in it. */
export async function run(words: readonly string[], program: string): Promise<number> {
  if (words.includes("--help") || words.includes("-h")) {
    process.stdout.write(
      `Usage:\n  ${program} agent --karmada-kubeconfig FILE --cluster-name NAME [flags]\n\nFlags:\n${flagHelp(agentFlags)}\n`,
    );
    return 0;
  }
  const config = readFlags(agentFlags, words, { env: process.env });
  const { clusterName: name, karmadaKubeconfig } = config;
  if (karmadaKubeconfig === "") throw new Error("required flag: --karmada-kubeconfig");
  if (name.length < 1 || name.length > 48 || !DNS_LABEL.test(name))
    throw new Error(
      `--cluster-name: ${JSON.stringify(name)} must be a lowercase RFC 1123 label of no more than 48 characters`,
    );
  const fraction = config.clusterLeaseRenewIntervalFraction;
  if (fraction <= 0 || fraction >= 1)
    throw new Error(`--cluster-lease-renew-interval-fraction: "${fraction}" must be greater than 0 and less than 1`);
  const plugins = config.interpreterPlugins.map((given) => pluginUrl(given, "--interpreter-plugin"));
  const log = loggerOf(config);
  const { metrics, text } = createMetrics();
  const plane = createPlaneConnection({
    read: () => resolveContext(parseKubeconfig(karmadaKubeconfig), config.karmadaContext),
    ...(config.karmadaContext === undefined ? {} : { context: config.karmadaContext }),
    clock: systemClock,
    log,
    measure: restMetrics(metrics),
  });
  const { transport: member, endpoint } = openConnection(config.kubeconfig, undefined, {
    userAgent: "karmada-agent",
    log,
  });
  const listeners = await startPlainListeners({
    metrics: config.metricsBindAddress,
    health: config.healthProbeBindAddress,
    metricsText: text,
    isReady: () => true,
  });
  const random = realRandom();
  const agent = startAgent({
    config: config.clusterApiEndpoint === "" ? { ...config, clusterApiEndpoint: endpoint.server } : config,
    plane,
    member,
    clock: systemClock,
    random,
    log,
    metrics,
    interpretation: (given) => createInterpretation({ ...given, clock: systemClock, random, log, plugins }),
  });
  log.info("karmada-agent runs", { cluster: name });
  try {
    await untilSignal(agent.failed);
  } finally {
    await agent.stop();
    await listeners.close();
    await plane.stop();
    await member.close();
  }
  log.info("stopped");
  return 0;
}
