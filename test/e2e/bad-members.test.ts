import { createServer as createHttps } from "node:https";
import { type AddressInfo, createServer as createTcp, type Server } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Deployment, Event, Namespace, Secret } from "#apis/kubernetes";
import { Cluster, PropagationPolicy, Work } from "#apis/karmada";
import { createCertificateAuthority } from "#certs";
import { type Client, createClient } from "#client";
import type { Fleet } from "#controlplane";
import type { KubeObject } from "#machinery";
import { registerMember } from "#member";
import { aDeployment, aPropagationPolicy, eventually, startTestFleet } from "#testing";

let fleet: Fleet;
let client: Client;
const servers: Server[] = [];
const sockets = new Set<{ destroy(): void }>();
let heldBack = 0;
let renew: () => void = () => undefined;
/** Resolves with the certificate of the authority that stands behind the member from then on. */
let replaceAuthority: () => Promise<string> = () => Promise.resolve("");
let isThrottling = true;
let tokensSeen = new Set<string>();

const listening = async (server: Server): Promise<string> => {
  server.on("connection", (socket) => sockets.add(socket));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  servers.push(server);
  return `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
};

beforeAll(async () => {
  fleet = await startTestFleet(["good"]);
  client = createClient(fleet.controlPlane.transport);
  const authority = await createCertificateAuthority("members");
  const pair = await authority.issueServer("member", ["127.0.0.1"]);
  const tls = { cert: pair.certificate, key: pair.key };
  const answering = (status: (url: string) => number, body: string) =>
    createHttps(tls, (request, response) => {
      tokensSeen.add(request.headers.authorization ?? "");
      response.writeHead(status(request.url ?? ""), { "content-type": "application/json" });
      response.end(request.url === "/readyz" ? "ok" : body);
    });
  const join = (name: string, apiEndpoint: string, caBundle = authority.certificate) =>
    registerMember(
      client,
      { cluster: name, namespace: "karmada-cluster" },
      { token: btoa("first"), authority: btoa(caBundle), impersonatorToken: btoa("imp") },
      { spec: { apiEndpoint } },
    );
  // Accepts connections and never says a word.
  await join("hanging", await listening(createTcp(() => {})));
  await join("lying", await listening(answering(() => 200, "<html>what?</html>")));
  await join("broken", await listening(answering((url) => (url === "/readyz" ? 503 : 500), "{}")));
  // Well by every probe, but never answers what it is asked to do.
  const discovery: Readonly<Record<string, unknown>> = {
    "/readyz": "ok",
    "/api": { kind: "APIVersions", versions: ["v1"] },
    "/apis": { kind: "APIGroupList", apiVersion: "v1", groups: [] },
    "/api/v1": {
      kind: "APIResourceList",
      groupVersion: "v1",
      resources: [
        { name: "configmaps", namespaced: true, kind: "ConfigMap", verbs: ["get", "list", "watch", "create"] },
      ],
    },
  };
  const half = createHttps(tls, (request, response) => {
    const path = (request.url ?? "").split("?")[0] ?? "";
    const found = discovery[path];
    if (path.includes("configmaps")) return void heldBack++;
    response.writeHead(200, { "content-type": "application/json" });
    const list = { kind: "List", apiVersion: "v1", metadata: { resourceVersion: "1" }, items: [] };
    if (!request.url?.includes("watch=")) response.end(JSON.stringify(found ?? list));
  });
  await join("half", await listening(half));
  // As a kube-apiserver answers when its seats are taken.
  const throttling = createHttps(tls, (request, response) => {
    const found = discovery[(request.url ?? "").split("?")[0] ?? ""];
    if (isThrottling && request.url !== "/readyz") {
      response.writeHead(429, { "content-type": "text/plain", "retry-after": "1" });
      return void response.end("Too many requests, please try again later.\n");
    }
    if (request.url?.includes("watch=")) return;
    response.writeHead(200, { "content-type": "application/json" });
    const list = { kind: "List", apiVersion: "v1", metadata: { resourceVersion: "1" }, items: [] };
    response.end(typeof found === "string" ? found : JSON.stringify(found ?? list));
  });
  await join("throttling", await listening(throttling));
  const stranger = await createCertificateAuthority("stranger");
  await join("stranger", await listening(answering(() => 200, "{}")), stranger.certificate);
  await join("gone", "https://127.0.0.1:1");
  // Well, but for its certificate, which ended a year ago.
  let shiftMs = -2 * 365 * 24 * 3_600_000;
  const old = await createCertificateAuthority("old-members", () => Date.now() + shiftMs);
  const ended = await old.issueServer("member", ["127.0.0.1"]);
  const dated = createHttps({ cert: ended.certificate, key: ended.key }, (request, response) => {
    const found = discovery[(request.url ?? "").split("?")[0] ?? ""];
    if (request.url?.includes("watch=")) return;
    response.writeHead(200, { "content-type": "application/json" });
    const list = { kind: "List", apiVersion: "v1", metadata: { resourceVersion: "1" }, items: [] };
    response.end(typeof found === "string" ? found : JSON.stringify(found ?? list));
  });
  await join("expired", await listening(dated), old.certificate);
  shiftMs = 0;
  const renewed = await old.issueServer("member", ["127.0.0.1"]);
  renew = () => dated.setSecureContext({ cert: renewed.certificate, key: renewed.key });
  replaceAuthority = async () => {
    const successor = await createCertificateAuthority("successors");
    const fresh = await successor.issueServer("member", ["127.0.0.1"]);
    dated.setSecureContext({ cert: fresh.certificate, key: fresh.key });
    // As the restart of an API server, by which it gets another certificate.
    dated.closeAllConnections();
    return successor.certificate;
  };
});
afterAll(async () => {
  await fleet.stop();
  for (const socket of sockets) socket.destroy();
  for (const server of servers) server.close();
});

describe("members that hang, lie, fail or are gone", () => {
  test("a good member gets everything as if it were alone", async () => {
    const names = ["good", "half", "hanging", "lying", "broken", "stranger", "gone"];
    await eventually(async () => {
      const { items } = await client.list(Namespace);
      return names.every((name) => items.some(({ metadata }) => metadata.name === `karmada-es-${name}`));
    });
    await client.create(PropagationPolicy, aPropagationPolicy("all", { clusterAffinity: { clusterNames: names } }));
    // Works of bad members, as if they had been scheduled there while they were well: hundreds wait for each.
    for (const name of names.slice(1))
      for (let at = 0; at < (name === "half" ? 300 : 20); at++)
        await client.create(Work, {
          apiVersion: "work.karmada.io/v1alpha1",
          kind: "Work",
          metadata: { namespace: `karmada-es-${name}`, name: `w${at}` },
          spec: {
            workload: {
              manifests: [{ apiVersion: "v1", kind: "ConfigMap", metadata: { name: `c${at}`, namespace: "default" } }],
            },
          },
        } as unknown as Work);
    await eventually(() => heldBack > 0);
    for (let at = 0; at < 40; at++) await client.create(Deployment, aDeployment(`web-${at}`));
    const inside = createClient(fleet.members.get("good")?.transport as never);
    await eventually(async () => (await inside.list(Deployment, { namespace: "default" })).items.length === 40, 20_000);
  });

  test("conditions keep the contract's words; events name the cause", async () => {
    const causes: readonly (readonly [string, RegExp])[] = [
      ["broken", /cluster is reachable but health endpoint responded without ok: \/readyz answered 503/],
      ["stranger", /cluster is not reachable: (unable to verify|self.signed|certificate)/i],
      ["gone", /cluster is not reachable: connect ECONNREFUSED 127\.0\.0\.1:1/],
      ["expired", /cluster is not reachable: certificate has expired/],
    ];
    for (const [name, words] of causes)
      await eventually(async () => {
        const { status } = await client.get(Cluster, { name });
        const ready = status?.conditions?.find(({ type }) => type === "Ready");
        expect(ready?.status).toBe("False");
        expect(ready?.message).not.toContain(":");
        const { items } = await client.list(Event);
        const own = items.filter(
          (event) => (event as KubeObject & { involvedObject?: { name?: string } }).involvedObject?.name === name,
        );
        expect(own.map((event) => (event as { message?: string }).message ?? "").join("\n")).toMatch(words);
        return true;
      });
  });

  test("a member that answers 429 says so in a condition and an event, and is well again without a restart", async () => {
    const delayed = async () => {
      const { status } = await client.get(Cluster, { name: "throttling" });
      return status?.conditions?.find(({ type }) => type === "SynchronizationDelayed");
    };
    const words = "changes wait: the member cluster answers 429: ";
    await eventually(async () => {
      expect(await delayed()).toMatchObject({ status: "True", reason: "MemberThrottles" });
      expect((await delayed())?.message).toContain(words);
      const { items } = await client.list(Event);
      const said = items.filter(
        (event) => (event as KubeObject & { involvedObject?: { name?: string } }).involvedObject?.name === "throttling",
      );
      expect(said.map((event) => (event as { message?: string }).message ?? "").join("\n")).toMatch(
        /reachable, but its nodes and pods cannot be listed: .*(429|Too many requests)/,
      );
      return true;
    }, 120_000);
    isThrottling = false;
    await eventually(async () => {
      const { status } = await client.get(Cluster, { name: "throttling" });
      expect(status?.conditions?.find(({ type }) => type === "Ready")?.status).toBe("True");
      expect(await delayed()).toMatchObject({ status: "False", reason: "InTime" });
      return true;
    }, 120_000);
  }, 260_000);

  test("a member that gets a new certificate in place of the expired one is well without a restart", async () => {
    renew();
    await eventually(async () => {
      const { status } = await client.get(Cluster, { name: "expired" });
      return status?.conditions?.some((condition) => condition.type === "Ready" && condition.status === "True");
    }, 20_000);
  });

  test("a member whose certificate comes from another authority now is not trusted, the cause is told, and it is well once its caBundle is put right", async () => {
    const at = { namespace: "karmada-cluster", name: "expired" };
    const status = async (wanted: string) =>
      eventually(async () => {
        const { status: found } = await client.get(Cluster, { name: "expired" });
        const ready = found?.conditions?.find(({ type }) => type === "Ready");
        expect(ready?.status).toBe(wanted);
        return ready as { readonly reason?: string };
      }, 60_000);
    const identityOf = ({ metadata, spec }: Cluster) => [metadata.uid, spec?.id];
    const before = identityOf(await client.get(Cluster, { name: "expired" }));
    const successor = await replaceAuthority();
    expect(await status("False")).toMatchObject({ reason: "ClusterNotReachable" });
    await eventually(async () => {
      const { items } = await client.list(Event);
      const said = items
        .filter(({ involvedObject }) => (involvedObject as { name?: string }).name === "expired")
        .map(({ message }) => message ?? "");
      expect(said.join("\n")).toMatch(/cluster is not reachable: (unable to verify|self.signed|unable to get)/i);
      return true;
    }, 60_000);
    await client.patch(Secret, at, "application/merge-patch+json", { data: { caBundle: btoa(successor) } });
    await status("True");
    expect(identityOf(await client.get(Cluster, { name: "expired" }))).toEqual(before);
  }, 200_000);

  test("[CL-25] a rotated token is used at once", async () => {
    await eventually(() => tokensSeen.has("Bearer first"));
    tokensSeen = new Set();
    const present = await client.get(Secret, { namespace: "karmada-cluster", name: "lying" });
    await client.update(Secret, { ...present, data: { ...present.data, token: btoa("second") } } as Secret);
    await eventually(() => tokensSeen.has("Bearer second"), 5_000);
  });
});
