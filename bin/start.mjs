// The quickstart: installs and builds what is missing, then starts `flotilla up`.
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const [major, minor] = process.versions.node.split(".").map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  console.error(`flotilla needs Node 20.19 or newer; this is ${process.versions.node}.`);
  process.exit(1);
}

function must(title, command, args) {
  process.stderr.write(`${title} …`);
  const startedMs = Date.now();
  const { status, stdout, stderr } = spawnSync(command, args, { cwd: root, encoding: "utf8" });
  if (status !== 0) {
    process.stderr.write(` failed\n${stdout ?? ""}${stderr ?? ""}`);
    process.exit(status ?? 1);
  }
  process.stderr.write(` ${((Date.now() - startedMs) / 1000).toFixed(1)} s\n`);
}

/** The newest change below a folder, in milliseconds. */
function newest(path) {
  const stat = statSync(path);
  if (!stat.isDirectory()) return stat.mtimeMs;
  return Math.max(stat.mtimeMs, ...readdirSync(path).map((entry) => newest(join(path, entry))));
}

if (!existsSync(join(root, "node_modules/lmdb"))) must("Installing packages", "npm", ["ci", "--no-audit", "--no-fund"]);
const built = join(root, "dist/main.js");
if (!existsSync(built) || statSync(built).mtimeMs < newest(join(root, "src")))
  must("Building", process.execPath, ["tools/build.mjs"]);

const { main } = await import(new URL("../dist/main.js", import.meta.url).href);
await main("flotilla", ["up", ...process.argv.slice(2)]);
