import { flagHelp, readFlags, deschedulerFlags } from "#config";
import { startDescheduler } from "#controlplane";
import { runProgram } from "../program.ts";

/** `flotilla descheduler`: takes replicas that found no node off their clusters. */
export async function run(words: readonly string[], program: string): Promise<number> {
  if (words.includes("--help") || words.includes("-h")) {
    process.stdout.write(`Usage:\n  ${program} descheduler [flags]\n\nFlags:\n${flagHelp(deschedulerFlags)}\n`);
    return 0;
  }
  return runProgram(readFlags(deschedulerFlags, words, { env: process.env }), "karmada-descheduler", startDescheduler);
}
