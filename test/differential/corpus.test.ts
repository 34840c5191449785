/** The corpus and its tools, without a server: scripts can be read, answers are masked, the lists and the page agree. */
import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { compare } from "./compare.ts";
import { generatedTitles } from "./generated.ts";
import { nameOf, page, pageFile, readKnown, readOpen } from "./known.ts";
import type { Answer } from "./play.ts";
import { parseScripts } from "./script.ts";

const folder = new URL("scripts/", import.meta.url);
const corpus = readdirSync(folder).flatMap((file) =>
  parseScripts(file.replace(/\.txt$/, ""), readFileSync(new URL(file, folder), "utf8")),
);
const answer = (body: unknown, status = 200): Answer => ({
  status,
  headers: { "content-type": "application/json" },
  text: JSON.stringify(body),
});

describe("the corpus", () => {
  test("has at least 600 scripts, each under a name of its own", () => {
    expect(corpus.length).toBeGreaterThanOrEqual(600);
    expect(new Set(corpus.map(nameOf)).size).toBe(corpus.length);
  });

  test("its list of open scripts names scripts that exist, and the reference page is written from the lists", () => {
    const names = new Set([...corpus.map(nameOf), ...generatedTitles.map((title) => `generated/${title}`)]);
    expect([...readOpen()].filter((name) => !names.has(name))).toEqual([]);
    expect(readFileSync(pageFile, "utf8")).toBe(page(readKnown(), readOpen()));
  });
});

describe("scripts", () => {
  test("are read with definitions, headers, bodies, patches and continued lines", () => {
    const [script] = parseScripts(
      "g",
      'def CM kind: ConfigMap\n// a comment\n== title\nMERGE /api/x?a=b | X-Y: z | {@CM,\n  data: {k: "a | b"}}\nUNTIL 200 GET /y | anonymous\n',
    );
    expect(script?.steps).toMatchObject([
      {
        method: "PATCH",
        path: "/api/x?a=b",
        headers: { "content-type": "application/merge-patch+json", "x-y": "z" },
        body: '{kind: ConfigMap,\ndata: {k: "a | b"}}',
        until: undefined,
      },
      { method: "GET", path: "/y", isAnonymous: true, until: "200" },
    ]);
  });

  test("a series is one script for each request", () => {
    expect(parseScripts("g", "=* many\nGET /a\nGET /b\n").map(({ title }) => title)).toEqual(["many (1)", "many (2)"]);
  });

  test.each([
    ["GET /x\n", "g, line 1: a request must stand below a title"],
    ["== a\nFETCH /x\n", 'g, line 2: unknown method "FETCH"'],
    ["== a\nGET x\n", 'g, line 2: "GET x" is no METHOD /PATH'],
    ["== a\nGET /x | what\n", 'g, line 2: "what" is neither a header nor a body'],
    ["== a\nPOST /x | {@NOPE}\n", "g, line 2: @NOPE is not defined above"],
    ["== a\nGET /x\n== a\nGET /x\n", 'g, line 3: "a" is there twice'],
    ["== a\nGET /x\nranges 10.0.0.0/16\n", "g, line 3: ranges stand before the first title"],
    ["== a\n", 'g: "a" has no request'],
  ])("what cannot be read is named: %j", (text, message) => {
    expect(() => parseScripts("g", text)).toThrow(message);
  });
});

describe("answers", () => {
  test("are the same when only uids, times, versions and ages differ", () => {
    const object = (uid: string, second: number, version: string) => ({
      kind: "ConfigMap",
      metadata: { uid, resourceVersion: version, creationTimestamp: `2026-01-01T00:00:0${second}Z` },
      cells: [`${second}s`],
    });
    expect(
      compare(
        answer(object("11111111-1111-1111-1111-111111111111", 1, "5")),
        answer(object("22222222-2222-2222-2222-222222222222", 2, "77")),
      ),
    ).toEqual([]);
  });

  test("list elements are matched by name, and their order counts", () => {
    const list = (...names: string[]) => answer({ kind: "L", items: names.map((name) => ({ name, value: name })) });
    expect(compare(list("a", "b", "c"), list("c", "a"))).toEqual([
      { path: "body.items[b]", real: '{"name":"b","value":"b"}', ours: "absent" },
      { path: "body.items (order)", real: "a c", ours: "c a" },
    ]);
  });

  test("an object and an error are one difference, not one for each field", () => {
    const error = answer({ kind: "Status", message: "no" }, 422);
    expect(compare(error, answer({ kind: "ConfigMap", data: {} }, 201)).map(({ path }) => path)).toEqual([
      "status",
      "body",
    ]);
  });
});
