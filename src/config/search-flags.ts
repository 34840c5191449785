import { flag } from "./flag.ts";
import { boolean, duration } from "./values.ts";

/** What is kept of members' objects, and served of it. */
export const searchFlags = {
  disableSearch: flag("disable-search", boolean, "false", "do not serve search.karmada.io's search over members", {
    of: "search",
    by: "search",
  }),
  disableProxy: flag("disable-proxy", boolean, "false", "do not serve proxying, all members as one API server", {
    of: "search",
    by: "search",
  }),
  storageInitializationTimeoutMs: flag(
    "storage-initialization-timeout",
    duration,
    "1m",
    "how long after the start requests to search and proxying wait for caches of members",
    { of: "search", by: "search" },
  ),
};
