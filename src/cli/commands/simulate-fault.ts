import { join } from "node:path";
import { positiveDuration } from "#config";
import { faultNames, isFaultName } from "#simulator";
import { kubeconfigFlags, openConnection } from "../connection.ts";
import { askForFault, controlSocket } from "../faults/control.ts";
import { requestFault } from "../faults/follow.ts";
import { parseArguments, withHelp } from "../flags.ts";

const known = Object.entries(faultNames)
  .map(([name, meaning]) => `  ${name.padEnd(12)} ${meaning}`)
  .join("\n");

/**
 * `flotilla simulate fault MEMBER FAULT`: makes a simulated member fail or recover, one that runs by itself (`simulate
 * member`) or one of a running `flotilla up`.
 */
export function run(words: readonly string[], program: string): Promise<number> {
  return withHelp(async () => {
    const parsed = parseArguments(
      words,
      [
        { name: "latency", default: "500ms", meaning: "slow: how late each answer is" },
        { name: "period", default: "5s", meaning: "flapping: how long it is down, and then up" },
        { name: "nodes", meaning: "nodes-lost: how many nodes; all where it is not given" },
        { name: "data-dir", meaning: "folder of a member that runs by itself; default .flotilla/MEMBER" },
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
    const request = {
      fault,
      latencyMs: positiveDuration.read(parsed.get("latency") ?? "", "--latency"),
      periodMs: positiveDuration.read(parsed.get("period") ?? "", "--period"),
      ...(nodes === undefined ? {} : { nodes: Number(nodes) }),
    };
    const folder = parsed.get("data-dir");
    const isDone = await askForFault(controlSocket(folder ?? join(".flotilla", member)), request);
    if (!isDone && folder !== undefined) throw new Error(`--data-dir: no simulated member runs in ${folder}`);
    if (!isDone) {
      const { client, transport } = openConnection(parsed.get("kubeconfig"), parsed.get("karmada-context"));
      try {
        await requestFault(client, member, request);
      } finally {
        await transport.close();
      }
    }
    process.stdout.write(`${member} ${fault}\n`);
    return 0;
  });
}
