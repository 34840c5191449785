import { describe, expect, test } from "vitest";
import {
  type AnyBinding,
  type AnyPropagationPolicy,
  type ClusterPropagationPolicy,
  type PropagationPolicy,
  claimOf,
} from "#apis/karmada";
import type { KubeObject } from "#machinery";
import { isChangedByMarksOnly } from "./lazy.ts";
import { buildBinding, claimed, matchPolicy, unclaimed } from "./plan.ts";
import { compileSkippedApis, compileSkippedNamespaces } from "./skip.ts";

const template = (more: object = {}, meta: object = {}): KubeObject =>
  ({
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: "web", namespace: "default", uid: "u1", resourceVersion: "5", labels: { app: "web" }, ...meta },
    ...more,
  }) as KubeObject;
const policy = (name: string, selector: object = {}, spec: object = {}) =>
  ({
    apiVersion: "policy.karmada.io/v1alpha1",
    kind: "PropagationPolicy",
    metadata: { name, namespace: "default", labels: { "propagationpolicy.karmada.io/permanent-id": `id-${name}` } },
    spec: { resourceSelectors: [{ apiVersion: "apps/v1", kind: "Deployment", ...selector }], placement: {}, ...spec },
  }) as unknown as PropagationPolicy;
const clusterPolicy = (name: string, spec: object = {}) =>
  ({
    ...policy(name, {}, spec),
    kind: "ClusterPropagationPolicy",
    metadata: { name, labels: { "clusterpropagationpolicy.karmada.io/permanent-id": `id-${name}` } },
  }) as unknown as ClusterPropagationPolicy;

describe("which policy claims a template", () => {
  test.each([
    [
      "a name before labels before all",
      [
        policy("all"),
        policy("labels", { labelSelector: { matchLabels: { app: "web" } } }),
        policy("named", { name: "web" }),
      ],
      "named",
    ],
    [
      "an explicit priority before precision",
      [policy("named", { name: "web" }), policy("first", {}, { priority: 1 })],
      "first",
    ],
    ["the lower name when all else is equal", [policy("b"), policy("a")], "a"],
    [
      "none that is being deleted",
      [
        {
          ...policy("a"),
          metadata: { ...policy("a").metadata, deletionTimestamp: "2026-01-01T00:00:00Z" },
        } as PropagationPolicy,
        policy("b"),
      ],
      "b",
    ],
    [
      "none whose name differs, whatever its labels say",
      [policy("a", { name: "other", labelSelector: {} })],
      undefined,
    ],
    ["a negative priority is below none", [policy("a", {}, { priority: -1 }), policy("b")], "b"],
  ])("%s", (_title, policies, expected) => expect(matchPolicy(template(), policies, [])?.metadata.name).toBe(expected));

  test("any policy of the namespace before every cluster-wide one", () => {
    expect(
      matchPolicy(template(), [policy("own", {}, { priority: -5 })], [clusterPolicy("wide", { priority: 100 })])
        ?.metadata.name,
    ).toBe("own");
    expect(
      matchPolicy(template({}, { namespace: "other" }), [policy("own")], [clusterPolicy("wide")])?.metadata.name,
    ).toBe("wide");
  });
});

describe("claiming", () => {
  test("marks once, and a namespaced policy takes the cluster-wide marks off", () => {
    const wide = claimed(template(), clusterPolicy("wide"));
    expect(claimOf(wide)).toEqual({ kind: "ClusterPropagationPolicy", name: "wide", id: "id-wide" });
    const own = claimed(wide, policy("own"));
    expect(claimOf(own)).toEqual({ kind: "PropagationPolicy", namespace: "default", name: "own", id: "id-own" });
    expect(own.metadata.labels).toEqual({ app: "web", "propagationpolicy.karmada.io/permanent-id": "id-own" });
    expect(claimed(own, policy("own"))).toBe(own);
    expect(unclaimed(own, "PropagationPolicy").metadata.labels).toEqual({ app: "web" });
  });
});

