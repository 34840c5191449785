/** A member behind proxies: synchronisation and status go through whichever `spec.proxyURL` names now, without a restart. */
import { createServer as createHttp, type IncomingMessage } from "node:http";
import { createServer as createHttps } from "node:https";
import { type AddressInfo, connect as connectTcp, createServer as createTcp, type Server, type Socket } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ConfigMap, Event } from "#apis/kubernetes";
import { Cluster, PropagationPolicy } from "#apis/karmada";
import { systemClock } from "#base";
import { createCertificateAuthority, parseKubeconfig, resolveContext } from "#certs";
import { type Client, createClient, retryOnConflict } from "#client";
import type { Fleet } from "#controlplane";
import { obtainCredentials, registerMember } from "#member";
import { eventually, startTestFleet } from "#testing";

const PATIENCE_MS = 30_000;
let fleet: Fleet;
let plane: Client;
let member: Client;
const servers: Server[] = [];
const sockets = new Set<Socket>();
/** Connections by the proxy they came through, and what that proxy was told. */
const through: string[] = [];
const urls = new Map<string, string>();

const listening = async (server: Server): Promise<number> => {
  server.on("connection", (socket: Socket) => sockets.add(socket));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  servers.push(server);
  return (server.address() as AddressInfo).port;
};
const joined = (client: Socket, host: string, port: number, greet: () => void) => {
  const remote = connectTcp(port, host, () => {
    greet();
    client.pipe(remote).pipe(client);
  });
  sockets.add(remote);
  remote.on("error", () => client.destroy());
  client.on("error", () => remote.destroy());
};
const tunnels = (name: string) => (request: IncomingMessage, socket: Socket) => {
  const { "proxy-authorization": password = "", "x-team": team = "" } = request.headers;
  through.push([name, password, team].flat().filter(Boolean).join(" "));
  const [host = "", port] = (request.url ?? "").split(":");
  joined(socket, host, Number(port), () => socket.write("HTTP/1.1 200 OK\r\n\r\n"));
};

beforeAll(async () => {
  fleet = await startTestFleet(["member"]);
  plane = createClient(fleet.controlPlane.transport);
  const transport = fleet.members.get("member")?.transport;
  if (transport === undefined) throw new Error("there is no member");
  member = createClient(transport);
  const authority = await createCertificateAuthority("proxies");
  const pair = await authority.issueServer("proxy", ["127.0.0.1"]);
  const http = createHttp();
  http.on("connect", tunnels("http"));
  urls.set("http", `http://me:secret@127.0.0.1:${await listening(http)}`);
  const https = createHttps({ cert: pair.certificate, key: pair.key });
  https.on("connect", tunnels("https"));
  urls.set("https", `https://127.0.0.1:${await listening(https)}`);
  const socks = createTcp((socket) => {
    socket.on("error", () => socket.destroy());
    socket.once("data", () => {
      socket.write(Buffer.from([5, 0]));
      socket.once("data", (asked: Buffer) => {
        through.push("socks5");
        // Kind 3 is a name with its length before it, kind 1 an address.
        const isName = asked[3] === 3;
        const end = isName ? 5 + (asked[4] ?? 0) : 8;
        const host = isName ? asked.toString("latin1", 5, end) : [...asked.subarray(4, 8)].join(".");
        joined(socket, host, asked.readUInt16BE(end), () => socket.write(Buffer.from([5, 0, 0, 1, 0, 0, 0, 0, 0, 0])));
      });
    });
  });
  urls.set("socks5", `socks5://127.0.0.1:${await listening(socks)}`);

  // By another name of this machine the member is reached over the network and not within the process.
  const { server, certificateAuthority = "" } = resolveContext(parseKubeconfig(fleet.kubeconfigs.get("member") ?? ""));
  const credentials = await obtainCredentials(member, "behind", "karmada-cluster", systemClock);
  await registerMember(
    plane,
    { cluster: "behind", namespace: "karmada-cluster" },
    // The private authority of the https proxy stands beside the member's own.
    { ...credentials, authority: btoa(`${certificateAuthority}\n${authority.certificate}`) },
    { spec: { apiEndpoint: server.replace("127.0.0.1", "localhost"), proxyURL: urls.get("http") } },
  );
  await plane.create(PropagationPolicy, {
    apiVersion: "policy.karmada.io/v1alpha1",
    kind: "PropagationPolicy",
    metadata: { namespace: "default", name: "maps" },
    spec: {
      resourceSelectors: [{ apiVersion: "v1", kind: "ConfigMap", labelSelector: { matchLabels: { to: "behind" } } }],
      placement: { clusterAffinity: { clusterNames: ["behind"] } },
    },
  } as unknown as PropagationPolicy);
});
afterAll(async () => {
  await fleet.stop();
  for (const socket of sockets) socket.destroy();
  for (const server of servers) server.close();
});

const change = (spec: object) =>
  retryOnConflict(async () => {
    const present = await plane.get(Cluster, { name: "behind" });
    await plane.update(Cluster, { ...present, spec: { ...present.spec, ...spec } } as Cluster);
  });
const isReady = async (status: string) =>
  (await plane.get(Cluster, { name: "behind" })).status?.conditions?.some(
    (condition) => condition.type === "Ready" && condition.status === status,
  );
let count = 0;
/** An object goes to the member, and no connection of that time goes another way. */
const onlyThrough = (way: string | undefined) =>
  eventually(async () => {
    through.length = 0;
    const name = `map-${count++}`;
    await plane.create(ConfigMap, {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { namespace: "default", name, labels: { to: "behind" } },
    });
    await eventually(
      async () => (await member.find(ConfigMap, { namespace: "default", name })) !== undefined,
      PATIENCE_MS,
    );
    expect(through.filter((used) => used !== way)).toEqual([]);
    return true;
  }, PATIENCE_MS);
const untilSeen = (way: string) => eventually(() => through.includes(way), PATIENCE_MS);

test("[CL-25] http with a password, https with headers, socks5, none: each is used from when it is named", {
  timeout: 180_000,
}, async () => {
  const password = `http Basic ${btoa("me:secret")}`;
  await eventually(() => isReady("True"), PATIENCE_MS);
  await untilSeen(password);
  await onlyThrough(password);
  await change({ proxyURL: urls.get("https"), proxyHeader: { "X-Team": "shop" } });
  await untilSeen("https shop");
  await onlyThrough("https shop");
  await change({ proxyURL: urls.get("socks5"), proxyHeader: undefined });
  await untilSeen("socks5");
  await onlyThrough("socks5");
  await change({ proxyURL: undefined });
  await onlyThrough(undefined);
});

test("a proxy that is gone is named, and the next one is used without a restart", { timeout: 180_000 }, async () => {
  await change({ proxyURL: "http://127.0.0.1:1" });
  await eventually(() => isReady("False"), PATIENCE_MS);
  await eventually(async () => {
    const { items } = await plane.list(Event);
    const said = items.flatMap(({ involvedObject, message }) => (involvedObject.name === "behind" ? [message] : []));
    expect(said.join("\n")).toMatch(/proxy http:\/\/127\.0\.0\.1:1: .*ECONNREFUSED/);
    return true;
  }, PATIENCE_MS);
  await change({ proxyURL: urls.get("http") });
  await eventually(() => isReady("True"), PATIENCE_MS);
  await onlyThrough(`http Basic ${btoa("me:secret")}`);
});
