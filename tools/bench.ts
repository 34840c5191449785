/**
 * Measures: `npm run bench [-- NAME…] [--json FILE]`. Each row stands beside a reference measured in the same run; the
 * ratio counts, absolute times belong to the machine. A benchmark is never a timed test. One file a benchmark: `bench/`.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { api } from "./bench/api.ts";
import { failover } from "./bench/failover.ts";
import { fleet } from "./bench/fleet.ts";
import { interpret } from "./bench/interpret.ts";
import type { Bench, Row } from "./bench/measure.ts";
import { objects } from "./bench/objects.ts";
import { propagate } from "./bench/propagate.ts";
import { propagateReal } from "./bench/propagate-real.ts";
import { restart } from "./bench/restart.ts";
import { scale } from "./bench/scale.ts";
import { decisions } from "./bench/schedule.ts";
import { start } from "./bench/start.ts";
import { store } from "./bench/store.ts";

const benches: Readonly<Record<string, Bench>> = {
  store,
  start,
  propagate,
  scale,
  api,
  objects,
  schedule: decisions,
  failover,
  fleet,
  interpret,
  restart,
};

const { values, positionals } = parseArgs({
  options: {
    json: { type: "string" },
    size: { type: "string", multiple: true, default: [] },
    real: { type: "boolean", default: false },
  },
  allowPositionals: true,
});
/** What `--real` measures instead, on members of real Kubernetes. */
const onRealMembers: Readonly<Record<string, Bench>> = { propagate: propagateReal };
/** Left out unless they are named: they start real members and take minutes. */
const NAMED_ONLY = new Set(["restart"]);

const unknown = positionals.filter((name) => benches[name] === undefined);
if (unknown.length > 0)
  throw new Error(`no such benchmark: ${unknown.join(", ")}; there are ${Object.keys(benches).join(", ")}`);
const rows: Row[] = [];
for (const name of positionals.length > 0 ? positionals : Object.keys(benches).filter((own) => !NAMED_ONLY.has(own))) {
  const scratch = mkdtempSync(join(tmpdir(), "flotilla-bench-"));
  try {
    const found = await (((values.real ? onRealMembers[name] : undefined) ?? benches[name]) as Bench)({
      scratch,
      words: values.size,
    });
    rows.push(...found);
    for (const row of found)
      console.log(
        `${row.name.padEnd(10)} ${row.measure.padEnd(66)} ${row.value.toFixed(row.value < 10 ? 2 : 0).padStart(8)} ${row.unit.padEnd(10)} ${row.reference ?? ""}${row.ratio === undefined ? "" : ` (× ${row.ratio.toFixed(2)})`}`,
      );
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(rows, null, 2)}\n`);
process.exit(0);
