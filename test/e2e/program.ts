import { type ChildProcess, execFile, spawn } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL("../../", import.meta.url));

export interface Started {
  readonly child: ChildProcess;
  output(): string;
}

/** The program, built from the sources and run as a program. */
export interface Programs {
  /** Resolves when the output matches; rejects when the process ends before. */
  start(words: readonly string[], ready: RegExp): Promise<Started>;
  run(words: readonly string[]): Promise<{ readonly code: number; readonly stdout: string; readonly stderr: string }>;
  end(child: ChildProcess, signal?: NodeJS.Signals): Promise<void>;
  stop(): Promise<void>;
}

const RUN_TIMEOUT_MS = 60_000;

export async function buildProgram(): Promise<Programs> {
  const folder = join(root, `node_modules/.cache/e2e-${process.pid}-${Math.random().toString(36).slice(2)}`);
  const runner = join(folder, "run.mjs");
  const children: ChildProcess[] = [];
  mkdirSync(folder, { recursive: true });
  await build({
    entryPoints: { main: join(root, "src/main.ts") },
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
  writeFileSync(
    runner,
    'const { main } = await import("./main.mjs");\nawait main("flotilla", process.argv.slice(2));\n',
  );
  const programs: Programs = {
    start(words, ready) {
      const child = spawn(process.execPath, [runner, ...words], { stdio: ["ignore", "pipe", "pipe"] });
      children.push(child);
      let output = "";
      return new Promise((resolve, reject) => {
        const take = (chunk: Buffer) => {
          output += chunk.toString();
          if (ready.test(output)) resolve({ child, output: () => output });
        };
        child.stdout?.on("data", take);
        child.stderr?.on("data", take);
        child.on("exit", (code) => reject(new Error(`ended with ${code}: ${output}`)));
      });
    },
    run: (words) =>
      new Promise((resolve) =>
        execFile(process.execPath, [runner, ...words], { timeout: RUN_TIMEOUT_MS }, (error, stdout, stderr) =>
          resolve({ code: error === null ? 0 : Number(error.code ?? 1), stdout, stderr }),
        ),
      ),
    async end(child, signal = "SIGTERM") {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.removeAllListeners("exit");
      const gone = new Promise((resolve) => child.once("exit", resolve));
      child.kill(signal);
      await gone;
    },
    async stop() {
      await Promise.all(children.map((child) => programs.end(child)));
      rmSync(folder, { recursive: true, force: true });
    },
  };
  return programs;
}
