/**
 * The image, built from its recipe by a container engine: by buildah, on a base made of this machine's own Debian packages and
 * Node, so that nothing is fetched but what npm's cache lacks. Skipped where buildah or Debian is missing, or without root; no
 * part of the lab needs it.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import { childPrograms } from "../child-programs.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
/** What a slim Debian with Node has of what the recipe and the program use. */
const PACKAGES =
  "base-files libc6 libgcc-s1 libstdc++6 dash coreutils tar gzip zlib1g libacl1 libattr1 libselinux1 libpcre2-8-0 libgmp10";

const answers = (command: string, ...words: readonly string[]) => spawnSync(command, words).status === 0;
const canBuild =
  process.getuid?.() === 0 &&
  answers("buildah", "--version") &&
  answers("dpkg", "-L", ...PACKAGES.split(" ")) &&
  answers("unshare", "--mount", "true");

describe.skipIf(!canBuild)("the image, built by buildah (skipped without buildah, Debian's packages or root)", () => {
  const folder = mkdtempSync(join(tmpdir(), "flotilla-buildah-"));
  const store = ["--root", join(folder, "store"), "--runroot", join(folder, "run"), "--storage-driver", "vfs"];
  const buildah = (...words: readonly string[]) =>
    execFileSync("buildah", [...store, ...words], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] }).trim();
  const programs = childPrograms();
  afterAll(async () => {
    await programs.end();
    buildah("rm", "--all");
    rmSync(folder, { recursive: true, force: true });
  });

  /** The image that the recipe starts from, as far as the recipe and the program need it. */
  function makeBase(name: string): void {
    const tree = join(folder, "base");
    for (const path of [
      "usr/bin",
      "usr/sbin",
      "usr/lib/node_modules",
      "usr/lib64",
      "usr/local/bin",
      "var/lib",
      "opt",
      "tmp",
      "proc",
      "dev",
      "sys",
    ])
      mkdirSync(join(tree, path), { recursive: true });
    for (const path of ["bin", "sbin", "lib", "lib64"]) symlinkSync(`usr/${path}`, join(tree, path));
    const copy = `dpkg -L ${PACKAGES} | grep '^/' | grep -Ev '^/(usr/share/(doc|man|locale|info)|etc)' | sort -u | sed 's,^/,,' |
      while read -r path; do if [ -n "$path" ] && [ -e "/$path" ]; then echo "$path"; fi; done > "$0.files"
      tar -C / --no-recursion -cf - --files-from "$0.files" | tar -C "$0" --keep-directory-symlink -xf -`;
    execFileSync("sh", ["-ec", copy, tree], { stdio: "pipe" });
    cpSync(process.execPath, join(tree, "usr/bin/node"));
    const npm = dirname(
      dirname(realpathSync(execFileSync("sh", ["-c", "command -v npm"], { encoding: "utf8" }).trim())),
    );
    cpSync(npm, join(tree, "usr/lib/node_modules/npm"), { recursive: true });
    symlinkSync("../lib/node_modules/npm/bin/npm-cli.js", join(tree, "usr/bin/npm"));
    writeFileSync(join(tree, "usr/lib/node_modules/npm/npmrc"), "cache=/npm-cache\nprefer-offline=true\n");
    const container = buildah("from", "scratch");
    buildah("add", "--quiet", container, tree, "/");
    buildah("commit", "--quiet", container, name);
    buildah("rm", container);
  }

  test("is built by its recipe as it stands, and serves as its own user", { timeout: 300_000 }, async () => {
    const context = join(folder, "context");
    mkdirSync(context);
    execFileSync("npm", ["pack", "--pack-destination", context], { cwd: root, stdio: "ignore" });
    cpSync(join(root, "package-lock.json"), join(context, "package-lock.json"));
    makeBase("node:20-bookworm-slim");
    const cache = execFileSync("npm", ["config", "get", "cache"], { encoding: "utf8" }).trim();
    mkdirSync(cache, { recursive: true });
    const recipe = join(root, "install/container/Containerfile");
    buildah(
      ...["build-using-dockerfile", "--quiet", "--isolation", "chroot", "--pull-never"],
      ...["--volume", `${cache}:/npm-cache:rw`, "--file", recipe, "--tag", "flotilla:built", context],
    );
    const container = buildah("from", "--pull-never", "flotilla:built");
    const { OCIv1 } = JSON.parse(buildah("inspect", container)) as { readonly OCIv1: { readonly config: object } };
    expect(OCIv1.config).toMatchObject({
      User: "65532:65532",
      Entrypoint: ["/usr/local/bin/flotilla"],
      Cmd: ["server", "--data-dir=/var/lib/flotilla", "--bind-address=0.0.0.0", "--secure-port=5443"],
      Volumes: { "/var/lib/flotilla": {} },
      ExposedPorts: { "5443/tcp": {} },
    });
    const inside = (...words: readonly string[]) => ["run", "--isolation", "chroot", container, "--", ...words];
    expect(buildah(...inside("flotilla", "version"))).toMatch(/\d+\.\d+\.\d+/);
    expect(buildah(...inside("karmadactl", "version"))).toMatch(/\d+\.\d+\.\d+/);
    const look =
      "id -u; stat -c %u /var/lib/flotilla; test -e /opt/flotilla/node_modules/lmdb; test -e /opt/flotilla/node_modules/vitest || echo lean";
    expect(buildah(...inside("sh", "-ec", look))).toBe("65532\n65532\nlean");
    const said = await programs.start(
      "buildah",
      [
        ...store,
        ...inside("flotilla", "server", "--data-dir=/var/lib/flotilla", "--bind-address=127.0.0.1", "--secure-port=0"),
      ],
      /control plane is ready.*\n/,
    );
    expect(said).toContain("kubeconfig=/var/lib/flotilla/admin.kubeconfig");
  });
});
