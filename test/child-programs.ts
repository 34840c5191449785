import { type ChildProcess, spawn, type SpawnOptions } from "node:child_process";

/** Commands that stay, whatever they are; all of them are ended together. */
export interface ChildPrograms {
  /** Resolves with what was said when it matches; rejects when the command ends before. */
  readonly start: (command: string, words: readonly string[], ready: RegExp, options?: SpawnOptions) => Promise<string>;
  readonly end: () => Promise<void>;
}

export function childPrograms(): ChildPrograms {
  const children: ChildProcess[] = [];
  return {
    start(command, words, ready, options = {}) {
      const child = spawn(command, words, { ...options, stdio: ["ignore", "pipe", "pipe"] });
      children.push(child);
      let said = "";
      return new Promise((resolve, reject) => {
        const take = (chunk: Buffer) => {
          said += chunk.toString();
          if (ready.test(said)) resolve(said);
        };
        child.stdout?.on("data", take);
        child.stderr?.on("data", take);
        child.on("error", reject);
        child.on("exit", (code) => reject(new Error(`${words.join(" ")} ended with ${code}: ${said}`)));
      });
    },
    async end() {
      await Promise.all(
        children.map((child) => {
          if (child.exitCode !== null || child.signalCode !== null) return undefined;
          const gone = new Promise((resolve) => child.once("exit", resolve));
          child.kill("SIGTERM");
          return gone;
        }),
      );
    },
  };
}
