/**
 * CLI: the commands of `flotilla`, and of the drop-in names `karmadactl` and `kubectl-karmada`.
 *
 * `runCommand` finds a command by its words and runs it; each command is a file of its own and is loaded only when asked
 * for. Results go to standard output, progress and errors to standard error; the exit code is 0 or 1.
 */
import { unknownCommand, UsageError } from "./errors.ts";

export { runTour } from "./tour/tour.ts";

/** What `flotilla drain cluster` does, for whoever drains without a command line. */
export const loadDrain = () => import("./drain/drain.ts");

interface Command {
  readonly words: readonly string[];
  readonly summary: string;
  readonly load: () => Promise<{ readonly run: (words: readonly string[], program: string) => Promise<number> }>;
}

const commands: readonly Command[] = [
  {
    words: ["up"],
    summary: "start a control plane with simulated members and walk through a tour",
    load: () => import("./commands/up.ts"),
  },
  { words: ["server"], summary: "start a control plane", load: () => import("./commands/server.ts") },
  {
    words: ["controllers"],
    summary: "run on an API server that is there already, or --uninstall",
    load: () => import("./commands/controllers.ts"),
  },
  {
    words: ["scheduler"],
    summary: "start a scheduler of its own beside a control plane",
    load: () => import("./commands/scheduler.ts"),
  },
  {
    words: ["descheduler"],
    summary: "take replicas that found no node off their clusters",
    load: () => import("./commands/descheduler.ts"),
  },
  {
    words: ["estimator"],
    summary: "answer over gRPC how much fits into one member",
    load: () => import("./commands/estimator.ts"),
  },
  {
    words: ["simulate", "member"],
    summary: "start one simulated member cluster",
    load: () => import("./commands/simulate-member.ts"),
  },
  {
    words: ["simulate", "fault"],
    summary: "make a simulated member fail or recover",
    load: () => import("./commands/simulate-fault.ts"),
  },
  {
    words: ["simulate", "schedule"],
    summary: "what the scheduler would do, were things different",
    load: () => import("./commands/simulate-schedule.ts"),
  },
  {
    words: ["simulate", "snapshot"],
    summary: "keep the fleet as the scheduler sees it in a file",
    load: () => import("./commands/simulate-snapshot.ts"),
  },
  { words: ["join"], summary: "register a member cluster (push mode)", load: () => import("./commands/join.ts") },
  { words: ["unjoin"], summary: "remove a member cluster", load: () => import("./commands/unjoin.ts") },
  {
    words: ["token"],
    summary: "create, list or delete the tokens by which clusters register",
    load: () => import("./commands/token.ts"),
  },
  {
    words: ["register"],
    summary: "make a cluster a pull member, with an agent of its own",
    load: () => import("./commands/register.ts"),
  },
  {
    words: ["unregister"],
    summary: "remove a pull member and its agent",
    load: () => import("./commands/unregister.ts"),
  },
  {
    words: ["promote"],
    summary: "make a template of an object that runs in a member, without disturbing it",
    load: () => import("./commands/promote.ts"),
  },
  { words: ["agent"], summary: "look after a pull member, in it", load: () => import("./commands/agent.ts") },
  { words: ["get", "clusters"], summary: "list member clusters", load: () => import("./commands/get-clusters.ts") },
  {
    words: ["simulate", "failover"],
    summary: "what would move where, were clusters lost",
    load: () => import("./commands/simulate-failover.ts"),
  },
  {
    words: ["drain", "cluster"],
    summary: "move all workloads off a cluster, gracefully",
    load: () => import("./commands/drain.ts"),
  },
  { words: ["cordon"], summary: "mark a cluster as unschedulable", load: () => import("./commands/cordon.ts") },
  { words: ["uncordon"], summary: "mark a cluster as schedulable", load: () => import("./commands/uncordon.ts") },
  {
    words: ["explain", "placement"],
    summary: "why a workload is where it is",
    load: () => import("./commands/explain-placement.ts"),
  },
  {
    words: ["explain", "schedule"],
    summary: "why the scheduler chose these clusters and replicas",
    load: () => import("./commands/explain-schedule.ts"),
  },
  {
    words: ["trace"],
    summary: "why a workload is not where it should be: the chain from template to member",
    load: () => import("./commands/trace.ts"),
  },
  { words: ["why"], summary: "the same as trace", load: () => import("./commands/trace.ts") },
  { words: ["explain"], summary: "the same as trace", load: () => import("./commands/trace.ts") },
  {
    words: ["diff"],
    summary: "what members have against what a template, policy or override would make of it",
    load: () => import("./commands/diff.ts"),
  },
  {
    words: ["render"],
    summary: "a manifest as it would arrive in a member",
    load: () => import("./commands/render.ts"),
  },
  {
    words: ["release"],
    summary: "let deletions or evictions that a brake holds go on",
    load: () => import("./commands/release.ts"),
  },
  {
    words: ["interpret"],
    summary: "check, edit and try what customizations say of kinds",
    load: () => import("./commands/interpret.ts"),
  },
  {
    words: ["check", "store"],
    summary: "look for damaged entries in a store nobody works on",
    load: () => import("./commands/check-store.ts"),
  },
  { words: ["version"], summary: "print the version", load: () => import("./commands/version.ts") },
];

function help(program: string): string {
  const rows = commands.map(({ words, summary }) => `  ${words.join(" ").padEnd(18)} ${summary}`);
  return `${program} runs applications over many Kubernetes clusters.\n\nUsage:\n  ${program} COMMAND [flags]\n\nCommands:\n${rows.join("\n")}\n\n"${program} COMMAND --help" says more.\n`;
}

export async function runCommand(program: string, words: readonly string[]): Promise<number> {
  if (words.length === 0 || words[0] === "help" || words[0] === "--help" || words[0] === "-h") {
    process.stdout.write(help(program));
    return 0;
  }
  const command = commands.find((candidate) => candidate.words.every((word, at) => words[at] === word));
  // Timers of our clock never keep a process alive; a command that waits is not done.
  const keepAlive = setInterval(() => undefined, 1 << 30);
  try {
    if (command === undefined) {
      const known = commands.map((each) => each.words).filter(([first]) => first === words[0]);
      throw unknownCommand(
        program,
        words[0] ?? "",
        known.map((each) => each.join(" ")),
      );
    }
    const { run } = await command.load();
    return await run(words.slice(command.words.length), program);
  } catch (error) {
    process.stderr.write(`error: ${error instanceof Error ? error.message : String(error)}\n`);
    if (error instanceof UsageError)
      process.stderr.write(`See '${program} ${command?.words.join(" ") ?? ""} --help' for usage.\n`);
    return 1;
  } finally {
    clearInterval(keepAlive);
  }
}
