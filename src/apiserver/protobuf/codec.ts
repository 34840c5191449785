import protobuf from "protobufjs/minimal.js";
import { ApiError, apiVersionOf, badRequest, goQuoted, isJsonObject, type KubeObject, parseTime } from "#machinery";
import { type GoField, goFields } from "../builtin/go-shape.ts";
import { builtinSchemas } from "../builtin/schemas.ts";
import { protobufJson } from "../data/generated-protobuf.ts";

const { Reader, Writer } = protobuf;

interface FieldSource {
  readonly type: string;
  readonly id: number;
  readonly rule?: string;
  readonly keyType?: string;
}

interface Node {
  readonly fields?: Readonly<Record<string, FieldSource>>;
  readonly nested?: Readonly<Record<string, Node>>;
}

interface Field {
  readonly id: number;
  /** Member name in JSON. */
  readonly name: string;
  readonly type: string;
  readonly isRepeated: boolean;
  readonly keyType: string | undefined;
  /** A struct whose members stand directly in its parent's JSON. */
  readonly isInline: boolean;
}

interface Message {
  readonly name: string;
  readonly byId: ReadonlyMap<number, Field>;
  readonly fields: readonly Field[];
  readonly required: ReadonlySet<string>;
  /** How Go writes each field, where that is known. */
  readonly forms: ReadonlyMap<string, GoField>;
}

const MAGIC = Buffer.from([0x6b, 0x38, 0x73, 0x00]);
const SCALARS = new Set(["int64", "int32", "uint64", "uint32", "bool", "string", "bytes", "double", "float"]);
const INLINE = new Set([
  "localObjectReference",
  "ephemeralContainerCommon",
  "persistentVolumeSource",
  "handler",
  "volumeSource",
  "ingressRuleValue",
  "deviceConfiguration",
  "ruleWithOperations",
  "rule",
]);
const INLINE_PARENTS =
  /\.(ConfigMapEnvSource|ConfigMapKeySelector|ConfigMapProjection|ConfigMapVolumeSource|EphemeralContainer|PersistentVolumeSpec|Probe|SecretEnvSource|SecretKeySelector|SecretProjection|Volume|IngressRule|DeviceAllocationConfiguration|DeviceClaimConfiguration|DeviceClassConfiguration|NamedRuleWithOperations|RuleWithOperations)$/;
/** Go writes these also when nobody set them: their zero means absent. */
const ZERO_IS_ABSENT = new Set([
  "minReadySeconds",
  "paused",
  "hostNetwork",
  "hostPID",
  "hostIPC",
  "stdin",
  "stdinOnce",
  "tty",
  "readOnly",
  "hostPort",
  "periodSeconds",
  "timeoutSeconds",
  "successThreshold",
  "failureThreshold",
  "initialDelaySeconds",
  "nodePort",
  "healthCheckNodePort",
  "publishNotReadyAddresses",
  "unschedulable",
  "count",
  "generation",
  "observedGeneration",
  "external",
]);
const EMPTY_TEXT_COUNTS = new Set(["storageClassName"]);

let root: Node | undefined;
const messages = new Map<string, Message>();

function nodeAt(path: readonly string[]): Node | undefined {
  root ??= JSON.parse(protobufJson) as Node;
  let at: Node | undefined = root;
  for (const step of path) at = at?.nested?.[step];
  return at;
}

function message(name: string): Message {
  const known = messages.get(name);
  if (known !== undefined) return known;
  const path = name.split(".");
  const node = nodeAt(path);
  if (node?.fields === undefined) throw badRequest(`no protobuf message ${name}`);
  const required = new Set(builtinSchemas()[name.replace(/^k8s\.io\./, "io.k8s.")]?.required ?? []);
  const fields = Object.entries(node.fields).map(
    ([fieldName, source]): Field => ({
      id: source.id,
      name: jsonName(fieldName),
      type: SCALARS.has(source.type) ? source.type : absolute(source.type, path),
      isRepeated: source.rule === "repeated",
      keyType: source.keyType,
      isInline: INLINE.has(fieldName) && INLINE_PARENTS.test(name),
    }),
  );
  const goName = name.replace(/^k8s\.io\./, "io.k8s.").replace(/(apiextensions|kube)_(apiserver|aggregator)/, "$1-$2");
  const forms = new Map((goFields(goName) ?? []).map((form) => [form.json, form] as const));
  const made: Message = { name, forms, byId: new Map(fields.map((field) => [field.id, field])), fields, required };
  messages.set(name, made);
  return made;
}

