/** The ways to install: the package, manifests and units are looked at, and their commands run as plain processes. */
import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parse, parseAllDocuments } from "yaml";
import { Cluster, PropagationPolicy, ResourceBinding } from "#apis/karmada";
import {
  ClusterRole,
  ClusterRoleBinding,
  Deployment,
  Namespace,
  Pod,
  ServiceAccount,
  StatefulSet,
} from "#apis/kubernetes";
import { parseKubeconfig, resolveContext } from "#certs";
import type { KubeObject, ResourceKind } from "#machinery";
import {
  accountToken,
  aDeployment,
  aPropagationPolicy,
  eventually,
  hasKubectl,
  kubeconfigClients,
  kubectl as runKubectl,
} from "#testing";
import { childPrograms } from "../child-programs.ts";
import { canEnterPods, inPod } from "../pod.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const install = join(root, "install");
const folder = mkdtempSync(join(tmpdir(), "flotilla-install-"));
const unpacked = join(folder, "node_modules/flotilla");
const program = join(unpacked, "bin/flotilla.mjs");
const programs = childPrograms();
const { connect, close: closeClients } = kubeconfigClients();

beforeAll(() => {
  const staged = join(folder, "staged");
  mkdirSync(staged);
  for (const name of ["bin", "docs", "examples", "install", "LICENSE", "README.md", "CHANGELOG.md", "package.json"])
    cpSync(join(root, name), join(staged, name), { recursive: true });
  execFileSync(process.execPath, ["tools/build.mjs", join(staged, "dist")], { cwd: root });
  // The program is built already; a second build in the user's own checkout would pull it from under other tests.
  execFileSync("npm", ["pack", "--ignore-scripts", "--pack-destination", folder], { cwd: staged, stdio: "ignore" });
  const archive = readdirSync(folder).find((name) => name.endsWith(".tgz")) ?? "";
  mkdirSync(unpacked, { recursive: true });
  execFileSync("tar", ["-xzf", join(folder, archive), "--strip-components=1", "-C", unpacked]);
  symlinkSync(join(root, "node_modules"), join(unpacked, "node_modules"));
});

afterAll(async () => {
  await closeClients();
  await programs.end();
  rmSync(folder, { recursive: true, force: true });
});

/** Starts the packed program; resolves when its output matches. */
const start = (words: readonly string[], ready: RegExp) => programs.start(process.execPath, [program, ...words], ready);

/** Words of an install path with this test's folders and free ports in place of those of a machine. */
const here = (words: readonly string[], replaced: Readonly<Record<string, string>>) =>
  words.map((word) => {
    const local = word
      .replace(/^--secure-port=.*/, "--secure-port=0")
      .replace(/^--bind-address=.*/, "--bind-address=127.0.0.1");
    return Object.entries(replaced).reduce((text, [from, to]) => text.replaceAll(from, to), local);
  });

/** Plain listeners have fixed ports; a test has none to spare. */
const withoutPlainPorts = (words: readonly string[]) =>
  words.map((word) => word.replace(/^(--(?:metrics|health-probe)-bind-address)=.*/, "$1=0"));

const unit = (name: string) => {
  const text = readFileSync(join(install, "systemd", name), "utf8");
  const sections = new Set([...text.matchAll(/^\[(\w+)\]$/gm)].map((match) => match[1]));
  const [, ...words] = (/^ExecStart=(.*)$/m.exec(text)?.[1] ?? "").split(" ");
  return { text, sections, words: words[0] === "flotilla" ? words.slice(1) : [] };
};

interface Workload {
  readonly kind: string;
  readonly spec: {
    readonly template: {
      readonly spec: {
        readonly containers: readonly { readonly command?: readonly string[]; readonly args?: readonly string[] }[];
      };
    };
  };
}
/** What a pod's program is told, whether by arguments of the image's own or by a command. */
function argumentsOf(path: string): readonly string[] {
  const { spec } = parse(readFileSync(join(install, "kustomize", path), "utf8")) as Workload;
  const { command = [], args = [] } = spec.template.spec.containers[0] ?? {};
  return [...command.slice(1), ...args];
}

