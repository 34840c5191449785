/** What was acknowledged survives `kill -9` at random moments: 200 kills over one folder. */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { expect, test } from "vitest";
import { seededRandom } from "#base";
import { openFileBackend } from "#store";

const KILLS = 200;
const WRITERS_AT_ONCE = 4;

test("200 kills lose nothing that was acknowledged", { timeout: 120_000 }, async () => {
  const folder = mkdtempSync(join(tmpdir(), "flotilla-kill-"));
  const random = seededRandom(20261124);
  const script = fileURLToPath(new URL(`../../node_modules/.cache/kill-writer-${process.pid}.mjs`, import.meta.url));
  await build({
    entryPoints: [fileURLToPath(new URL("kill-writer.ts", import.meta.url))],
    outfile: script,
    bundle: true,
    platform: "node",
    format: "esm",
    packages: "external",
    logLevel: "error",
  });
  const stores = Array.from({ length: WRITERS_AT_ONCE }, (_, at) => ({
    path: join(folder, `store-${at}`),
    acknowledged: new Set<number>(),
    highest: 0,
  }));
  const killOnce = (store: (typeof stores)[number]) =>
    new Promise<void>((resolve) => {
      const child = spawn(process.execPath, [script, store.path, String(store.highest + 1000)], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      let pending = "";
      let isArmed = false;
      child.stdout.on("data", (chunk: Buffer) => {
        pending += chunk.toString();
        const lines = pending.split("\n");
        pending = lines.pop() ?? "";
        for (const line of lines) {
          store.acknowledged.add(Number(line));
          store.highest = Math.max(store.highest, Number(line));
        }
        if (isArmed) return;
        isArmed = true;
        setTimeout(() => child.kill("SIGKILL"), random.below(40));
      });
      child.on("exit", () => resolve());
    });
  try {
    await Promise.all(
      stores.map(async (store) => {
        for (let kill = 0; kill < KILLS / WRITERS_AT_ONCE; kill++) await killOnce(store);
      }),
    );
    let checked = 0;
    for (const { path, acknowledged } of stores) {
      const backend = openFileBackend(path);
      const { entries } = await backend.list("/kill/");
      const held = new Map(entries.map(({ key, value }) => [key, Buffer.from(value).toString()]));
      for (const number of acknowledged) {
        expect(held.get(`/kill/${number}`)).toBe(`value ${number}`);
        checked++;
      }
      await backend.close();
    }
    expect(checked).toBeGreaterThan(KILLS);
  } finally {
    rmSync(folder, { recursive: true, force: true });
    rmSync(script, { force: true });
  }
});
