// The whole gate: `npm run check`. Every step runs, so that one look shows all that is wrong; `--skip-tests` leaves out
// the tests for callers that just ran them.
import { spawnSync } from "node:child_process";

const steps = [
  ["types", "tsc", ["--noEmit"]],
  ["format and lint", "biome", ["check", "--error-on-warnings", "--max-diagnostics=50"]],
  ["lint that needs types", "eslint", ["--max-warnings=0", "src", "tools", "lab"]],
  ["layers", "depcruise", ["--config", ".dependency-cruiser.cjs", "src", "tools", "lab"]],
  ["dead code", "knip", ["--no-progress"]],
  ["generated files", "node", ["tools/generate.mjs", "--check"]],
  ["tests", "vitest", ["run"]],
];

const failed = [];
for (const [title, command, args] of steps) {
  if (title === "tests" && process.argv.includes("--skip-tests")) continue;
  const startedMs = Date.now();
  const { status } = spawnSync(command, args, {
    stdio: "inherit",
    env: { ...process.env, PATH: `node_modules/.bin:${process.env.PATH}` },
  });
  console.log(`${status === 0 ? "✓" : "✗"} ${title} (${((Date.now() - startedMs) / 1000).toFixed(1)} s)`);
  if (status !== 0) failed.push(title);
}
if (failed.length > 0) {
  console.error(`check failed: ${failed.join(", ")}`);
  process.exitCode = 1;
}
