/**
 * Lists the rows of the requirements that no test shows: `npm run requirements [-- --all] [-- FILE]`.
 *
 * A test shows a row by carrying its id in the title: `[GF-31] …`. The rows are read from the contract beside the
 * project; where it does not stand, the command says so and lists what the tests claim.
 */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const contract = resolve(root, "../shared/contract/requirements.md");

interface Row {
  readonly id: string;
  readonly mark: string;
  readonly text: string;
}

function readRows(path: string): Row[] {
  const rows: Row[] = [];
  for (const line of readFileSync(path, "utf8").split("\n")) {
    const match = /^\|\s*((?:DR|O|GF|RN)-\d+[a-z]?)\s*\|\s*([SBCPIX])\s*\|\s*(.*?)\s*\|/.exec(line);
    if (match !== null) rows.push({ id: match[1] as string, mark: match[2] as string, text: match[3] as string });
  }
  return rows;
}

function* testFiles(folder: string): Generator<string> {
  for (const entry of readdirSync(folder)) {
    if (entry === "node_modules" || entry === "dist" || entry.startsWith(".git")) continue;
    const path = join(folder, entry);
    if (statSync(path).isDirectory()) yield* testFiles(path);
    else if (/\.test\.ts$/.test(entry)) yield path;
  }
}

function readClaims(): Map<string, string[]> {
  const claims = new Map<string, string[]>();
  for (const path of testFiles(root)) {
    const text = readFileSync(path, "utf8");
    for (const group of text.matchAll(/\[((?:(?:DR|O|GF|RN)-\d+[a-z]?)(?:\s*,\s*(?:DR|O|GF|RN)-\d+[a-z]?)*)\]/g))
      for (const id of (group[1] as string).split(/\s*,\s*/))
        claims.set(id, [...(claims.get(id) ?? []), path.slice(root.length + 1)]);
  }
  return claims;
}

const claims = readClaims();
let rows: Row[];
try {
  rows = readRows(process.argv.slice(2).find((word) => !word.startsWith("--")) ?? contract);
} catch {
  console.log("The contract does not stand beside this checkout; these ids are claimed by tests:");
  console.log([...claims.keys()].sort().join(" "));
  process.exit(0);
}
const wanted = rows.filter((row) => row.mark !== "X");
const missing = wanted.filter((row) => !claims.has(row.id));
for (const row of missing) console.log(`${row.id.padEnd(7)} ${row.mark}  ${row.text.slice(0, 110)}`);
if (process.argv.includes("--all"))
  for (const row of wanted)
    if (claims.has(row.id)) console.log(`${row.id.padEnd(7)} shown by ${[...new Set(claims.get(row.id))].join(", ")}`);
const unknown = [...claims.keys()].filter((id) => !rows.some((row) => row.id === id));
if (unknown.length > 0) console.log(`Claimed but not in the requirements: ${unknown.join(" ")}`);
console.log(
  `${wanted.length - missing.length} of ${wanted.length} rows are shown by a test, ${missing.length} are not.`,
);
