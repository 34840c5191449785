export { keptKinds } from "./kept-version.ts";
export { serveAggregatedApi, withdrawAggregatedApi, withdrawProxyAdmin } from "./serve.ts";
