import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { systemUser } from "#apiserver";
import type { Fleet } from "#controlplane";
import type { SimulatedMember } from "#simulator";
import { eventually, hasKubectl, kubectl, startTestFleet } from "#testing";

let fleet: Fleet;
let admin = "";
let proxy = "";
const one = async (...words: readonly string[]) => kubectl(admin, ["--server", proxy, ...words]);

beforeAll(async () => {
  fleet = await startTestFleet(["member1", "member2"]);
  admin = fleet.kubeconfigs.get("flotilla") ?? "";
  proxy = `https://127.0.0.1:${fleet.listener.port}/apis/cluster.karmada.io/v1alpha1/clusters/member1/proxy`;
});
afterAll(() => fleet.stop());

const WORKS = ["get", "works", "-n", "karmada-es-member1", "-o", "jsonpath={.items[*].metadata.generation}"];

describe.skipIf(!hasKubectl())("kubectl through the cluster proxy (skipped without kubectl)", () => {
  test("UA-4 a user gets into a member when the control plane and the member let them in", async () => {
    const raw = "/apis/cluster.karmada.io/v1alpha1/clusters/member1/proxy/api/v1/nodes";
    await expect(kubectl(admin, ["get", "--as", "alice", "--raw", raw])).rejects.toThrow(
      /User "alice" cannot get resource "clusters\/proxy"/,
    );
    await kubectl(admin, [
      "create",
      "clusterrole",
      "proxy",
      "--verb=*",
      "--resource=clusters.cluster.karmada.io/proxy",
    ]);
    await kubectl(admin, ["create", "clusterrolebinding", "proxy", "--clusterrole=proxy", "--user=alice"]);
    // Impersonation reaches the member a moment later; until then the member itself refuses.
    await eventually(async () => {
      await expect(kubectl(admin, ["get", "--as", "alice", "--raw", raw])).rejects.toThrow(
        /User "alice" cannot list resource "nodes"/,
      );
      return true;
    });
    await one("create", "clusterrolebinding", "alice", "--clusterrole=view", "--user=alice");
    await one("create", "configmap", "here", "--from-literal=a=b");
    expect(await one("get", "configmap", "here", "--as", "alice", "-o", "jsonpath={.data.a}")).toBe("b");
    const events = await kubectl(admin, ["get", "events", "--field-selector", "reason=SyncImpersonationConfigSucceed"]);
    expect(events).toContain("Sync impersonation config succeed.");
    // Passes that change nothing write nothing.
    const version = await kubectl(admin, WORKS);
    await kubectl(admin, ["label", "cluster", "member1", "a=b"]);
    await kubectl(admin, ["label", "clusterrole", "proxy", "a=b"]);
    expect(await kubectl(admin, WORKS)).toBe(version);
  });

  test("[GF-47] workloads of members are made, watched and removed through it", async () => {
    await one("create", "deployment", "web", "--image=nginx");
    await one("rollout", "status", "deployment/web", "--timeout=20s");
    expect(await one("get", "pods", "-l", "app=web")).toMatch(/web-\S+ +1\/1 +Running/);
    expect(await one("logs", "deployment/web")).toMatch(
      /^container nginx of pod web-\S+ started on node member1-node-\d/,
    );
    expect(await one("logs", "deployment/web", "--timestamps", "--tail=1")).toMatch(/^\d{4}-\d\d-\d\dT\S+Z container/);
    expect(await one("logs", "deployment/web", "--tail=0")).toBe("");
    const name = (await one("get", "pods", "-l", "app=web", "-o", "name")).trim();
    await expect(one("logs", name, "-c", "other")).rejects.toThrow(/container other is not valid for pod web-/);
    await expect(one("logs", name, "--previous")).rejects.toThrow(/previous terminated container "nginx" in pod/);
    await expect(one("logs", "pod/none")).rejects.toThrow(/pods "none" not found/);
    expect(await one("exec", name, "--", "echo", "hello", "there")).toBe("hello there\n");
    expect(await one("exec", name, "--", "hostname")).toBe(`${name.slice("pod/".length)}\n`);
    expect(await kubectl(admin, ["--server", proxy, "exec", "-i", name, "--", "cat"], "through\n")).toBe("through\n");
    await expect(one("exec", name, "--", "ls")).rejects.toThrow(/"ls": executable file not found[\s\S]*exit code 127/);
    // Following ends when the pod goes.
    const followed = await (fleet.members.get("member1") as SimulatedMember).api.front.handle({
      method: "GET",
      url: `/api/v1/namespaces/default/pods/${name.slice("pod/".length)}/log?follow=true`,
      headers: {},
      body: () => Promise.resolve(Buffer.alloc(0)),
      trustedUser: systemUser,
    });
    let text = "";
    const ended = new Promise<void>((resolve) => {
      if (followed !== undefined && "stream" in followed)
        followed.start((frame) => {
          text += frame.toString();
        }, resolve);
    });
    await one("delete", "deployment", "web");
    await ended;
    expect(text).toContain("container nginx of pod");
  });
});
