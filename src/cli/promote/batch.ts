import { writeFileSync } from "node:fs";
import { createInterface } from "node:readline/promises";
import { stringify } from "yaml";
import { duration } from "#config";
import type { Connection } from "../connection.ts";
import { UsageError } from "../errors.ts";
import type { FlagSpec, Parsed } from "../flags.ts";
import type { MemberConnection } from "../members.ts";
import { systemClock } from "../process.ts";
import { carryOut, codeOf, ON_ERROR, reportOf, reportText, type Result } from "./carry-out.ts";
import { hasSelection, planOf, savedPlan } from "./make-plan.ts";
import { type Plan, planText, policiesOf, POLICY_MODES, withoutTemplates } from "./plan.ts";
import { undoPromotion } from "./undo.ts";

/** What says that several objects are meant, or more than upstream's form knows. */
export const batchFlags: readonly FlagSpec[] = [
  { name: "all-namespaces", short: "A", isSwitch: true, meaning: "objects of every namespace" },
  { name: "selector", short: "l", meaning: "only what these labels select" },
  { name: "field-selector", meaning: "only what these fields select" },
  { name: "filename", short: "f", meaning: "manifests whose objects are meant; with --undo also a saved plan" },
  { name: "exclude-kinds", meaning: "types that are left out, separated by commas" },
  {
    name: "exclude-namespaces",
    meaning: "namespaces that are left out, with * for any text; default is kube-*,karmada-* unless -n names them",
  },
  { name: "create-namespace", isSwitch: true, meaning: "also promote the namespaces of the objects" },
  {
    name: "policy-mode",
    meaning: `${POLICY_MODES.join(", ")}; default is per-resource for one object, else per-namespace`,
  },
  { name: "on-error", default: "continue", meaning: `what a failure leads to: ${ON_ERROR.join(", ")}` },
  { name: "concurrency", default: "8", meaning: "objects made at a time" },
  { name: "wait", bare: "5m", meaning: "wait until everything is taken over, 5m or as long as given" },
  { name: "render", isSwitch: true, meaning: "with -o: the manifests of what would be made" },
  { name: "plan-file", meaning: "where the plan is saved; without a selection, the plan to carry out" },
  { name: "undo", isSwitch: true, meaning: "take templates and policies back; what runs in the member stays" },
  { name: "yes", short: "y", isSwitch: true, meaning: "carry the plan out without asking" },
];

const UNDO_WAIT_MS = 60_000;

const print = (text: string): void => void process.stdout.write(text);

/** Whether a command line is one for many objects. */
export function isBatch(parsed: Parsed): boolean {
  const [type = "", ...names] = parsed.args;
  const isSpecial = type === "all" || type.includes(",") || names.length > 1;
  const isAsked = batchFlags.some(({ name }) => parsed.all(name).length > 0);
  return isSpecial || isAsked || parsed.list("namespace").length > 1;
}

interface Choices {
  readonly onError: (typeof ON_ERROR)[number];
  readonly policyMode: (typeof POLICY_MODES)[number] | undefined;
  readonly concurrency: number;
  readonly waitMs: number | undefined;
  readonly output: string | undefined;
}

/** Reads and checks what is chosen. Throws for a wrong value, naming the flag. */
export function readChoices(parsed: Parsed): Choices {
  const oneOf = <T extends string>(flag: string, words: readonly T[], fallback?: T): T | undefined => {
    const given = parsed.get(flag) ?? fallback;
    const found = words.find((word) => word === given);
    if (given !== undefined && found === undefined)
      throw new UsageError(`--${flag}: ${JSON.stringify(given)} must be one of ${words.join(", ")}`);
    return found;
  };
  const concurrency = parsed.get("concurrency") ?? "";
  if (!/^[1-9][0-9]{0,2}$/.test(concurrency))
    throw new UsageError(`--concurrency: ${JSON.stringify(concurrency)} must be a number from 1 to 999`);
  const output = parsed.get("output");
  if (output !== undefined && output !== "json" && output !== "yaml")
    throw new UsageError("invalid output format: supported formats are json and yaml");
  if (parsed.isOn("render") && output === undefined) throw new UsageError("--render needs --output json or yaml");
  if (parsed.isOn("all-namespaces") && parsed.get("namespace") !== undefined)
    throw new UsageError("--all-namespaces and --namespace: only one of them can be given");
  if (parsed.get("policy-name") !== undefined)
    throw new UsageError("--policy-name names the policy of one object: --policy-mode says how many there are");
  const wait = parsed.get("wait");
  const waitMs = wait === undefined ? undefined : duration.read(wait, "--wait");
  return {
    onError: oneOf("on-error", ON_ERROR) ?? "continue",
    policyMode: parsed.get("auto-create-policy") === "false" ? "none" : oneOf("policy-mode", POLICY_MODES),
    concurrency: Number(concurrency),
    waitMs,
    output,
  };
}