function jsonName(name: string): string {
  if (name === "aPIGroup") return "apiGroup";
  if (name === "uID") return "uid";
  return /^[A-Z][a-z]/.test(name) && name !== "Raw" ? name.charAt(0).toLowerCase() + name.slice(1) : name;
}

function absolute(type: string, from: readonly string[]): string {
  if (type.startsWith(".")) return type.slice(1);
  for (let depth = from.length; depth > 0; depth--) {
    const path = [...from.slice(0, depth), ...type.split(".")];
    if (nodeAt(path) !== undefined) return path.join(".");
  }
  return type;
}

type Special = {
  readonly decode: (reader: protobuf.Reader, end: number) => unknown;
  readonly encode: (value: unknown) => Uint8Array;
};

const utf8 = (bytes: Uint8Array) => Buffer.from(bytes).toString("utf8");

function timeCodec(digits: 0 | 6): Special {
  return {
    decode(reader, end) {
      let seconds: number | undefined;
      let nanos = 0;
      while (reader.pos < end) {
        const tag = reader.uint32();
        if (tag >>> 3 === 1) seconds = Number(reader.int64());
        else if (tag >>> 3 === 2) nanos = reader.int32();
        else reader.skipType(tag & 7);
      }
      if (seconds === undefined || seconds < -62_000_000_000) return null;
      const base = new Date(seconds * 1000).toISOString().slice(0, 19);
      return digits === 0 ? `${base}Z` : `${base}.${String(Math.floor(nanos / 1000)).padStart(6, "0")}Z`;
    },
    encode(value) {
      const ms = typeof value === "string" ? parseTime(value) : undefined;
      if (ms === undefined) return new Uint8Array();
      const micros = digits === 6 ? Number((/\.(\d+)/.exec(String(value))?.[1] ?? "").padEnd(6, "0").slice(0, 6)) : 0;
      return Writer.create()
        .uint32(8)
        .int64(Math.floor(ms / 1000))
        .uint32(16)
        .int32(micros * 1000)
        .finish();
    },
  };
}

function textIn(field: number): Special {
  return {
    decode(reader, end) {
      let text = "";
      while (reader.pos < end) {
        const tag = reader.uint32();
        if (tag >>> 3 === field) text = reader.string();
        else reader.skipType(tag & 7);
      }
      return text;
    },
    encode: (value) =>
      Writer.create()
        .uint32((field << 3) | 2)
        .string(String(value))
        .finish(),
  };
}

const rawJson: Special = {
  decode(reader, end) {
    let raw: Uint8Array | undefined;
    while (reader.pos < end) {
      const tag = reader.uint32();
      if (tag >>> 3 === 1) raw = reader.bytes();
      else reader.skipType(tag & 7);
    }
    return raw === undefined || raw.length === 0 ? undefined : (JSON.parse(utf8(raw)) as unknown);
  },
  encode: (value) =>
    Writer.create()
      .uint32(10)
      .bytes(Buffer.from(JSON.stringify(value)))
      .finish(),
};

const intOrString: Special = {
  decode(reader, end) {
    let type = 0;
    let int = 0;
    let text = "";
    while (reader.pos < end) {
      const tag = reader.uint32();
      if (tag >>> 3 === 1) type = Number(reader.int64());
      else if (tag >>> 3 === 2) int = reader.int32();
      else if (tag >>> 3 === 3) text = reader.string();
      else reader.skipType(tag & 7);
    }
    return type === 0 ? int : text;
  },
  encode: (value) =>
    typeof value === "number"
      ? Writer.create().uint32(8).int64(0).uint32(16).int32(value).uint32(26).string("").finish()
      : Writer.create().uint32(8).int64(1).uint32(16).int32(0).uint32(26).string(String(value)).finish(),
};

/** JSON shapes that are one of several: a schema or a list of them, a schema or a boolean, a list of texts or a schema. */
function schemaOr(kind: "array" | "bool" | "strings"): Special {
  const props = "k8s.io.apiextensions_apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps";
  return {
    decode(reader, end) {
      let schema: unknown;
      let allows = true;
      const list: unknown[] = [];
      while (reader.pos < end) {
        const tag = reader.uint32();
        const id = tag >>> 3;
        const isSchema = kind === "bool" ? id === 2 : id === 1;
        if (isSchema) {
          const length = reader.uint32();
          schema = decodeMessage(message(props), reader, reader.pos + length);
        } else if (kind === "bool" && id === 1) allows = reader.bool();
        else if (kind === "array" && id === 2) {
          const length = reader.uint32();
          list.push(decodeMessage(message(props), reader, reader.pos + length));
        } else if (kind === "strings" && id === 2) list.push(reader.string());
        else reader.skipType(tag & 7);
      }
      return schema ?? (kind === "bool" ? allows : list);
    },
    encode(value) {
      const writer = Writer.create();
      if (kind === "bool") {
        writer.uint32(8).bool(value !== false);
        if (isJsonObject(value)) writer.uint32(18).bytes(encodeMessage(message(props), value));
      } else if (Array.isArray(value))
        for (const item of value)
          if (kind === "strings") writer.uint32(18).string(String(item));
          else writer.uint32(18).bytes(encodeMessage(message(props), item as Readonly<Record<string, unknown>>));
      else writer.uint32(10).bytes(encodeMessage(message(props), value as Readonly<Record<string, unknown>>));
      return writer.finish();
    },
  };
}

