import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { stringify } from "yaml";
import { silentLogger, VirtualClock } from "#base";
import { createCertificateAuthority, ownCluster, parseKubeconfig, resolveContext } from "#certs";
import { eventually, settle, startTestApiServer } from "#testing";
import { createFollowedTransport, type FollowedTransportOptions } from "./followed-transport.ts";

const LOOK_AGAIN_MS = 30_000;
const TOKENS = ["first", "second", "third"];

let folder: string;
let server: string;
let authority: Awaited<ReturnType<typeof createCertificateAuthority>>;
const closers: (() => unknown)[] = [];
const file = (name: string) => join(folder, name);

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "flotilla-followed-"));
  authority = await createCertificateAuthority("plane", () => Date.now());
  const own = await authority.issueServer("apiserver", ["127.0.0.1"]);
  const api = await startTestApiServer({
    tokens: new Map(TOKENS.map((token) => [token, { name: `of-${token}`, groups: ["system:masters"] }])),
    authentication: { clientAuthority: () => authority.certificate },
  });
  const listener = await api.listen({
    host: "127.0.0.1",
    port: 0,
    certificate: own.certificate,
    key: own.key,
    clientAuthority: authority.certificate,
  });
  server = `https://127.0.0.1:${listener.port}`;
  closers.push(
    () => listener.close(0),
    () => api.stop(),
  );
});
afterAll(async () => {
  for (const close of closers) await close();
  rmSync(folder, { recursive: true, force: true });
});

function writeConfig(user: object): string {
  const path = file("kubeconfig");
  writeFileSync(file("ca.crt"), authority.certificate);
  writeFileSync(
    path,
    stringify({
      apiVersion: "v1",
      kind: "Config",
      clusters: [{ name: "c", cluster: { server, "certificate-authority": "ca.crt" } }],
      users: [{ name: "u", user }],
      contexts: [{ name: "x", context: { cluster: "c", user: "u" } }],
      "current-context": "x",
    }),
  );
  return path;
}

function follow(user: object, more: Partial<FollowedTransportOptions> = {}) {
  const clock = new VirtualClock(Date.now(), settle);
  const path = writeConfig(user);
  const transport = createFollowedTransport({
    read: () => resolveContext(parseKubeconfig(path)),
    clock,
    log: silentLogger,
    lookAgainMs: LOOK_AGAIN_MS,
    ...more,
  });
  onTestFinished(() => transport.close());
  /** Who the server says we are. */
  const whoAmI = async () => {
    const answer = await transport.send({
      verb: "create",
      group: "authentication.k8s.io",
      version: "v1",
      resource: "selfsubjectreviews",
      body: { apiVersion: "authentication.k8s.io/v1", kind: "SelfSubjectReview", metadata: {} },
    });
    return (answer as { status?: { userInfo?: { username?: string } } }).status?.userInfo?.username;
  };
  /** Follows namespaces; tells which were added and whether the watch has ended. */
  const watch = () => {
    const seen = { names: [] as string[], ends: 0 };
    const handle = transport.watch(
      { group: "", version: "v1", resource: "namespaces" },
      {
        event: (_type, { metadata }) => seen.names.push(metadata.name ?? ""),
        closed: () => seen.ends++,
      },
    );
    onTestFinished(() => handle.stop());
    return seen;
  };
  return { clock, transport, whoAmI, watch };
}

