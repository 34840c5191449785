import { createHash } from "node:crypto";
import type { JsonSchema } from "#machinery";
import { schemaNameOf } from "../builtin/definitions.ts";
import { builtinSchemas } from "../builtin/schemas.ts";
import type { ResourceDefinition } from "../definition.ts";
import type { DiscoveryDocuments } from "../discovery/discovery.ts";
import { customSchema } from "./custom-schemas.ts";
import { type Operation, type PathItem, pathsOf } from "./paths.ts";
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
    const body = Buffer.from(JSON.stringify(build(group ?? "", version ?? "", found.definitions)));
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
    for (const { name: group, versions } of this.#discovery.groups())
      for (const entry of versions) {
        const document = build(group, entry.version, entry.definitions);
        for (const [name, schema] of Object.entries(document.components.schemas))
          definitions[name] ??= schemaV2(schema as JsonSchema);
        for (const [path, item] of Object.entries(document.paths)) paths[path] = pathV2(item);
      }
    return { swagger: "2.0", info: INFO, paths, definitions };
  }
}

const FORMS = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];

/** What can be done at a path, in the old form. */
function pathV2(item: PathItem): Readonly<Record<string, unknown>> {
  const operations = Object.entries(item).filter((entry): entry is [string, Operation] => entry[0] !== "parameters");
  return Object.fromEntries(
    operations.map(([method, operation]) => [
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

const META = "io.k8s.apimachinery.pkg.apis.meta.v1.";
const REFERENCE = "#/components/schemas/";
const INFO = { title: "Kubernetes", version: "1.36" };
const TOKENS = {
  BearerToken: {
    type: "apiKey",
    description: "Bearer Token authentication",
    name: "authorization",
    in: "header",
  },
};

/** Kinds that every group has. Each document says of its own group so. */
const EVERYWHERE: readonly string[] = [`${META}DeleteOptions`, `${META}WatchEvent`];

const ofGroup = (schema: JsonSchema, kind: string, group: string, version: string): JsonSchema => {
  const core = { group: "", version: "v1", kind };
  return {
    ...schema,
    "x-kubernetes-group-version-kind": group === "" ? [core] : [core, { group, version, kind }],
  } as JsonSchema;
};

const listSchema = (group: string, version: string, kind: string, item: string): JsonSchema =>
  ({
    type: "object",
    description: `A list of ${kind}.`,
    required: ["items"],
    properties: {
      apiVersion: { type: "string", description: "The version of this representation of the list." },
      items: { type: "array", description: "The objects.", items: { $ref: `${REFERENCE}${item}` } },
      kind: { type: "string", description: "The kind of this list." },
      metadata: { description: "Standard list metadata.", allOf: [{ $ref: `${REFERENCE}${META}ListMeta` }] },
    },
    "x-kubernetes-group-version-kind": [{ group, version, kind: `${kind}List` }],
  }) as unknown as JsonSchema;

const customName = (group: string, version: string, kind: string) =>
  `${group.split(".").reverse().join(".")}.${version}.${kind}`;

/** The document of one version of a group: its paths, and the schemas they name. */
function build(group: string, version: string, definitions: readonly ResourceDefinition[]) {
  const schemas: Record<string, unknown> = {};
  const include = (name: string, schema: JsonSchema | undefined = builtinSchemas()[name]): void => {
    if (schemas[name] !== undefined || schema === undefined) return;
    schemas[name] = EVERYWHERE.includes(name) ? ofGroup(schema, name.slice(META.length), group, version) : schema;
    for (const match of JSON.stringify(schema).matchAll(/#\/components\/schemas\/([^"]+)/g))
      include(match[1] as string);
  };
  const own = new Map(definitions.map((definition) => [definition.kind.kind, definition]));
  const refer = (inGroup: string, inVersion: string, kind: string): { readonly $ref: string } => {
    const found = schemaNameOf(inGroup, inVersion, kind) ?? (inGroup === "" ? META + kind : "");
    if (builtinSchemas()[found] !== undefined) {
      include(found);
      return { $ref: REFERENCE + found };
    }
    const name = customName(inGroup, inVersion, kind);
    const definition = own.get(kind);
    const listed = own.get(kind.replace(/List$/, ""));
    if (definition !== undefined) include(name, customSchema(definition));
    else if (listed !== undefined) {
      const item = refer(inGroup, inVersion, listed.kind.kind).$ref.slice(REFERENCE.length);
      include(name, listSchema(inGroup, inVersion, listed.kind.kind, item));
    }
    return { $ref: REFERENCE + name };
  };
  const paths = pathsOf(group, version, definitions, refer);
  const sorted = Object.fromEntries(Object.entries(schemas).sort(([one], [other]) => (one < other ? -1 : 1)));
  return { openapi: "3.0.0", info: INFO, paths, components: { schemas: sorted, securitySchemes: TOKENS } };
}
