import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { systemClock } from "#base";
import { type ApiError, getPath, type KubeObject } from "#machinery";
import { type Backend, createMemoryBackend, openFileBackend } from "#store";
import { createTestServer, eventually, type TestServer } from "#testing";
import { publishKubernetesService } from "./kubernetes-service.ts";
import { addressNumber, addressText, parseAddressRange, parseAddressRanges, parsePortRange } from "./service-ranges.ts";

type Spec = Readonly<Record<string, unknown>>;

const aService = (name: string, spec: Spec = {}): KubeObject =>
  ({
    apiVersion: "v1",
    kind: "Service",
    metadata: { name },
    spec: { ports: [{ port: 80 }], ...spec },
  }) as unknown as KubeObject;

const make = (server: TestServer, name: string, spec?: Spec) =>
  server.send("create", "v1/services", { namespace: "default", body: aService(name, spec) });
const change = (server: TestServer, name: string, spec: Spec) =>
  server.send("patch", "v1/services", {
    namespace: "default",
    name,
    patchType: "application/merge-patch+json",
    body: { spec },
  });
const addressOf = (service: KubeObject) => String(getPath(service, "spec", "clusterIP"));
const portsOf = (service: KubeObject) =>
  (getPath(service, "spec", "ports") as readonly { readonly nodePort?: number }[]).map(({ nodePort }) => nodePort);
const addresses = async (server: TestServer) =>
  (await server.inside.list({ group: "networking.k8s.io", version: "v1", resource: "ipaddresses" })).items;
const recordedPorts = async (backend: Backend) =>
  (await backend.list("/flotilla/nodeports/")).entries.map(({ key }) => Number(key.split("/").pop()));
const small = { addresses: parseAddressRanges("10.96.0.0/26"), ports: parsePortRange("30000-30019") };

const drivers: Readonly<Record<string, (folder: string) => Backend>> = {
  memory: () => createMemoryBackend(),
  file: (folder) => openFileBackend(folder),
};

describe.each(Object.entries(drivers))("Services of two replicas on one %s store", (_name, open) => {
  it("never get an address or a node port twice, and get all there are", async () => {
    const folder = await mkdtemp(join(tmpdir(), "flotilla-services-"));
    const backend = open(folder);
    const one = await createTestServer({ backend, clock: systemClock, serviceRanges: small });
    const two = await createTestServer({ backend, clock: systemClock, serviceRanges: small });
    try {
      const outcomes = await Promise.allSettled(
        Array.from({ length: 24 }, (_, n) => make(n % 2 === 0 ? one : two, `s${n}`, { type: "NodePort" })),
      );
      const made = outcomes.flatMap((outcome) => (outcome.status === "fulfilled" ? [outcome.value] : []));
      const refused = outcomes.flatMap((outcome) => (outcome.status === "rejected" ? [outcome.reason as Error] : []));
      expect(new Set(made.flatMap(portsOf)).size).toBe(20);
      expect(new Set(made.map(addressOf)).size).toBe(20);
      expect(refused.map(({ message }) => message.replace(/"s\d+"/, "it"))).toEqual(
        Array.from(
          { length: 4 },
          () =>
            "Service it is invalid: spec.ports[0].nodePort: Invalid value: 0: failed to allocate a nodePort: range is full",
        ),
      );
      expect((await recordedPorts(backend)).length).toBe(20);
      // One address asked for by many: one gets it.
      const same = await Promise.allSettled(
        Array.from({ length: 8 }, (_, n) => make(n % 2 === 0 ? one : two, `t${n}`, { clusterIP: "10.96.0.9" })),
      );
      expect(same.filter(({ status }) => status === "fulfilled").length).toBeLessThanOrEqual(1);
      const holders = [...(await one.inside.list({ group: "", version: "v1", resource: "services" })).items].filter(
        (service) => addressOf(service) === "10.96.0.9",
      );
      expect(holders.length).toBe(1);
      // What is deleted by one replica can be had from the other.
      await one.send("delete", "v1/services", { namespace: "default", name: made[0]?.metadata.name ?? "" });
      await eventually(async () => {
        const again = await make(two, "again", { type: "NodePort" });
        expect(portsOf(again)).toEqual(portsOf(made[0] as KubeObject));
        return true;
      });
    } finally {
      one.stop();
      two.stop();
      await backend.close();
      await rm(folder, { recursive: true, force: true });
    }
  });
});

