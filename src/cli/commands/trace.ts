import { stringify } from "yaml";
import { kubeconfigFlags, openConnection } from "../connection.ts";
import { parseArguments, withHelp } from "../flags.ts";
import { systemClock } from "../process.ts";
import { resolveType, typeAndName } from "../resolve.ts";
import { gatherFacts } from "../trace/facts.ts";
import { exitCodeOf, firstBroken, traceStages, traceText } from "../trace/stages.ts";

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
      ],
      `${program} trace TYPE/NAME`,
    );
    const [type, name] = typeAndName(parsed.args);
    const format = parsed.get("output") ?? "tree";
    if (!["tree", "json", "yaml"].includes(format))
      throw new Error(`--output: ${JSON.stringify(format)} must be tree, json or yaml`);
    const connection = openConnection(parsed.get("kubeconfig"), parsed.get("karmada-context"));
    try {
      const kind = await resolveType(connection.transport, type);
      const namespace = parsed.get("namespace") ?? connection.endpoint.namespace ?? "default";
      const cluster = parsed.get("cluster");
      const facts = await gatherFacts(connection, kind, {
        namespace,
        name,
        ...(cluster === undefined ? {} : { cluster }),
        nowMs: systemClock.now(),
      });
      const stages = traceStages(facts);
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
      };
      process.stdout.write(
        format === "tree"
          ? traceText(stages)
          : format === "json"
            ? `${JSON.stringify(report, null, 2)}\n`
            : stringify(report),
      );
      return exitCodeOf(stages);
    } finally {
      await connection.transport.close();
    }
  });
}
