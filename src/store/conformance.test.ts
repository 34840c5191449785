import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import {
  type Backend,
  type BackendChange,
  createMemoryBackend,
  isCompacted,
  openFileBackend,
  StoreError,
} from "./index.ts";

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

const drivers: Record<string, () => Backend> = {
  memory: createMemoryBackend,
  file: () => openFileBackend(scratch()),
};

describe.each(Object.entries(drivers))("%s driver", (_name, make) => {
  const open = () => {
    const backend = make();
    opened.push(backend);
    return backend;
  };

  test("a put is read back with its revision", async () => {
    const backend = open();
    const result = await backend.txn([{ type: "put", key: "/a", value: bytes("1"), expected: 0 }]);
    expect(result).toEqual({ ok: true, revision: 2 });
    const entry = await backend.get("/a");
    expect(text(entry?.value)).toBe("1");
    expect(entry).toMatchObject({ revision: 2, createRevision: 2 });
  });

  test("a failed condition changes nothing and shows what is there", async () => {
    const backend = open();
    await backend.txn([{ type: "put", key: "/a", value: bytes("1") }]);
    const result = await backend.txn([
      { type: "put", key: "/b", value: bytes("2") },
      { type: "put", key: "/a", value: bytes("2"), expected: 0 },
    ]);
    expect(result).toMatchObject({ ok: false, key: "/a", found: { revision: 2 } });
    expect(await backend.get("/b")).toBeUndefined();
    expect(backend.revision).toBe(2);
  });

  test("of many writers with one condition exactly one wins", async () => {
    const backend = open();
    const results = await Promise.all(
      Array.from({ length: 20 }, (_, at) =>
        backend.txn([{ type: "put", key: "/a", value: bytes(String(at)), expected: 0 }]),
      ),
    );
    expect(results.filter((result) => result.ok)).toHaveLength(1);
  });

  test("lists are ordered, bounded and go on after a key", async () => {
    const backend = open();
    for (const key of ["/p/c", "/p/a", "/q/x", "/p/b", "/p/ab"])
      await backend.txn([{ type: "put", key, value: bytes(key) }]);
    const first = await backend.list("/p/", { limit: 2 });
    expect(first.entries.map(({ key }) => key)).toEqual(["/p/a", "/p/ab"]);
    expect(first.hasMore).toBe(true);
    const rest = await backend.list("/p/", { after: "/p/ab" });
    expect(rest.entries.map(({ key }) => key)).toEqual(["/p/b", "/p/c"]);
    expect(rest.hasMore).toBe(false);
  });

  test("a watch gets the past after its revision, then the present, in order and once", async () => {
    const backend = open();
    await backend.txn([{ type: "put", key: "/w/a", value: bytes("1") }]);
    const seen: BackendChange[] = [];
    backend.watch("/w/", 2, { changes: (changes) => seen.push(...changes), closed() {} });
    await backend.txn([{ type: "put", key: "/w/a", value: bytes("2") }]);
    await backend.txn([{ type: "put", key: "/other", value: bytes("2") }]);
    await backend.txn([{ type: "delete", key: "/w/a" }]);
    expect(seen.map(({ type, revision }) => [type, revision])).toEqual([
      ["put", 3],
      ["delete", 5],
    ]);
    expect(text(seen[0]?.previous)).toBe("1");
    const again: BackendChange[] = [];
    backend.watch("/w/", 1, { changes: (changes) => again.push(...changes), closed() {} });
    expect(again.map(({ revision }) => revision)).toEqual([2, 3, 5]);
  });

  test("a compacted revision cannot be watched", async () => {
    const backend = open();
    for (let at = 0; at < 5; at++) await backend.txn([{ type: "put", key: "/a", value: bytes(String(at)) }]);
    await backend.compact(4);
    const error = await new Promise((resolve) => backend.watch("/", 2, { changes() {}, closed: resolve }));
    expect(isCompacted(error)).toBe(true);
  });

  test("deleting what is absent takes no revision", async () => {
    const backend = open();
    expect(await backend.txn([{ type: "delete", key: "/a" }])).toEqual({ ok: true, revision: 1 });
  });

  test("a closed store refuses to write", async () => {
    const backend = make();
    await backend.close();
    await expect(backend.txn([{ type: "put", key: "/a", value: bytes("1") }])).rejects.toMatchObject({
      code: "STORE_CLOSED",
    });
  });
});

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
