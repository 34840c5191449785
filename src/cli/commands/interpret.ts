import { createCustomizations, createInterpreter, createLuaEngine, nativeSource, thirdPartySource } from "#interpreter";
import { type Connection, kubeconfigFlags, openConnection } from "../connection.ts";
import { type FlagSpec, parseArguments, withHelp } from "../flags.ts";
import { checkReport } from "../interpret/check.ts";
import { edit } from "../interpret/edit.ts";
import { operationOf, prepare, resultsText } from "../interpret/execute.ts";
import { loadCustomizations } from "../interpret/load.ts";
import { systemClock } from "../process.ts";

const flags: readonly FlagSpec[] = [
  ...kubeconfigFlags,
  {
    name: "filename",
    short: "f",
    meaning: "file or folder of customizations; may stand several times; - is standard input",
  },
  { name: "recursive", short: "R", isSwitch: true, meaning: "folders within folders too" },
  { name: "check", isSwitch: true, meaning: "load the scripts and say which are good" },
  { name: "edit", isSwitch: true, meaning: "edit the scripts in $KUBE_EDITOR or $EDITOR" },
  { name: "show-doc", isSwitch: true, meaning: "with --edit: say what each function is for" },
  { name: "operation", meaning: "what to run: Retain, InterpretReplica, …" },
  { name: "desired-file", meaning: "the object of the control plane" },
  { name: "observed-file", meaning: "the object in the member" },
  { name: "status-file", meaning: "items of an aggregated status, one a document" },
  { name: "desired-replica", default: "0", meaning: "replicas for ReviseReplica" },
  { name: "output", short: "o", default: "yaml", meaning: "yaml or json" },
];

/**
 * `flotilla interpret`: checks, edits and runs customizations. Without any, the rules that are built in answer, so that
 * one can see what a customization would replace.
 */
export function run(words: readonly string[], program: string): Promise<number> {
  return withHelp(async () => {
    const parsed = parseArguments(
      words,
      flags,
      `${program} interpret (-f FILE | NAME…) (--check | --edit | --operation OP …)`,
    );
    if (parsed.isOn("check") && parsed.isOn("edit")) throw new Error("you can't set both --check and --edit options");
    const isExecution = !parsed.isOn("check") && !parsed.isOn("edit");
    const operation = isExecution ? operationOf(parsed.get("operation")) : undefined;
    let connection: Connection | undefined;
    const client = () =>
      (connection ??= openConnection(parsed.get("kubeconfig"), parsed.get("karmada-context"))).client;
    try {
      const sources = await loadCustomizations(parsed.all("filename"), parsed.isOn("recursive"), parsed.args, client);
      if (sources.length === 0 && operation === undefined)
        throw new Error("no customization is given: use -f or a name");
      const engine = createLuaEngine({
        now: () => systemClock.now() / 1000,
        print: (line) => process.stderr.write(`${line}\n`),
      });
      if (operation !== undefined) {
        const own = createCustomizations({ engine, now: () => systemClock.now() });
        own.set(sources.map(({ customization }) => customization));
        const interpreter = createInterpreter(sources.length > 0 ? [own.source] : [thirdPartySource, nativeSource]);
        const replicas = Number(parsed.get("desired-replica"));
        if (!Number.isInteger(replicas)) throw new Error("--desired-replica must be a whole number");
        const optional = (name: string) => parsed.get(name);
        const [desired, observed, status] = [
          optional("desired-file"),
          optional("observed-file"),
          optional("status-file"),
        ];
        const execute = prepare(operation, interpreter, {
          ...(desired === undefined ? {} : { desired }),
          ...(observed === undefined ? {} : { observed }),
          ...(status === undefined ? {} : { status }),
          replicas,
          nowMs: systemClock.now(),
        });
        let results: ReturnType<typeof execute>;
        try {
          results = execute();
        } catch (error) {
          // Upstream says so and answers 0; a script that fails is a failure here.
          process.stderr.write(
            `Execute ${operation} error: ${error instanceof Error ? error.message : String(error)}\n`,
          );
          return 1;
        }
        process.stdout.write(resultsText(results, parsed.get("output") ?? "yaml"));
        return 0;
      }
      if (parsed.isOn("check")) {
        const { text, isGood } = checkReport(sources, engine);
        process.stdout.write(text);
        return isGood ? 0 : 1;
      }
      for (const source of sources) process.stdout.write(`${await edit(source, parsed.isOn("show-doc"), client)}\n`);
      return 0;
    } finally {
      await connection?.transport.close();
    }
  });
}
