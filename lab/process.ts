/** Programs of the lab as child processes: each logs into a file and is ended by its own process id. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { basename } from "node:path";

/** `test`: ends with the process that started it. `detached`: outlives it and is ended by `npm run lab -- down`. */
export type Lifetime = "test" | "detached";

export interface ProcessOptions {
  readonly command: string;
  readonly args: readonly string[];
  /** Standard output and error are appended here. */
  readonly logFile: string;
  readonly lifetime?: Lifetime;
  readonly env?: Readonly<Record<string, string>>;
}

export interface LabProcess {
  readonly name: string;
  readonly pid: number;
  readonly isRunning: () => boolean;
  /** Sends a signal; `SIGSTOP` makes a server that accepts and never answers, `SIGCONT` wakes it. */
  readonly signal: (signal: NodeJS.Signals) => void;
  /** Ends it: asks with SIGTERM, insists with SIGKILL after `graceMs` (default 5000). Resolves when it is gone. */
  readonly stop: (graceMs?: number) => Promise<void>;
  /** Ends it at once, as a crash would. */
  readonly kill: () => Promise<void>;
  /** The last lines it logged. */
  readonly lastLines: (count?: number) => string;
}

const STOP_GRACE_MS = 5000;
const running = new Set<ChildProcess>();
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

/** Starts a program. Throws when the program cannot be started at all. */
export async function startProcess(options: ProcessOptions): Promise<LabProcess> {
  const { command, args, logFile, lifetime = "test", env = {} } = options;
  const name = basename(command);
  const log = openSync(logFile, "a");
  const child = spawn(command, args, {
    stdio: ["ignore", log, log],
    detached: lifetime === "detached",
    env: { PATH: process.env["PATH"] ?? "", ...env },
  });
  closeSync(log);
  await new Promise<void>((resolve, reject) => {
    child.once("spawn", resolve);
    child.once("error", (error) => reject(new Error(`${name} cannot be started: ${error.message}`)));
  });
  const isRunning = () => child.exitCode === null && child.signalCode === null;
  const gone = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  if (lifetime === "detached") child.unref();
  else {
    running.add(child);
    void gone.then(() => running.delete(child));
  }
  const stop = async (graceMs = STOP_GRACE_MS) => {
    if (!isRunning()) return;
    child.kill("SIGTERM");
    const insist = setTimeout(() => child.kill("SIGKILL"), graceMs);
    await gone;
    clearTimeout(insist);
  };
  return {
    name,
    pid: child.pid as number,
    isRunning,
    signal: (signal) => {
      child.kill(signal);
    },
    stop,
    async kill() {
      if (!isRunning()) return;
      child.kill("SIGKILL");
      await gone;
    },
    lastLines: (count = 15) => readFileSync(logFile, "utf8").trimEnd().split("\n").slice(-count).join("\n"),
  };
}

/** Asks until `look` says true. Throws with the program's last lines when it ended meanwhile, or after `limitMs`. */
export async function untilReady(
  program: LabProcess,
  look: () => Promise<boolean>,
  limitMs: number,
  what: string,
): Promise<void> {
  const endMs = Date.now() + limitMs;
  let last = "";
  for (;;) {
    if (!program.isRunning()) throw new Error(`${program.name} ended before ${what}:\n${program.lastLines()}`);
    try {
      if (await look()) return;
    } catch (error) {
      last = error instanceof Error ? error.message : String(error);
    }
    if (Date.now() > endMs)
      throw new Error(
        `${program.name}: ${what} did not happen within ${limitMs / 1000} s${last === "" ? "" : ` (${last})`}:\n${program.lastLines()}`,
      );
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

const given = new Set<number>();

/** A port of the loopback address that nobody listens on; never the same one twice from one process. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = await listenOnce(0);
    if (given.has(port)) continue;
    given.add(port);
    return port;
  }
}

/** Fails by name when somebody listens on a port that was asked for. */
export async function claimPort(port: number, flag: string): Promise<number> {
  try {
    await listenOnce(port);
    return port;
  } catch (error) {
    const isTaken = (error as NodeJS.ErrnoException).code === "EADDRINUSE";
    throw new Error(
      isTaken
        ? `port ${port} of 127.0.0.1 is in use: choose another one with ${flag}, or leave it out for a free one`
        : `port ${port} of 127.0.0.1: ${(error as Error).message}`,
    );
  }
}

function listenOnce(port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(port, "127.0.0.1", () => {
      const address = server.address();
      const found = typeof address === "object" && address !== null ? address.port : 0;
      server.close(() => resolve(found));
    });
  });
}

/** Whether a process with this id runs and was started with `mark` among its arguments: ids are used again by others. */
export function isOurs(pid: number, mark: string): Promise<boolean> {
  return new Promise((resolve) =>
    execFile("ps", ["-o", "stat=,args=", "-p", String(pid)], (error, stdout) =>
      resolve(error === null && stdout.includes(mark) && !stdout.trimStart().startsWith("Z")),
    ),
  );
}

/** Ends a process that an earlier command started; nothing happens when it is not ours or gone. */
export async function endByPid(pid: number, mark: string, graceMs = STOP_GRACE_MS): Promise<void> {
  const insistAtMs = Date.now() + graceMs;
  let signal: NodeJS.Signals = "SIGTERM";
  while (await isOurs(pid, mark)) {
    if (signal === "SIGTERM" || Date.now() > insistAtMs) {
      try {
        process.kill(pid, signal);
      } catch {
        return;
      }
      // A stopped process does not see SIGTERM before it is woken.
      if (signal === "SIGTERM") process.kill(pid, "SIGCONT");
      signal = "SIGKILL";
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