describe("the package", () => {
  test("carries the program, its docs and examples, and nothing of its sources", () => {
    const files = execFileSync("find", [".", "-type", "f", "-not", "-path", "./node_modules/*"], {
      cwd: unpacked,
      encoding: "utf8",
    })
      .trim()
      .split("\n");
    for (const needed of ["./dist/main.js", "./bin/flotilla.mjs", "./examples/quickstart/nginx.yaml", "./LICENSE"])
      expect(files).toContain(needed);
    expect(files.filter((file) => /^\.\/(src|tools|test|lab|\.ci)\//.test(file) || file.endsWith(".tgz"))).toEqual([]);
    const manifest = JSON.parse(readFileSync(join(unpacked, "package.json"), "utf8")) as {
      readonly bin: Readonly<Record<string, string>>;
    };
    for (const path of Object.values(manifest.bin)) expect(existsSync(join(unpacked, path)), path).toBe(true);
  });

  test("[DR-1] runs the tour from where it was unpacked", { timeout: 60_000 }, () => {
    const output = execFileSync(
      process.execPath,
      [program, "up", "--once", "--in-memory", "--port", "0", "--data-dir", join(folder, "tour")],
      { cwd: folder, encoding: "utf8" },
    );
    expect(output).toMatch(/\[\d+\/\d+\]/);
  });
});

describe("manifests", () => {
  test.each(["control-plane", "agent", "scheduler", "estimator", "estimator-account"])(
    "%s names files that are there and hold objects",
    (name) => {
      const path = join(install, "kustomize", name, "kustomization.yaml");
      const { resources } = parse(readFileSync(path, "utf8")) as { readonly resources: readonly string[] };
      const objects = resources.flatMap((file) =>
        parseAllDocuments(readFileSync(join(dirname(path), file), "utf8")).map((document) => {
          expect(document.errors, file).toEqual([]);
          return document.toJS() as { readonly kind: string; readonly metadata: { readonly name: string } };
        }),
      );
      expect(objects.every(({ kind, metadata }) => kind && metadata.name)).toBe(true);
      expect(
        readdirSync(dirname(path))
          .filter((file) => file !== "kustomization.yaml")
          .sort(),
      ).toEqual([...resources].sort());
    },
  );

  test.skipIf(!hasKubectl())(
    "are rendered by kustomize and accepted, field by field, by an API server (skipped without kubectl)",
    { timeout: 60_000 },
    async () => {
      const data = join(folder, "judge");
      await start(["server", `--data-dir=${data}`, "--secure-port=0"], /control plane is ready/);
      const kubectl = (words: readonly string[], input = "") =>
        execFileSync("kubectl", ["--kubeconfig", join(data, "admin.kubeconfig"), ...words], {
          encoding: "utf8",
          input,
          stdio: ["pipe", "pipe", "pipe"],
        });
      for (const name of ["control-plane", "agent", "estimator", "estimator-account", "scheduler"]) {
        const rendered = kubectl(["kustomize", join(install, "kustomize", name)]);
        if (name === "scheduler" || name === "estimator-account") {
          // Of the control plane itself, or the member: it goes there as it is.
          kubectl(["apply", "--validate=strict", "-f", "-"], rendered);
          const account = name === "scheduler" ? "flotilla-scheduler" : "karmada-scheduler-estimator";
          expect(kubectl(["-n", "karmada-system", "create", "token", account])).toMatch(/^ey/);
          continue;
        }
        expect(rendered).toMatch(/image: flotilla:\d+\.\d+\.\d+/);
        if (name === "control-plane") kubectl(["create", "namespace", "flotilla-system"]);
        const answer = kubectl(["apply", "--dry-run=server", "--validate=strict", "-f", "-"], rendered);
        expect(answer).toMatch(
          /(?:statefulset\.apps\/flotilla|deployment\.apps\/karmada-(?:agent|scheduler-estimator-member1)) created \(server dry run\)/,
        );
      }
    },
  );
});

describe("units", () => {
  const analyze = ["/usr/bin/systemd-analyze", "/bin/systemd-analyze"].find((path) => existsSync(path));
  test.skipIf(analyze === undefined)(
    "are what systemd understands, to the word (skipped without systemd-analyze)",
    () => {
      for (const name of readdirSync(join(install, "systemd"))) {
        // An instance of a template is looked at, not the template.
        const unitName = name.replace("@.", "@edge.");
        cpSync(join(install, "systemd", name), join(folder, unitName));
        const { stderr } = spawnSync(analyze ?? "", ["verify", join(folder, unitName)], { encoding: "utf8" });
        // What else it says is about the machine it runs on.
        expect(stderr.split("\n").filter((line) => line.includes(unitName))).toEqual([]);
      }
    },
  );
});

describe("commands of the install paths, as plain processes", () => {
  // systemd itself is the judge where there is one; it says what it does not understand and goes on.
  test.skipIf(spawnSync("systemd-analyze", ["--version"]).status !== 0)(
    "systemd understands every line of the units (needs systemd-analyze)",
    () => {
      const folderOfUnits = join(install, "systemd");
      for (const name of readdirSync(folderOfUnits)) {
        const { status, stderr } = spawnSync("systemd-analyze", ["verify", join(folderOfUnits, name)], {
          encoding: "utf8",
        });
        expect([name, status, stderr.split("\n").filter((line) => line.includes(name))]).toEqual([name, 0, []]);
      }
    },
  );

  test("the control plane's pod and unit start a control plane that is ready", { timeout: 60_000 }, async () => {
    const server = unit("flotilla-server.service");
    expect([...server.sections].sort()).toEqual(["Install", "Service", "Unit"]);
    const image = readFileSync(join(install, "container/Containerfile"), "utf8");
    const command = JSON.parse(/^CMD (\[.*\])$/m.exec(image)?.[1] ?? "[]") as readonly string[];
    const ways = { unit: server.words, pod: argumentsOf("control-plane/statefulset.yaml"), image: command };
    for (const [way, words] of Object.entries(ways)) {
      expect(words[0], way).toBe("server");
      const data = join(folder, `plane-${way}`);
      await start(withoutPlainPorts(here(words, { "/var/lib/flotilla": data })), /control plane is ready/);
      expect(existsSync(join(data, "admin.kubeconfig")), way).toBe(true);
    }
  });

  test("the agent's pod and unit start an agent that makes its cluster known", { timeout: 60_000 }, async () => {
    const plane = join(folder, "plane-unit/admin.kubeconfig");
    await start(["simulate", "member", "edge", "--nodes=1", `--data-dir=${join(folder, "edge")}`], /edge is ready/);
    const member = join(folder, "edge/edge.kubeconfig");
    const clusters = () =>
      execFileSync(process.execPath, [program, "get", "clusters", "--kubeconfig", plane], { encoding: "utf8" });
    const credentials = { "%d/karmada-kubeconfig": plane, "%d/member-kubeconfig": member, "%i": "edge" };
    await start(
      withoutPlainPorts([
        ...here(unit("flotilla-agent@.service").words, credentials),
        "--metrics-bind-address=0",
        "--health-probe-bind-address=0",
      ]),
      /karmada-agent runs/,
    );
    await eventually(() => /edge\s+\S+\s+Pull\s+True/.test(clusters()), 25_000);
  });

  test.skipIf(!hasKubectl())(
    "AG-1 cli 7.3: the agent's manifests take the place of what register made, and unregister finds its credentials there (skipped without kubectl)",
    { timeout: 90_000 },
    async () => {
      const plane = join(folder, "plane-unit/admin.kubeconfig");
      await start(
        ["simulate", "member", "later", "--nodes=1", `--data-dir=${join(folder, "later")}`],
        /later is ready/,
      );
      const member = join(folder, "later/later.kubeconfig");
      const run = (...words: readonly string[]) => {
        const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...words], { encoding: "utf8" });
        return { status, stdout, stderr };
      };
      const printed = run("token", "create", "--kubeconfig", plane, "--print-register-command")
        .stdout.trim()
        .split(" ");
      expect(run(...printed.slice(1), "--kubeconfig", member, "--cluster-name=later")).toMatchObject({ status: 0 });
      await runKubectl(member, ["apply", "-k", join(install, "kustomize/agent")]);
      const at = { namespace: "karmada-system", name: "karmada-agent" };
      const { spec } = await connect(member).get(Deployment, at);
      const [container] = (spec?.template.spec?.containers ?? []) as unknown as readonly Record<string, unknown>[];
      expect(container).toMatchObject({
        image: expect.stringMatching(/^flotilla:/),
        command: ["/usr/local/bin/flotilla", ...argumentsOf("agent/deployment.yaml")],
        env: [{ name: "CLUSTER_NAME", value: "member1" }],
      });
      expect(container).not.toHaveProperty("args");
      // No agent has made it known: that is all that is missing.
      expect(run("unregister", "later", "--cluster-kubeconfig", member)).toMatchObject({
        status: 1,
        stderr: expect.stringContaining("no cluster object later found in karmada control Plane"),
      });
    },
  );

  test.skipIf(!hasKubectl())(
    "[DR-29] in a host cluster the control plane is a cluster of its own: neither has what the other has (skipped without kubectl)",
    { timeout: 60_000 },
    async () => {
      await start(["simulate", "member", "host", "--nodes=1", `--data-dir=${join(folder, "host")}`], /host is ready/);
      const config = join(folder, "host/host.kubeconfig");
      execFileSync("kubectl", ["--kubeconfig", config, "apply", "-k", join(install, "kustomize/control-plane")]);
      const host = connect(config);
      const inHost = { namespace: "flotilla-system", name: "flotilla" };
      await eventually(async () => (await host.get(StatefulSet, inHost)).status?.readyReplicas === 1, 25_000);
      const [pod] = (await host.list(Pod, { namespace: inHost.namespace })).items;
      const data = join(folder, "plane-hosted");
      const words = (pod?.spec?.containers[0] as { readonly args?: readonly string[] } | undefined)?.args ?? [];
      await start(withoutPlainPorts(here(words, { "/var/lib/flotilla": data })), /control plane is ready/);
      const own = connect(join(data, "admin.kubeconfig"));
      const names = async (of: typeof own) => (await of.list(Namespace)).items.map(({ metadata }) => metadata.name);
      expect(await names(own)).toEqual(expect.arrayContaining(["default", "karmada-system"]));
      expect(await names(own)).not.toContain(inHost.namespace);
      expect(await names(host)).not.toContain("karmada-cluster");
      // It speaks Kubernetes' API and Karmada's; what is made there are templates, which nobody runs in the host.
      await own.create(Deployment, aDeployment("web", 1));
      await own.create(PropagationPolicy, aPropagationPolicy("web", { clusterAffinity: { clusterNames: [] } }));
      const web = { namespace: "default", name: "web" };
      await eventually(() => own.find(ResourceBinding, { ...web, name: "web-deployment" }), 25_000);
      expect((await own.list(Pod)).items).toEqual([]);
      expect(await host.find(Deployment, web)).toBeUndefined();
    },
  );

  test.skipIf(!canEnterPods())(
    "[AG-1] the agent's pod reaches its member as the pod's own account (skipped where no mounts can be made)",
    { timeout: 60_000 },
    async () => {
      const plane = join(folder, "plane-unit/admin.kubeconfig");
      await start(
        ["simulate", "member", "inner", "--nodes=1", `--data-dir=${join(folder, "inner")}`],
        /inner is ready/,
      );
      const config = join(folder, "inner/inner.kubeconfig");
      const member = connect(config);
      const account = { namespace: "karmada-system", name: "karmada-agent-sa" };
      const kinds = { Namespace, ServiceAccount, ClusterRole, ClusterRoleBinding };
      for (const file of ["namespace.yaml", "rbac.yaml"])
        for (const document of parseAllDocuments(readFileSync(join(install, "kustomize/agent", file), "utf8"))) {
          const object = document.toJS() as KubeObject;
          await member.create(kinds[object.kind as keyof typeof kinds] as ResourceKind<KubeObject>, object);
        }
      const token = await accountToken(member.transport, account);
      const { server, certificateAuthority = "" } = resolveContext(parseKubeconfig(config));
      const pod = inPod({ folder: join(folder, "account"), server, authority: certificateAuthority, token }, [
        process.execPath,
        program,
        ...withoutPlainPorts(
          here(argumentsOf("agent/deployment.yaml"), {
            "/etc/kubeconfig/karmada-kubeconfig": plane,
            "$(CLUSTER_NAME)": "inner",
          }),
        ),
      ]);
      await programs.start(pod.command, pod.words, /the agent looks after its member/, { env: pod.env });
      const cluster = await eventually(async () => {
        const found = await connect(plane).find(Cluster, { name: "inner" });
        return found?.status?.conditions?.some(({ type, status: is }) => type === "Ready" && is === "True")
          ? found
          : undefined;
      }, 25_000);
      expect(cluster.spec).toMatchObject({ syncMode: "Pull", apiEndpoint: server });
    },
  );
});
