/** What others deploy with, through the control plane into two simulated members: Helm, and Argo CD's engine. */
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type PartName, partPath } from "#lab";
import { bundleProgram, type Finished, type Program } from "../program.ts";
import { describeReal } from "./parts.ts";

const LIMIT_MS = 150_000;
const given = fileURLToPath(new URL("deployers", import.meta.url));

describeReal("a fleet that is deployed to with other people's programs", ["helm", "argo-engine", "kubectl"], () => {
  const folder = mkdtempSync(join(tmpdir(), "flotilla-deployers-"));
  const plane = join(folder, "plane");
  let flotilla: Program;

  const run = (name: PartName, kubeconfig: string, ...words: readonly string[]): Promise<Finished> =>
    new Promise((resolve) => {
      // Helm keeps caches, and would look for charts, below these.
      const home = { HOME: folder, HELM_CACHE_HOME: folder, HELM_CONFIG_HOME: folder, HELM_DATA_HOME: folder };
      const options = { timeout: LIMIT_MS, env: { ...home, KUBECONFIG: join(plane, `${kubeconfig}.kubeconfig`) } };
      execFile(partPath(name), words, options, (error, stdout, stderr) =>
        resolve({ code: error === null ? 0 : Number(error.code ?? 1), stdout, stderr }),
      );
    });
  const succeeds = async (name: PartName, kubeconfig: string, ...words: readonly string[]): Promise<string> => {
    const { code, stdout, stderr } = await run(name, kubeconfig, ...words);
    expect(code, `${name} ${words.join(" ")}\n${stdout}\n${stderr.slice(-4000)}`).toBe(0);
    return stdout.trim();
  };
  const helm = (...words: readonly string[]) => succeeds("helm", "admin", ...words);
  /** Waits until a member's object says so. */
  const becomes = (member: string, object: string, path: string, value: string) =>
    succeeds("kubectl", member, "wait", object, `--for=jsonpath=${path}=${value}`, "--timeout=60s");

  beforeAll(async () => {
    flotilla = await bundleProgram();
    await flotilla.start(
      ["up", "--no-tour", "--in-memory", "--members=2", `--data-dir=${plane}`, "--secure-port=0"],
      /Ctrl-C stops it/,
    );
  });

  afterAll(async () => {
    await flotilla?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  test("[RN-3] Helm installs a chart that brings its policy, waits for a hook that runs in the members, upgrades, rolls back and uninstalls", async () => {
    const chart = join(given, "shop");
    await helm("install", "shop", chart, "--timeout=60s");
    await becomes("member1", "deployment/shop", "{.status.readyReplicas}", "2");
    await becomes("member2", "deployment/shop", "{.status.readyReplicas}", "2");
    // The hook was over before Helm said so.
    expect(await succeeds("kubectl", "member1", "get", "job/shop-migrate", "-o=jsonpath={.status.succeeded}")).toBe(
      "1",
    );

    await helm("upgrade", "shop", chart, "--set=greeting=goodbye,clusters={member1}");
    await becomes("member1", "configmap/shop", "{.data.greeting}", "goodbye");
    await succeeds("kubectl", "member2", "wait", "deployment/shop", "--for=delete", "--timeout=60s");

    await helm("rollback", "shop", "1");
    await becomes("member1", "configmap/shop", "{.data.greeting}", "hello");
    await becomes("member2", "deployment/shop", "{.status.readyReplicas}", "2");
    const history = JSON.parse(await helm("history", "shop", "-o=json")) as readonly { readonly status: string }[];
    expect(history.map(({ status }) => status)).toEqual(["superseded", "superseded", "deployed"]);
    // Helm compares three ways with what is there: what the control plane put into the objects is no change of theirs.
    expect(await helm("get", "manifest", "shop")).toContain("kind: PropagationPolicy");
    await helm("upgrade", "shop", chart, "--dry-run=server");

    await helm("uninstall", "shop");
    await succeeds("kubectl", "member1", "wait", "deployment/shop", "--for=delete", "--timeout=60s");
    expect(await helm("list", "-o=json")).toBe("[]");
  });

  test("[RN-3] Argo CD's engine synchronises, waits for hook and health, changes nothing twice, applies on the server, prunes", async () => {
    const said = await succeeds("argo-engine", "admin", join(given, "application"));
    expect(said.split("\n")).toEqual([
      "ok brings what a hook needs",
      "ok synchronises from the client's side",
      "ok becomes healthy",
      "ok finds nothing to change",
      "ok synchronises from the server's side",
      "ok prunes what is no longer wanted",
    ]);
    await succeeds("kubectl", "member1", "wait", "deployment/web", "-n=argo", "--for=delete", "--timeout=60s");
  });
});