describe("files that a kubeconfig names", () => {
  it("a token file that is written anew is used from then on, and watches go on", async () => {
    writeFileSync(file("token"), "first\n");
    const { clock, transport, whoAmI, watch } = follow({ tokenFile: "token" });
    expect(await whoAmI()).toBe("of-first");
    const seen = watch();
    await eventually(() => seen.names.includes("default"));
    writeFileSync(file("token"), "second\n");
    expect(await whoAmI()).toBe("of-first");
    await clock.advance(LOOK_AGAIN_MS + 1);
    expect(await whoAmI()).toBe("of-second");
    expect(transport.endpoint().token).toBe("second");
    expect(seen.ends).toBe(0);
  });

  it("a refusal reads the files at once and asks once more; one without news stays a refusal", async () => {
    writeFileSync(file("token"), "revoked");
    const { clock, transport, whoAmI, watch } = follow({ tokenFile: "token" });
    await expect(whoAmI()).rejects.toMatchObject({ status: { code: 401 } });
    writeFileSync(file("token"), "third");
    await clock.advance(1_500);
    // By every way to ask.
    const list = transport.list({ group: "", version: "v1", resource: "namespaces" });
    expect((await list).items.length).toBeGreaterThan(0);
    expect(await whoAmI()).toBe("of-third");
    writeFileSync(file("token"), "revoked");
    await clock.advance(LOOK_AGAIN_MS + 1);
    expect((await transport.raw({ method: "GET", path: "/api/v1/namespaces" })).status).toBe(401);
    writeFileSync(file("token"), "first");
    await clock.advance(1_500);
    const seen = watch();
    await eventually(() => seen.names.includes("default"));
    expect(seen.ends).toBe(0);
    expect((await transport.raw({ method: "GET", path: "/api/v1/namespaces" })).status).toBe(200);
  });

  it("a client certificate that is replaced makes new connections, on which watches begin anew", async () => {
    const issue = async (name: string) => {
      const { certificate, key } = await authority.issueClient(name, ["system:masters"]);
      writeFileSync(file("client.key"), key);
      writeFileSync(file("client.crt"), certificate);
    };
    await issue("old-name");
    const { clock, whoAmI, watch } = follow({ "client-certificate": "client.crt", "client-key": "client.key" });
    expect(await whoAmI()).toBe("old-name");
    const seen = watch();
    await eventually(() => seen.names.includes("default"));
    await issue("new-name");
    await clock.advance(LOOK_AGAIN_MS + 1);
    expect(await whoAmI()).toBe("new-name");
    await eventually(() => seen.ends === 1);
  });

  it("a file that is gone leaves the last credentials in place", async () => {
    writeFileSync(file("token"), "first");
    const { clock, whoAmI } = follow({ tokenFile: "token" });
    rmSync(file("token"));
    await clock.advance(LOOK_AGAIN_MS + 1);
    expect(await whoAmI()).toBe("of-first");
  });

  it("what was handed in is kept until the files say something new", async () => {
    writeFileSync(file("token"), "first");
    const { clock, transport, whoAmI } = follow({ tokenFile: "token" });
    transport.use({ ...transport.endpoint(), token: "second" });
    await clock.advance(LOOK_AGAIN_MS + 1);
    expect(await whoAmI()).toBe("of-second");
    writeFileSync(file("token"), "third");
    await clock.advance(LOOK_AGAIN_MS + 1);
    expect(await whoAmI()).toBe("of-third");
  });
});

