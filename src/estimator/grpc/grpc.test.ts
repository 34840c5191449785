import { connect as connectTls } from "node:tls";
import { afterEach, describe, expect, it } from "vitest";
import { silentLogger } from "#base";
import { createCertificateAuthority } from "#certs";
import {
  type Asking,
  type ClientSecurity,
  type ClusterEstimator,
  dialEstimator,
  type EstimatorServer,
  estimateNodeReplicas,
  estimateNodeSets,
  estimatorAddresses,
  startEstimatorServer,
  summariseNodes,
} from "../index.ts";
import { componentFromWire, componentToWire, requirementsFromWire, requirementsToWire } from "./convert.ts";
import { codecOf } from "./messages.ts";

const nodes = summariseNodes(
  ["a", "b"].map((name) => ({
    apiVersion: "v1",
    kind: "Node",
    metadata: { name, labels: { disk: name } },
    spec: {},
    status: { allocatable: { cpu: "8", memory: "16Gi", pods: "20" } },
  })),
  [],
);
let thresholdMs: number | undefined;
const local: ClusterEstimator = {
  maxReplicas: (requirements, { assumed = [] }) => estimateNodeReplicas({ nodes }, requirements, { assumed }),
  maxSets: (components, namespace, { assumed = [] }) => estimateNodeSets({ nodes }, components, namespace, { assumed }),
  unschedulableReplicas(_workload, given) {
    thresholdMs = given;
    return 3;
  },
};
let server: EstimatorServer | undefined;
let remote: ClusterEstimator | undefined;
afterEach(async () => {
  remote?.close?.();
  await server?.stop();
});

async function connect(cluster = "m1"): Promise<ClusterEstimator> {
  server = await startEstimatorServer({
    cluster: "m1",
    estimator: local,
    log: silentLogger,
    host: "127.0.0.1",
    port: 0,
  });
  remote = await dialEstimator({ addresses: [`127.0.0.1:${server.port}`], cluster });
  return remote;
}

const asking = (): Asking => ({
  signal: new AbortController().signal,
  object: { apiVersion: "apps/v1", kind: "Deployment", namespace: "default", name: "web" },
});
const requirements = {
  namespace: "default",
  priorityClassName: "high",
  resourceRequest: { cpu: "500m", memory: "1Gi" },
  nodeClaim: {
    nodeSelector: { disk: "a" },
    hardNodeAffinity: { nodeSelectorTerms: [{ matchExpressions: [{ key: "disk", operator: "In", values: ["a"] }] }] },
    tolerations: [{ key: "x", operator: "Exists", effect: "NoExecute", tolerationSeconds: 30 }],
  },
};

describe("estimator over gRPC", () => {
  it("gives the numbers the estimator gives in process", async () => {
    const estimator = await connect();
    expect(await estimator.maxReplicas(requirements, asking())).toBe(16);
    expect(await estimator.maxReplicas(undefined, asking())).toBe(40);
    const components = [
      { name: "jm", replicas: 1, replicaRequirements: { resourceRequest: { cpu: "1" } } },
      { name: "tm", replicas: 2, replicaRequirements: { resourceRequest: { cpu: "2" } } },
    ];
    expect(await estimator.maxSets(components, "default", asking())).toBe(
      local.maxSets(components, "default", asking()),
    );
    expect(
      await estimator.maxReplicas(
        { resourceRequest: { cpu: "1" } },
        { ...asking(), assumed: [{ namespace: "x", components }] },
      ),
    ).toBe(11);
    expect(
      await estimator.unschedulableReplicas(
        { apiVersion: "apps/v1", kind: "Deployment", namespace: "default", name: "web" },
        300_000,
        asking(),
      ),
    ).toBe(3);
    expect(thresholdMs).toBe(300_000);
  });

  it("refuses a request for another cluster with upstream's words", async () => {
    const estimator = await connect("m2");
    await expect(Promise.resolve(estimator.maxReplicas(undefined, asking()))).rejects.toThrow(
      "cluster name does not match, got: m2, desire: m1",
    );
  });

  it("says which address it could not reach", async () => {
    await expect(dialEstimator({ addresses: ["127.0.0.1:1"], cluster: "m1", timeoutMs: 50 })).rejects.toThrow();
  });

  it("keeps requirements and components through the wire", () => {
    const codec = codecOf("ReplicaRequirements");
    expect(requirementsFromWire(codec.decode(codec.encode(requirementsToWire(requirements))))).toEqual(requirements);
    const component = {
      name: "c",
      replicas: 2,
      replicaRequirements: { priorityClassName: "p", resourceRequest: { cpu: "1" } },
    };
    const components = codecOf("Component");
    expect(componentFromWire(components.decode(components.encode(componentToWire(component))))).toEqual(component);
  });

  it("lets an affinity of no terms match no node", () => {
    const codec = codecOf("ReplicaRequirements");
    const none = { resourceRequest: {}, nodeClaim: { hardNodeAffinity: { nodeSelectorTerms: [] } } };
    const received = requirementsFromWire(codec.decode(codec.encode(requirementsToWire(none))));
    expect(estimateNodeReplicas({ nodes }, received)).toBe(0);
  });

  it("uses the published field numbers", () => {
    // Field 5 holds the map; its entry is key 1 and value 2; the value is a Quantity whose field 1 is the text.
    expect(
      codecOf("ReplicaRequirements")
        .encode(requirementsToWire({ resourceRequest: { cpu: "1" } }))
        .toString("hex"),
    ).toBe("2a0a0a0363707512030a0131");
    expect(
      codecOf("UnschedulableReplicasRequest").encode({ cluster: "m", unschedulableThreshold: 1 }).toString("hex"),
    ).toBe("0a016d1801");
  });
});

