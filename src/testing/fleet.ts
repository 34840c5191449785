import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Cluster } from "#apis/karmada";
import { seededRandom, systemClock } from "#base";
import { createClient } from "#client";
import { parseFlags } from "#config";
import { createLogger, type Fleet, startFleet } from "#controlplane";
import { eventually } from "./eventually.ts";

/**
 * A fleet in memory on free ports, quick to notice what happens; `stop` removes its folder as well. Resolves when every
 * member is Ready, so that what is placed first can be placed everywhere.
 */
export async function startTestFleet(
  members: readonly string[] = ["member1", "member2", "member3"],
  flags: readonly string[] = [],
): Promise<Fleet> {
  const folder = mkdtempSync(join(tmpdir(), "flotilla-test-"));
  const config = parseFlags([
    `--data-dir=${folder}`,
    "--secure-port=0",
    "--cluster-status-update-frequency=200ms",
    "--cluster-failure-threshold=300ms",
    "--cluster-success-threshold=300ms",
    "--resource-eviction-rate=100",
    ...flags,
  ]);
  const fleet = await startFleet({
    config,
    clock: systemClock,
    random: seededRandom(Date.now()),
    log: createLogger("silent"),
    isInMemory: true,
    podReadyMs: 10,
    members: members.map((name, at) => ({
      name,
      region: at < 2 ? "europe" : "america",
      nodes: [{ count: 3, cpu: "8", memory: "32Gi" }],
    })),
  });
  const stop = async () => {
    await fleet.stop();
    rmSync(folder, { recursive: true, force: true });
  };
  const client = createClient(fleet.controlPlane.transport);
  const isReady = async (name: string) =>
    (await client.get(Cluster, { name })).status?.conditions?.some(
      ({ type, status }) => type === "Ready" && status === "True",
    );
  try {
    for (const name of members) await eventually(() => isReady(name), 60_000);
  } catch (error) {
    await stop();
    throw error;
  }
  return { ...fleet, stop };
}