const items: Special = {
  decode(reader, end) {
    const list: string[] = [];
    while (reader.pos < end) {
      const tag = reader.uint32();
      if (tag >>> 3 === 1) list.push(reader.string());
      else reader.skipType(tag & 7);
    }
    return list;
  },
  encode(value) {
    const writer = Writer.create();
    for (const item of value as readonly string[]) writer.uint32(10).string(item);
    return writer.finish();
  },
};

const SPECIAL: Readonly<Record<string, Special>> = {
  "k8s.io.apimachinery.pkg.apis.meta.v1.Time": timeCodec(0),
  "k8s.io.apimachinery.pkg.apis.meta.v1.MicroTime": timeCodec(6),
  "k8s.io.apimachinery.pkg.api.resource.Quantity": textIn(1),
  "k8s.io.apimachinery.pkg.util.intstr.IntOrString": intOrString,
  "k8s.io.apimachinery.pkg.runtime.RawExtension": rawJson,
  "k8s.io.apimachinery.pkg.apis.meta.v1.FieldsV1": rawJson,
  "k8s.io.apiextensions_apiserver.pkg.apis.apiextensions.v1.JSON": rawJson,
  "k8s.io.apiextensions_apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray": schemaOr("array"),
  "k8s.io.apiextensions_apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool": schemaOr("bool"),
  "k8s.io.apiextensions_apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray": schemaOr("strings"),
  "k8s.io.api.certificates.v1.ExtraValue": items,
  "k8s.io.api.authorization.v1.ExtraValue": items,
  "k8s.io.api.authentication.v1.ExtraValue": items,
};

function decodeValue(type: string, reader: protobuf.Reader): unknown {
  switch (type) {
    case "int64":
    case "uint64":
      return Number(reader.int64());
    case "int32":
      return reader.int32();
    case "uint32":
      return reader.uint32();
    case "bool":
      return reader.bool();
    case "string":
      return reader.string();
    case "bytes":
      return Buffer.from(reader.bytes()).toString("base64");
    case "double":
      return reader.double();
    case "float":
      return reader.float();
    default: {
      const length = reader.uint32();
      const end = reader.pos + length;
      const special = SPECIAL[type];
      return special === undefined ? decodeMessage(message(type), reader, end) : special.decode(reader, end);
    }
  }
}

const zeroOf = (type: string): unknown =>
  type === "string" || type === "bytes" ? "" : type === "bool" ? false : SCALARS.has(type) ? 0 : {};

function decodeMessage(shape: Message, reader: protobuf.Reader, end: number): Record<string, unknown> {
  const result: Record<string, unknown> = {};
  const isStatus = /(Status|ObjectMeta)$/.test(shape.name);
  while (reader.pos < end) {
    const tag = reader.uint32();
    const field = shape.byId.get(tag >>> 3);
    if (field === undefined) {
      reader.skipType(tag & 7);
      continue;
    }
    if (field.keyType !== undefined) {
      const entryEnd = reader.uint32() + reader.pos;
      let key = "";
      let value = zeroOf(field.type);
      while (reader.pos < entryEnd) {
        const entryTag = reader.uint32();
        if (entryTag >>> 3 === 1) key = reader.string();
        else if (entryTag >>> 3 === 2) value = decodeValue(field.type, reader);
        else reader.skipType(entryTag & 7);
      }
      ((result[field.name] ??= {}) as Record<string, unknown>)[key] = value;
      continue;
    }
    if (field.isRepeated) {
      const list = (result[field.name] ??= []) as unknown[];
      if ((tag & 7) === 2 && ["int32", "int64", "uint32", "uint64", "bool"].includes(field.type)) {
        const packedEnd = reader.uint32() + reader.pos;
        while (reader.pos < packedEnd) list.push(decodeValue(field.type, reader));
      } else list.push(decodeValue(field.type, reader));
      continue;
    }
    const value = decodeValue(field.type, reader);
    if (field.isInline) {
      Object.assign(result, value);
      continue;
    }
    if (value === undefined || value === null) continue;
    const isZero = value === "" || value === 0 || value === false;
    const form = isZero ? shape.forms.get(field.name) : undefined;
    if (form !== undefined) {
      // A pointer to nothing is something; a value that is left out when it is nothing is not.
      if (form.isPointer || !form.omitsEmpty) result[field.name] = value;
      continue;
    }
    if (value === "" && !shape.required.has(field.name) && !EMPTY_TEXT_COUNTS.has(field.name)) continue;
    if (
      (value === 0 || value === false) &&
      !shape.required.has(field.name) &&
      (isStatus || ZERO_IS_ABSENT.has(field.name))
    )
      continue;
    result[field.name] = value;
  }
  return result;
}

