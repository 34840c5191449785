/**
 * Member: the clusters the control plane works in.
 *
 * A `Member` is one connection with its shared caches and discovery; the `MemberPool` holds those that can be reached
 * now. Each member has its own limits and breaker (`withFlow`), so that one that is slow, hanging or lying never slows
 * another. It never decides what runs where.
 */
export { IMPERSONATOR, memberAccount, type MemberCredentials, memberRole, obtainCredentials } from "./credentials.ts";
export { memberAddress, type MemberAddress, secretText } from "./address.ts";
export {
  adoptMember,
  joinMember,
  type MemberAccess,
  memberId,
  ownCredentials,
  refuseRegistered,
  registerMember,
  renewCredentials,
} from "./joining.ts";
export { type FlowDelay, type FlowOptions, type FlowStatus, isMemberBusy, withFlow } from "./flow.ts";
export {
  createMemberPool,
  type Member,
  type MemberChange,
  type MemberEndpoint,
  type MemberPool,
} from "./member-pool.ts";
