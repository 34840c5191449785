/** Interpretation end to end: what users say of kinds nobody else knows, in Lua, over webhooks and in modules. */
import { createServer, type Server } from "node:https";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CustomResourceDefinition, Event } from "#apis/kubernetes";
import {
  Cluster,
  PropagationPolicy,
  ResourceBinding,
  ResourceInterpreterCustomization,
  ResourceInterpreterWebhookConfiguration,
  Work,
} from "#apis/karmada";
import { createCertificateAuthority } from "#certs";
import { type Client, createClient } from "#client";
import type { Fleet } from "#controlplane";
import type { KubeObject, ResourceKind } from "#machinery";
import { eventually, startTestFleet } from "#testing";

const kindOf = (kind: string): ResourceKind => ({
  group: "example.com",
  version: "v1",
  kind,
  resource: `${kind.toLowerCase()}s`,
  namespaced: true,
});
const Widget = kindOf("Widget");
const Gadget = kindOf("Gadget");
const Gizmo = kindOf("Gizmo");
const free = { type: "object", "x-kubernetes-preserve-unknown-fields": true };
const definition = ({ kind, resource, group }: ResourceKind) =>
  ({
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: `${resource}.${group}` },
    spec: {
      group,
      scope: "Namespaced",
      names: { plural: resource, kind },
      versions: [
        {
          name: "v1",
          served: true,
          storage: true,
          subresources: { status: {} },
          schema: { openAPIV3Schema: { type: "object", properties: { spec: free, status: free } } },
        },
      ],
    },
  }) as unknown as CustomResourceDefinition;
const customization = (name: string, scripts: Readonly<Record<string, string>>) =>
  ({
    apiVersion: "config.karmada.io/v1alpha1",
    kind: "ResourceInterpreterCustomization",
    metadata: { name },
    spec: {
      target: { apiVersion: "example.com/v1", kind: "Widget" },
      customizations: Object.fromEntries(Object.entries(scripts).map(([rule, luaScript]) => [rule, { luaScript }])),
    },
  }) as unknown as ResourceInterpreterCustomization;

let fleet: Fleet;
let plane: Client;
let member: Client;
let folder: string;
let hook: Server;
const asked: { operation: string; status: number }[] = [];

/** The webhook of Gadgets: `spec.count` replicas, healthy when `status.ready`. */
async function startHook(): Promise<{ readonly port: number; readonly authority: string }> {
  const authority = await createCertificateAuthority("hook authority");
  const { certificate, key } = await authority.issueServer("hook", ["127.0.0.1", "localhost"]);
  hook = createServer({ cert: certificate, key }, (request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const { request: question } = JSON.parse(Buffer.concat(chunks).toString("utf8"));
      const { uid, operation, object, replicas } = question;
      const patch = (operations: unknown) => ({
        patchType: "JSONPatch",
        patch: Buffer.from(JSON.stringify(operations)).toString("base64"),
      });
      const answers: Readonly<Record<string, () => object>> = {
        InterpretReplica: () => ({ replicas: object.spec.count }),
        ReviseReplica: () => patch([{ op: "replace", path: "/spec/count", value: replicas }]),
        InterpretHealth: () => ({ healthy: object.status?.ready === true }),
      };
      asked.push({ operation, status: 200 });
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify({ response: { uid, successful: true, ...answers[operation]?.() } }));
    });
  });
  await new Promise<void>((resolve) => hook.listen(0, "127.0.0.1", resolve));
  return { port: (hook.address() as AddressInfo).port, authority: authority.certificate };
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "flotilla-plugin-"));
  const plugin = join(folder, "gizmos.mjs");
  writeFileSync(
    plugin,
    `export default { apiVersion: "flotilla.io/interpreter-plugin/v1", name: "Gizmos", kinds: { "example.com/v1/Gizmo": {
      replicas: (gizmo) => ({ replica: gizmo.spec.arms }),
      revise: (gizmo, arms) => ({ ...gizmo, spec: { ...gizmo.spec, arms } }),
    } } };`,
  );
  fleet = await startTestFleet(["member1"], [`--interpreter-plugin=${plugin}`]);
  plane = createClient(fleet.controlPlane.transport);
  member = createClient(fleet.members.get("member1")?.api.transport() as never);
  for (const kind of [Widget, Gadget, Gizmo]) {
    await plane.create(CustomResourceDefinition, definition(kind));
    await member.create(CustomResourceDefinition, definition(kind));
  }
  await eventually(async () =>
    (await plane.get(Cluster, { name: "member1" })).status?.apiEnablements?.some(
      ({ groupVersion }) => groupVersion === "example.com/v1",
    ),
  );
  await plane.create(PropagationPolicy, {
    apiVersion: "policy.karmada.io/v1alpha1",
    kind: "PropagationPolicy",
    metadata: { namespace: "default", name: "things" },
    spec: {
      resourceSelectors: [Widget, Gadget, Gizmo].map(({ kind }) => ({ apiVersion: "example.com/v1", kind })),
      placement: {
        clusterAffinity: { clusterNames: ["member1"] },
        replicaScheduling: { replicaSchedulingType: "Divided", replicaDivisionPreference: "Aggregated" },
      },
    },
  } as unknown as PropagationPolicy);
});
afterAll(async () => {
  await fleet.stop();
  await new Promise<void>((resolve) => (hook === undefined ? resolve() : hook.close(() => resolve())));
  rmSync(folder, { recursive: true, force: true });
});