function writeValue(writer: protobuf.Writer, id: number, type: string, value: unknown): void {
  switch (type) {
    case "int64":
    case "uint64":
      writer.uint32((id << 3) | 0).int64(Number(value));
      return;
    case "int32":
    case "uint32":
      writer.uint32((id << 3) | 0).int32(Number(value));
      return;
    case "bool":
      writer.uint32((id << 3) | 0).bool(value === true);
      return;
    case "string":
      writer.uint32((id << 3) | 2).string(String(value));
      return;
    case "bytes":
      writer.uint32((id << 3) | 2).bytes(Buffer.from(String(value), "base64"));
      return;
    case "double":
      writer.uint32((id << 3) | 1).double(Number(value));
      return;
    default: {
      const special = SPECIAL[type];
      const bytes =
        special === undefined
          ? encodeMessage(message(type), value as Readonly<Record<string, unknown>>)
          : special.encode(value);
      writer.uint32((id << 3) | 2).bytes(bytes);
    }
  }
}

const TIME = "k8s.io.apimachinery.pkg.apis.meta.v1.Time";

/** Go writes values that are no pointers whether somebody set them or not. */
function writeAbsent(writer: protobuf.Writer, shape: Message, field: Field): void {
  const form = shape.forms.get(field.name);
  if (form === undefined || form.isPointer || field.isRepeated || field.keyType !== undefined) return;
  if (field.type === TIME) writer.uint32((field.id << 3) | 2).bytes(new Uint8Array());
  else if (SCALARS.has(field.type) && field.type !== "bytes")
    writeValue(writer, field.id, field.type, zeroOf(field.type));
}

function encodeMessage(shape: Message, object: Readonly<Record<string, unknown>>): Uint8Array {
  const writer = Writer.create();
  for (const field of shape.fields) {
    if (field.isInline) {
      writeValue(writer, field.id, field.type, object);
      continue;
    }
    const value = object[field.name];
    if (value === undefined || value === null) {
      writeAbsent(writer, shape, field);
      continue;
    }
    if (field.keyType !== undefined)
      for (const [key, member] of Object.entries(value)) {
        const entry = Writer.create().uint32(10).string(key);
        writeValue(entry, 2, field.type, member);
        writer.uint32((field.id << 3) | 2).bytes(entry.finish());
      }
    else if (field.isRepeated)
      for (const item of value as readonly unknown[]) writeValue(writer, field.id, field.type, item);
    else writeValue(writer, field.id, field.type, value);
  }
  return writer.finish();
}

/** Where the messages of a built-in group version stand. */
const PACKAGES: Readonly<Record<string, string>> = {
  "": "core",
  "apiextensions.k8s.io": "apiextensions_apiserver.pkg.apis.apiextensions",
  "apiregistration.k8s.io": "kube_aggregator.pkg.apis.apiregistration",
};

const META_KINDS = new Set([
  "DeleteOptions",
  "Status",
  "WatchEvent",
  "PartialObjectMetadata",
  "PartialObjectMetadataList",
  "APIVersions",
  "APIGroup",
  "APIGroupList",
  "APIResourceList",
]);

