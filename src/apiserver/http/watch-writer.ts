import type { Clock } from "#base";
import { ApiError, type KubeObject, type Status, statusFailure, type WatchSink } from "#machinery";
import type { ResourceDefinition } from "../definition.ts";
import { encodeWatchFrame } from "../protobuf/codec.ts";
import { encodingOf } from "../storage/encodings.ts";
import { type IncludeObject, inVersion, partialOf, tableOf } from "../tables/table.ts";
import type { AnswerForm } from "./negotiation.ts";

export interface WrittenWatch {
  readonly definition: ResourceDefinition;
  readonly form: AnswerForm;
  /** What of an object table rows carry. */
  readonly include: IncludeObject;
  readonly clock: Clock;
  /** Counts events. */
  readonly counted?: { events: number } | undefined;
}

/** Writes a watch in the form a client asked for, frame by frame. */
export function watchWriter(
  { definition, form, include, clock, counted }: WrittenWatch,
  write: (frame: Buffer) => void,
  end: () => void,
): WatchSink {
  const partial = (object: KubeObject) => inVersion(partialOf(definition, object), form.version);
  let isFirst = true;
  return {
    event: (type, object) => {
      if (counted !== undefined) counted.events++;
      if (form.as === "Table") {
        write(
          Buffer.from(
            `${JSON.stringify({ type, object: inVersion(tableOf(definition, object, include, clock.now(), isFirst), form.version) })}\n`,
          ),
        );
        isFirst = false;
      } else if (form.as === "PartialObjectMetadataList") {
        // An event has one object, and no list of them.
      } else if (form.as !== "object")
        write(
          (form.encoding === "protobuf" ? encodeWatchFrame(type, partial(object)) : undefined) ??
            Buffer.from(`${JSON.stringify({ type, object: partial(object) })}\n`),
        );
      else write((form.encoding === "protobuf" ? encodeWatchFrame(type, object) : undefined) ?? frameOf(type, object));
    },
    closed: (error) => {
      if (error !== undefined) {
        const status: Status =
          error instanceof ApiError ? error.status : statusFailure(500, "InternalError", error.message);
        write(
          (form.encoding === "protobuf" ? encodeWatchFrame("ERROR", status) : undefined) ??
            Buffer.from(`${JSON.stringify({ type: "ERROR", object: status })}\n`),
        );
      }
      end();
    },
  };
}

const frames = new WeakMap<KubeObject, Map<string, Buffer>>();
const NEWLINE = Buffer.from("}\n");

/** The bytes of a watch event, made once and shared by all watchers. */
function frameOf(type: string, object: KubeObject): Buffer {
  let own = frames.get(object);
  if (own === undefined) frames.set(object, (own = new Map()));
  let frame = own.get(type);
  if (frame === undefined) {
    frame = Buffer.concat([Buffer.from(`{"type":"${type}","object":`), encodingOf(object), NEWLINE]);
    own.set(type, frame);
  }
  return frame;
}