describe("the API server's own Service", () => {
  it("has the first address of the range, or any where somebody took that", async () => {
    const server = await createTestServer({});
    expect(addressOf(await make(server, "kubernetes"))).toBe("10.96.0.1");
    expect(addressOf(await make(server, "other"))).not.toBe("10.96.0.1");
    server.stop();

    const taken = await createTestServer({});
    await make(taken, "other", { clusterIP: "10.96.0.1" });
    expect(addressOf(await make(taken, "kubernetes"))).toMatch(/^10\.(?!96\.0\.1$)/);
    taken.stop();
  });
});

describe("what a Service may ask for", () => {
  const first = { name: "a", port: 80, nodePort: 31111 };
  it.each<[string, Spec, string]>([
    [
      "an address of somebody else",
      { clusterIP: "10.96.0.77" },
      'spec.clusterIPs: Invalid value: ["10.96.0.77"]: failed to allocate IP 10.96.0.77: provided IP is already allocated',
    ],
    [
      "an address of no range",
      { clusterIP: "11.1.1.1" },
      'spec.clusterIPs: Invalid value: ["11.1.1.1"]: failed to allocate IP 11.1.1.1: the provided network does not match the current range',
    ],
    [
      "the network's own address",
      { clusterIP: "10.96.0.0" },
      'spec.clusterIPs: Invalid value: ["10.96.0.0"]: failed to allocate IP 10.96.0.0: the provided network does not match the current range',
    ],
    [
      "the last address of the range",
      { clusterIP: "10.111.255.255" },
      'spec.clusterIPs: Invalid value: ["10.111.255.255"]: failed to allocate IP 10.111.255.255: the provided network does not match the current range',
    ],
    [
      "what is no address",
      { clusterIP: "bla" },
      'spec.clusterIPs[0]: Invalid value: "bla": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)',
    ],
    [
      "an address of the other family",
      { clusterIP: "fd00::1" },
      'spec.clusterIPs[0]: Invalid value: ["fd00::1"]: IPv6 is not configured on this cluster',
    ],
    [
      "a node port of somebody else",
      { type: "NodePort", ports: [first] },
      "spec.ports[0].nodePort: Invalid value: 31111: provided port is already allocated",
    ],
    [
      "a node port out of the range",
      { type: "NodePort", ports: [{ ...first, nodePort: 80 }] },
      "spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid range. The range of valid ports is 30000-32767",
    ],
    [
      "one node port for two ports of one protocol",
      {
        type: "NodePort",
        ports: [
          { ...first, nodePort: 31112 },
          { name: "b", port: 81, nodePort: 31112 },
        ],
      },
      "spec.ports[1].nodePort: Invalid value: 31112: provided port is already allocated",
    ],
    [
      "a port of somebody else for health checks",
      { type: "LoadBalancer", externalTrafficPolicy: "Local", healthCheckNodePort: 31111 },
      "Internal error occurred: failed to allocate requested HealthCheck NodePort 31111: provided port is already allocated",
    ],
    [
      "a port out of the range for health checks",
      { type: "LoadBalancer", externalTrafficPolicy: "Local", healthCheckNodePort: 80 },
      "Internal error occurred: failed to allocate requested HealthCheck NodePort 80: provided port is not in the valid range. The range of valid ports is 30000-32767",
    ],
  ])("is not %s", async (_title, spec, message) => {
    const server = await createTestServer();
    await make(server, "holder", { clusterIP: "10.96.0.77", type: "NodePort", ports: [first] });
    const refusal = await make(server, "it", spec).catch((error: ApiError) => error.message);
    expect(refusal).toBe(message.startsWith("Internal") ? message : `Service "it" is invalid: ${message}`);
    server.stop();
  });

  it("is one node port for two protocols of one port, and stays its own through changes of type and deletion", async () => {
    const backend = createMemoryBackend();
    const server = await createTestServer({ backend });
    const both = [
      { name: "tcp", port: 53 },
      { name: "udp", port: 53, protocol: "UDP" },
    ];
    const service = await make(server, "dns", { type: "NodePort", ports: both, clusterIP: "10.96.0.10" });
    const [tcp, udp] = portsOf(service);
    expect(tcp).toBe(udp);
    expect(await recordedPorts(backend)).toEqual([tcp]);
    const [record] = await addresses(server);
    expect(record).toMatchObject({
      metadata: {
        name: "10.96.0.10",
        labels: {
          "ipaddress.kubernetes.io/ip-family": "IPv4",
          "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
        },
      },
      spec: { parentRef: { resource: "services", namespace: "default", name: "dns" } },
    });
    const { revision } = backend;
    await change(server, "dns", { sessionAffinity: "ClientIP" });
    expect(await recordedPorts(backend)).toEqual([tcp]);
    expect(backend.revision).toBe(revision + 1);
    await change(server, "dns", { type: "ClusterIP" });
    expect(await recordedPorts(backend)).toEqual([]);
    expect((await addresses(server)).length).toBe(1);
    await change(server, "dns", { type: "ExternalName", externalName: "some.where" });
    expect(await addresses(server)).toEqual([]);
    await change(server, "dns", { type: "NodePort", clusterIP: "10.96.0.10" });
    expect((await recordedPorts(backend)).length).toBe(1);
    await server.send("delete", "v1/services", { namespace: "default", name: "dns" });
    expect(await addresses(server)).toEqual([]);
    expect(await recordedPorts(backend)).toEqual([]);
    server.stop();
  });

  it("is nothing for a dry run, nor for a write that is refused", async () => {
    const backend = createMemoryBackend();
    const server = await createTestServer({ backend });
    const { revision } = backend;
    const dry = await server.send("create", "v1/services", {
      namespace: "default",
      body: aService("dry", { type: "NodePort" }),
      options: { dryRun: true },
    });
    expect(addressOf(dry), "the network's own address, which no Service has").toBe("10.96.0.0");
    await expect(make(server, "Not.A.Name", { type: "NodePort" })).rejects.toThrow(/Invalid value/);
    expect(backend.revision).toBe(revision);
    server.stop();
  });

  it("is the first of the first family for the API server itself, and its slices are of the families it has", async () => {
    const addresses = parseAddressRanges("fd00:10:96::/112,10.96.0.0/12");
    const server = await createTestServer({ serviceRanges: { addresses } });
    const port = 6443;
    const served = ["fd01::5", "192.0.2.5"].map((address) => ({ address, port }));
    await publishKubernetesService(server.inside, served, port);
    const at = { namespace: "default", name: "kubernetes" };
    expect(await server.send("get", "v1/services", at)).toMatchObject({
      spec: { clusterIP: "fd00:10:96::1", clusterIPs: ["fd00:10:96::1"], ipFamilies: ["IPv6"] },
    });
    const { items } = await server.inside.list({
      group: "discovery.k8s.io",
      version: "v1",
      resource: "endpointslices",
      namespace: "default",
    });
    expect(
      items.map((slice) => [getPath(slice, "addressType"), getPath(slice, "endpoints", "0", "addresses")]),
    ).toEqual(
      expect.arrayContaining([
        ["IPv6", ["fd01::5"]],
        ["IPv4", ["192.0.2.5"]],
      ]),
    );
    server.stop();
  });

  it("is an address of a further ServiceCIDR once the first is full, and while it is ready", async () => {
    const server = await createTestServer({ serviceRanges: { addresses: parseAddressRanges("10.96.0.0/29") } });
    const cidrs = { group: "networking.k8s.io", version: "v1", resource: "servicecidrs" } as const;
    expect(await server.inside.send({ verb: "get", ...cidrs, name: "kubernetes" })).toMatchObject({
      spec: { cidrs: ["10.96.0.0/29"] },
      status: { conditions: [{ type: "Ready", status: "True" }] },
    });
    for (let n = 0; n < 6; n++) await make(server, `s${n}`);
    await expect(make(server, "more")).rejects.toThrow(/failed to allocate a serviceIP: range is full/);
    const body = {
      apiVersion: "networking.k8s.io/v1",
      kind: "ServiceCIDR",
      metadata: { name: "more" },
      spec: { cidrs: ["11.1.1.0/24"] },
    } as unknown as KubeObject;
    await server.inside.send({ verb: "create", ...cidrs, body });
    expect(addressOf(await make(server, "more"))).toMatch(/^11\.1\.1\./);
    server.stop();
  });
});

