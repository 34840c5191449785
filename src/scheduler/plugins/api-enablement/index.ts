/** Refuses clusters that do not serve the template's kind. */
import type { Cluster } from "#apis/karmada";
import { definePassPlugin } from "../plugin.ts";

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

export const apiEnablement = definePassPlugin({
  name: "APIEnablement",
  prepareFilter({ spec, fleet, present }) {
    const { apiVersion, kind } = spec.resource;
    const isServed = fleet.column("serves", `${apiVersion} ${kind}`, ({ status }) => {
      const enablements = status?.apiEnablements;
      if (enablements === undefined || enablements === null) return 0;
      return servedBy(enablements).get(apiVersion)?.has(kind) === true ? 1 : 0;
    });
    return (place) =>
      isServed[place] === 1 || present.isAt(place) ? undefined : "cluster(s) did not have the API resource";
  },
});