/** `promote` of many objects: a plan first, then what it says. Gives the exit code. */
export async function runBatch(
  parsed: Parsed,
  cluster: string,
  plane: Connection,
  member: MemberConnection,
): Promise<number> {
  const choices = readChoices(parsed);
  const planFile = parsed.get("plan-file");
  const plan = await planOf(parsed, cluster, plane, member, choices.policyMode);
  if (parsed.isOn("undo")) return undo(plan, parsed, plane, member, choices);
  if (planFile !== undefined && hasSelection(parsed))
    writeFileSync(planFile, `${JSON.stringify(plan, null, 2)}\n`, { mode: 0o600 });
  const code = plan.items.some(({ action }) => action === "conflict" || action === "blocked") ? 3 : 0;
  const isOnlyShown = parsed.isOn("dry-run") || (choices.output !== undefined && !isMeant(parsed));
  if (isOnlyShown) {
    print(shown(plan, parsed, choices));
    return code;
  }
  if (!isMeant(parsed)) {
    print(planText(plan));
    if (plan.items.every(({ action }) => action !== "create")) return code;
    if (!process.stdin.isTTY || !process.stdout.isTTY) {
      process.stderr.write("nothing is done: --yes carries the plan out\n");
      return 2;
    }
    if (
      !(await isConfirmed(
        `Promote ${counted(plan.items.filter(({ action }) => action === "create").length, "object")}?`,
      ))
    )
      return 2;
  }
  const results = await carryOut(plan, {
    plane: plane.client,
    member: member.client,
    clock: systemClock,
    onError: choices.onError,
    concurrency: choices.concurrency,
    waitMs: choices.waitMs ?? 0,
    say: (line) => choices.output === undefined && print(`${line}\n`),
  });
  return reported(plan, results, choices);
}

/** `--yes`, or upstream's form with one type and one name, which runs at once. */
function isMeant(parsed: Parsed): boolean {
  const [type = "", name, ...more] = parsed.args;
  const isPlain = name !== undefined && more.length === 0 && type !== "all" && !type.includes(",");
  const isSelecting = ["all-namespaces", "selector", "field-selector", "filename", "undo", "plan-file"].some(
    (flag) => parsed.all(flag).length > 0,
  );
  const isShown = parsed.get("output") !== undefined || parsed.isOn("dry-run");
  return parsed.isOn("yes") || (isPlain && !isSelecting && !isShown && parsed.list("namespace").length < 2);
}

function reported(plan: Plan, results: readonly Result[], { output }: Choices): number {
  const report = reportOf(plan.cluster, results);
  if (output === undefined) print(reportText(results));
  else print(output === "json" ? `${JSON.stringify(report, null, 2)}\n` : stringify(report));
  return codeOf(results);
}

function shown(plan: Plan, parsed: Parsed, { output }: Choices): string {
  if (output === undefined) return planText(plan);
  if (!parsed.isOn("render")) {
    const short = withoutTemplates(plan);
    return output === "json" ? `${JSON.stringify(short, null, 2)}\n` : stringify(short);
  }
  const made = plan.items.filter(({ action }) => action === "create");
  const manifests = [
    ...made.flatMap(({ hasTemplate, template }) => (hasTemplate === true || template === undefined ? [] : [template])),
    ...policiesOf(plan, made),
  ];
  return output === "json"
    ? `${JSON.stringify({ apiVersion: "v1", kind: "List", items: manifests }, null, 2)}\n`
    : manifests.map((manifest) => stringify(manifest)).join("---\n");
}

const counted = (number: number, what: string) => `${number} ${what}${number === 1 ? "" : "s"}`;

async function isConfirmed(question: string): Promise<boolean> {
  const lines = createInterface({ input: process.stdin, output: process.stdout });
  try {
    return /^y(es)?$/i.test((await lines.question(`${question} [y/N] `)).trim());
  } finally {
    lines.close();
  }
}

async function undo(
  plan: Plan,
  parsed: Parsed,
  plane: Connection,
  member: MemberConnection,
  choices: Choices,
): Promise<number> {
  if (!parsed.isOn("yes") && !parsed.isOn("dry-run")) {
    if (!process.stdin.isTTY || !process.stdout.isTTY) {
      print(planText(plan));
      process.stderr.write("nothing is done: --yes takes these back\n");
      return 2;
    }
    if (!(await isConfirmed(`Take ${counted(plan.items.length, "template")} back?`))) return 2;
  }
  const results = await undoPromotion(plan, {
    plane: plane.client,
    member: member.client,
    clock: systemClock,
    concurrency: choices.concurrency,
    waitMs: choices.waitMs ?? UNDO_WAIT_MS,
    isDryRun: parsed.isOn("dry-run"),
    keepsSkipped: savedPlan(parsed, plan.cluster) !== undefined,
  });
  return reported(plan, results, choices);
}
