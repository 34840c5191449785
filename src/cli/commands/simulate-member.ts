import { join } from "node:path";
import { loadPki, writeKubeconfig } from "#certs";
import { createLogger, startMember } from "#controlplane";
import { parseQuantity } from "#machinery";
import { startFaultyProxy } from "#network";
import { makeFolder, openFileBackend } from "#store";
import { controlSocket, serveFaults } from "../faults/control.ts";
import { parseArguments, withHelp } from "../flags.ts";
import { realRandom, systemClock } from "../process.ts";
import { untilSignal } from "../signals.ts";

const NODES_MAX = 100_000;
const POD_READY_MAX_MS = 3_600_000;

/** `flotilla simulate member NAME`: one member as a process of its own, to be joined like a real one. */
export function run(words: readonly string[], program: string): Promise<number> {
  return withHelp(async () => {
    const parsed = parseArguments(
      words,
      [
        { name: "nodes", default: "3", meaning: "number of nodes" },
        { name: "node-cpu", default: "8", meaning: "cores of each" },
        { name: "node-memory", default: "32Gi", meaning: "memory of each" },
        {
          name: "summarise",
          isSwitch: true,
          meaning: "let one Node stand for all, and one Pod for all replicas placed together: for very large members",
        },
        { name: "region", default: "local", meaning: "region of the nodes" },
        { name: "port", default: "0", meaning: "port of its API server; 0 chooses a free one" },
        { name: "data-dir", meaning: "folder of its store and kubeconfig; default .flotilla/NAME" },
        { name: "pod-ready", default: "100", meaning: "milliseconds from placement to Ready" },
      ],
      `${program} simulate member NAME`,
    );
    const [name] = parsed.args;
    if (name === undefined) throw new Error("member name is required");
    const amount = (flag: string) => {
      const text = parsed.get(flag) ?? "";
      if (parseQuantity(text) === undefined)
        throw new Error(`--${flag}: ${JSON.stringify(text)} is no quantity such as 8 or 32Gi`);
      return text;
    };
    const wholeNumber = (flag: string, max: number) => {
      const text = parsed.get(flag) ?? "";
      const value = Number(text);
      if (!/^[0-9]+$/.test(text) || value > max)
        throw new Error(`--${flag}: ${JSON.stringify(text)} must be a whole number from 0 to ${max}`);
      return value;
    };
    const count = wholeNumber("nodes", NODES_MAX);
    const port = wholeNumber("port", 65_535);
    const podReadyMs = wholeNumber("pod-ready", POD_READY_MAX_MS);
    const folder = parsed.get("data-dir") ?? join(".flotilla", name);
    makeFolder(folder);
    const pki = await loadPki(folder);
    const log = createLogger("info");
    const member = await startMember({
      name,
      nodes: [{ count, cpu: amount("node-cpu"), memory: amount("node-memory") }],
      isSummarised: parsed.isOn("summarise"),
      region: parsed.get("region") ?? "local",
      pki,
      clock: systemClock,
      random: realRandom(),
      log,
      backend: openFileBackend(join(folder, "store")),
      podReadyMs,
    });
    const listener = await member.api.listen({
      host: "127.0.0.1",
      port: 0,
      certificate: pki.server.certificate,
      key: pki.server.key,
      clientAuthority: pki.authority.certificate,
    });
    // Whoever joins it comes through a network that can fail; its owner can look inside all the same.
    const way = await startFaultyProxy({
      host: "127.0.0.1",
      port,
      to: { host: "127.0.0.1", port: listener.port },
      clock: systemClock,
    });
    const faults = await serveFaults(controlSocket(folder), {
      name,
      setFaults(change) {
        // What passes here is encrypted: a way can be broken, and says nothing of its own.
        if (change.isThrottling === true)
          throw new Error("throttled: only members within a control plane answer so; this one runs by itself");
        way.setFaults(change);
      },
      setNodesReady: (isReady, names) => member.setNodesReady(isReady, names),
      setQuotaFull: (isFull) => member.setQuotaFull(isFull),
    });
    const kubeconfig = join(folder, `${name}.kubeconfig`);
    const write = (file: string, port: number) =>
      writeKubeconfig(file, name, `https://127.0.0.1:${port}`, pki.authority.certificate, pki.admin);
    write(kubeconfig, way.port);
    write(join(folder, `${name}-direct.kubeconfig`), listener.port);
    process.stdout.write(`${name} is ready: ${kubeconfig}\n`);
    await untilSignal();
    await faults.close();
    await way.close();
    await listener.close();
    await member.stop();
    return 0;
  });
}
