import { afterEach, describe, expect, test } from "vitest";
import { type Backend, type BackendChange, isCompacted } from "#store";

const bytes = (text: string) => Buffer.from(text);
const text = (value: Uint8Array | undefined) => (value === undefined ? undefined : Buffer.from(value).toString());
let number = 0;

/**
 * What every driver of the store must do. `open` gives a store that may hold other keys; what stands in it before counts
 * for nothing.
 */
export function storeConformance(name: string, open: () => Backend | Promise<Backend>): void {
  describe(`${name} driver`, () => {
    const opened: Backend[] = [];
    afterEach(async () => {
      await Promise.all(opened.splice(0).map((backend) => backend.close()));
    });
    const start = async () => {
      const backend = await open();
      opened.push(backend);
      return { backend, base: backend.revision, at: `/conformance-${process.pid}-${number++}` };
    };

    test("a put is read back with its revision", async () => {
      const { backend, base, at } = await start();
      const result = await backend.txn([{ type: "put", key: `${at}/a`, value: bytes("1"), expected: 0 }]);
      expect(result).toEqual({ ok: true, revision: base + 1 });
      const entry = await backend.get(`${at}/a`);
      expect(text(entry?.value)).toBe("1");
      expect(entry).toMatchObject({ revision: base + 1, createRevision: base + 1 });
      expect(backend.revision).toBe(base + 1);
    });

    test("an empty value and a key of any text come back as they were", async () => {
      const { backend, at } = await start();
      const key = `${at}/größe/🚀 x`;
      await backend.txn([{ type: "put", key, value: bytes("") }]);
      expect((await backend.list(`${at}/`)).entries.map((entry) => [entry.key, text(entry.value)])).toEqual([
        [key, ""],
      ]);
    });

    test("a failed condition changes nothing and shows what is there", async () => {
      const { backend, base, at } = await start();
      await backend.txn([{ type: "put", key: `${at}/a`, value: bytes("1") }]);
      const result = await backend.txn([
        { type: "put", key: `${at}/b`, value: bytes("2") },
        { type: "put", key: `${at}/a`, value: bytes("2"), expected: 0 },
      ]);
      expect(result).toMatchObject({ ok: false, key: `${at}/a`, found: { revision: base + 1 } });
      expect(await backend.get(`${at}/b`)).toBeUndefined();
      expect(backend.revision).toBe(base + 1);
    });

    test("several operations are one revision", async () => {
      const { backend, base, at } = await start();
      await backend.txn([{ type: "put", key: `${at}/a`, value: bytes("1") }]);
      const seen: BackendChange[][] = [];
      backend.watch(at, backend.revision, { changes: (changes) => seen.push([...changes]), closed() {} });
      await backend.txn([
        { type: "put", key: `${at}/b`, value: bytes("2"), expected: 0 },
        { type: "delete", key: `${at}/a`, expected: base + 1 },
      ]);
      expect(seen.flat().map(({ type, revision }) => [type, revision])).toEqual([
        ["put", base + 2],
        ["delete", base + 2],
      ]);
    });

    test("of many writers with one condition exactly one wins", async () => {
      const { backend, at } = await start();
      const results = await Promise.all(
        Array.from({ length: 20 }, (_, writer) =>
          backend.txn([{ type: "put", key: `${at}/a`, value: bytes(String(writer)), expected: 0 }]),
        ),
      );
      expect(results.filter((result) => result.ok)).toHaveLength(1);
    });

    test("lists are ordered, bounded and go on after a key", async () => {
      const { backend, at } = await start();
      for (const key of ["/p/c", "/p/a", "/q/x", "/p/b", "/p/ab"])
        await backend.txn([{ type: "put", key: at + key, value: bytes(key) }]);
      const first = await backend.list(`${at}/p/`, { limit: 2 });
      expect(first.entries.map(({ key }) => key)).toEqual([`${at}/p/a`, `${at}/p/ab`]);
      expect(first.hasMore).toBe(true);
      const rest = await backend.list(`${at}/p/`, { after: `${at}/p/ab` });
      expect(rest.entries.map(({ key }) => key)).toEqual([`${at}/p/b`, `${at}/p/c`]);
      expect(rest.hasMore).toBe(false);
    });

    test("a list shows its revision's state: watching from there misses nothing", async () => {
      const { backend, at } = await start();
      let isOver = false;
      const writing = (async () => {
        for (let n = 0; n < 200; n++) await backend.txn([{ type: "put", key: `${at}/${n}`, value: bytes("x") }]);
        isOver = true;
      })();
      for (let round = 0; !isOver && round < 50; round++) {
        const { entries, revision } = await backend.list(`${at}/`);
        const keys = new Set(entries.map(({ key }) => key));
        const watch = backend.watch(`${at}/`, revision, {
          changes: (changes) => {
            for (const { key } of changes) keys.add(key);
          },
          closed() {},
        });
        await new Promise((resolve) => setImmediate(resolve));
        watch.stop();
        const gap = [...keys].map((key) => Number(key.slice(at.length + 1))).sort((a, b) => a - b);
        expect(gap).toEqual(gap.map((_, position) => position));
      }
      await writing;
    });

    test("a watch gets the past after its revision, then the present, in order and once", async () => {
      const { backend, base, at } = await start();
      await backend.txn([{ type: "put", key: `${at}/w/a`, value: bytes("1") }]);
      const seen: BackendChange[] = [];
      backend.watch(`${at}/w/`, base + 1, { changes: (changes) => seen.push(...changes), closed() {} });
      await backend.txn([{ type: "put", key: `${at}/w/a`, value: bytes("2") }]);
      await backend.txn([{ type: "put", key: `${at}/other`, value: bytes("2") }]);
      await backend.txn([{ type: "delete", key: `${at}/w/a` }]);
      expect(seen.map(({ type, revision }) => [type, revision])).toEqual([
        ["put", base + 2],
        ["delete", base + 4],
      ]);
      const again: BackendChange[] = [];
      backend.watch(`${at}/w/`, base, { changes: (changes) => again.push(...changes), closed() {} });
      expect(again.map(({ revision }) => revision)).toEqual([base + 1, base + 2, base + 4]);
    });

    test("a compacted revision cannot be watched", async () => {
      const { backend, base, at } = await start();
      for (let n = 0; n < 5; n++) await backend.txn([{ type: "put", key: `${at}/a`, value: bytes(String(n)) }]);
      await backend.compact(base + 3);
      const error = await new Promise((resolve) => backend.watch("/", base + 1, { changes() {}, closed: resolve }));
      expect(isCompacted(error)).toBe(true);
    });

    test("a key with a lease ends by itself; one written again without keeps", async () => {
      const { backend, at } = await start();
      const gone: string[] = [];
      backend.watch(at, backend.revision, {
        changes: (all) => gone.push(...all.flatMap(({ type, key }) => (type === "delete" ? [key] : []))),
        closed() {},
      });
      for (const name of ["short", "renewed"])
        await backend.txn([{ type: "put", key: `${at}/${name}`, value: bytes("x"), leaseSeconds: 1 }]);
      await backend.txn([{ type: "put", key: `${at}/renewed`, value: bytes("x") }]);
      await backend.txn([{ type: "put", key: `${at}/long`, value: bytes("x"), leaseSeconds: 3600 }]);
      for (let tries = 0; gone.length === 0 && tries < 200; tries++)
        await new Promise((resolve) => setTimeout(resolve, 50));
      expect(gone).toEqual([`${at}/short`]);
      expect((await backend.list(`${at}/`)).entries.map(({ key }) => key)).toEqual([`${at}/long`, `${at}/renewed`]);
    });

    test("deleting what is absent takes no revision", async () => {
      const { backend, base, at } = await start();
      expect(await backend.txn([{ type: "delete", key: `${at}/a` }])).toEqual({ ok: true, revision: base });
    });

    test("a closed store refuses to write", async () => {
      const backend = await open();
      await backend.close();
      await expect(backend.txn([{ type: "put", key: "/a", value: bytes("1") }])).rejects.toMatchObject({
        code: "STORE_CLOSED",
      });
    });
  });
}
