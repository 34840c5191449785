// Packs the package, installs it into an empty folder as a user would, and runs the tour from there by npx: `npm run
// package:try`. It needs the npm registry for the dependencies.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const folder = mkdtempSync(join(tmpdir(), "flotilla-package-"));
const must = (command, args, cwd) => {
  console.log(`$ ${command} ${args.join(" ")}`);
  const { status } = spawnSync(command, args, { cwd, stdio: "inherit" });
  if (status !== 0) throw new Error(`${command} ended with ${status}`);
};
try {
  must("npm", ["pack", "--pack-destination", folder]);
  const archive = readdirSync(folder).find((name) => name.endsWith(".tgz"));
  writeFileSync(join(folder, "package.json"), '{ "private": true }\n');
  must("npm", ["install", "--no-audit", "--no-fund", `./${archive}`], folder);
  must("npx", ["--no", "flotilla", "version"], folder);
  must(
    "npx",
    ["--no", "flotilla", "up", "--once", "--in-memory", "--data-dir", join(folder, "data"), "--port", "0"],
    folder,
  );
} finally {
  rmSync(folder, { recursive: true, force: true });
}
