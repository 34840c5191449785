import { flag } from "./flag.ts";
import { boolean, duration, list, nonEmptyText, optionalText, text, wholeNumber } from "./values.ts";

const OF = "flotilla";
const AUTHN = "apiserver/authentication";
const AUDIT = { of: ["aggregated-apiserver", "search", "metrics-adapter"], by: "apiserver/audit" } as const;

/** Flags of the API server that say whom it knows and what it keeps, with kube-apiserver's names. */
export const apiserverFlags = {
  clientCaFile: flag(
    "client-ca-file",
    optionalText,
    "",
    "further authorities of client certificates; read again when changed",
    {
      of: ["aggregated-apiserver", "search", "metrics-adapter"],
      by: AUTHN,
    },
  ),
  tokenAuthFile: flag(
    "token-auth-file",
    optionalText,
    "",
    'fixed bearer tokens: lines of token,user,uid,"group1,group2"',
    {
      of: OF,
      by: AUTHN,
    },
  ),
  authorizationMode: flag(
    "authorization-mode",
    list,
    "Node,RBAC",
    "who decides what is allowed: RBAC, and Node for kubelets",
    { of: OF, by: "apiserver/authorization", upstream: "AlwaysAllow" },
  ),
  anonymousAuth: flag("anonymous-auth", boolean, "true", "whether who shows nothing is system:anonymous", {
    of: OF,
    by: AUTHN,
  }),
  requestheaderClientCaFile: flag(
    "requestheader-client-ca-file",
    optionalText,
    "",
    "authorities of proxies that say in headers on whose behalf they ask",
    { of: OF, by: AUTHN },
  ),
  requestheaderAllowedNames: flag(
    "requestheader-allowed-names",
    list,
    "",
    "common names of such proxies; empty for all",
    {
      of: OF,
      by: AUTHN,
    },
  ),
  requestheaderUsernameHeaders: flag(
    "requestheader-username-headers",
    list,
    "X-Remote-User",
    "headers of the user's name",
    {
      of: OF,
      by: AUTHN,
    },
  ),
  requestheaderUidHeaders: flag("requestheader-uid-headers", list, "X-Remote-Uid", "headers of the user's uid", {
    of: OF,
    by: AUTHN,
  }),
  requestheaderGroupHeaders: flag(
    "requestheader-group-headers",
    list,
    "X-Remote-Group",
    "headers of the user's groups",
    {
      of: OF,
      by: AUTHN,
    },
  ),
  requestheaderExtraHeadersPrefix: flag(
    "requestheader-extra-headers-prefix",
    list,
    "X-Remote-Extra-",
    "what headers of further facts begin with",
    { of: OF, by: AUTHN },
  ),
  oidcIssuerUrl: flag("oidc-issuer-url", optionalText, "", "issuer of ID tokens, an https URL", { of: OF, by: AUTHN }),
  oidcClientId: flag("oidc-client-id", text, "", "audience ID tokens must have", { of: OF, by: AUTHN }),
  oidcCaFile: flag("oidc-ca-file", optionalText, "", "authority of the issuer; default is what the system trusts", {
    of: OF,
    by: AUTHN,
  }),
  oidcUsernameClaim: flag("oidc-username-claim", nonEmptyText, "sub", "claim of the user's name", {
    of: OF,
    by: AUTHN,
  }),
  oidcUsernamePrefix: flag("oidc-username-prefix", optionalText, "", "before the name; - for none, default ISSUER#", {
    of: OF,
    by: AUTHN,
  }),
  oidcGroupsClaim: flag("oidc-groups-claim", optionalText, "", "claim of the user's groups", { of: OF, by: AUTHN }),
  oidcGroupsPrefix: flag("oidc-groups-prefix", text, "", "before each group", { of: OF, by: AUTHN }),
  oidcRequiredClaim: flag("oidc-required-claim", list, "", "CLAIM=VALUE pairs ID tokens must have", {
    of: OF,
    by: AUTHN,
  }),
  oidcSigningAlgs: flag("oidc-signing-algs", list, "RS256", "algorithms ID tokens may be signed with", {
    of: OF,
    by: AUTHN,
  }),
  admissionControlConfigFile: flag(
    "admission-control-config-file",
    optionalText,
    "",
    "AdmissionConfiguration file that says what PodSecurity holds pods to by default and whom it exempts",
    { of: OF, by: "apiserver/builtin" },
  ),
  encryptionProviderConfig: flag(
    "encryption-provider-config",
    optionalText,
    "",
    "file that says how Secrets and other resources are kept in the store",
    { of: OF, by: "apiserver/storage" },
  ),
  encryptionProviderConfigAutomaticReload: flag(
    "encryption-provider-config-automatic-reload",
    boolean,
    "false",
    "read that file again when it changed; what cannot be read changes nothing",
    { of: OF, by: "apiserver/storage" },
  ),
  serviceAccountKeyFile: flag(
    "service-account-key-file",
    list,
    "",
    "files of further keys service account tokens may be signed with; repeated, read again when changed",
    { of: OF, by: AUTHN },
  ),
  serviceAccountSigningKeyFile: flag(
    "service-account-signing-key-file",
    optionalText,
    "",
    "private key that signs service account tokens; default one of the data folder",
    { of: OF, by: AUTHN },
  ),
  serviceClusterIpRange: flag(
    "service-cluster-ip-range",
    nonEmptyText,
    "10.96.0.0/12",
    "range Services get their addresses from, or two of different families; ServiceCIDRs add further ones",
    { of: OF, by: "apiserver/builtin", upstream: "10.0.0.0/24" },
  ),
  serviceNodePortRange: flag(
    "service-node-port-range",
    nonEmptyText,
    "30000-32767",
    "ports Services get their node ports from, as FIRST-LAST or FIRST+MORE",
    { of: OF, by: "apiserver/builtin" },
  ),
  enablePriorityAndFairness: flag(
    "enable-priority-and-fairness",
    boolean,
    "true",
    "let no client starve others: FlowSchemas and PriorityLevelConfigurations",
    { of: ["aggregated-apiserver", "search", "metrics-adapter"], by: "apiserver/flow" },
  ),
  maxRequestsInflight: flag("max-requests-inflight", wholeNumber(0), "400", "reading requests at a time", {
    of: "search",
    by: "apiserver/flow",
  }),
  maxMutatingRequestsInflight: flag(
    "max-mutating-requests-inflight",
    wholeNumber(0),
    "200",
    "changing requests at a time; both together are shared by priority levels",
    { of: "search", by: "apiserver/flow" },
  ),
  shutdownDelayMs: flag(
    "shutdown-delay-duration",
    duration,
    "0",
    "how long the server still serves after /readyz says no",
    { of: OF, by: "controlplane" },
  ),
  tlsCertFile: flag("tls-cert-file", optionalText, "", "certificate of the server; read again when changed", {
    of: ["aggregated-apiserver", "search", "metrics-adapter"],
    by: "controlplane",
  }),
  tlsPrivateKeyFile: flag("tls-private-key-file", optionalText, "", "key of that certificate", {
    of: ["aggregated-apiserver", "search", "metrics-adapter"],
    by: "controlplane",
  }),
  auditPolicyFile: flag("audit-policy-file", optionalText, "", "file that says what is audited", AUDIT),
  auditLogPath: flag("audit-log-path", optionalText, "", "file of audit events; - for standard output", AUDIT),
  auditLogMaxage: flag("audit-log-maxage", wholeNumber(0), "366", "days old audit files are kept; 0 for ever", AUDIT),
  auditLogMaxbackup: flag("audit-log-maxbackup", wholeNumber(0), "100", "old audit files kept; 0 for all", AUDIT),
  auditLogMaxsize: flag("audit-log-maxsize", wholeNumber(0), "100", "MiB after which a new audit file begins", AUDIT),
};
