/** The program: which command was asked for, and nothing else. Commands are loaded when they are needed. */
import { runCommand } from "#cli";

export async function main(programName: string, words: readonly string[]): Promise<void> {
  process.exitCode = await runCommand(programName, words);
}
