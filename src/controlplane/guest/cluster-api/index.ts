export { keptClusters } from "./kept-version.ts";
export { serveClusterApi, withdrawClusterApi, withdrawProxyAdmin } from "./serve.ts";
