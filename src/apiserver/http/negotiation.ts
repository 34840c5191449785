/** One media range of an Accept header. */
export interface MediaRange {
  readonly type: string;
  readonly parameters: Readonly<Record<string, string>>;
  readonly quality: number;
}

/** Ranges of an Accept header, best first; ranges of equal quality keep their order. */
export function parseAccept(header: string | undefined): readonly MediaRange[] {
  if (header === undefined || header.trim() === "") return [{ type: "*/*", parameters: {}, quality: 1 }];
  return header
    .split(",")
    .map((part) => {
      const [type = "", ...rest] = part.split(";").map((piece) => piece.trim());
      const parameters: Record<string, string> = {};
      for (const piece of rest) {
        const equals = piece.indexOf("=");
        if (equals > 0) parameters[piece.slice(0, equals)] = piece.slice(equals + 1).replace(/^"|"$/g, "");
      }
      return { type: type.toLowerCase(), parameters, quality: Number(parameters["q"] ?? 1) };
    })
    .filter(({ quality }) => quality > 0)
    .sort((a, b) => b.quality - a.quality);
}

/** The form an answer takes. */
export interface AnswerForm {
  readonly encoding: "json" | "yaml" | "protobuf";
  readonly as: "object" | "Table" | "PartialObjectMetadata" | "PartialObjectMetadataList";
}

/** Metadata has a form of its own in every encoding, whatever it is the metadata of. */
const isPartial = (as: string | undefined): as is "PartialObjectMetadata" | "PartialObjectMetadataList" =>
  as === "PartialObjectMetadata" || as === "PartialObjectMetadataList";

/** Chooses the first form that can be given; `undefined` when none can (406). */
export function chooseForm(header: string | undefined, canProtobuf: boolean): AnswerForm | undefined {
  for (const { type, parameters } of parseAccept(header)) {
    const as = parameters["as"];
    const encoding =
      type === "application/json" || type === "*/*"
        ? "json"
        : type === "application/yaml"
          ? "yaml"
          : type === "application/vnd.kubernetes.protobuf" && (canProtobuf || isPartial(as))
            ? "protobuf"
            : undefined;
    if (encoding === undefined) continue;
    if (as === undefined) return { encoding, as: "object" };
    if (parameters["g"] !== "meta.k8s.io" || (parameters["v"] !== "v1" && parameters["v"] !== "v1beta1")) continue;
    if (isPartial(as) && encoding !== "yaml") return { encoding, as };
    if (encoding === "json" && as === "Table") return { encoding, as };
  }
  return undefined;
}
