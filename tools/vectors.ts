/**
 * Runs folders of vector files: `npm run vectors -- DIR…` (default: every folder of the contract beside the project).
 *
 * Each file goes to the adapter that knows its format; a file nobody knows, and a vector whose operation nobody knows,
 * is reported as skipped, never as passed. `--verbose` prints the details of failures; the exit code is 1 when any failed.
 */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { adapter as interpreter } from "./vectors/interpreter.ts";
import { adapter as overrides } from "./vectors/overrides.ts";
import { adapter as scheduling } from "./vectors/scheduling.ts";

interface VectorResult {
  readonly name: string;
  readonly outcome: "passed" | "failed" | "skipped";
  readonly detail?: string;
}

interface VectorAdapter {
  readonly format: string;
  accepts(file: unknown): boolean;
  run(file: never, vector: never): VectorResult | Promise<VectorResult>;
}

interface Vector {
  readonly name?: string;
  readonly tags?: readonly string[];
  readonly upstreamDefect?: string;
}

const adapters = [scheduling, overrides, interpreter] as unknown as readonly VectorAdapter[];
const contract = resolve(dirname(fileURLToPath(import.meta.url)), "../../shared/contract/vectors");
const words = process.argv.slice(2);
const isVerbose = words.includes("--verbose") || words.includes("-v");
const given = words.filter((word) => !word.startsWith("-"));
if (given.length === 0 && !existsSync(contract)) {
  console.log("No folder given, and the contract does not stand beside this checkout: nothing to run.");
  process.exit(0);
}
const folders = given.length > 0 ? given : [contract];

function* jsonFiles(path: string): Generator<string> {
  if (!statSync(path).isDirectory()) {
    if (path.endsWith(".json")) yield path;
    return;
  }
  for (const entry of readdirSync(path).sort()) yield* jsonFiles(join(path, entry));
}

const total = { passed: 0, failed: 0, skipped: 0, defects: 0 };
for (const folder of folders)
  for (const path of jsonFiles(folder)) {
    const count = { passed: 0, failed: 0, skipped: 0, defects: 0 };
    const file: unknown = JSON.parse(readFileSync(path, "utf8"));
    const vectors = (Array.isArray(file) ? file : ((file as { vectors?: unknown }).vectors ?? [])) as readonly Vector[];
    const adapter = adapters.find((candidate) => candidate.accepts(file));
    for (const vector of vectors) {
      const isDefect = vector.upstreamDefect !== undefined || (vector.tags ?? []).includes("upstream-defect");
      let result: VectorResult;
      try {
        result =
          adapter === undefined
            ? { name: vector.name ?? "?", outcome: "skipped", detail: "no adapter knows this file's format" }
            : await adapter.run(file as never, vector as never);
      } catch (error) {
        const detail = error instanceof Error ? (error.stack ?? error.message) : String(error);
        result = { name: vector.name ?? "?", outcome: "failed", detail };
      }
      if (result.outcome === "failed" && isDefect) {
        count.defects++;
        if (isVerbose) console.log(`  differs from a known upstream defect: ${result.name}`);
        continue;
      }
      count[result.outcome]++;
      if (result.outcome === "failed") {
        console.log(`  FAILED ${result.name}`);
        if (isVerbose && result.detail !== undefined) console.log(result.detail.replace(/^/gm, "    "));
      }
      if (result.outcome === "skipped" && isVerbose) console.log(`  skipped ${result.name}: ${result.detail ?? ""}`);
    }
    for (const key of Object.keys(total) as (keyof typeof total)[]) total[key] += count[key];
    const notes = [
      count.skipped > 0 ? `${count.skipped} skipped` : "",
      count.defects > 0 ? `${count.defects} differ from upstream defects` : "",
    ].filter((note) => note !== "");
    console.log(
      `${count.failed > 0 ? "✗" : "✓"} ${path.split("/").slice(-2).join("/")}: ${count.passed} passed, ${count.failed} failed${notes.length > 0 ? ` (${notes.join(", ")})` : ""}`,
    );
  }
console.log(
  `${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped, ${total.defects} differ on purpose from upstream defects`,
);
if (total.failed > 0) process.exitCode = 1;
