import { stringify as toYaml } from "yaml";
import { apiError, badRequest, type KubeList, type KubeObject, plainFailure, type Status, writeJson } from "#machinery";
import { goNameOf, type ResourceDefinition } from "../definition.ts";
import { encodeProtobuf } from "../protobuf/codec.ts";
import { type Listed, listedOf } from "../list-pages.ts";
import { encodingOf, metadataHead, withStoredForm } from "../storage/encodings.ts";
import { HeldRevision } from "../storage/held-revision.ts";
import { type IncludeObject, inVersion, partialListOf, partialOf, tableOf } from "../tables/table.ts";
import type { AnswerForm } from "./negotiation.ts";
import { PieceWriter } from "./piece-writer.ts";

/** The bytes of an answer and their type. */
interface Encoded {
  readonly contentType: string;
  readonly body: Buffer;
}

/** The same of a long list: made piece by piece, as they are taken. */
interface EncodedPieces {
  readonly contentType: string;
  readonly pieces: Iterable<Buffer>;
}

/** JSON ends a line, as Go's encoder writes it. */
const LINE_END = Buffer.from("\n");

const encodeText = (encoding: AnswerForm["encoding"], value: unknown): Encoded =>
  encoding === "yaml"
    ? { contentType: "application/yaml", body: Buffer.from(toYaml(value)) }
    : { contentType: "application/json", body: Buffer.from(`${writeJson(value)}\n`) };

function encodePartial(form: AnswerForm, value: { readonly apiVersion: string; readonly kind: string }): Encoded {
  const packed = form.encoding === "protobuf" ? encodeProtobuf(value) : undefined;
  return packed === undefined
    ? encodeText(form.encoding, value)
    : { contentType: "application/vnd.kubernetes.protobuf", body: packed };
}

/** A Status in the encoding the client asked for. */
export function encodeStatus(status: Status, form: AnswerForm | undefined): Encoded {
  const packed = form?.encoding === "protobuf" ? encodeProtobuf(status as unknown as KubeObject) : undefined;
  if (packed !== undefined) return { contentType: "application/vnd.kubernetes.protobuf", body: packed };
  if (form !== undefined) return encodeText(form.encoding, status);
  // Where no form can be agreed on, an error is not written by an encoder of the API.
  return { contentType: "application/json", body: Buffer.from(JSON.stringify(status, undefined, 2)) };
}

/** What of an object table rows carry. Throws 400 for what nobody knows. */
export function includeObjectOf(query: URLSearchParams): IncludeObject {
  const include = query.get("includeObject") || "Metadata";
  if (include !== "Metadata" && include !== "Object" && include !== "None")
    throw badRequest(
      `Unable to convert to Table as requested: includeObject: Invalid value: ${JSON.stringify(include)}: must be 'Metadata', 'Object', 'None', or empty`,
    );
  return include;
}

/** An object, list or Status in the form the client asked for. */
export function encodeAnswer(
  definition: ResourceDefinition,
  form: AnswerForm,
  object: KubeObject | KubeList,
  include: () => IncludeObject,
  nowMs: number,
): Encoded | EncodedPieces {
  // What rows should carry is read first, whatever comes.
  const shown = form.as === "Table" ? include() : "None";
  if (object.kind === "Status" && object.apiVersion === "v1") return encodeStatus(object as unknown as Status, form);
  const goName = definition.origin === "custom" ? "unstructured.Unstructured" : goNameOf(definition);
  const isList = listedOf(object as KubeList) !== undefined || Array.isArray((object as KubeList).items);
  switch (form.as) {
    case "Table":
      return encodeText(form.encoding, inVersion(tableOf(definition, object, shown, nowMs), form.version));
    case "PartialObjectMetadata":
      if (isList)
        throw unfit(`you requested PartialObjectMetadata, but the requested object is a list (*${goName}List)`);
      return encodePartial(form, inVersion(partialOf(definition, object as KubeObject), form.version));
    case "PartialObjectMetadataList":
      if (!isList && definition.origin === "custom") throw plainFailure("content is not a list");
      if (!isList)
        throw unfit(`you requested PartialObjectMetadataList, but the requested object is not a list (*${goName})`);
      return encodePartial(form, inVersion(partialListOf(definition, object as KubeList), form.version));
    case "object": {
      const packed = form.encoding === "protobuf" ? encodeProtobuf(object as KubeObject) : undefined;
      if (packed !== undefined) return { contentType: "application/vnd.kubernetes.protobuf", body: packed };
      const isTyped = definition.origin !== "custom";
      if (form.encoding === "yaml")
        return encodeText("yaml", isList ? shownList(object as KubeList, isTyped) : ordered(object));
      return isList
        ? encodeList(object as KubeList, definition)
        : { contentType: "application/json", body: Buffer.concat([encodingOf(object as KubeObject), LINE_END]) };
    }
  }
}

