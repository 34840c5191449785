import { describe, expect, it } from "vitest";
import { seededRandom, systemClock } from "#base";
import { loadPki } from "#certs";
import { createClient } from "#client";
import type { KubeObject } from "#machinery";
import { startTestApiServer } from "#testing";
import { karmadaAdmission } from "../index.ts";
import { webhookConfigurations } from "./configurations.ts";
import { answerWebhook } from "./review.ts";
import { webhookRoutes } from "./routes.ts";

const plugins = karmadaAdmission(seededRandom(1), {
  client: () => {
    throw new Error("nothing here reads other objects");
  },
  clock: systemClock,
});

const policy = (spec: object) => ({
  apiVersion: "policy.karmada.io/v1alpha1",
  kind: "PropagationPolicy",
  metadata: { name: "p", namespace: "default" },
  spec,
});
const selectors = [{ apiVersion: "apps/v1", kind: "Deployment" }];
const review = (object: object, more: object = {}) => ({
  apiVersion: "admission.k8s.io/v1",
  kind: "AdmissionReview",
  request: {
    uid: "u-1",
    operation: "CREATE",
    kind: { group: "policy.karmada.io", version: "v1alpha1", kind: "PropagationPolicy" },
    resource: { group: "policy.karmada.io", version: "v1alpha1", resource: "propagationpolicies" },
    namespace: "default",
    name: "p",
    userInfo: { username: "jane", groups: [] },
    object,
    ...more,
  },
});

describe("webhooks for a foreign API server", () => {
  it("are the 22 of Karmada, each with a path of its own, accepted by an API server", async () => {
    expect(webhookRoutes).toHaveLength(22);
    expect(new Set(webhookRoutes.map(({ path }) => path)).size).toBe(22);
    const server = await startTestApiServer();
    const authority = (await loadPki(undefined)).authority.certificate;
    try {
      const client = createClient(server.transport());
      for (const configuration of webhookConfigurations({ url: "https://flotilla.test:8443", authority })) {
        const kind = server.server.registry.findKind("admissionregistration.k8s.io", "v1", configuration.kind)?.kind;
        if (kind === undefined) throw new Error(configuration.kind);
        await client.create(kind, configuration, { fieldValidation: "Strict" });
      }
    } finally {
      server.stop();
    }
  });

  it("fill in what is missing, as a patch", async () => {
    const { status, body } = await answerWebhook(
      plugins,
      "/mutate-propagationpolicy",
      review(policy({ resourceSelectors: selectors })),
    );
    expect(status).toBe(200);
    const { response } = body as {
      readonly response: { readonly uid: string; readonly allowed: boolean; readonly patch: string };
    };
    expect(response).toMatchObject({ uid: "u-1", allowed: true, patchType: "JSONPatch" });
    const patch = JSON.parse(Buffer.from(response.patch, "base64").toString()) as readonly KubeObject[];
    expect(patch).toMatchObject([
      {
        op: "replace",
        path: "/metadata",
        value: { name: "p", finalizers: ["karmada.io/propagation-policy-controller"] },
      },
      { op: "replace", path: "/spec", value: { resourceSelectors: [{ namespace: "default" }] } },
    ]);
  });

  it.each([
    [
      "a policy without its id",
      "/validate-propagationpolicy",
      review(policy({ resourceSelectors: selectors })),
      403,
      "label propagationpolicy.karmada.io/permanent-id is required, it should be set by the mutating admission webhook during creation",
    ],
    [
      "the deletion of what is protected",
      "/validate-resourcedeletionprotection",
      review(undefined as never, {
        operation: "DELETE",
        oldObject: { metadata: { name: "p", labels: { "resourcetemplate.karmada.io/deletion-protected": "Always" } } },
      }),
      403,
      "This resource is protected, please make sure to remove the label: resourcetemplate.karmada.io/deletion-protected",
    ],
    [
      "a request without an object",
      "/validate-propagationpolicy",
      review(undefined as never),
      400,
      "the request holds no object",
    ],
  ])("refuse %s, without their own name in front", async (_, path, body, code, message) => {
    const answer = await answerWebhook(plugins, path, body);
    expect(answer).toMatchObject({ status: 200, body: { response: { allowed: false, status: { code, message } } } });
  });

  it("convert bindings, and say which they cannot", async () => {
    const binding = {
      apiVersion: "work.karmada.io/v1alpha2",
      kind: "ResourceBinding",
      metadata: { name: "web-deployment", namespace: "default" },
      spec: { resource: { apiVersion: "apps/v1", kind: "Deployment", name: "web" }, replicas: 3 },
    };
    const convert = (desiredAPIVersion: string, object: object) =>
      answerWebhook(plugins, "/convert", {
        apiVersion: "apiextensions.k8s.io/v1",
        kind: "ConversionReview",
        request: { uid: "u-2", desiredAPIVersion, objects: [object] },
      });
    expect(await convert("work.karmada.io/v1alpha1", binding)).toMatchObject({
      body: {
        response: {
          uid: "u-2",
          result: { status: "Success" },
          convertedObjects: [
            { apiVersion: "work.karmada.io/v1alpha1", spec: { resource: { name: "web", replicas: 3 } } },
          ],
        },
      },
    });
    expect(await convert("work.karmada.io/v1", binding)).toMatchObject({
      body: { response: { result: { status: "Failure", message: "there is no version work.karmada.io/v1" } } },
    });
  });

  it.each([
    ["/readyz", undefined, 200],
    ["/mutate-nothing", review(policy({})), 404],
    ["/mutate-work", "no object", 400],
  ])("answer %s with %j by %i", async (path, body, status) => {
    expect((await answerWebhook(plugins, path, body)).status).toBe(status);
  });
});