describe("Services of two families", () => {
  const both = (four: string, six: string) => ({ addresses: parseAddressRanges(`${four},${six}`) });
  const specOf = (service: KubeObject) => (getPath(service, "spec") ?? {}) as Spec;
  const addressesOf = (service: KubeObject) => specOf(service)["clusterIPs"] as readonly string[];

  it("have addresses of both that two replicas give once, and give the second one back", async () => {
    const backend = createMemoryBackend();
    const options = { backend, clock: systemClock, serviceRanges: both("10.96.0.0/26", "fd00:10:96::/122") };
    const [one, two] = [await createTestServer(options), await createTestServer(options)];
    const made = await Promise.all(
      Array.from({ length: 20 }, (_, n) =>
        make(n % 2 === 0 ? one : two, `s${n}`, { ipFamilyPolicy: "RequireDualStack" }),
      ),
    );
    expect(new Set(made.flatMap(addressesOf)).size).toBe(40);
    const recorded = async () => (await addresses(one)).map(({ metadata }) => metadata.name ?? "");
    expect((await recorded()).sort()).toEqual(made.flatMap(addressesOf).sort());
    const [four, six] = addressesOf(made[0] as KubeObject) as [string, string];
    expect((await addresses(one)).find(({ metadata }) => metadata.name === six)?.metadata.labels).toMatchObject({
      "ipaddress.kubernetes.io/ip-family": "IPv6",
    });
    const reduced = await change(one, "s0", { ipFamilyPolicy: "SingleStack" });
    expect(specOf(reduced)).toMatchObject({ clusterIPs: [four], ipFamilies: ["IPv4"] });
    expect(await recorded()).not.toContain(six);
    // The other replica gives it away as soon as it knows.
    await eventually(async () => {
      const taken = await make(two, "taker", { clusterIP: six });
      expect(specOf(taken)).toMatchObject({ clusterIPs: [six], ipFamilies: ["IPv6"], ipFamilyPolicy: "SingleStack" });
      return true;
    });
    const refused = await change(one, "s0", { ipFamilyPolicy: "PreferDualStack", clusterIPs: [four, six] }).catch(
      (error: ApiError) => error.message,
    );
    expect(refused).toContain(`failed to allocate IP ${six}: provided IP is already allocated`);
    one.stop();
    two.stop();
  });

  it("keep the form an address was asked for in, whose record has the canonical one", async () => {
    const server = await createTestServer({ serviceRanges: both("fd00:10:96::/112", "10.96.0.0/16") });
    const service = await make(server, "odd", { clusterIP: "FD00:10:96::0:9", ipFamilyPolicy: "PreferDualStack" });
    expect(addressesOf(service)).toEqual(["FD00:10:96::0:9", expect.stringMatching(/^10\.96\./)]);
    expect((await addresses(server)).map(({ metadata }) => metadata.name)).toContain("fd00:10:96::9");
    await expect(make(server, "same", { clusterIP: "fd00:10:96::9" })).rejects.toThrow(/already allocated/);
    expect(addressesOf(await make(server, "plain"))).toEqual([expect.stringMatching(/^fd00:10:96::/)]);
    server.stop();
  });

  it("begin when a store gets a second range, and what preferred two families is left alone until it changes", async () => {
    const backend = createMemoryBackend();
    const first = await createTestServer({ backend, serviceRanges: { addresses: parseAddressRanges("10.96.0.0/16") } });
    await make(first, "old", { ipFamilyPolicy: "PreferDualStack" });
    first.stop();
    const second = await createTestServer({ backend, serviceRanges: both("10.96.0.0/16", "fd00:10:96::/112") });
    const range = await second.inside.send({
      verb: "get",
      group: "networking.k8s.io",
      version: "v1",
      resource: "servicecidrs",
      name: "kubernetes",
    });
    expect(range).toMatchObject({ spec: { cidrs: ["10.96.0.0/16", "fd00:10:96::/112"] } });
    expect(addressesOf(await change(second, "old", { sessionAffinity: "ClientIP" }))).toHaveLength(1);
    expect(addressesOf(await change(second, "old", { ipFamilies: ["IPv4", "IPv6"] }))).toHaveLength(2);
    second.stop();
  });
});

