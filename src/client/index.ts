/**
 * Client: typed access to an API server over any `Transport`.
 *
 * `createClient` reads and writes; `createInformers` keeps shared caches with indexes; `createHttpTransport` reaches
 * foreign servers, `createFollowedTransport` with credentials that change; `discover` lists what a server serves. What a cache hands out is shared and frozen in spirit: change
 * makes a copy. It never retries writes by itself, but `retryOnConflict` does where asked.
 */
export { type Client, type ClientOptions, createClient, type ObjectName } from "./client.ts";
export { isDefinitionLeaving } from "./definitions.ts";
export { discover, type DiscoveredResource, type Discovery } from "./discovery.ts";
export { createHttpTransport, type HttpTransport, type HttpTransportOptions, pathOf } from "./http-transport.ts";
export { ensureObject } from "./ensure.ts";
export { createFollowedTransport, type FollowedTransport } from "./followed-transport.ts";
export { Informer, type InformerHandler, type InformerOptions } from "./informer.ts";
export { createInformers, type Informers } from "./informers.ts";
export { createKindMapper, type KindMapper } from "./kind-mapper.ts";
export { withRateLimit } from "./rate-limit.ts";
export { type RequestMeasure, restMetrics } from "./rest-metrics.ts";
export { retryOnConflict } from "./retry.ts";
