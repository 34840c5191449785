/** A store with damaged entries: the server says which and ends, the check lists and removes them. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { ConfigMap, Secret } from "#apis/kubernetes";
import { seededRandom, silentLogger, systemClock } from "#base";
import { loadPki } from "#certs";
import { createClient } from "#client";
import { parseFlags } from "#config";
import { startControlPlane } from "#controlplane";
import { openFileBackend } from "#store";
import { captured } from "#testing";
import { runCommand } from "./index.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "flotilla-check-"));
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

async function start() {
  const backend = openFileBackend(join(folder, "store"));
  const pki = await loadPki(undefined, []);
  const config = parseFlags([`--data-dir=${folder}`, "--secure-port=0"]);
  try {
    return await startControlPlane({
      config,
      backend,
      pki,
      clock: systemClock,
      random: seededRandom(1),
      log: silentLogger,
    });
  } catch (failure) {
    await backend.close();
    throw failure;
  }
}

const check = (...words: string[]) =>
  captured(() => runCommand("flotilla", ["check", "store", "--data-dir", folder, ...words]));

test("a damaged entry is named at the start, without what it holds, and can be removed", async () => {
  const at = (name: string) => ({ namespace: "default", name });
  const whole = await start();
  const client = createClient(whole.transport);
  for (const name of ["kept", "torn"])
    await client.create(ConfigMap, { apiVersion: "v1", kind: "ConfigMap", metadata: at(name), data: { a: "1" } });
  await client.create(Secret, {
    apiVersion: "v1",
    kind: "Secret",
    metadata: at("odd"),
    data: { key: Buffer.from("hidden").toString("base64") },
  });
  await whole.stop();
  const sound = await check();
  expect(sound.code).toBe(0);
  expect(sound.stdout).toMatch(/^\d+ entries, 0 damaged\n$/);
  const store = openFileBackend(join(folder, "store"));
  const torn = await store.get("/registry/configmaps/default/torn");
  await store.txn([
    { type: "put", key: "/registry/configmaps/default/torn", value: torn?.value.subarray(0, 60) ?? Buffer.from("") },
    { type: "put", key: "/registry/secrets/default/odd", value: Buffer.from("hidden{") },
  ]);
  const used = await check();
  expect(used.code).toBe(1);
  expect(used.stderr).toContain("is in use by process");
  await store.close();
  await expect(start()).rejects.toThrow(
    /^the entry \/registry\/(configmaps\/default\/torn|secrets\/default\/odd) is damaged: it is no valid JSON( at position 60)?$/,
  );
  const damaged = await check();
  expect(damaged.code).toBe(1);
  expect(damaged.stdout).toContain("entries, 2 damaged");
  expect(damaged.stdout).toMatch(/\/registry\/configmaps\/default\/torn +it is no valid JSON at position 60\n/);
  expect(damaged.stdout).not.toContain("hidden");
  expect((await check("--remove-damaged")).code).toBe(0);
  const again = await start();
  const left = createClient(again.transport);
  expect(await left.find(ConfigMap, at("kept"))).toBeDefined();
  expect(await left.find(ConfigMap, at("torn"))).toBeUndefined();
  await again.stop();
}, 120_000);

test("what is no data folder is left alone", async () => {
  const absent = await check();
  expect(absent.code).toBe(1);
  expect(absent.stderr).toContain(`there is no store in ${join(folder, "store")}`);
});
