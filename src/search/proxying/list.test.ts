import { describe, expect, it } from "vitest";
import type { KubeObject } from "#machinery";
import { listAcross, type Page, type PageRequest } from "./list.ts";
import { type Continuation, decodeVersions, encodeVersions } from "./tokens.ts";

const KEPT: Readonly<Record<string, readonly string[]>> = { a: ["a1", "a2", "a3"], b: [], c: ["c1", "c2"] };
const object = (name: string): KubeObject => ({ apiVersion: "v1", kind: "Pod", metadata: { name } });
const versions = (of: Readonly<Record<string, string>>) => ({ isZero: false, of: new Map(Object.entries(of)) });

/** Clusters that answer pages; what each was asked stands in `asked`. */
function clusters(kept = KEPT) {
  const asked: string[] = [];
  const ask = (cluster: string, { limit, continue: token, resourceVersion }: PageRequest): Promise<Page> => {
    asked.push([cluster, limit ?? "", token ?? "", resourceVersion ?? ""].join(":"));
    const start = Number(token ?? 0);
    const all = kept[cluster] ?? [];
    const end = limit === undefined ? all.length : start + limit;
    return Promise.resolve({
      items: all.slice(start, end).map(object),
      resourceVersion: `${cluster}-now`,
      ...(end < all.length ? { continue: String(end) } : {}),
    });
  };
  return { asked, ask };
}
const NAMES = ["a", "b", "c"];

describe("[GF-46] one list of several clusters", () => {
  it("asks all of them, each from its own version", async () => {
    const { asked, ask } = clusters();
    const { items, versions: found, next } = await listAcross(NAMES, { versions: versions({ a: "7" }) }, ask);
    expect(items.map(([cluster, { metadata }]) => `${cluster}/${metadata.name}`)).toEqual([
      "a/a1",
      "a/a2",
      "a/a3",
      "c/c1",
      "c/c2",
    ]);
    expect(asked).toEqual(["a:::7", "b:::", "c:::"]);
    expect([...found.of]).toEqual([
      ["a", "a-now"],
      ["b", "b-now"],
      ["c", "c-now"],
    ]);
    expect(next).toBeUndefined();
  });

  it.each([1, 2, 3, 4, 5, 6])(
    "gives every object once by pages of %i, with versions of all clusters on each",
    async (limit) => {
      const { ask } = clusters();
      const seen: string[] = [];
      let from: Continuation | undefined;
      let pages = 0;
      do {
        const page = await listAcross(
          NAMES,
          { limit, versions: decodeVersions(undefined), ...(from && { from }) },
          ask,
        );
        expect(page.items.length).toBeLessThanOrEqual(limit);
        expect([...page.versions.of.keys()].sort()).toEqual(NAMES);
        seen.push(...page.items.map(([, { metadata }]) => metadata.name ?? ""));
        from = page.next;
      } while (from !== undefined && ++pages < 10);
      expect(seen).toEqual(["a1", "a2", "a3", "c1", "c2"]);
    },
  );

  it("sends a member's token without a version, and later clusters the version of the beginning", async () => {
    const { asked, ask } = clusters();
    const from = { versions: encodeVersions(versions({ a: "1", b: "2", c: "3" })), cluster: "a", token: "2" };
    const { versions: found } = await listAcross(NAMES, { limit: 5, versions: decodeVersions("9"), from }, ask);
    expect(asked).toEqual(["a:5:2:", "b:4::2", "c:4::3"]);
    expect(found.of.get("c")).toBe("c-now");
  });

  it("begins the next page with the next cluster when one is used up, and goes on past a cluster that left", async () => {
    const { asked, ask } = clusters();
    const { next } = await listAcross(NAMES, { limit: 3, versions: decodeVersions(undefined) }, ask);
    expect(next).toMatchObject({ cluster: "b", token: "" });
    // Who was not asked tells its version by the shortest list.
    expect(asked).toEqual(["a:3::", "b:1::", "c:1::"]);
    const rest = await listAcross(
      ["a", "c"],
      { limit: 3, versions: decodeVersions(undefined), from: next as Continuation },
      ask,
    );
    expect(rest.items.map(([cluster]) => cluster)).toEqual(["c", "c"]);
  });

  it("fails with the cluster that fails", async () => {
    const ask = (cluster: string) =>
      cluster === "b" ? Promise.reject(new Error("b is gone")) : clusters().ask(cluster, {});
    await expect(listAcross(NAMES, { versions: decodeVersions(undefined) }, ask)).rejects.toThrow("b is gone");
  });
});
