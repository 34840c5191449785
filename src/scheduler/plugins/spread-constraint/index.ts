/** Refuses clusters that lack the property a spread constraint groups by. */
import type { Cluster } from "#apis/karmada";
import { definePassPlugin } from "../plugin.ts";

const PROPERTIES: Readonly<
  Record<string, { readonly has: (spec: Cluster["spec"] | undefined) => boolean; readonly reason: string }>
> = {
  provider: { has: (spec) => Boolean(spec?.provider), reason: "cluster(s) did not have provider property" },
  region: { has: (spec) => Boolean(spec?.region), reason: "cluster(s) did not have region property" },
  zone: { has: (spec) => (spec?.zones ?? []).length > 0, reason: "cluster(s) did not have zones property" },
};

export const spreadConstraint = definePassPlugin({
  name: "SpreadConstraint",
  prepareFilter({ placement, fleet }) {
    const wanted = (placement.spreadConstraints ?? []).flatMap(({ spreadByField = "" }) => {
      const property = Object.hasOwn(PROPERTIES, spreadByField) ? PROPERTIES[spreadByField] : undefined;
      if (property === undefined) return [];
      const { has, reason } = property;
      return [{ values: fleet.column("has", spreadByField, ({ spec }) => (has(spec) ? 1 : 0)), reason }];
    });
    if (wanted.length === 0) return undefined;
    return (place) => {
      for (const { values, reason } of wanted) if (values[place] === 0) return reason;
      return undefined;
    };
  },
});
