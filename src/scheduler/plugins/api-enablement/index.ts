/** Refuses clusters that do not serve the template's kind. */
import type { Cluster } from "#apis/karmada";
import { targetNamed } from "../../facts.ts";
import { definePlugin } from "../plugin.ts";

type Enablements = NonNullable<NonNullable<Cluster["status"]>["apiEnablements"]>;

/** What a member serves, by group version and kind: read once a revision of its list, asked by every binding. */
const served = new WeakMap<Enablements, ReadonlyMap<string, ReadonlySet<string>>>();

function servedBy(enablements: Enablements): ReadonlyMap<string, ReadonlySet<string>> {
  let kinds = served.get(enablements);
  if (kinds === undefined) {
    const found = new Map<string, Set<string>>();
    for (const { groupVersion, resources } of enablements) {
      let own = found.get(groupVersion);
      if (own === undefined) found.set(groupVersion, (own = new Set()));
      for (const { kind } of resources ?? []) own.add(kind);
    }
    served.set(enablements, (kinds = found));
  }
  return kinds;
}

export const apiEnablement = definePlugin({
  name: "APIEnablement",
  filter({ spec }, cluster) {
    if (targetNamed(spec, cluster.metadata.name ?? "") !== undefined) return undefined;
    const { apiVersion, kind } = spec.resource;
    const enablements = cluster.status?.apiEnablements;
    const isServed =
      enablements !== undefined && enablements !== null && servedBy(enablements).get(apiVersion)?.has(kind) === true;
    return isServed ? undefined : "cluster(s) did not have the API resource";
  },
});
