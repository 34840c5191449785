/**
 * House rules as tests: doors, names, headers, forbidden words, and ratchets. A ratchet's number may only become smaller;
 * lower it when the house became tidier.
 */
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");

function filesBelow(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder).flatMap((entry) => {
    if (entry === "node_modules" || entry === "dist") return [];
    const path = join(folder, entry);
    return statSync(path).isDirectory() ? filesBelow(path) : [path];
  });
}

const isGenerated = (path: string) => /\/generated[/-]/.test(path);
const sources = filesBelow(join(root, "src")).filter((path) => path.endsWith(".ts") && !isGenerated(path));
const program = sources.filter((path) => !path.endsWith(".test.ts"));
const short = (path: string) => path.slice(root.length + 1);

/** Files longer than this many lines are counted by the ratchet below. */
const LONG_FILE_LINES = 500;
const LONG_FILES_MAX = 40;
const CASTS_TO_NEVER_MAX = 400;

describe("house rules", () => {
  test("every file name is kebab-case", () => {
    const wrong = sources.filter((path) => !/^[a-z0-9]+(?:[.-][a-z0-9]+)*\.ts$/.test(basename(path)));
    expect(wrong.map(short)).toEqual([]);
  });

  test("every room has a door that says what the room is", () => {
    const rooms = readdirSync(join(root, "src")).filter(
      (entry) => statSync(join(root, "src", entry)).isDirectory() && entry !== "controllers",
    );
    const doors = [
      ...rooms.map((room) => join(root, "src", room, "index.ts")),
      ...filesBelow(join(root, "src/controllers"))
        .map((path) =>
          join(
            root,
            "src/controllers",
            path.slice(join(root, "src/controllers").length + 1).split("/")[0] ?? "",
            "index.ts",
          ),
        )
        .filter((path, at, all) => all.indexOf(path) === at),
    ];
    const wrong = doors.filter(
      (door) => !existsSync(door) || !readFileSync(door, "utf8").trimStart().startsWith("/**"),
    );
    expect(wrong.map(short)).toEqual([]);
  });

  test("no explicit any", () => {
    const wrong = program.filter((path) =>
      /(?::|<|as|,)\s*any\b(?!["'`\w-])/.test(withoutComments(readFileSync(path, "utf8"))),
    );
    expect(wrong.map(short)).toEqual([]);
  });

  test("a well-known name of Karmada is written once, in #apis/karmada", () => {
    const known = new Set(
      [...readFileSync(join(root, "src/apis/karmada/well-known.ts"), "utf8").matchAll(/= ("[^"]*\/[^"]+");/g)].map(
        ([, literal]) => literal as string,
      ),
    );
    const wrong = program
      .filter((path) => !path.includes("/apis/karmada/"))
      .flatMap((path) =>
        [...readFileSync(path, "utf8").matchAll(/"[a-z.]*karmada\.io\/[a-z-]+"/g)]
          .filter(([literal]) => known.has(literal))
          .map(([literal]) => `${short(path)}: ${literal}`),
      );
    expect(wrong).toEqual([]);
  });

  test("there is no util room", () => {
    expect(sources.filter((path) => /\/(?:util|utils|helpers?)\//.test(path)).map(short)).toEqual([]);
  });

  test("generated files say so in their first line", () => {
    const generated = filesBelow(join(root, "src")).filter((path) => isGenerated(path) && path.endsWith(".ts"));
    const wrong = generated.filter((path) => !/generated/i.test(readFileSync(path, "utf8").split("\n", 1)[0] ?? ""));
    expect(wrong.map(short)).toEqual([]);
  });

  test("dependencies are pinned and each has a written reason", () => {
    const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
      dependencies: Record<string, string>;
    };
    const unpinned = Object.entries(manifest.dependencies).filter(([, version]) => !/^\d/.test(version));
    expect(unpinned).toEqual([]);
    const reasons = filesBelow(join(root, "docs/decisions"))
      .map((path) => readFileSync(path, "utf8"))
      .join("\n");
    expect(Object.keys(manifest.dependencies).filter((name) => !reasons.includes(`\`${name}\``))).toEqual([]);
  });

  test("the version is the package's", () => {
    const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { readonly version: string };
    expect(readFileSync(join(root, "src/config/version.ts"), "utf8")).toContain(JSON.stringify(version));
  });

  test("nothing names a registry's host or a path of one machine", () => {
    const tracked = execFileSync("git", ["ls-files"], { cwd: root, encoding: "utf8" }).split("\n").filter(Boolean);
    const wrong = tracked.filter((path) => {
      const full = join(root, path);
      if (!existsSync(full) || statSync(full).size > 2_000_000) return false;
      const text = readFileSync(full, "utf8");
      return (
        new RegExp(["registry", "npmjs", "org"].join("\\."), "i").test(text) ||
        /(?<![\w.])\/work\//.test(text) ||
        /\/tmp\/w\//.test(text)
      );
    });
    expect(wrong).toEqual([]);
  });

  test("decision records are one page with context, decision and consequences", () => {
    const wrong = filesBelow(join(root, "docs/decisions")).filter((path) => {
      const text = readFileSync(path, "utf8");
      return !/^# /m.test(text) || !/context/i.test(text) || !/decision/i.test(text) || !/consequence/i.test(text);
    });
    expect(wrong.map(short)).toEqual([]);
  });

  test("long files may only become fewer", () => {
    const long = program.filter((path) => readFileSync(path, "utf8").split("\n").length > LONG_FILE_LINES);
    expect(long.length, long.map(short).join("\n")).toBeLessThanOrEqual(LONG_FILES_MAX);
  });

  test("casts that silence the compiler may only become fewer", () => {
    const casts = program.reduce(
      (sum, path) => sum + (readFileSync(path, "utf8").match(/\bas never\b|\bas unknown as\b/g)?.length ?? 0),
      0,
    );
    expect(casts).toBeLessThanOrEqual(CASTS_TO_NEVER_MAX);
  });
});

function withoutComments(text: string): string {
  return text
    .replace(/\/\*[\s\S]*?\*\//g, "")
    .replace(/\/\/.*$/gm, "")
    .replace(/"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`/g, '""');
}
