import { estimatorFlags, flagHelp, readFlags } from "#config";
import { startEstimator } from "#controlplane";
import { runProgram } from "../program.ts";

/** `flotilla estimator --cluster-name NAME`: answers over gRPC how much fits into one member. */
export async function run(words: readonly string[], program: string): Promise<number> {
  if (words.includes("--help") || words.includes("-h")) {
    process.stdout.write(
      `Usage:\n  ${program} estimator --cluster-name NAME [flags]\n\nFlags:\n${flagHelp(estimatorFlags)}\n`,
    );
    return 0;
  }
  const config = readFlags(estimatorFlags, words, { env: process.env });
  return runProgram(config, "karmada-scheduler-estimator", startEstimator, ({ port }) => ({
    cluster: config.clusterName,
    port,
  }));
}
