import { stringify } from "yaml";
import { sleep } from "#base";
import { duration } from "#config";
import { kubeconfigFlags, openConnection } from "../connection.ts";
import { parseArguments, withHelp } from "../flags.ts";
import { systemClock } from "../process.ts";
import { resolveType, typeAndName } from "../resolve.ts";
import { gatherFacts } from "../trace/facts.ts";
import { untilSignal } from "../signals.ts";
import { exitCodeOf, firstBroken, historyText, recentEvents, traceStages, traceText } from "../trace/stages.ts";

/**
 * `flotilla trace TYPE/NAME`, also `why` and `explain`: the chain from a template to its copies, with the first broken link
 * marked. Exit codes: 0 all is well, 2 something is blocked, 3 it is in progress, 1 the trace itself failed.
 */
export function run(words: readonly string[], program: string): Promise<number> {
  return withHelp(async () => {
    const parsed = parseArguments(
      words,
      [
        ...kubeconfigFlags,
        { name: "namespace", short: "n", meaning: "namespace of the object; default is the context's" },
        { name: "cluster", short: "C", meaning: "look into this member only" },
        { name: "output", short: "o", default: "tree", meaning: "tree, json or yaml" },
        { name: "watch", short: "w", isSwitch: true, meaning: "show it anew whenever it changes, until interrupted" },
        { name: "since", meaning: "also what happened to it in that time, for instance 10m" },
      ],
      `${program} trace TYPE/NAME`,
    );
    const [type, name] = typeAndName(parsed.args);
    const format = parsed.get("output") ?? "tree";
    if (!["tree", "json", "yaml"].includes(format))
      throw new Error(`--output: ${JSON.stringify(format)} must be tree, json or yaml`);
    const since = parsed.get("since");
    const sinceMs = since === undefined ? undefined : duration.read(since, "--since");
    const connection = openConnection(parsed.get("kubeconfig"), parsed.get("karmada-context"));
    try {
      const kind = await resolveType(connection.transport, type);
      const namespace = parsed.get("namespace") ?? connection.endpoint.namespace ?? "default";
      const cluster = parsed.get("cluster");
      const look = async (): Promise<{ readonly text: string; readonly code: number }> => {
        const facts = await gatherFacts(connection, kind, {
          namespace,
          name,
          ...(cluster === undefined ? {} : { cluster }),
          nowMs: systemClock.now(),
        });
        const stages = traceStages(facts);
        const code = exitCodeOf(stages);
        if (format === "tree")
          return { text: `${traceText(stages)}${sinceMs === undefined ? "" : historyText(facts, sinceMs)}`, code };
        const report = {
          apiVersion: "cli.karmada.io/v1",
          kind: "Trace",
          object: {
            apiVersion: kind.group === "" ? kind.version : `${kind.group}/${kind.version}`,
            kind: kind.kind,
            ...(kind.namespaced ? { namespace } : {}),
            name,
          },
          firstBroken: firstBroken(stages)?.name,
          stages,
          ...(sinceMs === undefined ? {} : { events: recentEvents(facts, sinceMs) }),
        };
        return { text: format === "json" ? `${JSON.stringify(report, null, 2)}\n` : stringify(report), code };
      };
      if (!parsed.isOn("watch")) {
        const { text, code } = await look();
        process.stdout.write(text);
        return code;
      }
      return await watch(look, format);
    } finally {
      await connection.transport.close();
    }
  });
}

/** How often a watched chain is looked at. */
const WATCH_MS = 1_000;

/** Shows the chain whenever it reads otherwise than before; the last exit code when interrupted. */
async function watch(
  look: () => Promise<{ readonly text: string; readonly code: number }>,
  format: string,
): Promise<number> {
  let isOver = false;
  const over = untilSignal().then(() => {
    isOver = true;
  });
  let before = "";
  let last = 0;
  while (!isOver) {
    const { text, code } = await look();
    last = code;
    if (text !== before) {
      const mark =
        format === "tree" ? `── ${new Date(systemClock.now()).toISOString()}\n` : format === "yaml" ? "---\n" : "";
      process.stdout.write(`${mark}${text}`);
    }
    before = text;
    await Promise.race([over, sleep(systemClock, WATCH_MS)]);
  }
  return last;
}
