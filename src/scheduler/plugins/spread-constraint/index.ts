/** Refuses clusters that lack the property a spread constraint groups by. */
import { definePlugin } from "../plugin.ts";

export const spreadConstraint = definePlugin({
  name: "SpreadConstraint",
  filter({ placement }, cluster) {
    for (const { spreadByField } of placement.spreadConstraints ?? []) {
      if (spreadByField === "provider" && !cluster.spec?.provider) return "cluster(s) did not have provider property";
      if (spreadByField === "region" && !cluster.spec?.region) return "cluster(s) did not have region property";
      if (spreadByField === "zone" && (cluster.spec?.zones ?? []).length === 0)
        return "cluster(s) did not have zones property";
    }
    return undefined;
  },
});