function messageNameOf(apiVersion: string, kind: string): string | undefined {
  const slash = apiVersion.indexOf("/");
  const group = slash < 0 ? "" : apiVersion.slice(0, slash);
  const version = slash < 0 ? apiVersion : apiVersion.slice(slash + 1);
  const isMeta = group === "meta.k8s.io" && version !== "v1";
  const meta = `k8s.io.apimachinery.pkg.apis.meta.${isMeta && kind === "PartialObjectMetadataList" ? version : "v1"}.${kind}`;
  if (META_KINDS.has(kind) && nodeAt(meta.split(".")) !== undefined) return meta;
  const short = group.split(".")[0] as string;
  const special = PACKAGES[group];
  for (const name of [
    `k8s.io.api.${special ?? short}.${version}.${kind}`,
    `k8s.io.${special ?? short}.${version}.${kind}`,
    `k8s.io.api.${short === "internal" ? "apiserverinternal" : short}.${version}.${kind}`,
  ])
    if (nodeAt(name.split("."))?.fields !== undefined) return name;
  return undefined;
}

/** There are as many as kinds that are built in; each request asks. */
const packed = new Map<string, boolean>();

/** Whether a built-in kind has a protobuf form. */
export function hasProtobuf(group: string, version: string, kind: string): boolean {
  const key = `${group}/${version}/${kind}`;
  let has = packed.get(key);
  if (has === undefined) packed.set(key, (has = messageNameOf(apiVersionOf({ group, version }), kind) !== undefined));
  return has;
}

/** Whether bytes begin as an enveloped object does. */
export const isProtobuf = (bytes: Buffer): boolean => bytes.length >= 4 && bytes.subarray(0, 4).equals(MAGIC);

/** Reads an enveloped object. Throws a 400 that says what is wrong. */
export function decodeProtobuf(bytes: Buffer): KubeObject {
  if (!isProtobuf(bytes))
    throw badRequest(
      "the body is no protobuf envelope: provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]",
    );
  try {
    const unknown = decodeEnvelope(bytes.subarray(4));
    const name = messageNameOf(unknown.apiVersion, unknown.kind);
    if (name === undefined)
      throw badRequest(
        `no kind ${goQuoted(unknown.kind)} is registered for version ${goQuoted(unknown.apiVersion)} in scheme "pkg/runtime/scheme.go:111"`,
      );
    const reader = Reader.create(unknown.raw);
    return {
      apiVersion: unknown.apiVersion,
      kind: unknown.kind,
      ...decodeMessage(message(name), reader, unknown.raw.length),
    } as unknown as KubeObject;
  } catch (error) {
    if (error instanceof ApiError) throw error;
    // Whatever a reader stumbles over stands in what the client sent.
    throw badRequest(`the protobuf body is damaged: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function decodeEnvelope(bytes: Uint8Array): {
  readonly apiVersion: string;
  readonly kind: string;
  readonly raw: Uint8Array;
} {
  const reader = Reader.create(bytes);
  let apiVersion = "";
  let kind = "";
  let raw: Uint8Array = new Uint8Array();
  while (reader.pos < bytes.length) {
    const tag = reader.uint32();
    if (tag >>> 3 === 1) {
      const end = reader.uint32() + reader.pos;
      while (reader.pos < end) {
        const inner = reader.uint32();
        if (inner >>> 3 === 1) apiVersion = reader.string();
        else if (inner >>> 3 === 2) kind = reader.string();
        else reader.skipType(inner & 7);
      }
    } else if (tag >>> 3 === 2) raw = reader.bytes();
    else reader.skipType(tag & 7);
  }
  return { apiVersion, kind, raw };
}

/** The enveloped protobuf form of a built-in object, list or Status; `undefined` for kinds that have none. */
export function encodeProtobuf(object: { readonly apiVersion: string; readonly kind: string }): Buffer | undefined {
  const name = messageNameOf(object.apiVersion, object.kind);
  if (name === undefined) return undefined;
  const raw = encodeMessage(message(name), object as unknown as Readonly<Record<string, unknown>>);
  const meta = Writer.create().uint32(10).string(object.apiVersion).uint32(18).string(object.kind).finish();
  const envelope = Writer.create()
    .uint32(10)
    .bytes(meta)
    .uint32(18)
    .bytes(raw)
    .uint32(26)
    .string("")
    .uint32(34)
    .string("")
    .finish();
  return Buffer.concat([MAGIC, envelope]);
}

/** A watch event as a length-delimited protobuf frame. */
export function encodeWatchFrame(
  type: string,
  object: { readonly apiVersion: string; readonly kind: string },
): Buffer | undefined {
  const encoded = encodeProtobuf(object);
  if (encoded === undefined) return undefined;
  const raw = Writer.create().uint32(10).bytes(encoded).finish();
  const event = Writer.create().uint32(10).string(type).uint32(18).bytes(raw).finish();
  const frame = Buffer.alloc(4 + event.length);
  frame.writeUInt32BE(event.length, 0);
  frame.set(event, 4);
  return frame;
}
