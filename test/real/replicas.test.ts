/** Several replicas on one etcd: one store for all, one leader at work, and nothing lost when one of them goes. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ConfigMap, Deployment, Endpoints, EndpointSlice, Lease } from "#apis/kubernetes";
import { Cluster, PropagationPolicy, ResourceBinding, ResourceRegistry, Work } from "#apis/karmada";
import { parseKubeconfig, resolveContext } from "#certs";
import type { Client } from "#client";
import { type Etcd, startEtcd } from "#lab";
import { aDeployment, aPropagationPolicy, eventually, kubeconfigClients } from "#testing";
import { describeReal } from "./parts.ts";
import { bundleProgram, type Program, type Running } from "../program.ts";

interface Replica {
  readonly name: string;
  readonly running: Running;
  readonly client: Client;
}

const versions = [
  ["3.6", "etcd"],
  ["3.4", "etcd 3.4"],
] as const;
for (const [version, need] of versions)
  describeReal(`replicas on one etcd ${version}`, [need], () => {
    const folder = mkdtempSync(join(tmpdir(), "flotilla-replicas-"));
    const { connect, close: closeClients } = kubeconfigClients();
    const replicas = new Map<string, Replica>();
    let program: Program;
    let etcd: Etcd;

    const dataDir = (name: string) => join(folder, name);
    /** Nobody connects to it: it only stands in Endpoints. */
    const addressOf = (name: string) => `10.99.0.${name.charCodeAt(0)}`;
    const AT = { namespace: "default", name: "kubernetes" };
    /** Whom `default/kubernetes` leads to, by Endpoints and by EndpointSlices. */
    const servers = async (through: Client) => {
      const { items } = await through.list(EndpointSlice, {
        namespace: AT.namespace,
        labelSelector: "kubernetes.io/service-name=kubernetes",
      });
      const endpoints = await through.get(Endpoints, AT);
      return [
        (endpoints.subsets ?? []).flatMap(({ addresses = [] }) => addresses.map(({ ip }) => ip)).sort(),
        items.flatMap((slice) => (slice.endpoints ?? []).flatMap(({ addresses }) => addresses)).sort(),
      ];
    };
    const untilServers = (through: Client, ...names: readonly string[]) =>
      eventually(async () => {
        const wanted = names.map(addressOf).sort();
        expect(await servers(through)).toEqual([wanted, wanted]);
        return true;
      }, 60_000);
    async function start(name: string): Promise<Replica> {
      const running = await program.start(
        [
          "server",
          `--data-dir=${dataDir(name)}`,
          "--secure-port=0",
          `--advertise-address=${addressOf(name)}`,
          `--store=etcd://${new URL(etcd.url).host}`,
          "--cluster-status-update-frequency=500ms",
          "--cluster-success-threshold=1s",
        ],
        /control plane is ready/,
      );
      const replica = { name, running, client: connect(join(dataDir(name), "admin.kubeconfig")) };
      replicas.set(name, replica);
      return replica;
    }
    const replica = (name: string): Replica => {
      const found = replicas.get(name);
      if (found === undefined) throw new Error(`there is no replica ${name}`);
      return found;
    };
    /** The process that holds the lease, found out by who takes it over: the holder's name carries no pid. */
    const holder = async (through: Client) =>
      (await through.find(Lease, { namespace: "karmada-system", name: "karmada-controller-manager" }))?.spec
        ?.holderIdentity ?? "";
    const leaseTimes = async (through: Client) => {
      const spec = (await through.find(Lease, { namespace: "karmada-system", name: "karmada-controller-manager" }))
        ?.spec;
      return { acquiredMs: Date.parse(String(spec?.acquireTime)), renewedMs: Date.parse(String(spec?.renewTime)) };
    };
    /**
     * Measures by etcd alone, which has no part in who leads, how much the machine is behind: requests to it are answered in
     * a few milliseconds where there is time for everybody. Gives by how much they were late together.
     */
    const machine = () => {
      const [pauseMs, quickMs] = [50, 25];
      const stop = new AbortController();
      let lateMs = 0;
      const measuring = (async () => {
        while (!stop.signal.aborted) {
          const startedMs = performance.now();
          await new Promise((resolve) => setTimeout(resolve, pauseMs));
          await fetch(new URL("/health", etcd.url)).then((answer) => answer.text());
          lateMs += Math.max(0, performance.now() - startedMs - pauseMs - quickMs);
        }
      })();
      return {
        async late() {
          stop.abort();
          await measuring;
          return lateMs;
        },
      };
    };
    const leaderName = async (): Promise<string> => {
      for (const { name, running } of replicas.values()) if (/became leader/.test(running.output())) return name;
      return "";
    };
    const follower = async () => {
      const leader = await leaderName();
      return [...replicas.values()].filter(({ name }) => name !== leader)[0] as Replica;
    };
    const untilPropagated = async (through: Client, name: string, limitMs: number) => {
      await through.create(Deployment, aDeployment(name, 1));
      await eventually(
        async () =>
          (await through.list(Work, { namespace: "karmada-es-m1" })).items.some(({ metadata }) =>
            metadata.name?.startsWith(`${name}-`),
          ),
        limitMs,
      );
    };

    beforeAll(async () => {
      program = await bundleProgram();
      etcd = await startEtcd({ version, isUnsafe: true });
      for (const name of ["a", "b", "c"]) await start(name);
      await program.start(["simulate", "member", "m1", `--data-dir=${dataDir("m1")}`], /ready|kubeconfig/i);
      const joined = await program.run(
        "join",
        "m1",
        "--kubeconfig",
        join(dataDir("b"), "admin.kubeconfig"),
        "--cluster-kubeconfig",
        join(dataDir("m1"), "m1.kubeconfig"),
      );
      expect(joined).toMatchObject({ code: 0 });
    });
    afterAll(async () => {
      await closeClients();
      await program?.close();
      await etcd?.stop();
      rmSync(folder, { recursive: true, force: true });
    });

    test("all share one authority: a client of one is known to the others", async () => {
      const [a, b] = ["a", "b"].map((name) => resolveContext(parseKubeconfig(join(dataDir(name), "admin.kubeconfig"))));
      expect(a?.certificateAuthority).toBeDefined();
      expect(a?.certificateAuthority).toBe(b?.certificateAuthority);
    });

    test("[RN-32] what one replica acknowledged every other shows at once", async () => {
      const names = [...replicas.keys()];
      for (let n = 0; n < 60; n++) {
        const [writer, reader] = [replica(names[n % 3] as string), replica(names[(n + 1) % 3] as string)];
        const name = `at-once-${n}`;
        await writer.client.create(ConfigMap, {
          apiVersion: "v1",
          kind: "ConfigMap",
          metadata: { namespace: "default", name },
          data: { n: String(n) },
        });
        expect((await reader.client.get(ConfigMap, { namespace: "default", name })).data).toEqual({ n: String(n) });
        const { items } = await reader.client.list(ConfigMap, { namespace: "default" });
        expect(items.some(({ metadata }) => metadata.name === name)).toBe(true);
      }
    });

    test("[RN-33] exactly one of them works, whichever is asked", async () => {
      const { client } = await follower();
      await client.create(PropagationPolicy, aPropagationPolicy("all", { clusterAffinity: { clusterNames: ["m1"] } }));
      await eventually(
        async () =>
          (await client.get(Cluster, { name: "m1" })).status?.conditions?.some(
            ({ type, status }) => type === "Ready" && status === "True",
          ),
        60_000,
      );
      await untilPropagated(client, "first", 20_000);
      const leaders = [...replicas.values()].filter(({ running }) => /became leader/.test(running.output()));
      expect(leaders).toHaveLength(1);
    });

    test("the leader's own decisions are given by every replica", async () => {
      const path = "/apis/work.karmada.io/v1alpha2/namespaces/default/resourcebindings/first-deployment/decision";
      for (const { name, client } of replicas.values()) {
        const { status, body } = await client.transport.raw({ method: "GET", path });
        const answer = JSON.parse(Buffer.from(body).toString("utf8")) as object;
        expect({ name, status, ...answer }).toMatchObject({
          status: 200,
          source: "kept",
          metadata: { name: "first-deployment" },
        });
        expect(answer).not.toHaveProperty("leader");
      }
    });

    test("[GF-46] every replica searches members, and serves them as one", async () => {
      const { client: any } = await follower();
      await any.create(ResourceRegistry, {
        apiVersion: "search.karmada.io/v1alpha1",
        kind: "ResourceRegistry",
        metadata: { name: "all" },
        spec: { targetCluster: {}, resourceSelectors: [{ apiVersion: "apps/v1", kind: "Deployment" }] },
      });
      for (const { client } of replicas.values())
        for (const at of ["search/cache", "proxying/karmada/proxy"]) {
          const path = `/apis/search.karmada.io/v1alpha1/${at}/apis/apps/v1/namespaces/default/deployments`;
          await eventually(async () => {
            const { body } = await client.transport.raw({ method: "GET", path });
            const { items } = JSON.parse(Buffer.from(body).toString("utf8")) as {
              readonly items: readonly Deployment[];
            };
            const from = "resource.karmada.io/cached-from-cluster";
            return items.some(({ metadata }) => metadata.name === "first" && metadata.annotations?.[from] === "m1");
          }, 60_000);
        }
    });

    test("what a scheduler of its own tells one replica, every replica gives", async () => {
      const { client } = await follower();
      await client.create(
        PropagationPolicy,
        aPropagationPolicy("elsewhere", { clusterAffinity: { clusterNames: ["m1"] } }, "default", {
          resourceSelectors: [{ apiVersion: "apps/v1", kind: "Deployment", name: "told" }],
          schedulerName: "mine",
        }),
      );
      await client.create(Deployment, aDeployment("told", 1));
      const at = { namespace: "default", name: "told-deployment" };
      const { metadata } = await eventually(() => client.find(ResourceBinding, at), 20_000);
      const path = `/apis/work.karmada.io/v1alpha2/namespaces/default/resourcebindings/${at.name}/decision`;
      const decision = {
        binding: `ResourceBinding/default/${at.name}`,
        time: new Date().toISOString(),
        generation: metadata.generation ?? 1,
        clusters: 1,
        cause: "placement",
        terms: [],
        result: [{ name: "m1", replicas: 1 }],
      };
      const told = await client.transport.raw({
        method: "PUT",
        path,
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ decision }),
      });
      expect(told.status).toBe(200);
      for (const { name, client: asked } of replicas.values()) {
        const { body } = await asked.transport.raw({ method: "GET", path });
        const answer = JSON.parse(Buffer.from(body).toString("utf8")) as object;
        expect({ name, ...answer }).toMatchObject({ source: "kept", scheduler: "mine", decision });
      }
    });

    test("default/kubernetes leads to all replicas", async () => {
      for (const { client } of replicas.values()) await untilServers(client, "a", "b", "c");
    });

    test("[RN-36] when the leader is killed another works within fifteen seconds, and nothing is lost", async () => {
      const leader = replica(await leaderName());
      const { client } = await follower();
      const before = await holder(client);
      const pace = machine();
      await leader.running.end("SIGKILL");
      replicas.delete(leader.name);
      const { renewedMs } = await leaseTimes(client);
      await untilPropagated(client, "after-kill", 60_000);
      // By the lease's own times: how long nobody led, less what the machine had no time for.
      const leaderlessMs = (await leaseTimes(client)).acquiredMs - renewedMs;
      expect(leaderlessMs - (await pace.late())).toBeLessThan(15_000);
      expect(await holder(client)).not.toBe(before);
      await untilServers(client, ...replicas.keys());
      expect(await client.find(ConfigMap, { namespace: "default", name: "at-once-59" })).toBeDefined();
      await start(leader.name);
    });

    test("when the leader is stopped in order another works at once, not when the lease has run out", async () => {
      const leader = replica(await leaderName());
      const { client } = await follower();
      const pace = machine();
      await leader.running.end("SIGTERM");
      replicas.delete(leader.name);
      const stoppedMs = Date.now();
      await untilPropagated(client, "after-stop", 60_000);
      const leaderlessMs = (await leaseTimes(client)).acquiredMs - stoppedMs;
      expect(leaderlessMs - (await pace.late())).toBeLessThan(2_000);
      await untilServers(client, ...replicas.keys());
      await start(leader.name);
    });

    test("a client that tries again sees no failure while the replicas restart one after the other", async () => {
      const failures: unknown[] = [];
      let isOver = false;
      let count = 0;
      const working = (async () => {
        while (!isOver) {
          const name = `rolling-${count}`;
          let error: unknown;
          for (const { client } of [...replicas.values()]) {
            try {
              await client.patch(
                ConfigMap,
                { namespace: "default", name },
                "application/apply-patch+yaml",
                { apiVersion: "v1", kind: "ConfigMap", metadata: { namespace: "default", name }, data: {} },
                { fieldManager: "test", force: true },
              );
              error = undefined;
              break;
            } catch (caught) {
              error = caught;
            }
          }
          if (error !== undefined) failures.push(error);
          else count++;
        }
      })();
      try {
        for (const name of ["a", "b", "c"]) {
          const old = replica(name);
          await old.running.end("SIGTERM");
          replicas.delete(name);
          await start(name);
        }
      } finally {
        isOver = true;
      }
      await working;
      expect(failures).toEqual([]);
      const { items } = await replica("a").client.list(ConfigMap, { namespace: "default" });
      expect(items.filter(({ metadata }) => metadata.name?.startsWith("rolling-"))).toHaveLength(count);
      expect(count).toBeGreaterThan(10);
    });
  });
