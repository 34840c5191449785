import { writeFileSync } from "node:fs";
import { kubeconfigFlags, openConnection } from "../connection.ts";
import { parseArguments, withHelp } from "../flags.ts";
import { takeSnapshot } from "../what-if/snapshot.ts";

/** `flotilla simulate snapshot`: the fleet as the scheduler sees it, in a file, for `simulate schedule --against FILE`. */
export function run(words: readonly string[], program: string): Promise<number> {
  return withHelp(async () => {
    const parsed = parseArguments(
      words,
      [...kubeconfigFlags, { name: "output", short: "o", meaning: "file to write; default is standard output" }],
      `${program} simulate snapshot [-o FILE]`,
    );
    const { client, transport } = openConnection(parsed.get("kubeconfig"), parsed.get("karmada-context"));
    try {
      const fleet = await takeSnapshot(client, Date.now());
      const text = `${JSON.stringify(fleet, undefined, 2)}\n`;
      const file = parsed.get("output");
      if (file === undefined) process.stdout.write(text);
      else {
        writeFileSync(file, text);
        process.stderr.write(`${file}: ${fleet.clusters.length} clusters, ${fleet.bindings.length} bindings\n`);
      }
      return 0;
    } finally {
      await transport.close();
    }
  });
}
