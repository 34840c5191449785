import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import { systemClock } from "#base";
import { createCertificateAuthority } from "#certs";
import { type ApiError, getPath, type KubeObject } from "#machinery";
import { createTestServer, eventually, type TestServer, watchInto } from "#testing";

interface Review {
  readonly request: {
    readonly uid: string;
    readonly desiredAPIVersion: string;
    readonly objects: readonly KubeObject[];
  };
}

/** v1 says `spec.size`, v2 says `spec.width` and `spec.height` of the same. */
function converted(object: KubeObject, apiVersion: string): object {
  const spec = (getPath(object, "spec") ?? {}) as Readonly<Record<string, unknown>>;
  if (apiVersion.endsWith("/v2")) {
    const [width, height] = String(spec["size"]).split("x").map(Number);
    return { ...object, apiVersion, spec: { width, height } };
  }
  return { ...object, apiVersion, spec: { size: `${String(spec["width"])}x${String(spec["height"])}` } };
}
const wellBehaved = ({ request }: Review): unknown => ({
  apiVersion: "apiextensions.k8s.io/v1",
  kind: "ConversionReview",
  response: {
    uid: request.uid,
    result: { status: "Success" },
    convertedObjects: request.objects.map((object) => converted(object, request.desiredAPIVersion)),
  },
});

let hook: Server;
let config: object;
let calls = 0;
let answer: (review: Review) => unknown = wellBehaved;
beforeAll(async () => {
  const authority = await createCertificateAuthority("webhooks");
  const pair = await authority.issueServer("webhook", ["127.0.0.1"]);
  hook = createServer({ cert: pair.certificate, key: pair.key }, (request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      calls++;
      response.end(JSON.stringify(answer(JSON.parse(Buffer.concat(chunks).toString()) as Review)));
    });
  });
  await new Promise<void>((resolve) => hook.listen(0, "127.0.0.1", resolve));
  config = {
    url: `https://127.0.0.1:${(hook.address() as AddressInfo).port}/convert`,
    caBundle: Buffer.from(authority.certificate).toString("base64"),
  };
});
afterAll(() => {
  hook.closeAllConnections();
  hook.close();
});

let server: TestServer;
beforeEach(async () => {
  answer = wellBehaved;
  server = await createTestServer({ clock: systemClock });
  const version = (name: string, properties: object) => ({
    name,
    served: true,
    storage: name === "v1",
    schema: { openAPIV3Schema: { type: "object", properties: { spec: { type: "object", properties } } } },
  });
  await server.send("create", "apiextensions.k8s.io/v1/customresourcedefinitions", {
    body: {
      apiVersion: "apiextensions.k8s.io/v1",
      kind: "CustomResourceDefinition",
      metadata: { name: "boxes.example.com" },
      spec: {
        group: "example.com",
        scope: "Namespaced",
        names: { plural: "boxes", kind: "Box" },
        versions: [
          version("v1", { size: { type: "string" } }),
          version("v2", { width: { type: "integer" }, height: { type: "integer" } }),
        ],
        conversion: { strategy: "Webhook", webhook: { clientConfig: config, conversionReviewVersions: ["v1"] } },
      },
    },
  });
  await eventually(() => expect(server.server.registry.find("example.com", "v2", "boxes")).toBeDefined());
});

const at = { namespace: "default" };
const box = (name: string, spec: object, version = "v1") => ({
  ...at,
  body: { apiVersion: `example.com/${version}`, kind: "Box", metadata: { name }, spec } as unknown as KubeObject,
});
const send = (verb: "create" | "get" | "update" | "delete", version: string, rest: object) =>
  server.send(verb, `example.com/${version}/boxes`, { ...at, ...rest });
const specOf = (object: KubeObject) => getPath(object, "spec");