const make = (kind: ResourceKind, name: string, spec: object) =>
  plane.create(kind, {
    apiVersion: "example.com/v1",
    kind: kind.kind,
    metadata: { namespace: "default", name },
    spec,
  } as unknown as KubeObject);
const at = (name: string) => ({ namespace: "default", name });
const bindingOf = (kind: ResourceKind, name: string) =>
  plane.find(ResourceBinding, at(`${name}-${kind.kind.toLowerCase()}`));
const healthOf = async (kind: ResourceKind, name: string) =>
  (await bindingOf(kind, name))?.status?.aggregatedStatus?.[0]?.health;

describe("customizations in Lua", () => {
  test("[DR-18] [O-5b] [GF-48] say how many replicas, how to set them, what to reflect and what is healthy; changes count at once", async () => {
    await plane.create(
      ResourceInterpreterCustomization,
      customization("widgets", {
        replicaResource: "function GetReplicas(o) return o.spec.size, nil end",
        replicaRevision: "function ReviseReplica(o, n) o.spec.size = n return o end",
        statusReflection: "function ReflectStatus(o) return { ready = o.status and o.status.ready or 0 } end",
        healthInterpretation:
          "function InterpretHealth(o) return o.status ~= nil and o.status.ready == o.spec.size end",
        statusAggregation:
          "function AggregateStatus(o, items) local n = 0 for _, item in ipairs(items) do if item.status then n = n + item.status.ready end end o.status = { ready = n } return o end",
      }),
    );
    await make(Widget, "one", { size: 3, tags: [] });
    await eventually(async () => (await bindingOf(Widget, "one"))?.spec.replicas === 3);
    expect(await eventually(() => member.find(Widget, at("one")))).toMatchObject({ spec: { size: 3, tags: [] } });
    await eventually(async () => (await healthOf(Widget, "one")) === "Unhealthy");
    await member.patch(
      Widget,
      at("one"),
      "application/merge-patch+json",
      { status: { ready: 3 } },
      { subresource: "status" },
    );
    await eventually(async () => (await healthOf(Widget, "one")) === "Healthy");
    await eventually(
      async () => ((await plane.get(Widget, at("one"))) as { status?: { ready?: number } }).status?.ready === 3,
    );
    await plane.patch(ResourceInterpreterCustomization, { name: "widgets" }, "application/merge-patch+json", {
      spec: {
        customizations: { replicaResource: { luaScript: "function GetReplicas(o) return o.spec.size * 2 end" } },
      },
    });
    await plane.patch(Widget, at("one"), "application/merge-patch+json", { spec: { size: 4 } });
    await eventually(async () => (await bindingOf(Widget, "one"))?.spec.replicas === 8);
  });

  test("a script that does not compile or contradicts another is refused; one that loops is stopped and said so", async () => {
    await expect(
      plane.create(ResourceInterpreterCustomization, customization("broken", { retention: "function Retain(" })),
    ).rejects.toThrow(/denied the request: InterpreterOperation\(Retain\) Lua script error: .*'<name>|<eof>/);
    await expect(
      plane.create(
        ResourceInterpreterCustomization,
        customization("rival", { healthInterpretation: "function InterpretHealth(o) return true end" }),
      ),
    ).rejects.toThrow(
      "conflicting with InterpreterOperation(InterpretHealth) of existing ResourceInterpreterCustomization(widgets)",
    );
    await plane.patch(ResourceInterpreterCustomization, { name: "widgets" }, "application/merge-patch+json", {
      spec: {
        customizations: { healthInterpretation: { luaScript: "function InterpretHealth(o) while true do end end" } },
      },
    });
    await make(Widget, "two", { size: 1 });
    await eventually(async () => (await healthOf(Widget, "two")) === "Unknown");
    const events = await eventually(async () => {
      const found = (await plane.list(Event)).items.filter(({ reason }) =>
        ["ScriptStopped", "InterpretHealthFailed"].includes(reason ?? ""),
      );
      return new Set(found.map(({ reason }) => reason)).size === 2 ? found : undefined;
    });
    expect(events.find(({ reason }) => reason === "ScriptStopped")?.message).toContain("context deadline exceeded");
  });
});

test("a webhook answers for its kinds, over HTTPS with its own authority", async () => {
  const { port, authority } = await startHook();
  await plane.create(ResourceInterpreterWebhookConfiguration, {
    apiVersion: "config.karmada.io/v1alpha1",
    kind: "ResourceInterpreterWebhookConfiguration",
    metadata: { name: "gadgets" },
    webhooks: [
      {
        name: "gadgets.example.com",
        clientConfig: {
          url: `https://127.0.0.1:${port}/interpret`,
          caBundle: Buffer.from(authority).toString("base64"),
        },
        rules: [
          {
            operations: ["InterpretReplica", "ReviseReplica", "InterpretHealth"],
            apiGroups: ["example.com"],
            apiVersions: ["v1"],
            kinds: ["Gadget"],
          },
        ],
        timeoutSeconds: 3,
        interpreterContextVersions: ["v1alpha1"],
      },
    ],
  } as unknown as ResourceInterpreterWebhookConfiguration);
  await make(Gadget, "one", { count: 2 });
  await eventually(async () => (await bindingOf(Gadget, "one"))?.spec.replicas === 2);
  expect(await eventually(() => member.find(Gadget, at("one")))).toMatchObject({ spec: { count: 2 } });
  await eventually(async () => (await healthOf(Gadget, "one")) === "Unhealthy");
  await member.patch(
    Gadget,
    at("one"),
    "application/merge-patch+json",
    { status: { ready: true } },
    { subresource: "status" },
  );
  await eventually(async () => (await healthOf(Gadget, "one")) === "Healthy");
  expect(new Set(asked.map(({ operation }) => operation))).toEqual(
    new Set(["InterpretReplica", "ReviseReplica", "InterpretHealth"]),
  );
  // Gone, it fails what it answered for and nothing else.
  hook.closeAllConnections();
  await new Promise<void>((resolve) => hook.close(() => resolve()));
  await make(Gizmo, "one", { arms: 6 });
  await eventually(async () => (await bindingOf(Gizmo, "one"))?.spec.replicas === 6);
  expect(await eventually(() => member.find(Gizmo, at("one")))).toMatchObject({ spec: { arms: 6 } });
  await make(Gadget, "late", { count: 1 });
  await eventually(async () =>
    (await plane.list(Event, { namespace: "default" })).items.some(
      ({ reason, involvedObject, message }) =>
        reason === "ApplyPolicyFailed" &&
        involvedObject?.name === "late" &&
        (message ?? "").includes('calling webhook "gadgets.example.com"'),
    ),
  );
  expect((await plane.list(Work, { namespace: "karmada-es-member1" })).items.length).toBeGreaterThan(2);
});
