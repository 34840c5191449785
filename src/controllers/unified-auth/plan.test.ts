import { describe, expect, test } from "vitest";
import type { ClusterRole, ClusterRoleBinding } from "#apis/kubernetes";
import { planImpersonation, roleGrants } from "./plan.ts";

const role = (name: string, rule: object): ClusterRole =>
  ({ metadata: { name }, rules: [rule] }) as unknown as ClusterRole;
const binding = (roleName: string, ...subjects: readonly string[]): ClusterRoleBinding =>
  ({
    roleRef: { kind: "ClusterRole", name: roleName },
    subjects: subjects.map((text) => ({ kind: text.split("/")[0], name: text.split("/")[1] })),
  }) as unknown as ClusterRoleBinding;

const PROXY = { apiGroups: ["cluster.karmada.io"], resources: ["clusters/proxy"], verbs: ["*"] };

describe("unified auth", () => {
  test.each([
    ["every cluster, by a rule without names", PROXY, true],
    ["a cluster that is named", { ...PROXY, resourceNames: ["m1"] }, true],
    ["another cluster's rule gives nothing", { ...PROXY, resourceNames: ["m2"] }, false],
    ["everything, by stars", { apiGroups: ["*"], resources: ["*"] }, true],
    [
      "the unified endpoint of search, whatever it names",
      { apiGroups: ["search.karmada.io"], resources: ["proxying/proxy"], resourceNames: ["x"] },
      true,
    ],
    ["clusters alone are no way in", { apiGroups: ["cluster.karmada.io"], resources: ["clusters"] }, false],
    ["another group's proxy is none of ours", { apiGroups: [""], resources: ["clusters/proxy"] }, false],
  ])("[UA-2] %s", (_what, rule, isGranted) => {
    expect(roleGrants(role("r", rule), "m1")).toBe(isGranted);
  });

  test("UA-1 UA-3: users, accounts and groups of all granting bindings, sorted and once; other roles count nothing", () => {
    const [clusterRole, clusterRoleBinding] = planImpersonation(
      "m1",
      "karmada-cluster",
      [role("in", PROXY), role("out", { apiGroups: [""], resources: ["pods"] })],
      [
        binding("in", "User/zoe", "User/adam", "Group/devs"),
        binding("in", "ServiceAccount/bot", "User/zoe"),
        binding("out", "User/eve"),
      ],
    );
    expect(clusterRole).toMatchObject({
      kind: "ClusterRole",
      metadata: { name: "karmada-impersonator", labels: { "karmada.io/system": "true" } },
      rules: [
        { resources: ["users"], resourceNames: ["adam", "zoe"], verbs: ["impersonate"], apiGroups: [""] },
        { resources: ["serviceaccounts"], resourceNames: ["bot"] },
        { resources: ["groups"], resourceNames: ["devs"] },
      ],
    });
    expect(clusterRoleBinding).toMatchObject({
      subjects: [{ kind: "ServiceAccount", name: "karmada-impersonator", namespace: "karmada-cluster" }],
      roleRef: { kind: "ClusterRole", name: "karmada-impersonator" },
    });
    expect(planImpersonation("m1", "n", [], [])[0]).toMatchObject({ rules: [] });
  });
});
