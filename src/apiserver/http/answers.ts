import { stringify as toYaml } from "yaml";
import { apiError, badRequest, type KubeList, type KubeObject, type Status } from "#machinery";
import { goNameOf, type ResourceDefinition } from "../definition.ts";
import { encodeProtobuf } from "../protobuf/codec.ts";
import { encodingOf, metadataHead, type StoredForm, storedForm } from "../storage/encodings.ts";
import { type IncludeObject, partialListOf, partialOf, tableOf } from "../tables/table.ts";
import type { AnswerForm } from "./negotiation.ts";

/** The bytes of an answer and their type. */
export interface Encoded {
  readonly contentType: string;
  readonly body: Buffer;
}

const encodeText = (encoding: AnswerForm["encoding"], value: unknown): Encoded =>
  encoding === "yaml"
    ? { contentType: "application/yaml", body: Buffer.from(toYaml(value)) }
    : { contentType: "application/json", body: Buffer.from(JSON.stringify(value)) };

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
  return encodeText(form?.encoding ?? "json", status);
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
): Encoded {
  if (object.kind === "Status" && object.apiVersion === "v1") return encodeStatus(object as unknown as Status, form);
  const isList = Array.isArray((object as KubeList).items);
  switch (form.as) {
    case "Table":
      return encodeText(form.encoding, tableOf(definition, object, include(), nowMs));
    case "PartialObjectMetadata":
      if (isList)
        throw unfit(
          `you requested PartialObjectMetadata, but the requested object is a list (*${goNameOf(definition)}List)`,
        );
      return encodePartial(form, partialOf(definition, object as KubeObject));
    case "PartialObjectMetadataList":
      if (!isList)
        throw unfit(
          `you requested PartialObjectMetadataList, but the requested object is not a list (*${goNameOf(definition)})`,
        );
      return encodePartial(form, partialListOf(definition, object as KubeList));
    case "object": {
      const packed = form.encoding === "protobuf" ? encodeProtobuf(object as KubeObject) : undefined;
      if (packed !== undefined) return { contentType: "application/vnd.kubernetes.protobuf", body: packed };
      const isTyped = definition.origin !== "custom";
      if (form.encoding === "yaml")
        return encodeText("yaml", isList ? shownList(object as KubeList, isTyped) : ordered(object));
      return {
        contentType: "application/json",
        body: isList ? encodeList(object as KubeList, isTyped) : encodingOf(object as KubeObject),
      };
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

const COMMA = Buffer.from(",");
const LIST_END = Buffer.from("]}\n");

/** Lists of custom resources name the page that follows also where there is none. */
const untypedMetadata = ({ metadata }: KubeList) => ({ continue: "", ...metadata });

/** Items of typed lists do not repeat their kind: it is the list's. Their bytes are the stored ones where there are any. */
function encodeList(list: KubeList, isTyped: boolean): Buffer {
  const { kind, apiVersion, items } = list;
  const metadata = isTyped ? list.metadata : untypedMetadata(list);
  const head = `${JSON.stringify({ kind, apiVersion, metadata }).slice(0, -1)},"items":[`;
  if (!isTyped) {
    const parts: Uint8Array[] = [Buffer.from(head)];
    for (const [at, item] of items.entries()) {
      if (at > 0) parts.push(COMMA);
      parts.push(encodingOf(item));
    }
    return Buffer.concat([...parts, LIST_END]);
  }
  // Text and bytes take turns; one piece of memory for all, filled once.
  const texts: string[] = [];
  const forms: StoredForm[] = [];
  let size = Buffer.byteLength(head) + LIST_END.length;
  for (const item of items) {
    const before = texts.length === 0 ? "" : ",";
    const stored = storedForm(item);
    const text = stored === undefined ? `${before}{` : `${before}{${metadataHead(item)}`;
    const form = stored ?? { value: encodingOf(item), start: itemHeadBytes(item) };
    texts.push(text);
    forms.push(form);
    size += text.length + form.value.length - form.start;
  }
  const body = Buffer.allocUnsafe(size);
  let at = body.write(head);
  for (const [index, text] of texts.entries()) {
    const { value, start } = forms[index] as StoredForm;
    at += body.write(text, at, "latin1");
    body.set(start === 0 ? value : value.subarray(start), at);
    at += value.length - start;
  }
  body.set(LIST_END, at);
  return body;
}

const itemHeadBytes = ({ kind, apiVersion }: KubeObject): number =>
  Buffer.byteLength(`{"kind":${JSON.stringify(kind)},"apiVersion":${JSON.stringify(apiVersion)},`);
