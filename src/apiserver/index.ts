/**
 * API server: what Kubernetes clients talk to.
 *
 * `startApiServer` gives one over any store: in process through `transport`, without serialisation, and over HTTPS after
 * `listen`. A `ResourceDefinition` says what a kind is, its `Strategy` what is special about it, an `AdmissionPlugin`
 * changes or refuses writes. Kinds come from generated data and from CRDs. It starts no controllers and knows no clusters.
 */
export { admit, type AdmissionPlugin, type AdmissionRequest } from "./admission.ts";
export { parseAddressRanges, parsePortRange } from "./builtin/service-ranges.ts";
export { type Attributes, refusal } from "./authorization/attributes.ts";
export { compareVersions } from "./discovery/discovery.ts";
export { namespaceUsage } from "./builtin/quota-admission.ts";
export type { ComputedObjects, RequestContext, ResourceDefinition, Strategy, TableColumn, User } from "./definition.ts";
export { systemUser } from "./definition.ts";
export type {
  Connect,
  FrontForward,
  FrontOutcome,
  FrontStream,
  FrontUpgrade,
  UpgradeRequest,
} from "./http/exchange.ts";
export { Auditor } from "./audit/auditor.ts";
export { openAuditFile } from "./audit/log-file.ts";
export { type AdmissionConfiguration, parseAdmissionConfiguration } from "./admission-configuration.ts";
export { parseAuditPolicy } from "./audit/policy.ts";
export { readServiceAccountKeys } from "./authentication/service-account-tokens.ts";
export { parseTokenFile } from "./authentication/static-tokens.ts";
export { type Encryption, followedEncryption, parseEncryption } from "./storage/encryption.ts";
export { kmsMethods } from "./storage/kms-messages.ts";
export { damageOf } from "./storage/foreign-forms.ts";
export { listen, type Listener, type ServingCertificate } from "./http/listener.ts";
export { attributesOf, urlOf } from "./http/attributes.ts";
export { booleanOf, listOptions } from "./http/options.ts";
export { parseResourcePath } from "./http/path.ts";
export { presentObject, presentWatch } from "./http/presentation.ts";
export { decodeProtobuf, encodeProtobuf } from "./protobuf/codec.ts";
export { FrontProxyAuthenticator } from "./authentication/front-proxy.ts";
export { ApiServer } from "./server.ts";
export {
  type FrontAnswer,
  type FrontRequest,
  type ResourcePath,
  type RunningApiServer,
  startApiServer,
  type StartOptions,
} from "./start.ts";
export { durationText } from "./tables/ages.ts";
