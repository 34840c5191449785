import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { measureDecisions } from "../../test/perf/schedule.ts";
import { measurePlacing } from "../../test/perf/schedule-writes.ts";
import type { Bench, Row } from "./measure.ts";

const BINDINGS = 5_000;
const RATE = 500;
const RATED = 3_000;

/** A figure beside its goal: from 1 on the goal is met, whether more or less is better. */
function beside(measure: string, value: number, unit: string, goal?: number): Row {
  const row = { name: "schedule", measure, value, unit };
  if (goal === undefined) return row;
  const isRate = unit === "/s";
  return {
    ...row,
    reference: `goal ${isRate ? "≥" : "≤"} ${goal} ${unit}`,
    ratio: isRate ? value / goal : goal / value,
  };
}

/** The scheduler: pure decisions, results written to the embedded store, and how long a new binding waits. */
export const decisions: Bench = async ({ scratch }) => {
  const rows = measureDecisions().map(({ what, value, unit, goal }) => beside(what, value, unit, goal));
  const folderOf = (name: string) => {
    const folder = join(scratch, name);
    mkdirSync(folder);
    return folder;
  };
  const all = await measurePlacing(folderOf("all"), BINDINGS);
  rows.push(
    beside(`${BINDINGS} bindings placed, results and events durable`, all.perSecond, "/s", 2_000),
    beside("the same by CPU time, API server and store included", all.perCpuSecond, "/s"),
  );
  const rated = await measurePlacing(folderOf("rated"), RATED, RATE);
  rows.push(
    beside(`created → clusters set at ${RATE} creations/s, median`, rated.medianMs, "ms"),
    beside(`created → clusters set at ${RATE} creations/s, p99`, rated.p99Ms, "ms", 50),
  );
  return rows;
};
