import { gunzipSync } from "node:zlib";
import { connect } from "node:http2";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import protobuf from "protobufjs/minimal.js";
import { loadPki, type Pki } from "#certs";
import type { RunningApiServer } from "#apiserver";
import type { KubeList, ResourceRequest } from "#machinery";
import { startTestApiServer } from "#testing";
import { decodeProtobuf, encodeProtobuf } from "../protobuf/codec.ts";

const { Reader } = protobuf;
const OLD_SCHEMAS = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";

/** Fields of a message: by number, what stands in each. */
function fieldsOf(bytes: Uint8Array): Map<number, Uint8Array[]> {
  const reader = Reader.create(bytes);
  const fields = new Map<number, Uint8Array[]>();
  while (reader.pos < bytes.length) {
    const tag = reader.uint32();
    if ((tag & 7) !== 2) {
      reader.skipType(tag & 7);
      continue;
    }
    const list = fields.get(tag >>> 3) ?? [];
    list.push(reader.bytes());
    fields.set(tag >>> 3, list);
  }
  return fields;
}
const dataOf = (rest: object) => (rest as { readonly data: Readonly<Record<string, string>> }).data;
const textOf = (bytes: Uint8Array | undefined) => Buffer.from(bytes ?? []).toString("utf8");

describe("forms of answers over HTTPS", () => {
  let pki: Pki;
  let api: RunningApiServer;
  let listener: Awaited<ReturnType<RunningApiServer["listen"]>>;
  let serving: Omit<Parameters<RunningApiServer["listen"]>[0], "port">;
  let client: { readonly ca: string; readonly cert: string; readonly key: string };

  beforeAll(async () => {
    pki = await loadPki(undefined);
    api = await startTestApiServer({ serviceAccountKeys: pki.serviceAccount });
    serving = {
      host: "127.0.0.1",
      certificate: pki.server.certificate,
      key: pki.server.key,
      clientAuthority: pki.authority.certificate,
    };
    client = { ca: pki.authority.certificate, cert: pki.admin.certificate, key: pki.admin.key };
    listener = await api.listen({ ...serving, port: 0 });
  });
  afterAll(async () => {
    await listener.close();
    api.stop();
  });

  const get = (path: string, headers: Readonly<Record<string, string>> = {}) =>
    new Promise<{ status: number; headers: Record<string, unknown>; body: Buffer }>((resolve, reject) => {
      const session = connect(`https://127.0.0.1:${listener.port}`, client);
      session.on("error", reject);
      const stream = session.request({ ":path": path, ...headers });
      const chunks: Buffer[] = [];
      let answered: Record<string, unknown> = {};
      stream.on("response", (given) => {
        answered = given;
      });
      stream.on("data", (chunk: Buffer) => chunks.push(chunk));
      stream.on("error", reject);
      stream.on("end", () => {
        session.close();
        resolve({ status: Number(answered[":status"]), headers: answered, body: Buffer.concat(chunks) });
      });
    });

  test("HTTP/2 is spoken over TLS, and long answers are packed for who can unpack them", async () => {
    const plain = await get("/apis/apps/v1");
    expect(plain.status).toBe(200);
    expect(plain.headers["content-encoding"]).toBeUndefined();
    const long = await get("/openapi/v2", { "accept-encoding": "gzip" });
    expect(long.headers["content-encoding"]).toBe("gzip");
    expect(JSON.parse(gunzipSync(long.body).toString("utf8"))).toMatchObject({ swagger: "2.0" });
  });

  test("a long list is made in pieces as it is taken: of one revision, packed or not, and not for who has gone", async () => {
    const maps = "/api/v1/namespaces/default/configmaps";
    const names = Array.from({ length: 40 }, (_, number) => `long-${number}`).sort();
    const write = (verb: "create" | "update", name: string, letter: string) =>
      api.transport().send({
        verb,
        group: "",
        version: "v1",
        resource: "configmaps",
        namespace: "default",
        ...(verb === "create" ? {} : { name }),
        body: {
          apiVersion: "v1",
          kind: "ConfigMap",
          metadata: { name },
          data: { long: letter.repeat(50_000), short: "ü…" },
        },
      } as ResourceRequest);
    for (const name of names) await write("create", name, "a");
    const shown = (body: Buffer) =>
      (JSON.parse(body.toString("utf8")) as KubeList).items
        .filter(({ metadata }) => metadata.name?.startsWith("long-"))
        .map(({ metadata, ...rest }) => [metadata.name, dataOf(rest)["long"]?.[0], (rest as { kind?: string }).kind]);
    const before = names.map((name) => [name, "a", undefined]);
    const plain = await get(maps);
    expect(plain.headers["content-encoding"]).toBeUndefined();
    expect(shown(plain.body)).toEqual(before);
    const packed = await get(maps, { "accept-encoding": "gzip" });
    expect(packed.headers["content-encoding"]).toBe("gzip");
    expect(gunzipSync(packed.body).equals(plain.body)).toBe(true);

    const answer = await api.front.handle({
      method: "GET",
      url: maps,
      headers: {},
      body: () => Promise.resolve(Buffer.alloc(0)),
      trustedUser: { name: "admin", groups: ["system:masters"] },
    });
    const pieces = ("pieces" in answer ? answer.pieces : [])[Symbol.iterator]();
    const taken = [pieces.next().value as Buffer];
    expect(taken[0]?.length).toBeLessThan(plain.body.length / 4);
    for (const name of names) await write("update", name, "b");
    for (let next = pieces.next(); next.done !== true; next = pieces.next()) taken.push(next.value);
    expect(shown(Buffer.concat(taken))).toEqual(before);
    expect(shown((await get(maps)).body)).toEqual(names.map((name) => [name, "b", undefined]));

    // Whoever takes one kilobyte and goes holds up nothing: a server that closes waits for all that is being answered.
    const other = await api.listen({ ...serving, port: 0 });
    const session = connect(`https://127.0.0.1:${other.port}`, { ...client, settings: { initialWindowSize: 1024 } });
    const stream = session.request({ ":path": maps });
    await new Promise((resolve) => stream.once("response", resolve));
    stream.on("error", () => {});
    session.destroy();
    await other.close(3_600_000);
  });

  test("OpenAPI v2 comes in protobuf with the names of all kinds, and not again to who has it", async () => {
    const { status, headers, body } = await get("/openapi/v2", { accept: OLD_SCHEMAS });
    expect(status).toBe(200);
    expect(headers["content-type"]).toBe("application/com.github.proto-openapi.spec.v2.v1.0+protobuf");
    const document = fieldsOf(body);
    expect(textOf(document.get(1)?.[0])).toBe("2.0");
    const schemas = new Map(
      (fieldsOf(document.get(9)?.[0] as Uint8Array).get(1) ?? []).map((entry) => {
        const named = fieldsOf(entry);
        return [textOf(named.get(1)?.[0]), fieldsOf(named.get(2)?.[0] as Uint8Array)] as const;
      }),
    );
    const deployment = schemas.get("io.k8s.api.apps.v1.Deployment");
    const kinds = (deployment?.get(31) ?? []).map((entry) => textOf(fieldsOf(entry).get(1)?.[0]));
    expect(kinds).toContain("x-kubernetes-group-version-kind");
    const members = (fieldsOf(deployment?.get(25)?.[0] as Uint8Array).get(1) ?? []).map(fieldsOf);
    const spec = members.find((member) => textOf(member.get(1)?.[0]) === "spec");
    expect(textOf(fieldsOf(spec?.get(2)?.[0] as Uint8Array).get(1)?.[0])).toBe(
      "#/definitions/io.k8s.api.apps.v1.DeploymentSpec",
    );
    const etag = String(headers["etag"]);
    expect((await get("/openapi/v2", { accept: OLD_SCHEMAS, "if-none-match": etag })).status).toBe(304);
    expect((await get("/openapi/v2", { accept: "image/png" })).status).toBe(406);
  });

  test("OpenAPI v3 names paths of subresources and of whole collections", async () => {
    const { body } = await get("/openapi/v3/apis/apps/v1");
    const { paths } = JSON.parse(body.toString("utf8")) as {
      paths: Record<string, Record<string, { "x-kubernetes-group-version-kind": unknown }>>;
    };
    const deployments = "/apis/apps/v1/namespaces/{namespace}/deployments";
    expect(Object.keys(paths[deployments] ?? {}).sort()).toEqual(["delete", "get", "parameters", "post"]);
    expect(Object.keys(paths[`${deployments}/{name}/status`] ?? {}).sort()).toEqual([
      "get",
      "parameters",
      "patch",
      "put",
    ]);
    expect(paths[`${deployments}/{name}/scale`]?.["get"]?.["x-kubernetes-group-version-kind"]).toEqual({
      group: "autoscaling",
      version: "v1",
      kind: "Scale",
    });
    expect(paths["/apis/apps/v1/deployments"]?.["get"]).toMatchObject({
      operationId: "listAppsV1DeploymentForAllNamespaces",
      tags: ["apps_v1"],
    });
  });

  test("metadata alone comes in protobuf, of lists and single objects, built-in and custom", async () => {
    const accept = (as: string) => ({ accept: `application/vnd.kubernetes.protobuf;as=${as};g=meta.k8s.io;v=v1` });
    const one = await get("/api/v1/namespaces/default", accept("PartialObjectMetadata"));
    expect(decodeProtobuf(one.body)).toMatchObject({
      apiVersion: "meta.k8s.io/v1",
      kind: "PartialObjectMetadata",
      metadata: { name: "default" },
    });
    const list = decodeProtobuf((await get("/api/v1/namespaces", accept("PartialObjectMetadataList"))).body);
    const { items } = list as unknown as { items: { metadata: { name: string } }[] };
    expect(items.map(({ metadata }) => metadata.name)).toContain("kube-system");
  });

  test("a pointer to nothing survives protobuf, a value that is nothing is left out", () => {
    const pod = (hostPath: object, container: object) => ({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "p" },
      spec: { containers: [{ name: "c", image: "i", ...container }], volumes: [{ name: "v", hostPath }] },
    });
    const sent = pod(
      { path: "/x", type: "" },
      { stdin: false, workingDir: "", securityContext: { privileged: false } },
    );
    expect(decodeProtobuf(encodeProtobuf(sent) as Buffer)).toMatchObject({
      spec: {
        containers: [{ name: "c", image: "i", securityContext: { privileged: false } }],
        volumes: [{ name: "v", hostPath: { path: "/x", type: "" } }],
      },
    });
    const [container] = (decodeProtobuf(encodeProtobuf(sent) as Buffer) as unknown as typeof sent).spec.containers;
    expect(container).not.toHaveProperty("stdin");
    expect(container).not.toHaveProperty("workingDir");
  });
});
