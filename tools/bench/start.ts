import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Bench, Row } from "./measure.ts";

/** Start-up of the built program to ready, and its memory when idle. */
export const start: Bench = async ({ scratch }) => {
  const rows: Row[] = [];
  const folder = join(scratch, "start");
  const startedMs = performance.now();
  const child = spawn(process.execPath, ["bin/flotilla.mjs", "server", `--data-dir=${folder}`, "--secure-port=0"], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  await new Promise<void>((resolve, reject) => {
    child.stderr.on("data", (chunk: Buffer) => /control plane is ready/.test(chunk.toString()) && resolve());
    child.on("exit", () => reject(new Error("the server ended; run npm run build first")));
  });
  rows.push({
    name: "start",
    measure: "process start to ready, empty folder",
    value: (performance.now() - startedMs) / 1000,
    unit: "s",
    reference: "goal 1 s",
    ratio: (performance.now() - startedMs) / 1000,
  });
  await new Promise((resolve) => setTimeout(resolve, 2000));
  const rss = Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${child.pid}/status`, "utf8"))?.[1] ?? 0) / 1024;
  rows.push({
    name: "start",
    measure: "memory, idle control plane",
    value: rss,
    unit: "MiB",
    reference: "goal 150 MiB",
    ratio: rss / 150,
  });
  child.removeAllListeners("exit");
  child.kill("SIGTERM");
  await new Promise((resolve) => child.on("exit", resolve));
  return rows;
};
