/** `npm run lab -- up|status|down` as a developer types it: three real clusters, looked at, one of them broken, all ended. */
import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect, test } from "vitest";
import { Namespace, Node } from "#apis/kubernetes";
import { eventually, kubeconfigClients } from "#testing";
import { describeReal, memberParts } from "./parts.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));

interface State {
  readonly members: readonly {
    readonly name: string;
    readonly kubeconfig: string;
    readonly programs: Readonly<Record<string, number>>;
  }[];
}

describeReal("the lab's own commands", memberParts, () => {
  const folder = mkdtempSync(join(tmpdir(), "flotilla-lab-"));
  const dataDir = join(folder, "data");
  const { connect, close } = kubeconfigClients();
  const lab = (...words: string[]) =>
    new Promise<{ readonly code: number; readonly said: string }>((resolve) =>
      execFile(
        process.execPath,
        ["--import", "tsx", "lab/lab.ts", ...words, "--data-dir", dataDir],
        { cwd: root, timeout: 280_000 },
        (error, stdout, stderr) =>
          resolve({ code: error === null ? 0 : Number(error.code ?? 1), said: stdout + stderr }),
      ),
    );
  const state = () => JSON.parse(readFileSync(join(dataDir, "lab.json"), "utf8")) as State;
  const isRunning = (pid: number) => {
    try {
      process.kill(pid, 0);
      // What has ended and was not waited for is no process any more.
      return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
    } catch {
      return false;
    }
  };

  afterAll(async () => {
    await close();
    await lab("down");
    rmSync(folder, { recursive: true, force: true });
  });

  test("up starts three, status says how they are, down ends them and leaves nothing", {
    timeout: 600_000,
  }, async () => {
    expect(await lab("up", "--members", "0")).toMatchObject({
      code: 1,
      said: expect.stringContaining('lab: --members: "0" must be a whole number from 1 to 20'),
    });
    expect((await lab("start")).said).toContain('unknown command "start": build, up, down or status');
    const up = await lab("up", "--members", "3", "--nodes", "1");
    expect(up, up.said).toMatchObject({ code: 0 });
    const { members } = state();
    expect(members.map(({ name }) => name)).toEqual(["member1", "member2", "member3"]);
    for (const { name, kubeconfig } of members)
      expect(up.said).toMatch(new RegExp(`${name} is ready: https://\\S+, kubeconfig ${kubeconfig}`));
    const ids = await Promise.all(
      members.map(async ({ kubeconfig }) => {
        const client = connect(kubeconfig);
        expect((await client.list(Node)).items).toHaveLength(1);
        return (await client.get(Namespace, { name: "kube-system" })).metadata.uid;
      }),
    );
    expect(new Set(ids).size).toBe(3);
    const well = await lab("status");
    expect(well, well.said).toMatchObject({ code: 0 });
    for (const { name } of members) expect(well.said).toContain(name);
    expect(await lab("up", "--members", "1")).toMatchObject({
      code: 1,
      said: expect.stringMatching(/3 members of .* are up already: end them with npm run lab -- down/),
    });

    // One that lost its API server is named, and the others are as they were.
    process.kill(members[1]?.programs["kube-apiserver"] ?? 0, "SIGKILL");
    const broken = await eventually(async () => {
      const found = await lab("status");
      return found.code === 0 ? undefined : found;
    }, 60_000);
    expect(broken.said).toMatch(/member2.*kube-apiserver/);

    const pids = members.flatMap(({ programs }) => Object.values(programs));
    expect(pids.length).toBe(15);
    const down = await lab("down");
    expect(down, down.said).toMatchObject({ code: 0 });
    await eventually(() => pids.every((pid) => !isRunning(pid)), 60_000);
    for (const { name } of members) expect(existsSync(join(dataDir, name))).toBe(false);
  });
});
