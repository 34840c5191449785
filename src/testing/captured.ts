/** What a command line wrote, and its exit code. */
export interface Captured {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command line in this process and keeps what it writes to the terminal, one at a time. */
export async function captured(run: () => Promise<number>): Promise<Captured> {
  const written = { stdout: "", stderr: "" };
  const streams = ["stdout", "stderr"] as const;
  const originals = streams.map((name) => process[name].write);
  for (const name of streams)
    process[name].write = (text: string | Uint8Array) => {
      written[name] += typeof text === "string" ? text : Buffer.from(text).toString();
      return true;
    };
  try {
    return { code: await run(), ...written };
  } finally {
    for (const [at, name] of streams.entries()) process[name].write = originals[at] as typeof process.stdout.write;
  }
}