describe("records that other programs left or lost", () => {
  it("are repaired at the start, and again while the server runs", async () => {
    const backend = createMemoryBackend();
    const first = await createTestServer({ backend });
    const service = await make(first, "kept", { type: "NodePort" });
    const gone = await make(first, "gone", { type: "NodePort" });
    const [port] = portsOf(service) as [number];
    const [stray] = portsOf(gone) as [number];
    first.stop();
    // As if a program that knows nothing of node ports had deleted one Service, and the record of the other was lost.
    await backend.txn([{ type: "delete", key: "/registry/services/specs/default/gone" }]);
    await backend.txn([{ type: "delete", key: `/flotilla/nodeports/${port}` }]);
    await backend.txn([{ type: "delete", key: `/registry/ipaddresses/${addressOf(service)}` }]);
    const second = await createTestServer({ backend });
    expect(await recordedPorts(backend)).toEqual([port]);
    expect(portsOf(await make(second, "other", { type: "NodePort", ports: [{ port: 1, nodePort: stray }] }))).toEqual([
      stray,
    ]);
    const recorded = async () => (await addresses(second)).map(({ metadata }) => metadata.name);
    // The address of the Service that is gone is held for a moment, and given back then.
    expect(await recorded()).toContain(addressOf(service));
    await second.inside.send({
      verb: "delete",
      group: "networking.k8s.io",
      version: "v1",
      resource: "ipaddresses",
      name: addressOf(service),
    });
    await (second.clock as unknown as { advance(ms: number): Promise<void> }).advance(400_000);
    await eventually(async () => {
      expect(await recorded()).toContain(addressOf(service));
      expect(await recorded()).not.toContain(addressOf(gone));
      return true;
    });
    await expect(
      second.send("create", "v1/services", {
        namespace: "default",
        body: aService("thief", { clusterIP: addressOf(service) }),
      }),
    ).rejects.toThrow(/already allocated/);
    second.stop();
  });
});

