/** The ways to install that need more than Node: manifests before a real API server, the image's recipe step by step, the guide. */
import { execFileSync, type SpawnOptions } from "node:child_process";
import {
  chmodSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { partPath, type RealApiServer, startRealApiServer } from "#lab";
import { childPrograms } from "../child-programs.ts";
import { apiServerParts, describeReal } from "./parts.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));

describeReal("manifests before a real API server", [...apiServerParts, "kubectl"], () => {
  let real: RealApiServer | undefined;
  beforeAll(async () => {
    real = await startRealApiServer({ isUnsafe: true });
  });
  afterAll(() => real?.stop());

  test.each(["control-plane", "agent", "scheduler", "estimator", "estimator-account"])(
    "%s is accepted field by field, object by object",
    (name) => {
      const kubectl = (words: readonly string[], input = "") =>
        execFileSync(partPath("kubectl"), ["--kubeconfig", real?.kubeconfig ?? "", ...words], {
          encoding: "utf8",
          input,
        });
      const rendered = kubectl(["kustomize", join(root, "install/kustomize", name)]);
      const namespace = /^kind: Namespace\nmetadata:\n(?: {2}.*\n)*? {2}name: (\S+)/m.exec(rendered)?.[1];
      // A dry run makes no namespace for what comes after it; a control plane has that of the scheduler's account.
      if (namespace !== undefined)
        kubectl(["apply", "-f", "-"], `{apiVersion: v1, kind: Namespace, metadata: {name: ${namespace}}}`);
      const lines = kubectl(["apply", "--dry-run=server", "--validate=strict", "-f", "-"], rendered).trim().split("\n");
      expect(lines).toHaveLength(rendered.split(/^---$/m).length);
      // The namespace is the one made above.
      for (const line of lines)
        expect(line).toMatch(/ (created|configured) \(server dry run\)$|^namespace\/\S+ unchanged \(server dry run\)$/);
    },
  );
});

/** Files below a folder by a path whose last part may hold stars. */
function matching(folder: string, path: string): readonly string[] {
  const parts = path.split("/");
  const last = parts.pop() ?? "";
  const pattern = new RegExp(
    `^${last
      .split("*")
      .map((text) => text.replace(/[.]/g, "\\."))
      .join(".*")}$`,
  );
  return readdirSync(join(folder, ...parts))
    .filter((name) => pattern.test(name))
    .map((name) => join(...parts, name));
}

interface Step {
  readonly instruction: string;
  readonly words: string;
}

/** The recipe's steps, stage by stage; what it cannot read it refuses. */
function stagesOf(text: string): readonly (readonly Step[])[] {
  const stages: Step[][] = [];
  const lines = text.replace(/\\\n/g, " ").split("\n");
  for (const line of lines) {
    if (line.trim() === "" || line.startsWith("#")) continue;
    const [, instruction = "", words = ""] = /^([A-Z]+)\s+(.*)$/.exec(line) ?? [];
    if (
      !["FROM", "WORKDIR", "COPY", "RUN", "ENV", "USER", "VOLUME", "EXPOSE", "ENTRYPOINT", "CMD"].includes(instruction)
    )
      throw new Error(`the recipe has a line nobody here knows: ${line}`);
    if (instruction === "FROM") stages.push([]);
    stages[stages.length - 1]?.push({ instruction, words });
  }
  return stages;
}

describe("the image and the package", () => {
  const folder = mkdtempSync(join(tmpdir(), "flotilla-image-"));
  const context = join(folder, "context");
  const programs = childPrograms();
  const isRoot = process.getuid?.() === 0;
  // What a machine has fetched once is not fetched again.
  const env = { ...process.env, npm_config_prefer_offline: "true", npm_config_update_notifier: "false" };
  beforeAll(() => {
    chmodSync(folder, 0o755);
    mkdirSync(context);
    execFileSync("npm", ["pack", "--pack-destination", context], { cwd: root, env, stdio: "ignore" });
    cpSync(join(root, "package-lock.json"), join(context, "package-lock.json"));
  });
  afterAll(async () => {
    await programs.end();
    rmSync(folder, { recursive: true, force: true });
  });
  const ready = (command: string, words: readonly string[], more: SpawnOptions = {}) =>
    programs.start(command, words, /control plane is ready/, { env: { PATH: process.env["PATH"] }, ...more });

  test("every step of the recipe does what it says, in a folder that stands for the image, and the image's command serves", async () => {
    const stages = stagesOf(readFileSync(join(root, "install/container/Containerfile"), "utf8"));
    const places = stages.map((_, at) => join(folder, `stage-${at}`));
    let user: { uid?: number; gid?: number } = {};
    let command: readonly string[] = [];
    const surroundings: Record<string, string> = {};
    for (const [at, steps] of stages.entries()) {
      const place = places[at] as string;
      // What the base image has.
      for (const own of ["usr/local/bin", "var/lib", "opt"]) mkdirSync(join(place, own), { recursive: true });
      const here = (text: string) => text.replace(/(^|[\s=])\/(opt|usr\/local\/bin|var\/lib)\//g, `$1${place}/$2/`);
      let cwd = place;
      for (const { instruction, words } of steps) {
        switch (instruction) {
          case "WORKDIR":
            cwd = join(place, words);
            mkdirSync(cwd, { recursive: true });
            break;
          case "COPY": {
            const from = /^--from=(\S+) /.exec(words)?.[1];
            const names = words.replace(/^--from=\S+ /, "").split(" ");
            const to = names.pop() as string;
            const source =
              from === undefined
                ? context
                : (places[stages.findIndex(([first]) => first?.words.endsWith(` AS ${from}`))] as string);
            const found = names.flatMap((name) => matching(source, name.replace(/^\//, "")));
            expect(found.length, words).toBe(names.length);
            const target = to.startsWith("/") ? join(place, to) : join(cwd, to);
            for (const name of found)
              cpSync(join(source, name), to.endsWith("/") ? join(target, name) : target, {
                recursive: true,
                verbatimSymlinks: true,
              });
            break;
          }
          case "RUN":
            // Only root gives files away.
            execFileSync("sh", ["-ec", here(isRoot ? words : words.replace(/chown \S+/, "test -d"))], {
              cwd,
              env,
              stdio: "pipe",
            });
            break;
          case "ENV": {
            const [, name = "", value = ""] = /^(\w+)=(\S+)$/.exec(words) ?? [];
            expect(name, words).not.toBe("");
            surroundings[name] = value;
            break;
          }
          case "USER": {
            const [uid, gid] = words.split(":").map(Number);
            if (isRoot && uid !== undefined && gid !== undefined) user = { uid, gid };
            break;
          }
          case "ENTRYPOINT":
          case "CMD":
            command = [...command, ...(JSON.parse(words) as readonly string[]).map((word) => here(word))];
            break;
        }
      }
    }
    const image = places[places.length - 1] as string;
    const [entry = "", ...words] = command;
    expect(lstatSync(entry).isSymbolicLink()).toBe(true);
    expect(existsSync(readlinkSync(entry))).toBe(true);
    expect(existsSync(join(image, "opt/flotilla/node_modules/lmdb"))).toBe(true);
    expect(existsSync(join(image, "opt/flotilla/node_modules/vitest"))).toBe(false);
    const data = join(image, "var/lib/flotilla");
    if (isRoot) expect(statSync(data).uid).toBe(65532);
    expect(words).toContain(`--data-dir=${data}`);
    await ready(
      entry,
      words.map((word) => word.replace("--secure-port=5443", "--secure-port=0").replace("0.0.0.0", "127.0.0.1")),
      { ...user, env: { PATH: process.env["PATH"], ...surroundings } },
    );
    expect(existsSync(join(data, "admin.kubeconfig"))).toBe(true);
  });

  test("the guide's first block installs a program that serves", async () => {
    const guide = readFileSync(join(root, "docs/guides/installing.md"), "utf8");
    const [pack = "", install = "", serve = ""] = (/```sh\n([\s\S]*?)```/.exec(guide)?.[1] ?? "").trim().split("\n");
    expect(pack).toBe("npm pack");
    const prefix = join(folder, "prefix");
    const version = (JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string }).version;
    expect(install).toContain(`flotilla-${version}.tgz`);
    execFileSync("sh", ["-ec", install], { cwd: context, env: { ...env, npm_config_prefix: prefix }, stdio: "pipe" });
    const [name = "", ...words] = serve.replace("/var/lib/flotilla", join(folder, "data")).split(" ");
    await ready(join(prefix, "bin", name), [...words, "--secure-port=0"]);
    const listed = execFileSync(
      join(prefix, "bin", name),
      ["get", "clusters", "--kubeconfig", join(folder, "data", "admin.kubeconfig")],
      {
        encoding: "utf8",
        env: { PATH: process.env["PATH"] },
      },
    );
    expect(listed).toMatch(/NAME|No resources/);

    // An upgrade: another version in the same place, on the same data.
    const own = (...more: readonly string[]) =>
      execFileSync(join(prefix, "bin", name), [...more, "--kubeconfig", join(folder, "data", "admin.kubeconfig")], {
        encoding: "utf8",
        env: { PATH: process.env["PATH"] },
      });
    const token = own("token", "create").trim();
    const later = "99.0.0";
    const unpacked = join(folder, "later");
    mkdirSync(unpacked);
    execFileSync("tar", ["-xzf", join(context, `flotilla-${version}.tgz`), "-C", unpacked, "--strip-components=1"]);
    const manifest = JSON.parse(readFileSync(join(unpacked, "package.json"), "utf8")) as object;
    // What is packed is built already.
    writeFileSync(join(unpacked, "package.json"), JSON.stringify({ ...manifest, version: later, scripts: {} }));
    execFileSync("npm", ["pack", "--pack-destination", folder], { cwd: unpacked, env, stdio: "pipe" });
    await programs.end();
    execFileSync("npm", ["install", "-g", join(folder, `flotilla-${later}.tgz`)], {
      cwd: folder,
      env: { ...env, npm_config_prefix: prefix },
      stdio: "pipe",
    });
    expect(readFileSync(join(prefix, "lib/node_modules/flotilla/package.json"), "utf8")).toContain(later);
    await ready(join(prefix, "bin", name), [...words, "--secure-port=0"]);
    expect(own("token", "list")).toContain(token);
  });

  test("npx runs it from the package in an empty folder", () => {
    const empty = join(folder, "empty");
    mkdirSync(empty);
    const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string };
    const archive = join(context, `flotilla-${version}.tgz`);
    // What npx unpacks is not left behind; what was fetched before serves.
    const cache = join(folder, "cache");
    mkdirSync(cache);
    const shared = join(execFileSync("npm", ["config", "get", "cache"], { encoding: "utf8", env }).trim(), "_cacache");
    if (existsSync(shared)) symlinkSync(shared, join(cache, "_cacache"));
    const npx = (...words: readonly string[]) =>
      execFileSync("npx", ["--yes", `--package=${archive}`, "--", "flotilla", ...words], {
        cwd: empty,
        encoding: "utf8",
        env: { ...env, npm_config_cache: cache },
      });
    expect(npx("version")).toContain(version);
    expect(npx("up", "--once", "--in-memory", "--port", "0", "--data-dir", join(empty, "data"))).toMatch(
      /\[\d+\/\d+\]/,
    );
  });
});
