import { join } from "node:path";
import { loadPki, type Pki, writeKubeconfig } from "#certs";
import { flagHelp, parseFlags, serverFlags } from "#config";
import { createMetrics, encryptionOf, loadSharedPki, startControlPlane } from "#controlplane";
import { makeFolder, openBackend } from "#store";
import { loggerOf, realRandom, systemClock } from "../process.ts";
import { untilSignal } from "../signals.ts";

/** `flotilla server --data-dir DIR --secure-port PORT` */
export async function run(words: readonly string[], program: string): Promise<number> {
  if (words.includes("--help") || words.includes("-h")) {
    process.stdout.write(`Usage:\n  ${program} server --data-dir DIR [flags]\n\nFlags:\n${flagHelp(serverFlags)}\n`);
    return 0;
  }
  const config = parseFlags(words, { env: process.env });
  if (config.dataDir === "") throw new Error("required flag: --data-dir");
  const log = loggerOf(config);
  makeFolder(config.dataDir);
  const { metrics, text } = createMetrics();
  const backend = await openBackend(config.store ?? `file:${join(config.dataDir, "store")}`, {
    ...(config.etcdCafile === undefined ? {} : { caFile: config.etcdCafile }),
    ...(config.etcdCertfile === undefined ? {} : { certFile: config.etcdCertfile }),
    ...(config.etcdKeyfile === undefined ? {} : { keyFile: config.etcdKeyfile }),
  });
  const load = () =>
    backend.settle === undefined
      ? loadPki(config.dataDir, config.tlsSans)
      : loadSharedPki(backend, config.dataDir, config.tlsSans, encryptionOf(config, systemClock, log));
  const pki = await load();
  const kubeconfig = join(config.dataDir, "admin.kubeconfig");
  let address = "";
  const writeAdmin = (from: Pki) =>
    writeKubeconfig(kubeconfig, "flotilla", address, from.authority.certificate, from.admin);
  const controlPlane = await startControlPlane({
    config,
    backend,
    pki,
    clock: systemClock,
    random: realRandom(),
    log,
    metrics,
    metricsText: text,
    async renewPki() {
      const renewed = await load();
      writeAdmin(renewed);
      return renewed;
    },
  });
  try {
    const { port } = await controlPlane.listen();
    address = `https://127.0.0.1:${port}`;
    writeAdmin(pki);
    log.info("control plane is ready", { server: address, kubeconfig });
    await untilSignal(controlPlane.failed);
  } finally {
    await controlPlane.stop();
  }
  log.info("stopped");
  return 0;
}
