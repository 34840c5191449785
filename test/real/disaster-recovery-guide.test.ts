/** The guide to a standby cluster, command by command as it is written, on two real clusters. */
import { execFile, execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { partPath, type RealMember, startProcess, startRealMember, untilReady } from "#lab";
import { describeReal, memberParts } from "./parts.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const guide = readFileSync(join(root, "docs/guides/disaster-recovery.md"), "utf8");
const blocks = [...guide.matchAll(/^```sh ?(\w*)\n([\s\S]*?)^```$/gm)].map(([, how = "", commands = ""]) => ({
  how,
  commands: commands.trim(),
}));
const execute = promisify(execFile);

describeReal("the guide to disaster recovery", [...memberParts, "kubectl"], () => {
  const folder = mkdtempSync(join(tmpdir(), "flotilla-guide-"));
  const members = new Map<string, RealMember>();
  const bin = join(folder, "bin");
  let env: Readonly<Record<string, string>>;
  let controllers: Awaited<ReturnType<typeof startProcess>> | undefined;

  beforeAll(async () => {
    execFileSync(process.execPath, ["tools/build.mjs"], { cwd: root, stdio: "ignore" });
    mkdirSync(bin);
    writeFileSync(
      join(bin, "flotilla"),
      `#!/bin/sh\nexec ${process.execPath} ${join(root, "bin/flotilla.mjs")} "$@"\n`,
    );
    writeFileSync(join(bin, "kubectl"), `#!/bin/sh\nexec ${partPath("kubectl")} "$@"\n`);
    for (const name of ["flotilla", "kubectl"]) chmodSync(join(bin, name), 0o755);
    const started = await Promise.all(
      ["production", "standby"].map((name) => startRealMember({ name, folder: join(folder, name), isUnsafe: true })),
    );
    for (const member of started) members.set(member.name, member);
    const kubeconfigOf = (name: string) => members.get(name)?.kubeconfig ?? "";
    env = {
      PATH: `${bin}:${process.env["PATH"] ?? ""}`,
      HOME: folder,
      PRODUCTION: kubeconfigOf("production"),
      STANDBY: kubeconfigOf("standby"),
    };
  });
  afterAll(async () => {
    await controllers?.stop();
    await Promise.all([...members.values()].map((member) => member.stop()));
    rmSync(folder, { recursive: true, force: true });
  });

  test("[DR-10] [DR-24] [DR-28] [DR-36] [DR-38] [DR-46] [DR-53] works as written, from the first command to the last", async () => {
    expect(blocks.length).toBeGreaterThan(7);
    for (const { how, commands } of blocks) {
      if (how === "stays") {
        const logFile = join(folder, "controllers.log");
        const running = await startProcess({ command: "/bin/sh", args: ["-c", `exec ${commands}`], logFile, env });
        controllers = running;
        await untilReady(
          running,
          () => Promise.resolve(readFileSync(logFile, "utf8").includes("controllers run")),
          60_000,
          "controllers that run",
        );
        continue;
      }
      if (how === "ends") await controllers?.stop();
      try {
        await execute("/bin/bash", ["-e", "-c", commands], { cwd: root, env, timeout: 150_000 });
      } catch (error) {
        const { stdout = "", stderr = "" } = error as { readonly stdout?: string; readonly stderr?: string };
        throw new Error(`${commands}\n${stdout}${stderr}`, { cause: error });
      }
    }
  });
});
