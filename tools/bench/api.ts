import { join } from "node:path";
import { seededRandom, systemClock } from "#base";
import { parseKubeconfig, resolveContext } from "#certs";
import { createClient, createHttpTransport } from "#client";
import { parseFlags } from "#config";
import { createLogger, startFleet } from "#controlplane";
import { type Bench, manyWriters, perSecond } from "./measure.ts";

/** Creates over HTTPS beside creates in process, and lists. */
export const api: Bench = async ({ scratch }) => {
  const COUNT = 3000;
  const config = parseFlags([`--data-dir=${join(scratch, "api")}`, "--secure-port=0"]);
  const fleet = await startFleet({
    config,
    clock: systemClock,
    random: seededRandom(1),
    log: createLogger("silent"),
    members: [],
  });
  try {
    const plane = createClient(fleet.controlPlane.transport);
    const ConfigMap = { group: "", version: "v1", kind: "ConfigMap", resource: "configmaps", namespaced: true };
    const make = (name: string) => ({
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { namespace: "default", name },
      data: { a: "x".repeat(1000) },
    });
    const inProcess = await manyWriters((n) => plane.create(ConfigMap, make(`in-${n}`)), COUNT);
    const { namespace: _namespace, ...endpoint } = resolveContext(
      parseKubeconfig(fleet.kubeconfigs.get("flotilla") ?? ""),
    );
    const transport = createHttpTransport(endpoint);
    const remote = createClient(transport);
    const overHttps = await manyWriters((n) => remote.create(ConfigMap, make(`http-${n}`)), COUNT);
    const startedMs = performance.now();
    const { items } = await remote.list(ConfigMap, { namespace: "default" });
    const listed = perSecond(items.length, startedMs);
    await transport.close();
    return [
      {
        name: "api",
        measure: "creates over HTTPS, 32 writers, durable",
        value: overHttps,
        unit: "/s",
        reference: `in process ${Math.round(inProcess)}/s`,
        ratio: overHttps / inProcess,
      },
      { name: "api", measure: `list of ${items.length} over HTTPS`, value: listed, unit: "objects/s" },
    ];
  } finally {
    await fleet.stop();
  }
};
