/** The real kubectl against the control plane and against a simulated member. */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Fleet } from "#controlplane";
import { eventually, hasKubectl, kubectl, startTestFleet } from "#testing";

const example = (name: string) => readFileSync(new URL(`../../examples/quickstart/${name}`, import.meta.url), "utf8");

describe.skipIf(!hasKubectl())("kubectl (this machine must have one)", () => {
  let fleet: Fleet;
  let admin: string;
  const run = (words: string, input?: string) => kubectl(admin, words.split(" "), input);
  const member = (words: string, input?: string) =>
    kubectl(fleet.kubeconfigs.get("member1") ?? "", words.split(" "), input);

  beforeAll(async () => {
    fleet = await startTestFleet();
    admin = fleet.kubeconfigs.get("flotilla") ?? "";
    await eventually(async () => !/False|Unknown/.test(await run("get clusters --no-headers")));
  });
  afterAll(() => fleet.stop());

  test("[DR-1] [RN-2] [O-3] applies ordinary manifests and shows clusters as a table", async () => {
    expect(await run("get clusters")).toMatch(/NAME\s+VERSION\s+MODE\s+READY\s+AGE/);
    expect(await run("apply -f -", example("override-policy.yaml"))).toContain(
      "overridepolicy.policy.karmada.io/nginx-mirror created",
    );
    expect(await run("apply -f -", example("propagation-policy.yaml"))).toContain(
      "propagationpolicy.policy.karmada.io/nginx created",
    );
    expect(await run("apply -f -", example("nginx.yaml"))).toContain("deployment.apps/nginx created");
    await eventually(async () => /9\/9/.test(await run("get deployment nginx")));
  });

  test("[DR-6] shows what the members report", async () => {
    expect(await run("get deployment nginx -o wide")).toMatch(
      /nginx\s+9\/9\s+9\s+9\s+\S+\s+nginx\s+nginx:1.29\s+app=nginx/,
    );
    expect(await run("get resourcebinding nginx-deployment")).toMatch(/SCHEDULED\s+FULLYAPPLIED\s+AGE/);
    expect(await run("get works -A")).toContain("karmada-es-member1");
  });

  test("[DR-26] an override changes one member only", async () => {
    const image = (name: string) =>
      kubectl(fleet.kubeconfigs.get(name) ?? "", [
        "get",
        "deployment",
        "nginx",
        "-o",
        "jsonpath={.spec.template.spec.containers[0].image}",
      ]);
    expect(await image("member3")).toBe("mirror.example.com/nginx:1.29");
    expect(await image("member1")).toBe("nginx:1.29");
  });

  test("lists as yaml, json, by selector and in pages", async () => {
    expect(await run("get deployment nginx -o yaml")).toContain("kind: Deployment");
    expect(JSON.parse(await run("get deployments -o json")).items).toHaveLength(1);
    expect(await run("get deployments -A -l app=nginx")).toContain("nginx");
    expect(await run("get deployments -A -l app=other")).toContain("No resources found");
    expect((await run("get clusterroles --chunk-size=10 --no-headers")).split("\n").length).toBeGreaterThan(50);
    expect(await run("get namespaces --field-selector metadata.name=default --no-headers")).toMatch(
      /^default\s+Active/,
    );
  });

  test("describes and explains", async () => {
    expect(await run("describe deployment nginx")).toMatch(/Replicas:\s+9 desired/);
    const explained = await run("explain propagationpolicy.spec.placement");
    expect(explained).toContain("clusterAffinity");
    expect(explained).toContain("how replicas are shared out");
    expect(await run("explain deployment.spec.replicas")).toContain("replicas <integer>");
  });

  test("patches by all types and scales", async () => {
    await run('patch deployment nginx --type=merge -p {"metadata":{"annotations":{"a":"1"}}}');
    await run('patch deployment nginx --type=json -p [{"op":"add","path":"/metadata/annotations/b","value":"2"}]');
    await run(
      'patch deployment nginx --type=strategic -p {"spec":{"template":{"spec":{"containers":[{"name":"nginx","env":[{"name":"C","value":"3"}]}]}}}}',
    );
    const deployment = JSON.parse(await run("get deployment nginx -o json"));
    expect(deployment.metadata.annotations).toMatchObject({ a: "1", b: "2" });
    expect(deployment.spec.template.spec.containers).toHaveLength(1);
    expect(deployment.spec.template.spec.containers[0]).toMatchObject({
      image: "nginx:1.29",
      env: [{ name: "C", value: "3" }],
    });
    expect(await run("scale deployment nginx --replicas=12")).toContain("scaled");
    await eventually(async () => /12\/12/.test(await run("get deployment nginx")));
  });

  test("server-side apply keeps owners and reports conflicts by field", async () => {
    const manifest = JSON.stringify({
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: "owned", namespace: "default" },
      data: { a: "1" },
    });
    expect(await run("apply --server-side --field-manager=one -f -", manifest)).toContain("serverside-applied");
    await expect(run("apply --server-side --field-manager=two -f -", manifest.replace('"1"', '"2"'))).rejects.toThrow(
      /conflict with "one": \.data\.a/,
    );
    expect(
      await run("apply --server-side --field-manager=two --force-conflicts -f -", manifest.replace('"1"', '"2"')),
    ).toContain("serverside-applied");
    expect(JSON.parse(await run("get configmap owned -o json")).data).toEqual({ a: "2" });
  });

  test("labels, annotates, and deletes with waiting", async () => {
    expect(await run("label deployment nginx tier=web")).toContain("labeled");
    expect(await run("annotate deployment nginx note=hello")).toContain("annotated");
    await run("create namespace scratch");
    await run("-n scratch create configmap one --from-literal=a=b");
    expect(await run("delete namespace scratch --timeout=20s")).toContain('namespace "scratch" deleted');
    await expect(run("get namespace scratch")).rejects.toThrow(/NotFound/);
  });

  test("answers about itself", async () => {
    expect(await run("api-resources")).toMatch(/propagationpolicies\s+pp\s+policy.karmada.io\/v1alpha1/);
    expect(await run("api-versions")).toContain("cluster.karmada.io/v1alpha1");
    expect(await run("get --raw /readyz")).toBe("ok");
    expect(JSON.parse(await run("get --raw /version")).gitVersion).toMatch(/^v1\./);
    expect(await run("auth can-i create deployments")).toContain("yes");
    expect(await run("cluster-info")).toContain("is running at");
  });

  test("edits in an editor, and watches what others do", async () => {
    await run("create configmap edited --from-literal=colour=red");
    process.env["KUBE_EDITOR"] = "sed -i s/red/blue/";
    try {
      expect(await run("edit configmap edited")).toContain("configmap/edited edited");
    } finally {
      delete process.env["KUBE_EDITOR"];
    }
    expect(await run("get configmap edited -o jsonpath={.data.colour}")).toBe("blue");
    const watching = run("get configmaps -w --output-watch-events --request-timeout=3s").catch(String);
    const changes = (async () => {
      for (let n = 0; n < 20; n++) await run(`label configmap edited --overwrite n=${n}`);
      await run("delete configmap edited");
    })();
    const [seen] = await Promise.all([watching, changes]);
    expect(seen).toMatch(/ADDED\s+edited/);
    expect(seen).toMatch(/MODIFIED\s+edited/);
  });

  test("wrong input is refused with the field's name", async () => {
    await expect(run("apply -f -", example("propagation-policy.yaml").replace("Divided", "Sometimes"))).rejects.toThrow(
      /replicaSchedulingType: Unsupported value: "Sometimes": supported values: "Duplicated", "Divided"/,
    );
    await expect(
      run(
        "apply --validate=false -f -",
        '{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"x","namespace":"default"},"spec":{"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"c"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}}',
      ),
    ).rejects.toThrow(/spec.template.metadata.labels: Invalid value: .*`selector` does not match template `labels`/);
    await expect(run("get nonsense")).rejects.toThrow(/the server doesn't have a resource type "nonsense"/);
  });

  test("works on a simulated member: rollout, pods, deletion of what is owned", async () => {
    await member("create deployment own --image=busybox:1 --replicas=2");
    expect(await member("rollout status deployment own --timeout=20s")).toContain("successfully rolled out");
    expect(await member("get pods -l app=own")).toMatch(/1\/1\s+Running/);
    expect(await member("set image deployment/own busybox=busybox:2")).toContain("image updated");
    expect(await member("rollout status deployment own --timeout=20s")).toContain("successfully rolled out");
    await member("delete deployment own --cascade=foreground --timeout=20s");
    await eventually(async () => /No resources found/.test(await member("get pods -l app=own")));
    expect(await member("get nodes")).toMatch(/member1-node-1\s+Ready/);
  });
});
