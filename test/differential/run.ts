/**
 * `npm run differential [-- GROUP…] [--only TEXT] [--ignore PATH]… [--report FILE] [--seed N] [--runs N] [--all] [--update]`: plays the scripts against kube-apiserver and
 * against our API server and prints what differs. Ends with 1 when a script differs that is neither explained in
 * `known-differences.yaml` nor listed in `open-scripts.txt`, when an entry of the former matches nothing, or when the
 * reference page is out of step. `--update` writes the list of open scripts and the page anew; `--ignore`
 * leaves out differences whose path contains a text, for a look at the others. A script that differs is played once more; one
 * that is the same then is named as unsteady. `--seed`, `--runs` and `--only` choose what the generators make (`generated`);
 * `--all` shows every script of theirs that differs instead of the smallest.
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { missingParts } from "#lab";
import { compare, type Difference } from "./compare.ts";
import { findDifference, generatedTitles, preludeScript, sampleScripts, usualRuns } from "./generated.ts";
import { explain, type KnownDifference, nameOf, page, pageFile, readKnown, readOpen, writeOpen } from "./known.ts";
import { play } from "./play.ts";
import { type Script, parseScripts } from "./script.ts";
import { type Pair, startPair } from "./servers.ts";

interface Outcome {
  readonly script: Script;
  readonly differences: readonly { readonly step: number; readonly difference: Difference }[];
}

const AT_ONCE = 6;
/** How much of a request is shown. */
const LINE_MAX = Number(process.env["LINE_MAX"] ?? 240);
const GENERATED = "generated";
const folder = new URL("scripts/", import.meta.url);

function readGroups(wanted: readonly string[]): readonly Script[] {
  const groups = readdirSync(folder)
    .filter((file) => file.endsWith(".txt"))
    .map((file) => file.slice(0, -4))
    .sort();
  const unknown = wanted.filter((name) => name !== GENERATED && !groups.includes(name));
  if (unknown.length > 0)
    throw new Error(`no such group: ${unknown.join(", ")}; there are ${[...groups, GENERATED].join(", ")}`);
  return groups
    .filter((name) => wanted.length === 0 || wanted.includes(name))
    .flatMap((name) => parseScripts(name, readFileSync(new URL(`${name}.txt`, folder), "utf8")));
}

async function playBoth(script: Script, pair: Pair, id: string): Promise<Outcome> {
  const [real, ours] = await Promise.all([
    // What makes kube-apiserver hang up says nothing about how to answer.
    play(script, pair.real, id).catch((error: unknown) => {
      if (String(error).includes("socket hang up")) return [];
      throw error;
    }),
    play(script, pair.ours, id),
  ]);
  return {
    script,
    differences: real.flatMap((answer, step) => {
      const other = ours[step];
      return other === undefined
        ? []
        : compare(answer, other, script.steps[step]?.body).map((difference) => ({ step: step + 1, difference }));
    }),
  };
}

/** What cannot be played is a difference as well. */
async function playSafely(script: Script, pair: Pair, id: string): Promise<Outcome> {
  try {
    return await playBoth(script, pair, id);
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    return { script, differences: [{ step: 0, difference: { path: "played", real: "", ours: text } }] };
  }
}

async function playAll(scripts: readonly Script[], pair: Pair, prefix: string): Promise<readonly Outcome[]> {
  const outcomes: Outcome[] = [];
  let next = 0;
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      while (next < scripts.length) {
        const at = next++;
        const script = scripts[at] as Script;
        outcomes[at] = await playSafely(script, pair, `${prefix}${at}`);
      }
    }),
  );
  return outcomes;
}

/**
 * Scripts that differ are played once more, by themselves: both servers have controllers that write when they come to it.
 * What is the same then was unsteady, and is named; what differs twice differs.
 */
