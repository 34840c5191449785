import { describe, expect, it } from "vitest";
import {
  autoPolicyName,
  bindingName,
  bindingReferenceKey,
  clusterOfExecutionNamespace,
  executionNamespace,
  workName,
} from "./naming.ts";

describe("names", () => {
  it.each([
    ["Deployment", "nginx", "default", "nginx-687f7fb96f"],
    ["Service", "nginx", "default", "nginx-64b7849b5"],
    ["Namespace", "demo", "", "demo-6654f4c4f6"],
    ["ClusterRole", "system:Tom", "", "system.tom-84f4c7868f"],
    ["ResourceQuota", "team", "prod", "team-679d5f4ff9"],
    ["MultiClusterService", "web", "default", "web-6fd7dbb9c6"],
    ["CustomResourceDefinition", "foos.example.io", "", "foos.example.io-8695575659"],
  ])("a Work for the %s %s in namespace %j is called %s", (kind, name, namespace, expected) => {
    expect(workName(kind, name, namespace)).toBe(expected);
  });

  it("a binding is called after name and kind", () => {
    expect(bindingName("Deployment", "nginx")).toBe("nginx-deployment");
    expect(bindingName("ClusterRole", "system::tom")).toBe("system..tom-clusterrole");
  });

  it("a binding is referred to by a hash of its key", () => {
    expect(bindingReferenceKey("default", "nginx-deployment")).toBe("5bdc5c4dcf");
    expect(bindingReferenceKey("prod", "web-statefulset")).toBe("759478f564");
  });

  it("a policy made for one object carries a hash of it", () => {
    expect(autoPolicyName("default", "nginx", "apps/v1", "Deployment")).toBe("nginx-6d7f8d5f5b");
  });

  it("an execution namespace tells its cluster", () => {
    expect(executionNamespace("m1")).toBe("karmada-es-m1");
    expect(clusterOfExecutionNamespace("karmada-es-m1")).toBe("m1");
    expect(clusterOfExecutionNamespace("default")).toBeUndefined();
  });
});

describe("[DR-43] [DR-44] names of any length Kubernetes allows", () => {
  const long = `${"a".repeat(238)}.${"b".repeat(14)}`;

  it("give names that fit", () => {
    expect(long).toHaveLength(253);
    for (const name of [
      bindingName("CustomResourceDefinition", long),
      workName("Deployment", long, "default"),
      autoPolicyName("default", long, "apps/v1", "Deployment"),
    ]) {
      expect(name.length).toBeLessThanOrEqual(253);
      expect(name).toMatch(/^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/);
    }
  });

  it("stay apart when only their ends differ", () => {
    const other = `${long.slice(0, -1)}c`;
    expect(bindingName("Deployment", long)).not.toBe(bindingName("Deployment", other));
    expect(workName("Deployment", long, "default")).not.toBe(workName("Deployment", other, "default"));
  });

  it("are never cut behind a dot", () => {
    for (let length = 236; length < 248; length += 1)
      expect(workName("Deployment", `${"a".repeat(length)}.${"b".repeat(252 - length)}`, "default")).not.toMatch(
        /[.-]-/,
      );
  });
});
