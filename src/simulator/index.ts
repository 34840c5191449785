/**
 * Simulator: member clusters that are not there. A simulated member is a real API server with simulated nodes: pods are
 * placed, become Ready, finish and end as kubelets would have it, workload controllers do their work, and `setFaults`
 * makes the cluster fail in ways that real ones do. It runs nothing and pulls nothing.
 */
export { ConnectionRefused, type Faults, NO_FAULTS, withFaults } from "./faults.ts";
export { faultyWay } from "./faulty-way.ts";
export { applyFault, faultNames, type FaultName, type FaultRequest, isFaultName } from "./fault-commands.ts";
export type { KubeletOptions } from "./controllers/kubelet.ts";
export {
  type NodeClass,
  servedKinds,
  type ServedKinds,
  type SimulatedMember,
  type SimulatedMemberOptions,
  startSimulatedMember,
} from "./simulated-member.ts";
