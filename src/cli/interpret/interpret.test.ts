import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { captured } from "#testing";
import { runCommand } from "../index.ts";
import { editableText, editedScripts } from "./edit.ts";
import { loadCustomizations } from "./load.ts";

let folder: string;
const path = (name: string) => join(folder, name);
const CUSTOMIZATION = `apiVersion: config.karmada.io/v1alpha1
kind: ResourceInterpreterCustomization
metadata:
  name: widgets # ours
spec:
  target: { apiVersion: example.io/v1, kind: Widget }
  customizations:
    replicaResource:
      luaScript: |
        local kube = require("kube")
        function GetReplicas(o)
          return o.spec.size, { resourceRequest = { cpu = kube.resourceAdd("1", "500m") } }
        end
    healthInterpretation:
      luaScript: |
        function InterpretHealth(o) return o.status.ready == o.spec.size end
    retention:
      luaScript: |
        function Retain(d, o) d.spec.paused = o.spec.paused return d end
    statusAggregation:
      luaScript: |
        function AggregateStatus(o, items) o.status = { n = #items } return o end
`;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "flotilla-interpret-"));
  writeFileSync(path("good.yaml"), CUSTOMIZATION);
  writeFileSync(
    path("bad.yaml"),
    CUSTOMIZATION.replace("function Retain(d, o)", "function Keep(d, o)").replace(
      "o.status.ready ==",
      "o.status.ready = =",
    ),
  );
  writeFileSync(
    path("widget.yaml"),
    "apiVersion: example.io/v1\nkind: Widget\nmetadata: { name: w }\nspec: { size: 3 }\nstatus: { ready: 3 }\n",
  );
  writeFileSync(
    path("paused.yaml"),
    "apiVersion: example.io/v1\nkind: Widget\nmetadata: { name: w }\nspec: { size: 3, paused: true }\n",
  );
  writeFileSync(path("items.yaml"), "clusterName: m1\nstatus: {}\n---\nclusterName: m2\n");
  writeFileSync(
    path("deployment.json"),
    JSON.stringify({ apiVersion: "apps/v1", kind: "Deployment", metadata: { name: "d" }, spec: { replicas: 4 } }),
  );
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Runs `karmadactl interpret …` and gives what it printed. */
async function interpret(...words: readonly string[]) {
  const { code, stdout, stderr } = await captured(() => runCommand("karmadactl", ["interpret", ...words]));
  return { code, out: stdout, err: stderr };
}

test("--check names each rule with its verdict and fails when one does not pass", async () => {
  const good = await interpret("-f", path("good.yaml"), "--check");
  expect(good).toMatchObject({ code: 0, err: "" });
  expect(good.out).toContain(`${"-".repeat(35)}\nSOURCE: ${path("good.yaml")}\nTARGET: example.io/v1 Widget`);
  expect(good.out).toMatch(/InterpretHealth: +PASS\n/);
  expect(good.out).toMatch(/ReviseReplica: +UNSET\n/);
  const bad = await interpret("-f", path("bad.yaml"), "--check");
  expect(bad.code).toBe(1);
  expect(bad.out).toMatch(/Retain: +ERROR: not found function Retain\n/);
  expect(bad.out).toMatch(/InterpretHealth: +ERROR: <string>:1: 'end' expected near '='/);
  expect((await interpret("-f", path("widget.yaml"), "--check")).err).toContain(
    "not a ResourceInterpreterCustomization, got example.io/v1, Kind=Widget",
  );
});

test("an operation is run on files; wrong inputs are said", async () => {
  const run = (...words: readonly string[]) => interpret("-f", path("good.yaml"), ...words);
  expect((await run("--operation", "interpretreplica", "--desired-file", path("widget.yaml"))).out).toBe(
    "---\n# [1/2] replica:\n3\n---\n# [2/2] requires:\nresourceRequest:\n  cpu: 1500m\n",
  );
  expect(
    JSON.parse(
      (
        await run(
          "--operation=Retain",
          `--desired-file=${path("widget.yaml")}`,
          `--observed-file=${path("paused.yaml")}`,
          "-o",
          "json",
        )
      ).out,
    ),
  ).toMatchObject({ retained: { spec: { size: 3, paused: true } } });
  expect(
    (
      await run(
        "--operation=AggregateStatus",
        `--desired-file=${path("widget.yaml")}`,
        `--status-file=${path("items.yaml")}`,
      )
    ).out,
  ).toContain("status:\n  n: 2");
  const failed = await run("--operation=InterpretHealth", `--observed-file=${path("paused.yaml")}`);
  expect(failed).toMatchObject({ code: 1, out: "" });
  expect(failed.err).toContain("Execute InterpretHealth error: <string>:1: attempt to index a nil value");
  expect((await run("--operation=InterpretStatus", `--observed-file=${path("widget.yaml")}`)).err).toContain(
    "rule is not enabled",
  );
  for (const [words, message] of [
    [[], "operation is not set for executing"],
    [["--operation=Guess"], "operation Guess is not supported. Use one of: Retain, InterpretReplica"],
    [["--check", "--edit"], "you can't set both --check and --edit options"],
    [["--operation=InterpretHealth"], "desired-file, observed-file options are not set"],
    [["--operation=Retain", `--desired-file=${path("widget.yaml")}`], "observed, observed-file options are not set"],
    [
      [
        "--operation=InterpretHealth",
        `--desired-file=${path("widget.yaml")}`,
        `--observed-file=${path("widget.yaml")}`,
      ],
      "you can not specify both desired-file and observed-file options",
    ],
  ] as const)
    expect(await run(...words)).toMatchObject({ code: 1, err: expect.stringContaining(message) });
  // Without a customization the built-in rules answer.
  expect((await interpret("--operation=InterpretReplica", `--desired-file=${path("deployment.json")}`)).out).toContain(
    "# [1/2] replica:\n4\n",
  );
});

test("--edit shows a text of sections and writes back what came of it, keeping the rest of the file", async () => {
  const [source] = await loadCustomizations([path("good.yaml")], false, [], () => {
    throw new Error("no server");
  });
  const text = editableText(source?.customization as never, true);
  expect(text).toContain("---@name: widgets\n---@apiVersion: example.io/v1\n---@kind: Widget\n");
  expect(editedScripts(text)).toMatchObject({
    healthInterpretation: { luaScript: "function InterpretHealth(o) return o.status.ready == o.spec.size end\n" },
  });
  writeFileSync(path("edited.yaml"), CUSTOMIZATION);
  vi.stubEnv("KUBE_EDITOR", "sed -i s/o.status.ready/o.status.count/");
  try {
    expect((await interpret("-f", path("edited.yaml"), "--edit")).out).toBe("widgets edited\n");
    expect(readFileSync(path("edited.yaml"), "utf8")).toContain("o.status.count == o.spec.size");
    expect(readFileSync(path("edited.yaml"), "utf8")).toContain("name: widgets # ours");
    vi.stubEnv("KUBE_EDITOR", "true");
    expect((await interpret("-f", path("edited.yaml"), "--edit")).out).toBe("Edit cancelled, no changes made.\n");
  } finally {
    vi.unstubAllEnvs();
  }
});
