import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { storeConformance } from "../../test/store/conformance.ts";
import { type Backend, createMemoryBackend, openFileBackend, StoreError } from "./index.ts";
import { mappedBytes } from "./mapped-bytes.ts";

const MIB = 1024 * 1024;

const bytes = (text: string) => Buffer.from(text);
const text = (value: Uint8Array | undefined) => (value === undefined ? undefined : Buffer.from(value).toString());
const folders: string[] = [];
const scratch = () => {
  const folder = mkdtempSync(join(tmpdir(), "flotilla-store-"));
  folders.push(folder);
  return folder;
};
const opened: Backend[] = [];
afterEach(async () => {
  await Promise.all(opened.splice(0).map((backend) => backend.close()));
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

storeConformance("memory", createMemoryBackend);
storeConformance("file", () => openFileBackend(scratch()));

// As after a day's work: the map is opened anew again and again meanwhile.
storeConformance("file, its pages let go at once", () => openFileBackend(scratch(), { mappedMaxBytes: -1 }));

describe("data folder", () => {
  test("is found again with its revision", async () => {
    const folder = scratch();
    const first = openFileBackend(folder);
    await first.txn([{ type: "put", key: "/a", value: bytes("1") }]);
    await first.close();
    const second = openFileBackend(folder);
    opened.push(second);
    expect(second.revision).toBe(2);
    expect(text((await second.get("/a"))?.value)).toBe("1");
  });

  test("keeps leases over a restart", async () => {
    const folder = scratch();
    const first = openFileBackend(folder);
    await first.txn([{ type: "put", key: "/a", value: bytes("1"), leaseSeconds: 1 }]);
    await first.close();
    const second = openFileBackend(folder);
    opened.push(second);
    for (let tries = 0; (await second.get("/a")) !== undefined && tries < 100; tries++)
      await new Promise((resolve) => setTimeout(resolve, 50));
    expect(await second.get("/a")).toBeUndefined();
  });

  test("lets go of what it has read, under readers and writers of values of every size", async () => {
    const backend = openFileBackend(scratch(), { mappedMaxBytes: -1 });
    opened.push(backend);
    const sizes = [0, 10, 3_000, 40_000, 1_400_000];
    const contentOf = (size: number, round: number) => Buffer.alloc(size, `${size}-${round}`);
    const write = (round: number) =>
      Promise.all(sizes.map((size) => backend.txn([{ type: "put", key: `/${size}`, value: contentOf(size, round) }])));
    await write(0);
    let known = 0;
    let wrong = 0;
    const sameBytes = (one: Uint8Array, other: Uint8Array | undefined) => Buffer.from(one).equals(other as Uint8Array);
    const shows = (key: string, value: Uint8Array) =>
      backend.peek?.(key, (shown) => sameBytes(shown.value, value)) === true;
    backend.watch("/", backend.revision, {
      changes(changes) {
        for (const { key, value, revision } of changes) {
          const isRight = backend.peek?.(key, (shown) => shown.revision === revision && sameBytes(shown.value, value));
          if (isRight !== true) wrong++;
          known++;
        }
      },
      closed() {},
    });
    for (let round = 1; round <= 20; round++) {
      const writing = write(round);
      // Until it is on disk, everybody but the next transaction sees the round before.
      for (const size of sizes) {
        if (!shows(`/${size}`, contentOf(size, round - 1))) wrong++;
      }
      await writing;
      const { entries } = await backend.list("/");
      for (const size of sizes) {
        const value = contentOf(size, round);
        if (!Buffer.from(entries.find(({ key }) => key === `/${size}`)?.value ?? []).equals(value)) wrong++;
        if (!shows(`/${size}`, value)) wrong++;
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect({ known, wrong }).toEqual({ known: 20 * sizes.length, wrong: 0 });
  });

  test.skipIf(mappedBytes() === 0)("keeps what it has read for a burst, and lets go of it after", async () => {
    const backend = openFileBackend(scratch(), { mappedMaxBytes: MIB, mappedBurstMs: 300 });
    opened.push(backend);
    const keys = Array.from({ length: 300 }, (_, at) => `/${at}`);
    await backend.txn(keys.map((key) => ({ type: "put", key, value: Buffer.alloc(8_000, key) })));
    const readAll = () => keys.filter((key) => backend.peek?.(key, ({ value }) => value.length === 8_000)).length;
    expect(readAll()).toBe(keys.length);
    await new Promise((resolve) => setTimeout(resolve, 20));
    const inBurst = mappedBytes();
    for (let tries = 0; mappedBytes() > inBurst - MIB && tries < 100; tries++)
      await new Promise((resolve) => setTimeout(resolve, 50));
    expect(mappedBytes()).toBeLessThanOrEqual(inBurst - MIB);
    expect(readAll()).toBe(keys.length);
  });

  test("in use is refused by name and process", () => {
    const folder = scratch();
    opened.push(openFileBackend(folder));
    expect(() => openFileBackend(folder)).toThrowError(
      new StoreError("STORE_IN_USE", `the data folder ${folder} is in use by process ${process.pid}`),
    );
  });

  test("of a newer format is left alone", () => {
    const folder = scratch();
    writeFileSync(join(folder, "format"), "99\n");
    expect(() => openFileBackend(folder)).toThrowError(/has format 99/);
  });

  test("with a lock left by a process that is gone is taken over", async () => {
    const folder = scratch();
    writeFileSync(join(folder, "lock"), "999999999\n");
    opened.push(openFileBackend(folder));
    expect(opened).toHaveLength(1);
  });
});
