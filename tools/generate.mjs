// Runs every generator below tools/generate/: `npm run generate`. `--check` leaves the tree as it is and fails when a
// generated file is not what its generator would write now. A generator that reads the contract is left out where the
// contract does not stand beside the checkout: what it made is committed.
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const isCheck = process.argv.includes("--check");
const folder = "tools/generate";
const hasContract = existsSync("../shared/contract");
const generators = existsSync(folder)
  ? readdirSync(folder).filter((name) => /\.(ts|mjs)$/.test(name) && !name.includes(".test.") && !name.startsWith("_"))
  : [];
let isStale = false;
const scratch = mkdtempSync(join(tmpdir(), "flotilla-generate-"));
const snapshot = () =>
  spawnSync("git", ["status", "--porcelain"], { encoding: "utf8" }).stdout +
  spawnSync("git", ["diff", "--stat"], { encoding: "utf8" }).stdout;
for (const name of generators.sort()) {
  const path = join(folder, name);
  if (/shared\/contract/.test(readFileSync(path, "utf8")) && !hasContract) {
    console.log(`- ${name}: left out, the contract does not stand beside this checkout`);
    continue;
  }
  const before = isCheck ? snapshot() : "";
  const { status } = spawnSync("node_modules/.bin/tsx", [path], { stdio: "inherit" });
  if (status !== 0) process.exitCode = 1;
  if (isCheck && snapshot() !== before) {
    isStale = true;
    console.error(`✗ ${name}: generated files are not fresh; run npm run generate and commit`);
  }
}
rmSync(scratch, { recursive: true, force: true });
if (isStale) process.exitCode = 1;