describe("ranges", () => {
  it.each<[string, () => unknown, RegExp]>([
    ["a range of six that is too large", () => parseAddressRange("fd00::/48"), /must be \/64 or smaller/],
    ["two ranges of one family", () => parseAddressRanges("10.0.0.0/16,10.1.0.0/16"), /of different families/],
    ["three ranges", () => parseAddressRanges("10.0.0.0/16,fd00::/108,10.1.0.0/16"), /at most two/],
    ["a half of a range", () => parseAddressRanges("10.0.0.0/16,"), /must be a range such as/],
    ["a range without room", () => parseAddressRange("10.0.0.0/30"), /at least 8 addresses/],
    ["a range that is none", () => parseAddressRange("10.0.0.0"), /must be a range such as/],
    ["ports from above to below", () => parsePortRange("3-2"), /must be ports such as/],
    ["ports that are none", () => parsePortRange("1-70000"), /must be ports such as/],
  ])("are not %s", (_title, parse, message) => {
    expect(parse).toThrow(message);
  });

  it("are read as kube-apiserver reads them", () => {
    expect(parsePortRange("30000+10")).toEqual({ first: 30_000, last: 30_010 });
    expect(parsePortRange("30000")).toEqual({ first: 30_000, last: 30_000 });
    const [four, six] = parseAddressRanges("10.96.7.0/12,FD00:10:96::/112");
    expect([four?.first, four?.last].map((number) => addressText("IPv4", number ?? 0n))).toEqual([
      "10.96.0.1",
      "10.111.255.254",
    ]);
    // The last address of six is one like any other.
    expect([six?.first, six?.last].map((number) => addressText("IPv6", number ?? 0n))).toEqual([
      "fd00:10:96::1",
      "fd00:10:96::ffff",
    ]);
    expect(addressNumber("010.1.1.1")).toBeUndefined();
  });
});
