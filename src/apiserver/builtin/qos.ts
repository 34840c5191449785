import { getPath } from "#machinery";
import { listAt } from "./checks.ts";
import type { Json } from "./pod-defaults.ts";

/** How a pod with these amounts is served. */
export function qosOf(spec: Json): string {
  const containers = [...listAt(spec, "containers"), ...listAt(spec, "initContainers")];
  const parts = spec["resources"] === undefined ? containers : [{ resources: spec["resources"] }];
  let hasAny = false;
  let isGuaranteed = parts.length > 0;
  for (const container of parts) {
    const requests = (getPath(container, "resources", "requests") ?? {}) as Json;
    const limits = (getPath(container, "resources", "limits") ?? {}) as Json;
    for (const name of ["cpu", "memory"]) {
      if (requests[name] !== undefined || limits[name] !== undefined) hasAny = true;
      if (limits[name] === undefined || (requests[name] !== undefined && requests[name] !== limits[name]))
        isGuaranteed = false;
    }
  }
  return isGuaranteed ? "Guaranteed" : hasAny ? "Burstable" : "BestEffort";
}
