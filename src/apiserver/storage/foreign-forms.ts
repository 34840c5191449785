import { getPath, isJsonObject, type KubeObject, parseJson } from "#machinery";
import { decodeProtobuf, isProtobuf } from "../protobuf/codec.ts";

type Json = Readonly<Record<string, unknown>>;

/**
 * What a store holds, as an object. We write JSON in the version we store; a kube-apiserver that had the store meanwhile
 * has written protobuf, and CustomResourceDefinitions in the version before ours.
 */
export function readStored(bytes: Buffer): KubeObject {
  const object = isProtobuf(bytes) ? decodeProtobuf(bytes) : (parseJson(bytes.toString("utf8")) as KubeObject);
  return object.apiVersion === "apiextensions.k8s.io/v1beta1" && object.kind === "CustomResourceDefinition"
    ? definitionFromBeta(object)
    : object;
}

/** Begins a value kept under encryption at rest, which only its keys can open. */
const ENCRYPTED = "k8s:enc:";

/** What is wrong with the value of an entry that is to hold an object; `undefined` where nothing is, as far as can be seen. */
export function damageOf(value: Uint8Array): string | undefined {
  const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  if (bytes.subarray(0, ENCRYPTED.length).toString("latin1") === ENCRYPTED) return undefined;
  try {
    const { apiVersion, kind, metadata } = readStored(bytes) as Partial<KubeObject>;
    if (typeof apiVersion !== "string" || typeof kind !== "string" || !isJsonObject(metadata)) return "it is no object";
    return undefined;
  } catch (error) {
    return whyUnreadable(error);
  }
}

/** Why a value could not be read. What a parser shows of the value is left out: it may be a secret. */
export function whyUnreadable(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  if (!(error instanceof SyntaxError)) return message;
  const [at] = / at position \d+/.exec(message) ?? [""];
  return `it is no valid JSON${at}`;
}

/** The earlier form says once at the top what all versions have in common. */
function definitionFromBeta(object: KubeObject): KubeObject {
  const {
    validation,
    subresources,
    additionalPrinterColumns,
    selectableFields,
    preserveUnknownFields,
    version,
    conversion,
    ...spec
  } = (getPath(object, "spec") ?? {}) as Json;
  const listed = Array.isArray(spec["versions"]) ? (spec["versions"] as readonly Json[]) : [];
  const versions = listed.length > 0 ? listed : [{ name: version, served: true, storage: true }];
  return {
    ...object,
    apiVersion: "apiextensions.k8s.io/v1",
    spec: {
      ...spec,
      ...(preserveUnknownFields === true ? { preserveUnknownFields } : {}),
      ...(isJsonObject(conversion) ? { conversion: conversionFromBeta(conversion) } : {}),
      versions: versions.map((own) => {
        const columns = own["additionalPrinterColumns"] ?? additionalPrinterColumns;
        return {
          ...own,
          ...(own["schema"] === undefined && validation !== undefined ? { schema: validation } : {}),
          ...(own["subresources"] === undefined && subresources !== undefined ? { subresources } : {}),
          ...(own["selectableFields"] === undefined && selectableFields !== undefined ? { selectableFields } : {}),
          ...(Array.isArray(columns)
            ? {
                additionalPrinterColumns: (columns as readonly Json[]).map(({ JSONPath, ...column }) => ({
                  ...column,
                  ...(JSONPath === undefined ? {} : { jsonPath: JSONPath }),
                })),
              }
            : {}),
        };
      }),
    },
  } as unknown as KubeObject;
}

function conversionFromBeta(conversion: Json): Json {
  const { webhookClientConfig, conversionReviewVersions, ...rest } = conversion;
  return webhookClientConfig === undefined
    ? rest
    : {
        ...rest,
        webhook: {
          clientConfig: webhookClientConfig,
          conversionReviewVersions: conversionReviewVersions ?? ["v1"],
        },
      };
}
