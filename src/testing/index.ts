/**
 * Testing: what tests share. `startTestFleet` gives a whole control plane with simulated members in memory,
 * `startTestApiServer` only an API server, `eventually` waits for something to come true without sleeping longer than it must, `kubectl` runs the machine's real one.
 */
export { certificateRequest } from "./certificate-request.ts";
export { accountToken } from "./account-token.ts";
export { startTestApiServer } from "./api-server.ts";
export { captured } from "./captured.ts";
export { startConnectProxy } from "./connect-proxy.ts";
export { aDeployment, aDeploymentThatNeeds, aPropagationPolicy } from "./builders.ts";
export {
  aDefinition,
  aFlinkJob,
  aWidget,
  FLINK_JOB_LABEL,
  FlinkDeployment,
  flinkDefinition,
  flinkPolicy,
  flinkStatus,
  Widget,
} from "./custom-kinds.ts";
export { eventually, settle } from "./eventually.ts";
export { FAILOVER_FLAGS, type FailoverFleet, startFailoverFleet } from "./failover-fleet.ts";
export { startTestFleet } from "./fleet.ts";
export { type Answered, type Credentials, httpsClient, type HttpsClient } from "./https-client.ts";
export { startKeyManager } from "./key-manager.ts";
export { kubeconfigClients } from "./kubeconfig-clients.ts";
export { hasKubectl, kubectl, type RunningKubectl, startKubectl } from "./kubectl.ts";
export { aBindingOfCpus, aQuotaOfCpus, countedCpus, outcomeOf, usedCpus } from "./quotas.ts";
export { createTestServer, type TestServer, watchInto } from "./test-server.ts";
export { startVirtualFleet, type VirtualFleet } from "./virtual-fleet.ts";
