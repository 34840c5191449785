import type { Clock } from "#base";
import {
  type KubeList,
  type KubeObject,
  type ResourceKind,
  type WatchHandle,
  type WatchSink,
  kindKey,
} from "#machinery";
import { headerOf } from "../authentication/headers.ts";
import { builtinDefinitions } from "../builtin/definitions.ts";
import type { ResourceDefinition } from "../definition.ts";
import { encodeAnswer, includeObjectOf } from "./answers.ts";
import type { FrontAnswer, FrontPieces, FrontRequest, FrontStream } from "./exchange.ts";
import { type AnswerForm, chooseForm } from "./negotiation.ts";
import { watchWriter } from "./watch-writer.ts";

/**
 * Objects that come from elsewhere, in the forms clients ask for: whole in JSON or YAML, as tables, as metadata alone. Who wants
 * nothing but protobuf gets JSON.
 */

const NOT_CACHED = { "cache-control": "no-cache, private" };
const PLAIN: AnswerForm = { encoding: "json", as: "object", version: "v1" };

/** What Kubernetes shows of kinds it has no columns for. */
const PLAIN_COLUMNS = [
  { name: "Name", type: "string", format: "name" },
  { name: "Created At", type: "date" },
];

/** Columns of built-in kinds, looked up when the first table is asked for. */
let builtin: ReadonlyMap<string, ResourceDefinition> | undefined;

function definitionOf(kind: ResourceKind): ResourceDefinition {
  builtin ??= new Map(builtinDefinitions().map((definition) => [kindKey(definition.kind), definition]));
  return (
    builtin.get(kindKey(kind)) ?? {
      kind,
      singular: "",
      shortNames: [],
      categories: [],
      verbs: [],
      subresources: [],
      schema: undefined,
      columns: PLAIN_COLUMNS,
      storage: { prefix: "", version: kind.version },
      origin: "custom",
      strategy: {},
      hasGeneration: false,
    }
  );
}

const formOf = ({ headers }: FrontRequest): AnswerForm => chooseForm(headerOf(headers, "accept"), false) ?? PLAIN;
const queryOf = ({ url }: FrontRequest) => new URL(url, "http://localhost").searchParams;

/** An object or a list of a kind as an answer. */
export function presentObject(
  kind: ResourceKind,
  request: FrontRequest,
  object: KubeObject | KubeList,
  clock: Clock,
): FrontAnswer | FrontPieces {
  const include = () => includeObjectOf(queryOf(request));
  const encoded = encodeAnswer(definitionOf(kind), formOf(request), object, include, clock.now());
  const head = { status: 200, headers: { "content-type": encoded.contentType, ...NOT_CACHED } };
  return "pieces" in encoded ? { ...head, pieces: encoded.pieces } : { ...head, body: encoded.body };
}

/** A watch of a kind as an answer. */
export function presentWatch(
  kind: ResourceKind,
  request: FrontRequest,
  watch: (sink: WatchSink) => WatchHandle,
  clock: Clock,
): FrontStream {
  const asked = formOf(request);
  const form: AnswerForm = asked.encoding === "yaml" ? { ...asked, encoding: "json" } : asked;
  const include = form.as === "Table" ? includeObjectOf(queryOf(request)) : "None";
  return {
    stream: true,
    contentType: "application/json",
    start: (write, end) => watch(watchWriter({ definition: definitionOf(kind), form, include, clock }, write, end)),
  };
}