describe("estimator over TLS", () => {
  it("is verified by its authority, demands client certificates where it has one for them, and speaks TLS 1.3 only", async () => {
    const authority = await createCertificateAuthority("estimators");
    const stranger = await createCertificateAuthority("strangers");
    const own = await authority.issueServer("estimator", ["127.0.0.1"]);
    server = await startEstimatorServer({
      cluster: "m1",
      estimator: local,
      log: silentLogger,
      host: "127.0.0.1",
      port: 0,
      security: { ...own, clientAuthority: authority.certificate },
    });
    const addresses = [`127.0.0.1:${server.port}`];
    const dial = (security: ClientSecurity) => dialEstimator({ addresses, cluster: "m1", security, timeoutMs: 1_000 });
    const ask = async (security: ClientSecurity) => {
      remote?.close?.();
      remote = await dial(security);
      return remote.maxReplicas(undefined, asking());
    };
    const client = await authority.issueClient("karmada-scheduler");
    const warnings: string[] = [];
    const heard = (warning: Error & { readonly code?: string }) => void warnings.push(warning.code ?? warning.message);
    process.on("warning", heard);
    expect(await ask({ authority: authority.certificate, ...client })).toBe(40);
    expect(await ask({ skipsVerify: true, ...client })).toBe(40);
    await expect(dial({ authority: stranger.certificate, ...client })).rejects.toThrow("cannot connect");
    await expect(ask({ authority: authority.certificate })).rejects.toThrow();
    await expect(ask({ authority: authority.certificate, ...(await stranger.issueClient("x")) })).rejects.toThrow();
    const elsewhere = await startEstimatorServer({
      cluster: "m1",
      estimator: local,
      log: silentLogger,
      host: "127.0.0.1",
      port: 0,
      security: await authority.issueServer("estimator", ["127.0.0.2"]),
    });
    try {
      const security = { authority: authority.certificate };
      const at = [`127.0.0.1:${elsewhere.port}`];
      await expect(dialEstimator({ addresses: at, cluster: "m1", security, timeoutMs: 1_000 })).rejects.toThrow(
        "cannot connect",
      );
    } finally {
      await elsewhere.stop();
    }
    // An address is verified, and not named in the handshake.
    process.off("warning", heard);
    expect(warnings).toEqual([]);
    const { port } = server;
    const version = await new Promise<unknown>((resolve) => {
      const socket = connectTls({ host: "127.0.0.1", port, maxVersion: "TLSv1.2", rejectUnauthorized: false }, () =>
        resolve(socket.getProtocol()),
      );
      socket.on("error", (error) => resolve(error.message));
    });
    expect(String(version)).toMatch(/protocol version/);
  });
});

describe("discovery of estimators", () => {
  it("dials the cluster's Service by name when the control plane does not know it", () => {
    expect(estimatorAddresses("m1", undefined)).toEqual([
      "karmada-scheduler-estimator-m1.karmada-system.svc.cluster.local:10352",
      "karmada-scheduler-estimator-m1.karmada-system.svc:10352",
    ]);
  });

  it("follows an ExternalName Service and refuses others by type", () => {
    const service = (spec: object) => ({ apiVersion: "v1", kind: "Service", metadata: { name: "s" }, spec });
    expect(
      estimatorAddresses(
        "m1",
        service({ type: "ExternalName", externalName: "est.example", ports: [{ port: 10352, targetPort: 30000 }] }),
      ),
    ).toEqual(["est.example:30000"]);
    expect(() => estimatorAddresses("m1", service({ ports: [] }))).toThrow('unsupported service type "ClusterIP"');
  });
});