const unfit = (message: string) => apiError(406, "NotAcceptable", message);

function ordered({ kind, apiVersion, ...rest }: KubeObject | KubeList): object {
  return { kind, apiVersion, ...rest };
}

const shownList = (list: KubeList, isTyped: boolean): object =>
  isTyped ? withoutItemKinds(list) : ordered({ ...list, metadata: untypedMetadata(list) });

function withoutItemKinds(list: KubeList): object {
  return { ...ordered(list), items: list.items.map(({ apiVersion: _a, kind: _k, ...item }) => item) };
}

/** Lists of custom resources name the page that follows also where there is none. */
const untypedMetadata = ({ metadata }: KubeList) => ({ continue: "", ...metadata });

function encodeList(list: KubeList, { origin, schemaRevision = 0 }: ResourceDefinition): Encoded | EncodedPieces {
  const isTyped = origin !== "custom";
  const contentType = "application/json";
  const pieces = listPieces(list, isTyped, schemaRevision);
  const first = pieces.next().value ?? Buffer.alloc(0);
  const second = pieces.next();
  if (second.done === true) return { contentType, body: first };
  return { contentType, pieces: following([first, second.value], pieces) };
}

function* following(taken: readonly Buffer[], rest: Iterable<Buffer>): Generator<Buffer, void> {
  yield* taken;
  yield* rest;
}

/**
 * Items of typed lists do not repeat their kind: it is the list's. Their bytes are the stored ones where there are any, of a
 * schema that still holds.
 */
function* listPieces(list: KubeList, isTyped: boolean, schemaRevision: number): Generator<Buffer, void> {
  const { kind, apiVersion } = list;
  const metadata = isTyped ? list.metadata : untypedMetadata(list);
  const head = { kind: kind.replace(/List$/, ""), apiVersion };
  const before = isTyped ? "{" : JSON.stringify(head).replace(/\}$/, ",");
  const { listed, show } = listedOf(list) ?? {
    listed: list.items.map((object): Listed => ["", { object }]),
    show: ([, { object }]: Listed) => object,
  };
  const writer = new PieceWriter();
  writer.text(`${JSON.stringify({ kind, apiVersion, metadata }).slice(0, -1)},"items":[`);
  for (const [at, found] of listed.entries()) {
    if (writer.isFull) yield writer.take();
    if (at > 0) writer.text(",");
    const [, held] = found;
    const isStored =
      held instanceof HeldRevision &&
      held.revision >= schemaRevision &&
      withStoredForm(held, head, (value, start) => {
        writer.text(before + metadataHead(held.revision));
        writer.bytes(value, start);
        return true;
      });
    if (isStored) continue;
    const item = show(found);
    if (isTyped) writer.text("{");
    writer.bytes(encodingOf(item), isTyped ? itemHeadBytes(item) : 0);
  }
  writer.text("]}\n");
  yield writer.take();
}

const itemHeadBytes = ({ kind, apiVersion }: KubeObject): number =>
  Buffer.byteLength(`{"kind":${JSON.stringify(kind)},"apiVersion":${JSON.stringify(apiVersion)},`);
