/** Refuses clusters that do not serve the template's kind. */
import { targetNamed } from "../../facts.ts";
import { definePlugin } from "../plugin.ts";

export const apiEnablement = definePlugin({
  name: "APIEnablement",
  filter({ spec }, cluster) {
    if (targetNamed(spec, cluster.metadata.name ?? "") !== undefined) return undefined;
    const { apiVersion, kind } = spec.resource;
    const isServed = (cluster.status?.apiEnablements ?? []).some(
      ({ groupVersion, resources }) =>
        groupVersion === apiVersion && (resources ?? []).some((resource) => resource.kind === kind),
    );
    return isServed ? undefined : "cluster(s) did not have the API resource";
  },
});
