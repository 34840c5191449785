import { CACHED_FROM_CLUSTER } from "#apis/karmada";
import { type KubeObject, withKeys, writeJson } from "#machinery";

/** What OpenSearch holds of an object (wire): upstream's index names, ids and fields, so that the same queries find it. */

export const indexOf = ({ kind }: KubeObject): string => `kubernetes-${kind.toLowerCase()}`;

const text = (value: unknown): string | undefined => (value === undefined ? undefined : writeJson(value));

/** `spec` and `status` are texts: no two kinds could share the types of their fields. */
export function documentOf(object: KubeObject, cluster: string): object {
  const { apiVersion, kind, metadata } = object;
  const { spec, status } = object as KubeObject & { readonly spec?: unknown; readonly status?: unknown };
  const { name, namespace, creationTimestamp, labels, annotations, deletionTimestamp } = metadata;
  return {
    apiVersion,
    kind,
    metadata: {
      name,
      namespace,
      creationTimestamp,
      labels,
      annotations: withKeys(annotations, { [CACHED_FROM_CLUSTER]: cluster }),
      deletionTimestamp,
    },
    spec: text(spec),
    status: text(status),
  };
}

const name = { type: "text", fields: { keyword: { type: "keyword", ignore_above: 256 } } };
const time = { type: "date" };
/** Kept, not searched: whatever keys people choose would each become a field. */
const kept = { type: "object", enabled: false };

/** How an index is made. */
export const INDEX = {
  settings: { index: { number_of_shards: 1, number_of_replicas: 0 } },
  mappings: {
    properties: {
      apiVersion: { type: "keyword" },
      kind: { type: "keyword" },
      metadata: {
        properties: {
          name,
          namespace: name,
          creationTimestamp: time,
          deletionTimestamp: time,
          labels: kept,
          annotations: kept,
        },
      },
      spec: { type: "text" },
      status: { type: "text" },
    },
  },
};
