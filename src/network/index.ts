/**
 * Network: connections to other servers. `dial` opens one, through HTTP and SOCKS5 proxies, up to a finished TLS
 * handshake; `forwardRequest` and `forwardUpgrade` send what a client asked on to another server, streams and protocol
 * upgrades (exec, attach, port-forward) included, and keep connections for requests that only read. `startFaultyProxy` is a
 * way to a server that can be broken on purpose. It knows neither users nor clusters.
 */
export { type FaultyProxy, startFaultyProxy } from "./faulty-proxy.ts";
export { dial, type DialOptions, type ProxyOptions, type TlsOptions } from "./dial.ts";
export {
  type ForwardedAnswer,
  type ForwardedRequest,
  forwardRequest,
  type ForwardTarget,
  forwardUpgrade,
} from "./forward.ts";