async function playAgain(
  outcomes: Outcome[],
  pair: Pair,
  isOpen: (outcome: Outcome) => boolean,
): Promise<readonly Outcome[]> {
  const unsteady: Outcome[] = [];
  for (const [at, outcome] of outcomes.entries()) {
    if (!isOpen(outcome)) continue;
    const [second] = await playAll([outcome.script], pair, `again${at}d`);
    if (second === undefined || isOpen(second)) continue;
    unsteady.push(outcome);
    outcomes[at] = second;
  }
  return unsteady;
}

/**
 * One outcome for each generator: that of the smallest script that differs, or of none. Scripts are played side by side
 * first; only where one differs is the smallest looked for, one after the other. With `isAll` every script is an outcome.
 */
async function playGenerated(
  pair: Pair,
  options: { readonly seed: number; readonly runs?: number; readonly only: string; readonly isAll: boolean },
  isOpen: (outcome: Outcome) => boolean,
): Promise<readonly Outcome[]> {
  const outcomes: Outcome[] = [];
  let id = 0;
  const played = (script: Script) => playSafely(script, pair, `g${id++}`);
  await played(preludeScript());
  // What differs once may be a controller's write in between.
  const isSame = async (script: Script) => !isOpen(await played(script)) || !isOpen(await played(script));
  for (const title of generatedTitles.filter((one) => one.includes(options.only))) {
    const chance = { seed: options.seed, runs: options.runs ?? usualRuns(title) };
    const sampled = [...(await playAll(sampleScripts(title, chance), pair, `g${id++}s`))];
    await playAgain(sampled, pair, isOpen);
    if (options.isAll) {
      outcomes.push(...sampled);
      continue;
    }
    const first = sampled.find(isOpen);
    const found = first && (await findDifference(title, chance, isSame));
    const shown = found === undefined ? first : await played(found);
    outcomes.push({ script: { group: GENERATED, title, steps: [] }, differences: [], ...shown });
  }
  return outcomes;
}

