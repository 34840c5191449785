import { kubeconfigFlags, openConnection } from "../connection.ts";
import { parseArguments, withHelp } from "../flags.ts";

/** `flotilla simulate fault MEMBER down|up`: asks a running `flotilla up` to make a member fail or recover. */
export function run(words: readonly string[], program: string): Promise<number> {
  return withHelp(async () => {
    const parsed = parseArguments(words, kubeconfigFlags, `${program} simulate fault MEMBER down|up|slow`);
    const [member, fault] = parsed.args;
    if (member === undefined || fault === undefined) throw new Error("a member and one of down, up, slow are required");
    if (!["down", "up", "slow"].includes(fault))
      throw new Error(`unknown fault ${JSON.stringify(fault)}: known are down, up, slow`);
    const { transport } = openConnection(parsed.get("kubeconfig"), parsed.get("karmada-context"));
    try {
      const body = JSON.stringify({
        apiVersion: "v1",
        kind: "ConfigMap",
        metadata: { name: `simulate-${member}`, namespace: "karmada-system" },
        data: { fault },
      });
      const at = `/api/v1/namespaces/karmada-system/configmaps/simulate-${member}?fieldManager=flotilla&force=true`;
      const answer = await transport.raw({
        method: "PATCH",
        path: at,
        headers: { "content-type": "application/apply-patch+yaml" },
        body,
      });
      if (answer.status >= 300) throw new Error(new TextDecoder().decode(answer.body));
      process.stdout.write(`${member} ${fault}\n`);
      return 0;
    } finally {
      await transport.close();
    }
  });
}
