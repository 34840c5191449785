import { CACHED_FROM_CLUSTER } from "#apis/karmada";
import { type KubeObject, objectKey, withKeys, withMetadata } from "#machinery";
import type { KindCache } from "./cache/member-caches.ts";

/** An object with the cluster it is in, and with another version where one is given. */
export const shownFrom = (object: KubeObject, cluster: string, resourceVersion?: string): KubeObject =>
  withMetadata(object, {
    annotations: withKeys(object.metadata.annotations, { [CACHED_FROM_CLUSTER]: cluster }),
    ...(resourceVersion === undefined ? {} : { resourceVersion }),
  });

/** Whether registries want objects of a namespace; `undefined` stands for objects of none. */
export const covers = ({ namespaces }: Pick<KindCache, "namespaces">, namespace: string | undefined): boolean =>
  namespaces === undefined || (namespace !== undefined && namespaces.has(namespace));

/** Objects of a cache by the order of their keys, of one namespace or of all. */
export function inOrder({ informer }: KindCache, namespace: string | undefined): readonly KubeObject[] {
  const keyed = informer.list(namespace).map((object) => {
    const { metadata } = object;
    return [objectKey(metadata.namespace, metadata.name ?? ""), object] as const;
  });
  return keyed.sort(([one], [other]) => (one < other ? -1 : 1)).map(([, object]) => object);
}
