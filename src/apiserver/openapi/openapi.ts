import { createHash } from "node:crypto";
import type { JsonSchema } from "#machinery";
import { schemaNameOf } from "../builtin/definitions.ts";
import { builtinSchemas } from "../builtin/schemas.ts";
import type { ResourceDefinition } from "../definition.ts";
import type { DiscoveryDocuments } from "../discovery/discovery.ts";
import { type DocumentV2, encodeDocument, schemaV2 } from "./v2.ts";

/** The OpenAPI v3 documents: an index with hashes, and one document a group version, made when first asked for. */
export class OpenApiDocuments {
  readonly #discovery: DiscoveryDocuments;
  #source: unknown;
  #documents = new Map<string, { readonly body: Buffer; readonly hash: string }>();
  #old: { readonly json: Buffer; readonly protobuf: Buffer; readonly hash: string } | undefined;

  constructor(discovery: DiscoveryDocuments) {
    this.#discovery = discovery;
  }

  #fresh(): void {
    const groups = this.#discovery.groups();
    if (groups === this.#source) return;
    this.#source = groups;
    this.#documents = new Map();
    this.#old = undefined;
  }

  index(): unknown {
    this.#fresh();
    const paths: Record<string, unknown> = {};
    for (const { name, versions } of this.#discovery.groups())
      for (const { version } of versions) {
        const path = name === "" ? `api/${version}` : `apis/${name}/${version}`;
        paths[path] = { serverRelativeURL: `/openapi/v3/${path}?hash=${this.document(path)?.hash ?? ""}` };
      }
    return { paths };
  }

  document(path: string): { readonly body: Buffer; readonly hash: string } | undefined {
    this.#fresh();
    const present = this.#documents.get(path);
    if (present !== undefined) return present;
    const [root, first, second] = path.split("/");
    const [group, version] = root === "api" ? ["", first] : [first, second];
    const found = this.#discovery
      .groups()
      .find(({ name }) => name === group)
      ?.versions.find((entry) => entry.version === version);
    if (found === undefined) return undefined;
    const body = Buffer.from(JSON.stringify(build(found.definitions)));
    const made = { body, hash: createHash("sha256").update(body).digest("hex").toUpperCase() };
    this.#documents.set(path, made);
    return made;
  }

  /** One document of everything, in the old form, for clients that still ask for it: as JSON and as protobuf. */
  v2(): { readonly json: Buffer; readonly protobuf: Buffer; readonly hash: string } {
    this.#fresh();
    if (this.#old !== undefined) return this.#old;
    const document = this.#documentV2();
    const json = Buffer.from(JSON.stringify(document));
    const hash = createHash("sha512").update(json).digest("hex").toUpperCase();
    this.#old = { json, protobuf: encodeDocument(document), hash };
    return this.#old;
  }

  #documentV2(): DocumentV2 {
    const definitions: Record<string, unknown> = {};
    const paths: Record<string, unknown> = {};
    for (const { versions } of this.#discovery.groups())
      for (const entry of versions) {
        const document = build(entry.definitions);
        for (const [name, schema] of Object.entries(document.components.schemas))
          definitions[name] ??= schemaV2(schema as JsonSchema);
        for (const [path, item] of Object.entries(document.paths)) paths[path] = pathV2(item);
      }
    return { swagger: "2.0", info: { title: "Flotilla", version: "v1.36.2" }, paths, definitions };
  }
}

interface Operation {
  readonly responses: unknown;
  readonly "x-kubernetes-action": string;
  readonly "x-kubernetes-group-version-kind": unknown;
}

const FORMS = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];

/** What can be done at a path, in the old form. */
function pathV2(item: Readonly<Record<string, Operation>>): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    Object.entries(item).map(([method, operation]) => [
      method,
      {
        produces: FORMS,
        responses: { "200": { description: "OK" } },
        "x-kubernetes-action": operation["x-kubernetes-action"],
        "x-kubernetes-group-version-kind": operation["x-kubernetes-group-version-kind"],
      },
    ]),
  );
}

const PARAMETERS = [
  { name: "dryRun", in: "query", schema: { type: "string", uniqueItems: true } },
  { name: "fieldManager", in: "query", schema: { type: "string", uniqueItems: true } },
  { name: "fieldValidation", in: "query", schema: { type: "string", uniqueItems: true } },
];