function report(
  outcomes: readonly Outcome[],
  known: readonly KnownDifference[],
  open: ReadonlySet<string>,
  isWhole: boolean,
) {
  const different: string[] = [];
  const mended: string[] = [];
  const used = new Set<KnownDifference>();
  const frequent = new Map<string, number>();
  const lines: string[] = [];
  const tally = new Map<string, { same: number; known: number; open: number; different: number }>();
  for (const { script, differences } of outcomes) {
    const unexplained = differences.filter(({ difference }) => {
      const entry = explain(known, script, difference);
      if (entry !== undefined) used.add(entry);
      return entry === undefined;
    });
    const row = tally.get(script.group) ?? { same: 0, known: 0, open: 0, different: 0 };
    tally.set(script.group, row);
    const name = nameOf(script);
    if (unexplained.length === 0) {
      row[differences.length > 0 ? "known" : "same"]++;
      if (open.has(name)) mended.push(name);
      continue;
    }
    different.push(name);
    row[open.has(name) ? "open" : "different"]++;
    lines.push(`== ${script.group}: ${script.title}`);
    let shownStep = -1;
    for (const { step, difference } of unexplained) {
      const kind = `${difference.path.replace(/\.\d+|\[[^\]]*\]/g, "[]")}: ${difference.real.slice(0, 80)} / ${difference.ours.slice(0, 80)}`;
      frequent.set(kind, (frequent.get(kind) ?? 0) + 1);
      if (step !== shownStep)
        lines.push(`  ${step}. ${(script.steps[step - 1]?.line ?? "").replace(/\n/g, " ").slice(0, LINE_MAX)}`);
      shownStep = step;
      lines.push(`     ${difference.path}\n       real  ${difference.real}\n       ours  ${difference.ours}`);
    }
  }
  const stale = isWhole ? known.filter((entry) => !used.has(entry)) : [];
  for (const { title } of stale) lines.push(`known difference that is none any more: ${title}`);
  if (mended.length > 0) lines.push(`mended, take them from the list with --update: ${mended.join("; ")}`);
  const sum = (pick: (row: { open: number; different: number }) => number) =>
    [...tally.values()].reduce((total, row) => total + pick(row), 0);
  const rows = [...tally].map(
    ([group, { same, known: explained, open: listed, different: failed }]) =>
      `${group.padEnd(24)} ${String(same).padStart(4)} same ${String(explained).padStart(4)} explained ${String(listed).padStart(4)} open ${String(failed).padStart(4)} different`,
  );
  const failed = sum((row) => row.different) + stale.length;
  // What is wrong everywhere is said once more, first, where it is found.
  const most = [...frequent]
    .filter(([, count]) => count >= 5)
    .sort(([, left], [, right]) => right - left)
    .slice(0, 40)
    .map(([kind, count]) => `${String(count).padStart(5)} × ${kind}`);
  const head = most.length === 0 ? [] : ["most frequent (path: real / ours):", ...most, ""];
  return {
    text: [...head, ...lines, "", ...rows].join("\n"),
    different,
    failed,
    open: sum((row) => row.open),
    passed: outcomes.length - sum((row) => row.different + row.open),
  };
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    only: { type: "string" },
    report: { type: "string" },
    ignore: { type: "string", multiple: true, default: [] },
    update: { type: "boolean", default: false },
    seed: { type: "string", default: "1" },
    runs: { type: "string" },
    all: { type: "boolean", default: false },
  },
});
const known = readKnown();
const missing = missingParts(["etcd", "kube-apiserver"]);
if (missing.length > 0) {
  console.error(`differential: ${missing.join(" and ")} must be built first: npm run lab -- build`);
  process.exit(1);
}
const only = values.only ?? "";
const scripts = readGroups(positionals).filter(({ title }) => title.includes(only));
let pair = await startPair();
let failed: number;
try {
  const isWhole = positionals.length === 0 && values.only === undefined && values.ignore.length === 0;
  const look = ({ script, differences }: Outcome): Outcome => ({
    script,
    differences: differences.filter(({ difference }) => !values.ignore.some((text) => difference.path.includes(text))),
  });
  const isOpen = (outcome: Outcome) =>
    look(outcome).differences.some(({ difference }) => explain(known, outcome.script, difference) === undefined);
  const listed = readOpen();
  const outcomes: Outcome[] = [];
  const unsteady: Outcome[] = [];
  const playWith = async (ranges: string | undefined, prefix: string) => {
    const wanted = scripts.filter((script) => script.ranges === ranges);
    const played = (await playAll(wanted, pair, prefix)).map(look);
    unsteady.push(...(await playAgain(played, pair, (one) => isOpen(one) && !listed.has(nameOf(one.script)))));
    outcomes.push(...played);
  };
  await playWith(undefined, "d");
  if (positionals.includes(GENERATED) || isWhole) {
    const options = {
      seed: Number(values.seed),
      ...(values.runs === undefined ? {} : { runs: Number(values.runs) }),
      only,
      isAll: values.all,
    };
    outcomes.push(...(await playGenerated(pair, options, isOpen)).map(look));
  }
  // One pair after the other: two at a time would be too much for a small machine.
  for (const ranges of new Set(scripts.flatMap((script) => script.ranges ?? []))) {
    await pair.stop();
    pair = await startPair(ranges);
    await playWith(ranges, "d");
  }
  const result = report(outcomes, known, listed, isWhole);
  failed = result.failed;
  const first = report(unsteady, known, listed, false).text;
  const names = unsteady.map(({ script }) => `unsteady, the same at the second try: ${nameOf(script)}`);
  const text = unsteady.length === 0 ? result.text : [first, ...names, "", result.text].join("\n");
  console.log(text);
  if (values.report !== undefined) writeFileSync(values.report, `${text}\n`);
  if (values.update && isWhole) {
    writeOpen(result.different);
    writeFileSync(pageFile, page(known, readOpen()));
  }
  if (readFileSync(pageFile, "utf8") !== page(known, readOpen())) {
    failed++;
    console.log("docs/reference/api-differences.md is out of step: npm run differential -- --update");
  }
  console.log(`${result.open} scripts are open\n${result.passed} passed, ${failed} failed`);
} finally {
  await pair.stop();
}
process.exit(failed === 0 ? 0 : 1);
