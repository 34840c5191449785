import { describe, expect, it } from "vitest";
import type { ResourceInterpreterWebhookConfiguration } from "#apis/karmada";
import type { KubeObject } from "#machinery";
import { createInterpreter, nativeSource } from "../interpreter.ts";
import { createWebhooks, type ServiceAddress, type WebhookCall, type WebhookTrouble } from "./source.ts";
import { addressOf, webhookFor } from "./source.ts";

const object = {
  apiVersion: "example.io/v1",
  kind: "Workload",
  metadata: { name: "w", namespace: "shop" },
  spec: { replicas: 2 },
} as unknown as KubeObject;
const everything = { operations: ["*"], apiGroups: ["example.io"], apiVersions: ["v1"], kinds: ["*"] };
const configuration = (name: string, webhooks: readonly object[]) =>
  ({
    apiVersion: "config.karmada.io/v1alpha1",
    kind: "ResourceInterpreterWebhookConfiguration",
    metadata: { name },
    webhooks,
  }) as unknown as ResourceInterpreterWebhookConfiguration;
const webhook = (name: string, more: object = {}) => ({
  name,
  clientConfig: { url: `https://${name}/interpret` },
  rules: [everything],
  interpreterContextVersions: ["v1alpha1"],
  ...more,
});

/** An interpreter over one webhook that answers with `answer`. */
function asking(answer: (request: Record<string, unknown>) => unknown, status = 200) {
  const calls: WebhookCall[] = [];
  const troubles: WebhookTrouble[] = [];
  let nowMs = 0;
  const webhooks = createWebhooks({
    post(call) {
      calls.push(call);
      const { request } = JSON.parse(call.body) as { request: Record<string, unknown> };
      const body = answer(request);
      if (body instanceof Error) return Promise.reject(body);
      return Promise.resolve({ status, text: typeof body === "string" ? body : JSON.stringify({ response: body }) });
    },
    serviceOf: () => Promise.resolve(undefined),
    uuid: () => "1",
    now: () => nowMs,
    onTrouble: (trouble) => troubles.push(trouble),
  });
  webhooks.set([configuration("c", [webhook("a.example.io", { timeoutSeconds: 3 })])]);
  return {
    interpreter: createInterpreter([webhooks.source, nativeSource]),
    webhooks,
    calls,
    troubles,
    pass: (ms: number) => (nowMs += ms),
  };
}
const good = (more: object) => ({ uid: "1", successful: true, ...more });
const patch = (operations: unknown) => Buffer.from(JSON.stringify(operations)).toString("base64");

