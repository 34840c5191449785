/** The program as users run it: bundled from the sources, started as processes of its own. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

export interface Finished {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Program {
  /** Runs one command to its end. */
  readonly run: (...words: readonly string[]) => Promise<Finished>;
  /** Runs one command into a reader that is gone before it writes, as `| head` may be. */
  readonly runUnread: (...words: readonly string[]) => Promise<Pick<Finished, "code" | "stderr">>;
  /** Starts a command that stays; resolves when it said something that matches. `more` are words for Node itself. */
  readonly start: (words: readonly string[], ready: RegExp, more?: readonly string[]) => Promise<Running>;
  /** Ends what still runs and removes the bundle. */
  readonly close: () => Promise<void>;
}

export interface Running {
  readonly pid: number;
  readonly output: () => string;
  readonly isRunning: () => boolean;
  /** Sends a signal and goes on: `SIGSTOP` makes a program that hangs, `SIGCONT` wakes it. */
  readonly signal: (signal: NodeJS.Signals) => void;
  /** Resolves when it is gone, by itself or by `end`. */
  readonly gone: Promise<void>;
  readonly end: (signal?: NodeJS.Signals) => Promise<void>;
}

const root = fileURLToPath(new URL("../", import.meta.url));
const RUN_LIMIT_MS = 90_000;
let bundles = 0;

export async function bundleProgram(): Promise<Program> {
  const folder = join(root, `node_modules/.cache/program-${process.pid}-${bundles++}`);
  mkdirSync(folder, { recursive: true });
  await build({
    entryPoints: {
      main: join(root, "src/main.ts"),
      "member-thread": join(root, "src/controlplane/member-threads/thread.ts"),
    },
    outdir: folder,
    bundle: true,
    splitting: true,
    platform: "node",
    format: "esm",
    target: "node20",
    packages: "external",
    outExtension: { ".js": ".mjs" },
    logLevel: "error",
  });
  const runner = join(folder, "run.mjs");
  writeFileSync(
    runner,
    'const { main } = await import("./main.mjs");\nawait main("flotilla", process.argv.slice(2));\n',
  );
  const children = new Set<ChildProcess>();

  const isRunning = (child: ChildProcess) => child.exitCode === null && child.signalCode === null;
  async function end(child: ChildProcess, signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    if (!isRunning(child)) return;
    const gone = new Promise((resolve) => child.once("exit", resolve));
    child.kill(signal);
    await gone;
  }

  return {
    run: (...words) =>
      new Promise((resolve) =>
        execFile(process.execPath, [runner, ...words], { timeout: RUN_LIMIT_MS }, (error, stdout, stderr) =>
          resolve({ code: error === null ? 0 : Number(error.code ?? 1), stdout, stderr }),
        ),
      ),
    runUnread(...words) {
      const child = spawn(process.execPath, [runner, ...words], { stdio: ["ignore", "pipe", "pipe"] });
      child.stdout.destroy();
      let stderr = "";
      child.stderr.on("data", (chunk: Buffer) => {
        stderr += chunk.toString();
      });
      return new Promise((resolve) => child.once("close", (code) => resolve({ code: code ?? 1, stderr })));
    },
    start(words, ready, more = []) {
      const child = spawn(process.execPath, [...more, runner, ...words], { stdio: ["ignore", "pipe", "pipe"] });
      children.add(child);
      const running: Running = {
        pid: child.pid ?? 0,
        output: () => output,
        isRunning: () => isRunning(child),
        signal: (signal) => {
          child.kill(signal);
        },
        gone: new Promise((resolve) => child.once("exit", () => resolve())),
        end: (signal) => end(child, signal),
      };
      let output = "";
      return new Promise((resolve, reject) => {
        const take = (chunk: Buffer) => {
          output += chunk.toString();
          if (ready.test(output)) resolve(running);
        };
        child.stdout.on("data", take);
        child.stderr.on("data", take);
        child.once("exit", (code) => reject(new Error(`${words[0]} ended with ${code}: ${output}`)));
      });
    },
    async close() {
      // One that was stopped does not see that it is to end.
      for (const child of children) child.kill("SIGCONT");
      await Promise.all([...children].map((child) => end(child)));
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