it("shows and stores every object in the version that is asked for, and asks once for what is read often", async () => {
  expect(specOf(await send("create", "v2", box("a", { width: 2, height: 3 }, "v2")))).toEqual({ width: 2, height: 3 });
  expect(specOf(await send("get", "v1", { name: "a" }))).toEqual({ size: "2x3" });
  await send("create", "v1", box("b", { size: "4x5" }));
  const list = () => server.inside.list({ group: "example.com", version: "v2", resource: "boxes", ...at });
  expect((await list()).items.map(specOf)).toEqual([
    { width: 2, height: 3 },
    { width: 4, height: 5 },
  ]);
  const before = calls;
  await list();
  expect(calls).toBe(before);
  const present = await send("get", "v2", { name: "b" });
  const changed = await send("update", "v2", { name: "b", body: { ...present, spec: { width: 9, height: 9 } } });
  expect(specOf(changed)).toEqual({ width: 9, height: 9 });
  expect(changed.metadata.generation).toBe(2);
  expect(specOf(await send("get", "v1", { name: "b" }))).toEqual({ size: "9x9" });
});

it("keeps watches in order, the present state first", async () => {
  await send("create", "v1", box("a", { size: "1x1" }));
  const watch = watchInto(server, "example.com/v2/boxes", at);
  await eventually(() => expect(watch.seen).toEqual(["ADDED a"]));
  for (const name of ["b", "c", "d"]) await send("create", "v1", box(name, { size: "2x2" }));
  await send("delete", "v1", { name: "b" });
  await eventually(() => expect(watch.seen).toEqual(["ADDED a", "ADDED b", "ADDED c", "ADDED d", "DELETED b"]));
  expect(watch.objects.every((object) => object.apiVersion === "example.com/v2")).toBe(true);
  expect(watch.objects.map(specOf)[1]).toEqual({ width: 2, height: 2 });
  watch.stop();
});

it.each<[string, (review: Review) => unknown, RegExp]>([
  [
    "says no",
    ({ request }) => ({
      kind: "ConversionReview",
      response: { uid: request.uid, result: { status: "Failed", message: "not today" } },
    }),
    /^conversion webhook for example\.com\/v1, Kind=Box failed: not today$/,
  ],
  ["answers something else", () => ({ kind: "Pod" }), /expected a ConversionReview with a response/],
  [
    "answers another request",
    () => ({ kind: "ConversionReview", response: { uid: "x", result: { status: "Success" } } }),
    /expected response\.uid=/,
  ],
  [
    "forgets objects",
    ({ request }) => ({
      kind: "ConversionReview",
      response: { uid: request.uid, result: { status: "Success" }, convertedObjects: [] },
    }),
    /returned 0 objects, expected 1/,
  ],
  [
    "changes the name",
    ({ request }) => ({
      kind: "ConversionReview",
      response: {
        uid: request.uid,
        result: { status: "Success" },
        convertedObjects: request.objects.map((object) => ({
          ...converted(object, request.desiredAPIVersion),
          metadata: { ...object.metadata, name: "other" },
        })),
      },
    }),
    /returned invalid object: must have the same name: /,
  ],
  [
    "gives another version",
    ({ request }) => ({
      kind: "ConversionReview",
      response: { uid: request.uid, result: { status: "Success" }, convertedObjects: request.objects },
    }),
    /invalid groupVersion \(expected example\.com\/v2, received example\.com\/v1\)/,
  ],
])("a webhook that %s is named, and nothing is guessed", async (_title, broken, wanted) => {
  await send("create", "v1", box("a", { size: "1x1" }));
  answer = broken;
  const error = await send("get", "v2", { name: "a" }).then(
    () => undefined,
    (found: ApiError) => found,
  );
  expect(error?.code).toBe(500);
  expect(error?.message).toMatch(wanted);
  expect(specOf(await send("get", "v1", { name: "a" })), "the stored version needs no webhook").toEqual({
    size: "1x1",
  });
});

it("a broken webhook does not keep a CRD from being deleted", async () => {
  await send("create", "v1", box("a", { size: "1x1" }));
  answer = () => "broken";
  await server.send("delete", "apiextensions.k8s.io/v1/customresourcedefinitions", { name: "boxes.example.com" });
  await eventually(() => expect(server.server.registry.find("example.com", "v1", "boxes")).toBeUndefined(), 5_000);
});
