/** Programs on Kubernetes' Go client libraries, against our server and, to know that they ask for nothing special, against the real one. */
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type PartName, partPath, type RealApiServer, startRealApiServer } from "#lab";
import { apiServerParts, describeReal } from "./parts.ts";
import { bundleProgram, type Finished, type Program } from "../program.ts";

const programs: readonly PartName[] = ["typed-client", "controller-runtime-manager"];
const LIMIT_MS = 120_000;

const run = (name: PartName, kubeconfig: string) => runWith(name, { KUBECONFIG: kubeconfig });
const runWith = (name: PartName, env: Readonly<Record<string, string>>): Promise<Finished> =>
  new Promise((resolve) =>
    execFile(partPath(name), { timeout: LIMIT_MS, env: { HOME: "/nonexistent", ...env } }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code ?? 1), stdout, stderr }),
    ),
  );

describeReal("what Karmada's own register command and agent say", ["agent-protocol"], () => {
  const folder = mkdtempSync(join(tmpdir(), "flotilla-go-agent-"));
  let flotilla: Program;
  afterAll(async () => {
    await flotilla?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  test("[CL-10] [CE-1] AG-3 AG-4 S5 S20 S21 S22: in protobuf, from a token to a Cluster with status, Lease and Works, and out", async () => {
    flotilla = await bundleProgram();
    await flotilla.start(
      ["server", `--data-dir=${join(folder, "plane")}`, "--secure-port=0"],
      /control plane is ready/,
    );
    const admin = join(folder, "plane", "admin.kubeconfig");
    const printed = await flotilla.run("token", "create", "--kubeconfig", admin, "--print-register-command");
    const [, , server = "", , token = "", , pin = ""] = printed.stdout.trim().split(" ");
    const env = { SERVER: server, TOKEN: token, PIN: pin };
    const { code, stdout, stderr } = await runWith("agent-protocol", env);
    expect(code, `${stdout}\n${stderr.slice(-4000)}`).toBe(0);
    expect(stdout.match(/^ok /gm)?.length).toBe(10);
  });
});

describeReal("programs on client-go and controller-runtime", [...apiServerParts, ...programs], () => {
  const folder = mkdtempSync(join(tmpdir(), "flotilla-go-clients-"));
  let flotilla: Program;
  let real: RealApiServer | undefined;
  const kubeconfigs = new Map<string, string>();

  beforeAll(async () => {
    flotilla = await bundleProgram();
    await flotilla.start(
      ["server", `--data-dir=${join(folder, "plane")}`, "--secure-port=0"],
      /control plane is ready/,
    );
    kubeconfigs.set("our server", join(folder, "plane", "admin.kubeconfig"));
    real = await startRealApiServer({ isUnsafe: true });
    kubeconfigs.set("kube-apiserver", real.kubeconfig);
  });

  afterAll(async () => {
    await flotilla?.close();
    await real?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  describe.each(["our server", "kube-apiserver"])("%s", (server) => {
    test.each(programs)("%s runs to its end", async (name) => {
      const { code, stdout, stderr } = await run(name, kubeconfigs.get(server) ?? "");
      expect(code, `${stdout}\n${stderr.slice(-4000)}`).toBe(0);
      expect(stdout.match(/^ok /gm)?.length).toBe(name === "typed-client" ? 10 : 3);
    });
  });
});
