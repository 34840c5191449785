import { kubeconfigFlags, openConnection, setSchedulable } from "../connection.ts";
import { parseArguments, withHelp } from "../flags.ts";

/** `flotilla uncordon CLUSTER` */
export function run(words: readonly string[], program: string): Promise<number> {
  return withHelp(async () => {
    const parsed = parseArguments(words, kubeconfigFlags, `${program} uncordon CLUSTER`);
    const [name, ...more] = parsed.args;
    if (name === undefined) throw new Error("cluster name is required");
    if (more.length > 0) throw new Error("more than one cluster name is not supported");
    const { client, transport } = openConnection(parsed.get("kubeconfig"), parsed.get("karmada-context"));
    try {
      const isChanged = await setSchedulable(client, name, true);
      process.stdout.write(`${name} cluster ${isChanged ? "" : "already "}uncordoned\n`);
      return 0;
    } finally {
      await transport.close();
    }
  });
}
