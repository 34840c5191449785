/** Every vector of the contract beside the project; where it does not stand, the tests say so. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { adapter as interpreter } from "../../tools/vectors/interpreter.ts";
import { adapter as overrides } from "../../tools/vectors/overrides.ts";
import { adapter as scheduling } from "../../tools/vectors/scheduling.ts";

const root = resolve(fileURLToPath(new URL(".", import.meta.url)), "../../../shared/contract/vectors");
const isThere = existsSync(root);

/** Vectors whose upstream result is a known defect, where we do better on purpose (docs/decisions says why). */
const isDefect = (vector: { readonly tags?: readonly string[]; readonly upstreamDefect?: string }) =>
  vector.upstreamDefect !== undefined || (vector.tags ?? []).includes("upstream-defect");
/** Not right yet; each is named in the open. */
const KNOWN_DIFFERENCES = new Set<string>([]);

describe.skipIf(!isThere)("vectors of the contract (they must stand beside the checkout)", () => {
  for (const folder of isThere ? readdirSync(root) : [])
    for (const file of readdirSync(join(root, folder)).filter((name) => name.endsWith(".json"))) {
      test(`${folder}/${file}`, async () => {
        const parsed = JSON.parse(readFileSync(join(root, folder, file), "utf8"));
        const adapter = [scheduling, overrides, interpreter].find((candidate) => candidate.accepts(parsed));
        const failures: string[] = [];
        for (const vector of Array.isArray(parsed) ? parsed : parsed.vectors) {
          if (adapter === undefined || isDefect(vector) || KNOWN_DIFFERENCES.has(vector.name)) continue;
          const result = await adapter.run(parsed as never, vector as never);
          if (result.outcome === "failed") failures.push(`${vector.name}: ${result.detail}`);
        }
        expect(failures).toEqual([]);
      });
    }
});

test("an unknown format is accepted by no adapter", () => {
  for (const adapter of [scheduling, overrides, interpreter])
    expect(adapter.accepts({ something: "else" })).toBe(false);
});
