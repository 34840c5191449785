/** A disk that fills up under the file store: named, reads go on, and nothing acknowledged is lost. */
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { ConfigMap } from "#apis/kubernetes";
import { kubeconfigClients } from "#testing";
import { bundleProgram } from "../program.ts";

const isRoot = process.getuid?.() === 0;
const isRequired = process.env["REAL_PARTS_REQUIRED"] === "1";
const SIZE = "20m";

// A small file system can be mounted by root only.
test.skipIf(!isRoot && !isRequired)(
  "a full disk is named, reads go on, and a larger disk has all that was acknowledged",
  async () => {
    const folder = mkdtempSync(join(tmpdir(), "flotilla-full-"));
    const small = join(folder, "small");
    mkdirSync(small);
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${SIZE}`, "tmpfs", small]);
    const program = await bundleProgram();
    const { connect, close } = kubeconfigClients();
    const start = (data: string) =>
      program.start(["server", `--data-dir=${data}`, "--secure-port=0"], /control plane is ready/);
    try {
      const data = join(small, "data");
      const server = await start(data);
      const client = connect(join(data, "admin.kubeconfig"));
      const acknowledged: string[] = [];
      let refusal: unknown;
      for (let n = 0; n < 200 && refusal === undefined; n++) {
        const name = `big-${n}`;
        try {
          await client.create(ConfigMap, {
            apiVersion: "v1",
            kind: "ConfigMap",
            metadata: { namespace: "default", name },
            data: { text: "x".repeat(500_000) },
          });
          acknowledged.push(name);
        } catch (error) {
          refusal = error;
        }
      }
      expect(String(refusal)).toMatch(/cannot be written: .*is the disk full\?/);
      expect(acknowledged.length).toBeGreaterThan(3);
      // Reads go on, and the server says that it is not well.
      expect((await client.get(ConfigMap, { namespace: "default", name: "big-0" })).data?.["text"]).toHaveLength(
        500_000,
      );
      expect((await client.transport.raw({ method: "GET", path: "/readyz" })).status).toBe(500);
      await server.end("SIGTERM");
      const larger = join(folder, "larger");
      cpSync(data, larger, { recursive: true });
      const again = await start(larger);
      const after = connect(join(larger, "admin.kubeconfig"));
      const held = new Set((await after.list(ConfigMap, { namespace: "default" })).items.map((m) => m.metadata.name));
      expect(acknowledged.filter((name) => !held.has(name))).toEqual([]);
      await again.end("SIGTERM");
    } finally {
      await close();
      await program.close();
      execFileSync("umount", [small]);
      rmSync(folder, { recursive: true, force: true });
    }
  },
);
