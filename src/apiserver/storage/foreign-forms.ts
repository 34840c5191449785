import { getPath, isJsonObject, type KubeObject } from "#machinery";
import { decodeProtobuf, isProtobuf } from "../protobuf/codec.ts";

type Json = Readonly<Record<string, unknown>>;

/**
 * What a store holds, as an object. We write JSON in the version we store; a kube-apiserver that had the store meanwhile
 * has written protobuf, and CustomResourceDefinitions in the version before ours.
 */
export function readStored(bytes: Buffer): KubeObject {
  const object = isProtobuf(bytes) ? decodeProtobuf(bytes) : (JSON.parse(bytes.toString("utf8")) as KubeObject);
  return object.apiVersion === "apiextensions.k8s.io/v1beta1" && object.kind === "CustomResourceDefinition"
    ? definitionFromBeta(object)
    : object;
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