describe("credential plugins", () => {
  const V1 = "client.authentication.k8s.io/v1";
  /** A plugin that notes what it is told and prints what a file holds. */
  function plugin(more: object = {}): object {
    writeFileSync(
      file("plugin"),
      '#!/bin/sh\nprintf "%s %s\\n" "$1" "$GREETING" >> "$(dirname "$0")/runs"\nprintf "%s" "$KUBERNETES_EXEC_INFO" > "$(dirname "$0")/info"\ncat "$(dirname "$0")/answer"\n',
    );
    chmodSync(file("plugin"), 0o755);
    rmSync(file("runs"), { force: true });
    const env = [{ name: "GREETING", value: "hello" }];
    return {
      exec: { apiVersion: V1, command: "./plugin", args: ["get"], env, interactiveMode: "Never", ...more },
    };
  }
  const answer = (status: object, apiVersion = V1) =>
    writeFileSync(file("answer"), JSON.stringify({ apiVersion, kind: "ExecCredential", status }));
  const runs = () => readFileSync(file("runs"), "utf8").trim().split("\n");

  it("one is run before the first request, again when what it gave expires, and not between", async () => {
    const at = (clock: VirtualClock, afterMs: number) => new Date(clock.now() + afterMs).toISOString();
    answer({ token: "first", expirationTimestamp: new Date(Date.now() + 3_600_000).toISOString() });
    const { clock, transport, whoAmI, watch } = follow(plugin({ provideClusterInfo: true }));
    const seen = watch();
    expect(await Promise.all([whoAmI(), whoAmI()])).toEqual(["of-first", "of-first"]);
    await eventually(() => seen.names.includes("default"));
    expect(runs()).toEqual(["get hello"]);
    expect(JSON.parse(readFileSync(file("info"), "utf8"))).toMatchObject({
      apiVersion: V1,
      kind: "ExecCredential",
      spec: { interactive: false, cluster: { server } },
    });
    answer({ token: "second", expirationTimestamp: at(clock, 7_200_000) });
    await clock.advance(3_500_000);
    expect(await whoAmI()).toBe("of-first");
    await clock.advance(200_000);
    expect(await whoAmI()).toBe("of-second");
    expect(transport.endpoint().token).toBe("second");
    expect(runs()).toHaveLength(2);
  });

  it("a refusal runs it again and asks once more, but not for every refusal", async () => {
    answer({ token: "revoked" });
    const { clock, whoAmI } = follow(plugin());
    await expect(whoAmI()).rejects.toMatchObject({ status: { code: 401 } });
    await expect(whoAmI()).rejects.toMatchObject({ status: { code: 401 } });
    expect(runs()).toHaveLength(1);
    answer({ token: "third" });
    await clock.advance(11_000);
    expect(await whoAmI()).toBe("of-third");
    expect(runs()).toHaveLength(2);
  });

  it("one that gives a certificate is asked as", async () => {
    const { certificate, key } = await authority.issueClient("by-plugin", ["system:masters"]);
    answer({ clientCertificateData: certificate, clientKeyData: key });
    const { whoAmI } = follow(plugin());
    expect(await whoAmI()).toBe("by-plugin");
  });

  it.each([
    ["nothing", {}, "it didn't return a token or cert/key pair"],
    ["half a pair", { clientCertificateData: "x" }, "it returned only certificate or key, not both"],
    ["a time that is none", { token: "first", expirationTimestamp: "soon" }, '"soon" is no time'],
  ])("one that gives %s is told of, and nobody is asked", async (_what, status, message) => {
    answer(status);
    await expect(follow(plugin()).whoAmI()).rejects.toThrow(message);
  });

  it("one that fails, is missing or speaks another version is told of", async () => {
    answer({ token: "first" }, "client.authentication.k8s.io/v1beta1");
    await expect(follow(plugin()).whoAmI()).rejects.toThrow(
      `plugin is configured to use API version ${V1}, plugin returned version client.authentication.k8s.io/v1beta1`,
    );
    writeFileSync(file("broken"), "#!/bin/sh\necho no ticket >&2\nexit 3\n", { mode: 0o755 });
    await expect(follow(plugin({ command: "./broken" })).whoAmI()).rejects.toThrow(
      /broken failed with exit code 3: no ticket/,
    );
    const missing = plugin({ command: "flotilla-has-no-such-plugin", installHint: "Install it first." });
    await expect(follow(missing).whoAmI()).rejects.toThrow(
      "exec: executable flotilla-has-no-such-plugin not found\nInstall it first.",
    );
  });

  it.each([
    ["exec.apiVersion", { exec: { command: "x" } }, 'users "u": exec.apiVersion: ""'],
    ["exec.command", { exec: { apiVersion: V1 } }, 'users "u": exec.command must be specified'],
    ["exec.interactiveMode", { exec: { apiVersion: V1, command: "x" } }, 'users "u": exec.interactiveMode: ""'],
    ["auth-provider", { "auth-provider": { name: "gcp" } }, 'users "u": auth-provider is not supported'],
  ])("a user with a wrong %s is refused by name", (_field, user, message) => {
    expect(() => follow(user)).toThrow(message);
  });
});

describe("[AG-1] the cluster a program runs in", () => {
  it("is reached as the pod's service account, with the token of now", async () => {
    writeFileSync(file("token"), "first");
    writeFileSync(file("ca.crt"), authority.certificate);
    writeFileSync(file("namespace"), "karmada-system");
    const { hostname: KUBERNETES_SERVICE_HOST, port: KUBERNETES_SERVICE_PORT } = new URL(server);
    const env = { KUBERNETES_SERVICE_HOST, KUBERNETES_SERVICE_PORT };
    const read = () => {
      const own = ownCluster(env, folder);
      if (own === undefined) throw new Error("no cluster");
      return own;
    };
    expect(read()).toMatchObject({ server, namespace: "karmada-system" });
    const { clock, whoAmI } = follow({}, { read });
    expect(await whoAmI()).toBe("of-first");
    writeFileSync(file("token"), "second");
    await clock.advance(LOOK_AGAIN_MS + 1);
    expect(await whoAmI()).toBe("of-second");
  });

  it("is none outside, and is told of where it is half there", () => {
    expect(ownCluster({}, folder)).toBeUndefined();
    expect(() => ownCluster({ KUBERNETES_SERVICE_HOST: "10.0.0.1" }, folder)).toThrow(
      "KUBERNETES_SERVICE_PORT must be",
    );
    expect(() =>
      ownCluster({ KUBERNETES_SERVICE_HOST: "fd00::1", KUBERNETES_SERVICE_PORT: "443" }, join(folder, "none")),
    ).toThrow(/none\/token/);
  });
});
