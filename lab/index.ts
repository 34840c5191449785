/**
 * Lab: real Kubernetes for tests, benchmarks and for looking at things by hand.
 *
 * The Go modules here build Kubernetes' own programs as dependencies (`buildParts`); `startEtcd`, `startRealApiServer` and
 * `startRealMember` run them on free loopback ports and end them by process id. `npm run lab` is the same as a command.
 * Nothing below `src/` may import it: what ships knows no Go.
 */
export { type RealApiServer, type RealApiServerOptions, startRealApiServer } from "./api-server.ts";
export { buildParts, KUBERNETES_VERSION, missingParts, type PartName, partPath } from "./build.ts";
export { debianEtcd, type Etcd, type EtcdOptions, startEtcd, startEtcdCluster } from "./etcd.ts";
export { type RealMember, type RealMemberOptions, startRealMember } from "./member.ts";
export { freePort, type LabProcess, startProcess, untilReady } from "./process.ts";
