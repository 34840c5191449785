/** Clusters of Cluster API: a management cluster, a member it provisions and the server, each a process of its own. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Namespace, Secret, ServiceAccount } from "#apis/kubernetes";
import { Cluster } from "#apis/karmada";
import { eventually, kubeconfigClients } from "#testing";
import { provisioned, putProvisioned, serveClusterApi } from "../cluster-api.ts";

import { bundleProgram, type Program, type Running } from "../program.ts";

const PATIENCE_MS = 60_000;
const folder = mkdtempSync(join(tmpdir(), "flotilla-cluster-api-"));
const { connect, close } = kubeconfigClients();
let program: Program;

beforeAll(async () => {
  program = await bundleProgram();
});

afterAll(async () => {
  await close();
  await program.close();
  rmSync(folder, { recursive: true, force: true });
});

test("clusters a management cluster provisions are joined, and leave with their objects; live members do not leave by mistake", {
  timeout: 300_000,
}, async () => {
  const simulate = async (name: string) => {
    const dataDir = join(folder, name);
    const process = await program.start(
      ["simulate", "member", name, "--nodes=1", `--data-dir=${dataDir}`],
      new RegExp(`${name} is ready`),
    );
    return { process, config: join(dataDir, `${name}.kubeconfig`) };
  };
  const [management, far] = await Promise.all([simulate("management"), simulate("far")]);
  const admin = join(folder, "plane/admin.kubeconfig");
  const serve = (...more: string[]): Promise<Running> =>
    program.start(
      [
        "server",
        `--data-dir=${join(folder, "plane")}`,
        "--secure-port=0",
        "--cluster-status-update-frequency=200ms",
        "--cluster-failure-threshold=300ms",
        "--cluster-success-threshold=300ms",
        ...more,
      ],
      /control plane is ready/,
    );
  const flags = [`--cluster-api-kubeconfig=${management.config}`];
  await expect(serve("--cluster-api-kubeconfig=/none")).rejects.toThrow(
    /--cluster-api-kubeconfig: stat \/none: no such file/,
  );
  await expect(serve(...flags, "--cluster-api-context=none")).rejects.toThrow(/context "none" does not exist/);
  await expect(serve("--cluster-api-context=none")).rejects.toThrow(/needs --cluster-api-kubeconfig/);
  let server = await serve(...flags);
  const says = (what: RegExp) => eventually(() => Promise.resolve(what.test(server.output())), PATIENCE_MS);
  await says(/cannot be followed.*does not serve the API group cluster\.x-k8s\.io/);

  // The kinds come later than we do. Nothing is joined before it is provisioned and its kubeconfig is there.
  const source = connect(management.config);
  await serveClusterApi(source);
  await says(/clusters of Cluster API are joined/);
  for (const name of ["infra", "other"])
    await source.create(Namespace, { apiVersion: "v1", kind: "Namespace", metadata: { name } });
  const kubeconfig = readFileSync(far.config, "utf8");
  await putProvisioned(source, { namespace: "infra", name: "far", phase: "Provisioning", kubeconfig });
  await putProvisioned(source, { namespace: "infra", name: "early", phase: "Provisioned" });
  await says(/infra\/early has no kubeconfig: Secret early-kubeconfig/);
  const plane = connect(admin);
  expect((await plane.list(Cluster)).items).toEqual([]);
  await source.patch(
    provisioned,
    { namespace: "infra", name: "far" },
    "application/merge-patch+json",
    { status: { phase: "Provisioned" } },
    { subresource: "status" },
  );
  const isReady = async () =>
    (await plane.find(Cluster, { name: "far" }))?.status?.conditions?.some(
      ({ type, status }) => type === "Ready" && status === "True",
    ) === true;
  await eventually(isReady, PATIENCE_MS);
  const joined = await plane.get(Cluster, { name: "far" });
  const member = connect(far.config);
  const id = (await member.get(Namespace, { name: "kube-system" })).metadata.uid;
  expect(joined.spec).toMatchObject({
    syncMode: "Push",
    id,
    secretRef: { namespace: "karmada-cluster", name: "far" },
    impersonatorSecretRef: { namespace: "karmada-cluster", name: "far-impersonator" },
  });
  const credentials = await plane.get(Secret, { namespace: "karmada-cluster", name: "far" });
  expect(credentials.metadata.ownerReferences?.[0]?.uid).toBe(joined.metadata.uid);

  // Nobody else gets that name or that member, and no kubeconfig reads files of the server.
  await putProvisioned(source, { namespace: "other", name: "far", phase: "Provisioned", kubeconfig });
  await says(/the cluster name far is taken by the Cluster API object infra\/far/);
  await putProvisioned(source, { namespace: "other", name: "twin", phase: "Provisioned", kubeconfig });
  await says(new RegExp(`the cluster ID ${id} or the cluster name twin has been registered`));
  const sly = kubeconfig.replace(/client-key-data: .*/, "tokenFile: /etc/hostname");
  await putProvisioned(source, { namespace: "other", name: "sly", phase: "Provisioned", kubeconfig: sly });
  await says(/tokenFile leads outside the kubeconfig/);
  expect((await plane.list(Cluster)).items.map(({ metadata }) => metadata.name)).toEqual(["far"]);
  for (const name of ["far", "twin", "sly"]) await source.delete(provisioned, { namespace: "other", name });

  // An object that is moved away takes nothing along; one that comes back finds its cluster.
  const infra = { namespace: "infra", name: "far" };
  await source.patch(provisioned, infra, "application/merge-patch+json", { spec: { paused: true } });
  await source.delete(provisioned, infra);
  await says(/moved elsewhere: the cluster stays/);
  await putProvisioned(source, { ...infra, phase: "Provisioned", kubeconfig });
  const back = await source.get(provisioned, infra);
  const annotation = async () =>
    (await plane.get(Cluster, { name: "far" })).metadata.annotations?.["cluster-api.flotilla.io/uid"];
  await eventually(async () => (await annotation()) === back.metadata.uid, PATIENCE_MS);
  expect((await plane.get(Cluster, { name: "far" })).metadata.uid).toBe(joined.metadata.uid);

  // A restart joins nothing again; an object that went meanwhile takes no live member along.
  await server.end("SIGKILL");
  await source.delete(provisioned, infra);
  server = await serve(...flags);
  await says(/the Cluster API object of far is gone, but the cluster is Ready/);
  expect(server.output()).not.toMatch(/unjoining/);
  expect((await connect(admin).get(Cluster, { name: "far" })).metadata.deletionTimestamp).toBeUndefined();

  // Deleted before our eyes, it leaves; accounts in the member stay.
  const again = connect(admin);
  await putProvisioned(source, { ...infra, phase: "Provisioned", kubeconfig });
  const renewed = (await source.get(provisioned, infra)).metadata.uid;
  await eventually(
    async () =>
      (await again.get(Cluster, { name: "far" })).metadata.annotations?.["cluster-api.flotilla.io/uid"] === renewed,
    PATIENCE_MS,
  );
  await source.delete(provisioned, infra);
  await eventually(async () => (await again.find(Cluster, { name: "far" })) === undefined, PATIENCE_MS);
  expect(await member.find(ServiceAccount, { namespace: "karmada-cluster", name: "karmada-far" })).toBeDefined();
  await eventually(
    async () => (await again.find(Secret, { namespace: "karmada-cluster", name: "far" })) === undefined,
    PATIENCE_MS,
  );

  // Joined once more; its object goes while nobody looks, and the member with it.
  await putProvisioned(source, { ...infra, phase: "Provisioned", kubeconfig });
  await eventually(async () => (await again.find(Cluster, { name: "far" })) !== undefined, PATIENCE_MS);
  await server.end("SIGKILL");
  await source.delete(provisioned, infra);
  await far.process.end();
  server = await serve(...flags);
  const last = connect(admin);
  await eventually(async () => (await last.find(Cluster, { name: "far" })) === undefined, PATIENCE_MS);
});
