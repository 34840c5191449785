/** Which real parts there are, whether they are built, and how they are built: as dependencies of the Go modules here. */
import { execFile, execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, statfsSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const lab = fileURLToPath(new URL(".", import.meta.url));
const bin = join(lab, "bin");

export const KUBERNETES_VERSION = "v1.36.2";
const GO_MINOR_MIN = 26;
/** What a cold build takes: module sources, Go's build cache and the programs. */
const COLD_BUILD_BYTES = 6 * 1024 ** 3;

interface Part {
  readonly folder: string;
  readonly package: string;
}

const KWOK = { folder: "kwok", package: "sigs.k8s.io/kwok/cmd/kwok" };
const own = (name: string): Part => ({ folder: ".", package: `./cmd/${name}` });
/** Programs of ours on Kubernetes' client libraries, or on none. */
const client = (name: string): Part => ({ folder: "clients", package: `./${name}` });
/** What others deploy with. */
const deployer = (path: string): Part => ({ folder: "deployers", package: path });
const parts = {
  etcd: own("etcd"),
  "kube-apiserver": own("kube-apiserver"),
  "kube-controller-manager": own("kube-controller-manager"),
  "kube-scheduler": own("kube-scheduler"),
  kubectl: own("kubectl"),
  kwok: KWOK,
  "typed-client": client("typed"),
  "controller-runtime-manager": client("manager"),
  "agent-protocol": client("agent"),
  "estimator-wire": client("estimator"),
  helm: deployer("helm.sh/helm/v3/cmd/helm"),
  "argo-engine": deployer("./argo"),
} satisfies Readonly<Record<string, Part>>;

export type PartName = keyof typeof parts;
export const partNames = Object.keys(parts) as PartName[];

/** The file of a part, whether it is built or not. */
export const partPath = (name: PartName) => join(bin, name);

const version = (field: string, value: string) => `-X k8s.io/component-base/version.${field}=${value}`;
const [major = "", minor = ""] = KUBERNETES_VERSION.slice(1).split(".");
const LINK_FLAGS = [
  "-s",
  "-w",
  version("gitVersion", KUBERNETES_VERSION),
  version("gitMajor", major),
  version("gitMinor", minor),
  // Of the published tag, so that /version says what a release says.
  version("gitCommit", "24e2b02af5543d7910c2bb074c7264df5a8f0467"),
  version("gitTreeState", "clean"),
].join(" ");

/** What a program was built from: changes with the module, its sums, our main package and the flags. */
function recipe(name: PartName): string {
  const { folder, package: path }: Part = parts[name];
  const module = join(lab, folder);
  const hash = createHash("sha256").update(LINK_FLAGS).update(path);
  for (const file of ["go.mod", "go.sum"]) hash.update(readFileSync(join(module, file)));
  if (path.startsWith("./"))
    for (const file of readdirSync(join(module, path)).sort()) hash.update(readFileSync(join(module, path, file)));
  return hash.digest("hex");
}

const stampPath = (name: PartName) => join(bin, `.${name}.built-from`);

/** Which of these parts are not built, or built from something else than what stands here now. */
export function missingParts(names: readonly PartName[] = partNames): readonly PartName[] {
  return names.filter(
    (name) =>
      !existsSync(partPath(name)) ||
      !existsSync(stampPath(name)) ||
      readFileSync(stampPath(name), "utf8") !== recipe(name),
  );
}

/** Says why parts cannot be built on this machine; `undefined` when they can. */
function obstacle(missing: readonly PartName[]): string | undefined {
  let text: string;
  try {
    text = execFileSync("go", ["env", "GOVERSION"], { encoding: "utf8" }).trim();
  } catch {
    return `Go is not installed, and ${missing.join(", ")} must be built with it: install Go 1.${GO_MINOR_MIN} or newer`;
  }
  const found = Number(/^go1\.(\d+)/.exec(text)?.[1] ?? Number.NaN);
  if (found < GO_MINOR_MIN) return `Go is too old: ${text} is installed, Go 1.${GO_MINOR_MIN} or newer is needed`;
  return undefined;
}

function checkDisk(): void {
  const { bavail, bsize } = statfsSync(lab);
  const free = bavail * bsize;
  if (free < COLD_BUILD_BYTES)
    throw new Error(
      `the disk of ${lab} has ${gibibytes(free)} left; a first build takes up to ${gibibytes(COLD_BUILD_BYTES)} with Go's caches`,
    );
}

const gibibytes = (bytes: number) => `${(bytes / 1024 ** 3).toFixed(1)} GiB`;
const mebibytes = (bytes: number) => `${Math.round(bytes / 1024 ** 2)} MiB`;

/** Builds what is missing and says how long each part took and how large it is. Throws when a part cannot be built. */
export async function buildParts(say: (line: string) => void, names: readonly PartName[] = partNames): Promise<void> {
  const missing = missingParts(names);
  if (missing.length === 0) {
    say(`all ${names.length} parts are built (${mebibytes(bytesBelow(bin))} in lab/bin)`);
    return;
  }
  const problem = obstacle(missing);
  if (problem !== undefined) throw new Error(problem);
  mkdirSync(bin, { recursive: true });
  const isCold = missing.length === partNames.length;
  if (isCold) {
    checkDisk();
    say("the first build compiles Kubernetes: about ten minutes on two cores; later ones take Go's cache");
  }
  const startedMs = Date.now();
  for (const name of missing) {
    const partStartedMs = Date.now();
    await goBuild(parts[name].folder, parts[name].package, partPath(name));
    writeFileSync(stampPath(name), recipe(name));
    say(
      `${name.padEnd(24)} ${seconds(partStartedMs).padStart(7)}  ${mebibytes(statSync(partPath(name)).size).padStart(8)}`,
    );
  }
  say(`built in ${seconds(startedMs)}; ${mebibytes(bytesBelow(bin))} in lab/bin, ${await cacheSizes()}`);
}

const seconds = (startedMs: number) => `${((Date.now() - startedMs) / 1000).toFixed(1)} s`;

function goBuild(folder: string, path: string, output: string): Promise<void> {
  const args = ["build", "-trimpath", "-buildvcs=false", "-ldflags", LINK_FLAGS, "-o", output, path];
  return new Promise((resolve, reject) => {
    const child = spawn("go", args, {
      cwd: join(lab, folder),
      stdio: ["ignore", "inherit", "pipe"],
      env: { ...process.env, CGO_ENABLED: "0" },
    });
    let said = "";
    child.stderr.on("data", (chunk: Buffer) => {
      said = (said + chunk.toString()).slice(-4000);
    });
    child.once("error", reject);
    child.once("close", (code) =>
      code === 0
        ? resolve()
        : reject(
            new Error(
              /no space left on device/.test(said)
                ? `the disk is full: building ${path} needs room for Go's caches\n${said}`
                : `go build ${path} failed:\n${said}`,
            ),
          ),
    );
  });
}

function bytesBelow(folder: string): number {
  return readdirSync(folder).reduce((sum, entry) => sum + statSync(join(folder, entry)).size, 0);
}

async function cacheSizes(): Promise<string> {
  const read = (command: string, args: readonly string[]) =>
    new Promise<string>((resolve) =>
      execFile(command, args, (error, stdout) => resolve(error === null ? stdout.trim() : "")),
    );
  const size = async (variable: string) => {
    const kibibytes = (await read("du", ["-sk", await read("go", ["env", variable])])).split(/\s/)[0] ?? "";
    return kibibytes === "" ? "unknown" : gibibytes(Number(kibibytes) * 1024);
  };
  return `${await size("GOMODCACHE")} of module sources, ${await size("GOCACHE")} of build cache`;
}
