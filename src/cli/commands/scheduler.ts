import { flagHelp, readFlags, schedulerFlags } from "#config";
import { startScheduler } from "#controlplane";
import { runProgram } from "../program.ts";

/** `flotilla scheduler`: a scheduler of its own beside a control plane. */
export async function run(words: readonly string[], program: string): Promise<number> {
  if (words.includes("--help") || words.includes("-h")) {
    process.stdout.write(`Usage:\n  ${program} scheduler [flags]\n\nFlags:\n${flagHelp(schedulerFlags)}\n`);
    return 0;
  }
  return runProgram(readFlags(schedulerFlags, words, { env: process.env }), "karmada-scheduler", startScheduler);
}
