import { SYSTEM_NAMESPACE } from "#apis/karmada";
import { positiveDuration } from "#config";
import { faultNames, isFaultName } from "#simulator";
import { kubeconfigFlags, openConnection } from "../connection.ts";
import { parseArguments, withHelp } from "../flags.ts";

const known = Object.entries(faultNames)
  .map(([name, meaning]) => `  ${name.padEnd(12)} ${meaning}`)
  .join("\n");

/** `flotilla simulate fault MEMBER FAULT`: asks a running `flotilla up` to make a member fail or recover. */
export function run(words: readonly string[], program: string): Promise<number> {
  return withHelp(async () => {
    const parsed = parseArguments(
      words,
      [
        { name: "latency", default: "500ms", meaning: "slow: how late each answer is" },
        { name: "period", default: "5s", meaning: "flapping: how long it is down, and then up" },
        { name: "nodes", meaning: "nodes-lost: how many nodes; all where it is not given" },
        ...kubeconfigFlags,
      ],
      `${program} simulate fault MEMBER FAULT\n\nFaults (they add up):\n${known}`,
    );
    const [member, fault] = parsed.args;
    const names = Object.keys(faultNames).join(", ");
    if (member === undefined || fault === undefined) throw new Error(`a member and one of ${names} are required`);
    if (!isFaultName(fault)) throw new Error(`unknown fault ${JSON.stringify(fault)}: known are ${names}`);
    const nodes = parsed.get("nodes");
    if (nodes !== undefined && !/^[1-9][0-9]*$/.test(nodes))
      throw new Error(`--nodes: ${JSON.stringify(nodes)} is no number of nodes`);
    const data = {
      fault,
      latencyMs: String(positiveDuration.read(parsed.get("latency") ?? "", "--latency")),
      periodMs: String(positiveDuration.read(parsed.get("period") ?? "", "--period")),
      ...(nodes === undefined ? {} : { nodes }),
      // The same fault twice is two requests: this makes the second one a change.
      askedAt: new Date().toISOString(),
    };
    const { transport } = openConnection(parsed.get("kubeconfig"), parsed.get("karmada-context"));
    try {
      const body = JSON.stringify({
        apiVersion: "v1",
        kind: "ConfigMap",
        metadata: { name: `simulate-${member}`, namespace: SYSTEM_NAMESPACE },
        data,
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
