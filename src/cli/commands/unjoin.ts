import { Cluster } from "#apis/karmada";
import { isNotFound } from "#machinery";
import { kubeconfigFlags, openConnection } from "../connection.ts";
import { parseArguments, withHelp } from "../flags.ts";

const LOOK_AGAIN_MS = 200;

/** `flotilla unjoin CLUSTER`: removes a push member; what runs there because of us goes first. */
export function run(words: readonly string[], program: string): Promise<number> {
  return withHelp(async () => {
    const parsed = parseArguments(
      words,
      [...kubeconfigFlags, { name: "wait", default: "60", meaning: "seconds to wait until the cluster is gone" }],
      `${program} unjoin CLUSTER`,
    );
    const [name] = parsed.args;
    if (name === undefined) throw new Error("cluster name is required");
    const { client, transport } = openConnection(parsed.get("kubeconfig"), parsed.get("karmada-context"));
    try {
      const cluster = await client.find(Cluster, { name });
      if (cluster === undefined) throw new Error(`no cluster object ${name} found in karmada control Plane`);
      if (cluster.spec?.syncMode === "Pull")
        throw new Error(
          `cluster ${name} is a Pull mode member cluster, please use command `.concat(
            `"${program} unregister ${name}" to continue deleting the cluster`,
          ),
        );
      await client.delete(Cluster, { name });
      const endMs = Date.now() + Number((parsed.get("wait") ?? "60").replace(/s$/, "")) * 1000;
      for (;;) {
        try {
          await client.get(Cluster, { name });
        } catch (error) {
          if (!isNotFound(error)) throw error;
          process.stdout.write(`cluster(${name}) is unjoined successfully\n`);
          return 0;
        }
        if (Date.now() > endMs)
          throw new Error(`the cluster ${name} is still being removed; it goes when its works are gone`);
        await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
      }
    } finally {
      await transport.close();
    }
  });
}
