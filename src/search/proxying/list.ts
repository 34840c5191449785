import type { KubeObject } from "#machinery";
import { type Continuation, decodeVersions, encodeVersions, type Versions, versionOf, withVersion } from "./tokens.ts";

/** What one cluster is asked for. */
export interface PageRequest {
  readonly limit?: number;
  /** The cluster's own token. */
  readonly continue?: string;
  readonly resourceVersion?: string;
}

/** What it answers. */
export interface Page {
  readonly items: readonly KubeObject[];
  readonly resourceVersion: string;
  readonly continue?: string;
}

export interface ListedAcross {
  /** With the cluster each is in. */
  readonly items: readonly (readonly [cluster: string, object: KubeObject])[];
  readonly versions: Versions;
  readonly next?: Continuation;
}

/**
 * One list of several clusters, in the order given. A limit is used up from cluster to cluster: where it ends, the next page
 * begins. Versions are those of all clusters, whether or not their objects are on the page: a watch from there misses nothing.
 */
export async function listAcross(
  clusters: readonly string[],
  asked: { readonly limit?: number; readonly from?: Continuation; readonly versions: Versions },
  ask: (cluster: string, request: PageRequest) => Promise<Page>,
): Promise<ListedAcross> {
  const { limit, from } = asked;
  const known = from === undefined ? asked.versions : decodeVersions(from.versions);
  // A cluster that has left since is passed over; where it stood, the next one begins.
  const left = from === undefined ? clusters : clusters.filter((cluster) => cluster >= from.cluster);
  const requestOf = (cluster: string, rest: number | undefined): PageRequest => {
    const token = from?.cluster === cluster ? from.token : "";
    const resourceVersion = versionOf(known, cluster);
    return {
      ...(rest === undefined ? {} : { limit: rest }),
      ...(token !== "" ? { continue: token } : resourceVersion === "" ? {} : { resourceVersion }),
    };
  };
  const items: (readonly [string, KubeObject])[] = [];
  let versions: Versions = from === undefined ? decodeVersions(undefined) : known;
  const take = (cluster: string, page: Page): void => {
    for (const object of page.items) items.push([cluster, object]);
    versions = withVersion(versions, cluster, page.resourceVersion);
  };
  if (limit === undefined) {
    const pages = await Promise.all(left.map((cluster) => ask(cluster, requestOf(cluster, undefined))));
    for (const [at, page] of pages.entries()) take(left[at] as string, page);
  }
  let rest = limit ?? 0;
  let next: { readonly cluster: string; readonly token: string } | undefined;
  for (const [at, cluster] of limit === undefined ? [] : left.entries()) {
    const page = await ask(cluster, requestOf(cluster, rest));
    take(cluster, page);
    rest -= page.items.length;
    const following = left[at + 1];
    if (page.continue) next = { cluster, token: page.continue };
    else if (rest <= 0 && following !== undefined) next = { cluster: following, token: "" };
    if (next !== undefined || rest <= 0) break;
  }
  // Only a version is wanted of who was not asked; the shortest list has it.
  const unasked = clusters.filter((cluster) => versionOf(versions, cluster) === "");
  const heads = await Promise.all(
    unasked.map((cluster) => {
      const resourceVersion = versionOf(known, cluster);
      return ask(cluster, { limit: 1, ...(resourceVersion === "" ? {} : { resourceVersion }) });
    }),
  );
  for (const [at, head] of heads.entries())
    versions = withVersion(versions, unasked[at] as string, head.resourceVersion);
  return {
    items,
    versions,
    ...(next === undefined ? {} : { next: { versions: encodeVersions(versions), ...next } }),
  };
}
