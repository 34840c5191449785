/**
 * Agent: the control plane's hand in a pull member.
 *
 * `startAgent` registers the member, reports its status, renews its Lease and carries out the Works of its execution
 * namespace with the controllers that push members have in the control plane. It lives within the rights `register` gives
 * (`AG-3`), sees no other member's Works and schedules nothing. `createPlaneConnection` follows its kubeconfig.
 */
export { type Agent, type AgentOptions, startAgent } from "./agent.ts";
export { createPlaneConnection, type PlaneConnection } from "./plane-connection.ts";