function build(definitions: readonly ResourceDefinition[]) {
  const schemas: Record<string, unknown> = {};
  const paths: Record<string, Record<string, Operation>> = {};
  const include = (name: string) => {
    if (schemas[name] !== undefined) return;
    const schema = builtinSchemas()[name];
    if (schema === undefined) return;
    schemas[name] = schema;
    for (const match of JSON.stringify(schema).matchAll(/#\/components\/schemas\/([^"]+)/g))
      include(match[1] as string);
  };
  include("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions");
  include("io.k8s.apimachinery.pkg.apis.meta.v1.Status");
  for (const definition of definitions) {
    const { group, version, kind, resource, namespaced } = definition.kind;
    const gvk = { group, version, kind };
    let name = schemaNameOf(group, version, kind);
    if (name !== undefined) include(name);
    else {
      name = `${group.split(".").reverse().join(".")}.${version}.${kind}`;
      include("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta");
      const source = (definition.schema?.source ?? {
        type: "object",
        "x-kubernetes-preserve-unknown-fields": true,
      }) as JsonSchema;
      schemas[name] = {
        ...source,
        properties: {
          apiVersion: { type: "string", description: "The version of this representation of the object." },
          kind: { type: "string", description: "The kind of this object." },
          ...source.properties,
          metadata: {
            description: "Standard object metadata.",
            allOf: [{ $ref: "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta" }],
          },
        },
        "x-kubernetes-group-version-kind": [gvk],
      };
    }
    const ref = { $ref: `#/components/schemas/${name}` };
    const body = { content: { "*/*": { schema: ref } } };
    const answers = { "200": { description: "OK", content: { "application/json": { schema: ref } } } };
    const operation = (action: string, extra: object = {}): Operation => ({
      responses: answers,
      "x-kubernetes-action": action,
      "x-kubernetes-group-version-kind": gvk,
      ...extra,
    });
    const root = group === "" ? `/api/${version}` : `/apis/${group}/${version}`;
    const base = `${root}${namespaced ? "/namespaces/{namespace}" : ""}/${resource}`;
    paths[base] = {
      get: operation("list"),
      post: operation("post", { parameters: PARAMETERS, requestBody: body }),
      ...(definition.verbs.includes("deletecollection")
        ? { delete: operation("deletecollection", { parameters: [PARAMETERS[0]] }) }
        : {}),
    };
    if (namespaced) paths[`${root}/${resource}`] = { get: operation("list") };
    for (const subresource of definition.subresources) {
      const own = {
        group: subresource.kind.group || group,
        version: subresource.kind.version || version,
        kind: subresource.kind.kind,
      };
      const ownName = schemaNameOf(own.group, own.version, own.kind);
      if (ownName !== undefined) include(ownName);
      const schema = ownName === undefined ? ref : { $ref: `#/components/schemas/${ownName}` };
      const part = (action: string, extra: object = {}): Operation => ({
        responses: { "200": { description: "OK", content: { "application/json": { schema } } } },
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": own,
        ...extra,
      });
      const sent = { parameters: PARAMETERS, requestBody: { content: { "*/*": { schema } } } };
      paths[`${base}/{name}/${subresource.name}`] = {
        ...(subresource.verbs.includes("get") ? { get: part("get") } : {}),
        ...(subresource.verbs.includes("update") ? { put: part("put", sent) } : {}),
        ...(subresource.verbs.includes("create") ? { post: part("post", sent) } : {}),
        ...(subresource.verbs.includes("patch") ? { patch: part("patch", { parameters: PARAMETERS }) } : {}),
      };
    }
    paths[`${base}/{name}`] = {
      get: operation("get"),
      put: operation("put", { parameters: PARAMETERS, requestBody: body }),
      patch: operation("patch", {
        parameters: [...PARAMETERS, { name: "force", in: "query", schema: { type: "boolean", uniqueItems: true } }],
      }),
      delete: operation("delete", { parameters: [PARAMETERS[0]] }),
    };
  }
  return { openapi: "3.0.0", info: { title: "Flotilla", version: "v1.36.2" }, paths, components: { schemas } };
}