describe("a webhook interpreter", () => {
  it("is asked in the words of the protocol, once a question, within its time", async () => {
    const { interpreter, calls } = asking(({ operation }) =>
      operation === "InterpretReplica"
        ? good({ replicas: 4, replicaRequirements: { resourceRequest: { cpu: "1" } } })
        : good({ healthy: true }),
    );
    const found = await interpreter.ask((asked) => ({
      replicas: asked.replicas(object),
      again: asked.replicas(object),
      health: asked.health(object),
    }));
    expect(found).toMatchObject({
      replicas: { replica: 4, requirements: { resourceRequest: { cpu: "1" } } },
      again: { replica: 4 },
      health: true,
    });
    expect(calls).toHaveLength(2);
    expect(calls[0]).toMatchObject({ url: "https://a.example.io/interpret", timeoutMs: 3_000 });
    expect(JSON.parse(calls[0]?.body ?? "")).toEqual({
      kind: "ResourceInterpreterContext",
      apiVersion: "config.karmada.io/v1alpha1",
      request: {
        uid: "1",
        kind: { group: "example.io", version: "v1", kind: "Workload" },
        name: "w",
        namespace: "shop",
        operation: "InterpretReplica",
        object,
        replicas: 0,
      },
    });
  });

  it("changes objects by patches; without one the object stays", async () => {
    const revise = asking(({ replicas }) =>
      good({ patchType: "JSONPatch", patch: patch([{ op: "replace", path: "/spec/replicas", value: replicas }]) }),
    ).interpreter;
    expect(await revise.ask((asked) => asked.revise(object, 7))).toMatchObject({ spec: { replicas: 7 } });
    expect(await asking(() => good({})).interpreter.ask((asked) => asked.retain(object, object))).toEqual(object);
    const items = [{ clusterName: "m1", status: { ready: 1 } }];
    const { interpreter, calls } = asking(() =>
      good({ patchType: "JSONPatch", patch: patch([{ op: "add", path: "/status", value: { ready: 1 } }]) }),
    );
    expect(await interpreter.ask((asked) => asked.aggregate(object, items))).toEqual({ ready: 1 });
    expect(JSON.parse(calls[0]?.body ?? "").request.aggregatedStatus).toEqual(items);
  });

  it.each<[string, unknown, number, string]>([
    [
      "says no",
      { uid: "1", successful: false, status: { code: 403, message: "never" } },
      200,
      "webhook call failed, get status code: 403, msg: never",
    ],
    ["says no without a reason", { uid: "1", successful: false }, 200, "require response.status"],
    ["answers for another", { uid: "2", successful: true }, 200, 'expected response.uid "1", got "2"'],
    ["forgets the answer", { uid: "1", successful: true }, 200, "nil response.replicas"],
    ["answers no JSON", "<html>", 200, "the answer is not JSON"],
    ["answers 404", {}, 404, "the server answered 404"],
    ["answers a text for a number", good({ replicas: "3" }), 200, "nil response.replicas"],
  ])("that %s fails the operation", async (_what, answer, status, message) => {
    await expect(asking(() => answer, status).interpreter.ask((asked) => asked.replicas(object))).rejects.toThrow(
      message,
    );
  });

  const replaceAll = [{ op: "replace", path: "", value: 3 }];
  it.each<[string, object, string]>([
    ["without a type", { patch: patch([]) }, "nil response.patchType"],
    ["with a type alone", { patchType: "JSONPatch" }, "nil response.patch"],
    [
      "of a type nobody knows",
      { patch: patch([]), patchType: "MergePatch" },
      'invalid response.patchType of "MergePatch"',
    ],
    ["that is no base64 of JSON", { patch: "%%%", patchType: "JSONPatch" }, "no base64 of JSON"],
    ["that is no list", { patch: patch({}), patchType: "JSONPatch" }, "must be a list of operations"],
    ["that does not apply", { patch: patch([{ op: "remove", path: "/x/y" }]), patchType: "JSONPatch" }, "missing"],
    ["that leaves a number", { patch: patch(replaceAll), patchType: "JSONPatch" }, "leaves no object"],
    [
      "that takes the metadata",
      { patch: patch([{ op: "remove", path: "/metadata" }]), patchType: "JSONPatch" },
      "ReviseReplica leaves no object: metadata is missing",
    ],
    [
      "that takes the kind",
      { patch: patch([{ op: "replace", path: "/kind", value: "" }]), patchType: "JSONPatch" },
      "ReviseReplica leaves no object: kind is missing",
    ],
  ])("a patch %s fails the operation", async (_what, answer, message) => {
    await expect(asking(() => good(answer)).interpreter.ask((asked) => asked.revise(object, 3))).rejects.toThrow(
      message,
    );
  });

  it("that cannot be reached is left alone after some failures, and tried again", async () => {
    let isUp = false;
    const { interpreter, calls, troubles, pass } = asking(() =>
      isUp ? good({ healthy: true }) : new Error("refused"),
    );
    const health = () => interpreter.ask((asked) => asked.health(object));
    for (let at = 0; at < 5; at++) await expect(health()).rejects.toThrow('calling webhook "a.example.io": refused');
    await expect(health()).rejects.toThrow("left alone for a while");
    expect(calls).toHaveLength(5);
    isUp = true;
    pass(1_000);
    expect(await health()).toBe(true);
    expect(troubles.map(({ pauseMs }) => pauseMs)).toEqual([1_000, 0]);
  });

  it("leaves kinds alone that no rule names, and stands behind nothing when it is gone", () => {
    const { interpreter, webhooks } = asking(() => good({}));
    expect(interpreter.hasHook({ apiVersion: "v1", kind: "ConfigMap" }, "InterpretHealth")).toBe(false);
    expect(interpreter.hasHook(object, "InterpretComponent")).toBe(true);
    expect(() => interpreter.health(object)).toThrow("ask for it");
    webhooks.set([]);
    expect(interpreter.hasHook(object, "InterpretComponent")).toBe(false);
  });
});

describe("which webhook answers, and where it is", () => {
  it("is the first by configuration and name among those whose rules match", () => {
    const none = { ...everything, kinds: ["Other"] };
    const all = [
      configuration("b", [webhook("a.io")]),
      configuration("a", [
        webhook("z.io"),
        webhook("c.io", { rules: [none] }),
        webhook("m.io", { rules: [{ ...everything, operations: ["Retain"] }] }),
      ]),
    ];
    expect(webhookFor(all, "example.io/v1", "Workload", "InterpretHealth")?.key).toBe("a/z.io");
    expect(webhookFor(all, "example.io/v1", "Workload", "Retain")?.key).toBe("a/m.io");
    expect(webhookFor(all, "example.io/v2", "Workload", "Retain")).toBeUndefined();
  });

  it.each<[string, ServiceAddress | undefined, string]>([
    ["a cluster IP", { type: "ClusterIP", clusterIP: "10.0.0.7", ports: [8443] }, "https://10.0.0.7:8443/in"],
    ["IPv6", { clusterIP: "fd00::1", ports: [8443] }, "https://[fd00::1]:8443/in"],
    ["an external name", { type: "ExternalName", externalName: "host.io", ports: [] }, "https://host.io:8443/in"],
    ["no such service", undefined, "https://hook.ops.svc:8443/in"],
    ["a headless service", { clusterIP: "None", ports: [8443] }, "without a cluster IP"],
    ["another port", { clusterIP: "10.0.0.7", ports: [80] }, "no service port 8443 found"],
  ])("a service reference with %s", async (_what, service, expected) => {
    const found = addressOf({ service: { name: "hook", namespace: "ops", port: 8443, path: "/in" } }, () =>
      Promise.resolve(service),
    );
    if (expected.startsWith("https")) expect(await found).toEqual({ url: expected, serverName: "hook.ops.svc" });
    else await expect(found).rejects.toThrow(expected);
  });
});