describe("the binding of a template", () => {
  const build = (of: AnyPropagationPolicy, present?: AnyBinding) =>
    buildBinding({ template: template(), policy: of, present, replicas: { replica: 2, requirements: undefined } });

  test("says what, where and whose", () => {
    const binding = build(policy("p", {}, { conflictResolution: "Overwrite", suspension: { dispatching: true } }));
    expect(binding).toMatchObject({
      kind: "ResourceBinding",
      metadata: {
        name: "web-deployment",
        namespace: "default",
        finalizers: ["karmada.io/binding-controller"],
        ownerReferences: [{ uid: "u1", controller: true, blockOwnerDeletion: true }],
      },
      spec: {
        resource: {
          apiVersion: "apps/v1",
          kind: "Deployment",
          namespace: "default",
          name: "web",
          uid: "u1",
          resourceVersion: "5",
        },
        replicas: 2,
        conflictResolution: "Overwrite",
        suspension: { dispatching: true },
      },
    });
  });

  test("keeps what others decided and lets go what the policy no longer says", () => {
    const first = build(
      policy(
        "p",
        {},
        {
          propagateDeps: true,
          failover: { application: {} },
          suspension: { dispatching: true },
          preserveResourcesOnDeletion: true,
        },
      ),
    );
    const scheduled = {
      ...first,
      spec: {
        ...first.spec,
        clusters: [{ name: "m1", replicas: 2 }],
        requiredBy: [{ namespace: "default", name: "x" }],
        suspension: { ...first.spec.suspension, scheduling: true },
      },
    } as unknown as AnyBinding;
    const { spec } = build(policy("p"), scheduled);
    expect(spec).toMatchObject({
      clusters: [{ name: "m1", replicas: 2 }],
      requiredBy: [{ name: "x" }],
      suspension: { scheduling: true },
    });
    expect(spec.suspension).toEqual({ scheduling: true });
    for (const field of ["propagateDeps", "failover", "preserveResourcesOnDeletion"])
      expect(spec).not.toHaveProperty(field);
  });

  test.each([53, 63, 200, 253])(
    "[DR-43] [DR-44] a name of %i characters has a binding, and no label holds it",
    (length) => {
      const name = "n".repeat(length);
      const binding = buildBinding({
        template: template({}, { name }),
        policy: policy("p"),
        present: undefined,
        replicas: undefined,
      });
      expect(binding.metadata.name?.length).toBeLessThanOrEqual(253);
      expect(binding.spec.resource.name).toBe(name);
      for (const value of Object.values(binding.metadata.labels ?? {})) expect(value.length).toBeLessThanOrEqual(63);
      const other = buildBinding({
        template: template({}, { name: `${name.slice(1)}m` }),
        policy: policy("p"),
        present: undefined,
        replicas: undefined,
      });
      expect(other.metadata.name).not.toBe(binding.metadata.name);
    },
  );
});

describe("changes that are marks only", () => {
  test.each([
    ["a claim", template({}, { labels: { app: "web", "propagationpolicy.karmada.io/permanent-id": "x" } }), true],
    ["a generation", template({}, { generation: 7 }), true],
    ["a status", template({ status: { replicas: 1 } }), true],
    ["a user's annotation", template({}, { annotations: { touched: "1" } }), false],
    ["a specification", template({ spec: { replicas: 3 } }), false],
    [
      "the user's label of the control plane",
      template({}, { labels: { app: "web", "namespace.karmada.io/skip-auto-propagation": "true" } }),
      false,
    ],
  ])("%s", (_title, now, expected) => expect(isChangedByMarksOnly(template(), now)).toBe(expected));
});

describe("[DR-41] [DR-42] what is never propagated", () => {
  const kind = (group: string, version: string, name: string) => ({
    group,
    version,
    kind: name,
    resource: "x",
    namespaced: true,
  });
  const isSkipped = compileSkippedApis("cert-manager.io; v1/Pod,Secret ;batch/v1;apps/v1/DaemonSet");
  test.each([
    [kind("policy.karmada.io", "v1alpha1", "OverridePolicy"), true],
    [kind("", "v1", "Event"), true],
    [kind("coordination.k8s.io", "v1", "Lease"), true],
    [kind("search.karmada.io", "v1alpha1", "ResourceRegistry"), false],
    [kind("cert-manager.io", "v1", "Issuer"), true],
    [kind("", "v1", "Secret"), true],
    [kind("", "v1", "secret"), false],
    [kind("batch", "v1", "Job"), true],
    [kind("apps", "v1", "DaemonSet"), true],
    [kind("apps", "v1", "Deployment"), false],
  ])("%o", (of, expected) => expect(isSkipped(of)).toBe(expected));

  test("namespaces by whole names; a bad token or pattern stops the start", () => {
    const skipped = compileSkippedNamespaces(["kube-.*", "dev"]);
    expect(["kube-system", "dev", "karmada-system", "karmada-es-m1", "devel", "default"].map(skipped)).toEqual([
      true,
      true,
      true,
      true,
      false,
      false,
    ]);
    expect(() => compileSkippedApis("a/b/c/d")).toThrow("--skipped-propagating-apis");
    expect(() => compileSkippedNamespaces(["("])).toThrow("--skipped-propagating-namespaces");
  });
});
