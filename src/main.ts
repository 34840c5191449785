/** The program: which command was asked for, and nothing else. Commands are loaded when they are needed. */
import { setFlagsFromString } from "node:v8";
import { runCommand } from "#cli";
import { keepHeapSmall } from "./heap.ts";

/**
 * V8 optimises a function once it has run for so many bytes of its code; this is twice the default of the version it was
 * measured with. A control plane runs thousands of functions a little: optimising them sooner takes the second core from
 * members on the same machine, later leaves the first one slow.
 */
const INTERRUPT_BUDGET = 135_168;

/** What a shell makes of a program that SIGPIPE ended. */
const EXIT_BROKEN_PIPE = 141;

/** A reader that has seen enough, such as `head`, ends the program without a word, as it ends others. */
function endWithReader(error: NodeJS.ErrnoException): void {
  if (error.code !== "EPIPE") throw error;
  process.exit(EXIT_BROKEN_PIPE);
}

/** Resolves when what was said before has left, or cannot leave any more. */
const said = (stream: NodeJS.WriteStream): Promise<void> => new Promise((resolve) => stream.write("", () => resolve()));

export async function main(programName: string, words: readonly string[]): Promise<void> {
  if (process.versions.v8.startsWith("11.")) {
    // Later versions count in another way and have a compiler between the two.
    setFlagsFromString(`--interrupt-budget=${INTERRUPT_BUDGET}`);
    keepHeapSmall();
  }
  process.stdout.on("error", endWithReader);
  process.stderr.on("error", endWithReader);
  process.exitCode = await runCommand(programName, words);
  await Promise.all([said(process.stdout), said(process.stderr)]);
  // Left to itself Node closes what is still open first, and has been seen to wait for ever for a connection cut meanwhile.
  process.exit();
}
