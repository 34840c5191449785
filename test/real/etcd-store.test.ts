/** The etcd driver against etcd itself: the conformance suite, other writers, broken streams, compaction, TLS. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { createCertificateAuthority } from "#certs";
import { type Backend, type BackendChange, isCompacted, openBackend, startCompaction, StoreError } from "#store";
import { silentLogger, VirtualClock } from "#base";
import { eventually, settle } from "#testing";
import { debianEtcd, type Etcd, missingParts, startEtcd, startEtcdCluster } from "../../lab/index.ts";
import { storeConformance } from "../store/conformance.ts";

const isRequired = process.env["REAL_PARTS_REQUIRED"] === "1";
const bytes = (text: string) => Buffer.from(text);
const storeUrl = (...members: readonly Etcd[]) => `etcd://${members.map(({ url }) => new URL(url).host).join(",")}`;

const versions = [
  { version: "3.6", isThere: missingParts(["etcd"]).length === 0 },
  { version: "3.4", isThere: debianEtcd() !== undefined },
] as const;

describe.each(versions)("etcd $version", ({ version, isThere }) => {
  test.skipIf(isThere || isRequired)("is not installed here: nothing is tested against it", () => {});
  describe.runIf(isThere || isRequired)("driver", () => {
    let etcd: Etcd;
    const opened: Backend[] = [];
    const open = async () => {
      const backend = await openBackend(storeUrl(etcd));
      opened.push(backend);
      return backend;
    };
    beforeAll(async () => {
      etcd = await startEtcd({ version, isUnsafe: version === "3.6" });
    });
    afterEach(async () => {
      await Promise.all(opened.splice(0).map((backend) => backend.close()));
    });
    afterAll(() => etcd.stop());

    storeConformance(`etcd ${version}`, () => openBackend(storeUrl(etcd)));

    test("what another process was told is written is seen after settling", async () => {
      const [one, other] = [await open(), await open()];
      const seen: string[] = [];
      other.watch("/shared/", other.revision, {
        changes: (all) => seen.push(...all.map(({ key }) => key)),
        closed() {},
      });
      for (let n = 0; n < 50; n++) {
        const result = await one.txn([{ type: "put", key: `/shared/${n}`, value: bytes("x") }]);
        await other.settle?.();
        expect(seen[seen.length - 1]).toBe(`/shared/${n}`);
        expect(other.revision).toBeGreaterThanOrEqual(result.ok ? result.revision : 0);
      }
      expect(seen).toHaveLength(50);
    });

    test("a broken stream goes on where it was, with nothing lost and nothing twice", async () => {
      const [one, other] = [await open(), await open()];
      const seen: BackendChange[] = [];
      one.watch("/again/", one.revision, { changes: (all) => seen.push(...all), closed() {} });
      const writing = (async () => {
        for (let n = 0; n < 60; n++) {
          await other.txn([{ type: "put", key: `/again/${n}`, value: bytes("x"), expected: 0 }]);
          if (n === 20) await etcd.restart();
        }
      })();
      await writing;
      await eventually(() => Promise.resolve(seen.length >= 60), 15_000);
      expect(seen.map(({ key }) => key)).toEqual(Array.from({ length: 60 }, (_, n) => `/again/${n}`));
    });

    test("replicas take turns to compact, and nobody who keeps up misses anything", async () => {
      const [one, other] = [await open(), await open()];
      const clock = new VirtualClock(0, settle);
      const options = { clock, log: silentLogger, intervalMs: 300_000 };
      const stops = [startCompaction(one, options), startCompaction(other, options)];
      const seen: string[] = [];
      const closed: unknown[] = [];
      other.watch("/turns/", other.revision, {
        changes: (all) => seen.push(...all.map(({ key }) => key)),
        closed: (error) => closed.push(error),
      });
      // The server was started anew by the test before: who is to keep up must have found it again first.
      await one.txn([{ type: "put", key: "/turns/first", value: bytes("x") }]);
      await eventually(() => Promise.resolve(seen.length === 1), 15_000);
      const beforeAll = one.revision;
      const noteOf = async () => Number(Buffer.from((await one.get("compact_rev_key"))?.value ?? []).toString());
      let note = 0;
      for (let round = 0; round < 3; round++) {
        for (let n = 0; n < 10; n++) await one.txn([{ type: "put", key: `/turns/${round}-${n}`, value: bytes("x") }]);
        await clock.advance(300_000);
        await eventually(async () => (await noteOf()) > note, 15_000);
        note = await noteOf();
      }
      await other.settle?.();
      expect(seen.length).toBe(31);
      expect(closed).toEqual([]);
      // etcd itself has forgotten what was first, and what is younger than an interval it has not.
      const readAt = async (revision: number) => {
        const body = JSON.stringify({ key: Buffer.from("/turns/0-0").toString("base64"), revision: String(revision) });
        return (await fetch(`${etcd.url}/v3/kv/range`, { method: "POST", body })).text();
      };
      await eventually(async () => /required revision has been compacted/.test(await readAt(beforeAll + 1)), 15_000);
      expect(await readAt(note)).toContain('"count":"1"');
      for (const stop of stops) stop();
    });

    test("changes compacted unread end the watch by name, and the store goes on", async () => {
      const [one, other] = [await open(), await open()];
      const closed: unknown[] = [];
      one.watch("/c/", one.revision, { changes() {}, closed: (error) => closed.push(error) });
      // The stream cannot be there while this happens: the server is stopped, and the rest is done in one go.
      await etcd.process().stop();
      await etcd.restart();
      for (let n = 0; n < 30; n++) await other.txn([{ type: "put", key: "/c/a", value: bytes(String(n)) }]);
      await other.compact(other.revision - 1);
      await other.txn([{ type: "put", key: "/c/b", value: bytes("x") }]);
      await one.settle?.();
      // Either the stream was back in time and read all of it, or it says so.
      if (closed.length > 0) expect(isCompacted(closed[0])).toBe(true);
      const seen: BackendChange[] = [];
      one.watch("/c/", one.revision, { changes: (all) => seen.push(...all), closed() {} });
      await other.txn([{ type: "put", key: "/c/d", value: bytes("x") }]);
      await one.settle?.();
      expect(seen.map(({ key }) => key)).toEqual(["/c/d"]);
    });
  });
});

describe.runIf(versions[0].isThere || isRequired)("an etcd cluster of three", () => {
  test("every acknowledged write survives its members' restarts, one after the other", async () => {
    const members = await startEtcdCluster(3, { version: "3.6", isUnsafe: true });
    const backend = await openBackend(storeUrl(...members));
    try {
      const acknowledged: string[] = [];
      let isOver = false;
      // While etcd elects, a write may be refused as unavailable: then it is not acknowledged, and the next one is tried.
      const write = (key: string) =>
        backend.txn([{ type: "put", key, value: bytes("x"), expected: 0 }]).catch((error: unknown) => {
          if (error instanceof StoreError && error.code === "STORE_UNAVAILABLE") return { ok: false };
          throw error;
        });
      const writing = (async () => {
        for (let n = 0; !isOver; n++) if ((await write(`/r/${n}`)).ok) acknowledged.push(`/r/${n}`);
      })();
      for (const member of members) {
        await member.restart();
        await new Promise((resolve) => setTimeout(resolve, 500));
      }
      const before = acknowledged.length;
      await eventually(() => acknowledged.length > before, 60_000);
      isOver = true;
      await writing;
      const held = new Set((await backend.list("/r/")).entries.map(({ key }) => key));
      expect(acknowledged.length).toBeGreaterThan(10);
      expect(acknowledged.filter((key) => !held.has(key))).toEqual([]);
    } finally {
      await backend.close();
      await Promise.all(members.map((member) => member.stop()));
    }
  });

  test("client certificates are shown, and an authority nobody knows is refused by name", async () => {
    const authority = await createCertificateAuthority("etcd-ca");
    const etcd = await startEtcd({ version: "3.6", isUnsafe: true, authority });
    try {
      const file = (name: string) => `${etcd.folder}/${name}`;
      const backend = await openBackend(storeUrl(etcd), {
        caFile: file("ca.crt"),
        certFile: file("client.crt"),
        keyFile: file("client.key"),
      });
      expect(await backend.txn([{ type: "put", key: "/tls", value: bytes("x") }])).toMatchObject({ ok: true });
      await backend.close();
      await expect(openBackend(storeUrl(etcd), { caFile: file("client.crt") })).rejects.toMatchObject({
        code: "STORE_UNAVAILABLE",
      });
    } finally {
      await etcd.stop();
    }
  });
});
