import { execFile, execFileSync, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const execute = promisify(execFile);
/** The lab's kubectl is of a known version; without it this machine's own serves. */
const labKubectl = fileURLToPath(new URL("../../lab/bin/kubectl", import.meta.url));
const program = existsSync(labKubectl) ? labKubectl : "kubectl";

/** Whether there is a kubectl, the lab's or this machine's. */
export function hasKubectl(): boolean {
  try {
    execFileSync(program, ["version", "--client"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

/** Runs the real kubectl; gives standard output. Rejects with its standard error when it fails. */
export async function kubectl(
  kubeconfig: string,
  words: readonly string[],
  input?: string,
  env: Readonly<Record<string, string>> = {},
): Promise<string> {
  const child = execute(program, ["--kubeconfig", kubeconfig, ...words], {
    maxBuffer: 16 * 1024 * 1024,
    timeout: 30_000,
    env: { ...process.env, HOME: "/nonexistent", ...env },
  });
  if (input !== undefined) child.child.stdin?.end(input);
  const { stdout, stderr } = await child;
  return stdout + stderr;
}

/** A kubectl that runs on, such as `port-forward`. */
export interface RunningKubectl {
  /** Resolves with the groups of an expression once what was printed fits it; rejects when kubectl ends before. */
  until(wanted: RegExp): Promise<readonly string[]>;
  /** Resolves with all that was printed once it has ended, by itself or by `stop`. */
  readonly ended: Promise<string>;
  stop(): Promise<void>;
}

/** Starts one; with `-i` among its words its standard input stays open. */
export function startKubectl(
  kubeconfig: string,
  words: readonly string[],
  env: Readonly<Record<string, string>> = {},
): RunningKubectl {
  const child = spawn(program, ["--kubeconfig", kubeconfig, ...words], {
    stdio: [words.includes("-i") ? "pipe" : "ignore", "pipe", "pipe"],
    env: { ...process.env, HOME: "/nonexistent", ...env },
  });
  let printed = "";
  const listeners = new Set<() => void>();
  const tell = () => {
    for (const listener of [...listeners]) listener();
  };
  for (const stream of [child.stdout, child.stderr])
    stream?.on("data", (chunk: Buffer) => {
      printed += chunk.toString();
      tell();
    });
  const ended = new Promise<string>((resolve) => {
    child.once("close", () => {
      resolve(printed);
      tell();
    });
  });
  return {
    ended,
    until: (wanted) =>
      new Promise((resolve, reject) => {
        const look = () => {
          const found = wanted.exec(printed);
          if (found === null && child.exitCode === null && child.signalCode === null) return;
          listeners.delete(look);
          if (found === null) reject(new Error(`kubectl ended without ${String(wanted)}: ${printed}`));
          else resolve(found.slice(1));
        };
        listeners.add(look);
        look();
      }),
    async stop() {
      child.kill("SIGKILL");
      await ended;
    },
  };
}
