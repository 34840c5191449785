import { createPublicKey } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import {
  type AdmissionConfiguration,
  Auditor,
  type Encryption,
  followedEncryption,
  openAuditFile,
  parseAddressRanges,
  parseAdmissionConfiguration,
  parseAuditPolicy,
  parseEncryption,
  parsePortRange,
  parseTokenFile,
  readServiceAccountKeys,
  type StartOptions,
} from "#apiserver";
import type { Clock, Logger } from "#base";
import type { Pki } from "#certs";
import type { ServerConfig } from "#config";

type AccessOptions = Pick<
  StartOptions,
  | "admissionConfiguration"
  | "authentication"
  | "serviceAccountKeys"
  | "tokens"
  | "encryption"
  | "audit"
  | "flow"
  | "serviceRanges"
  | "authorizesNodes"
>;

const LOOK_AGAIN_MS = 10_000;

/** Reads a file a flag names. Throws with the flag and what is wrong. */
function read<T>(flag: string, path: string, parse: (text: string) => T): T {
  try {
    return parse(readFileSync(path, "utf8"));
  } catch (error) {
    throw new Error(`--${flag}: ${path}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

/** The text of a file that may change: looked at again now and then; the last good text stays. */
export function followedFile(flag: string, path: string, clock: Clock): () => string {
  let text = read(flag, path, (found) => found);
  let changedMs = statSync(path).mtimeMs;
  let lookedMs = clock.monotonicMs();
  return () => {
    if (clock.monotonicMs() - lookedMs < LOOK_AGAIN_MS) return text;
    lookedMs = clock.monotonicMs();
    try {
      const { mtimeMs } = statSync(path);
      if (mtimeMs !== changedMs) {
        text = readFileSync(path, "utf8");
        changedMs = mtimeMs;
      }
    } catch {
      // A file that is being replaced is there again in a moment.
    }
    return text;
  };
}

const lower = (names: readonly string[]) => names.map((name) => name.toLowerCase());

/** How Secrets are kept, as `--encryption-provider-config` says; `undefined` for plain text. */
export const encryptionOf = (
  { encryptionProviderConfig: path }: Pick<ServerConfig, "encryptionProviderConfig">,
  clock: Clock,
  log: Logger,
): Encryption | undefined =>
  path === undefined
    ? undefined
    : read("encryption-provider-config", path, (text) => parseEncryption(text, { clock, log }));

/** Whom the API server knows, what it keeps encrypted and what it tells, as flags and the files they name say. */
export function accessOptions(
  config: ServerConfig,
  pki: () => Pick<Pki, "authority" | "serviceAccount">,
  clock: Clock,
  log: Logger,
): AccessOptions {
  const { admissionControlConfigFile, clientCaFile, requestheaderClientCaFile, tokenAuthFile } = config;
  const authority = () => pki().authority.certificate;
  const encryption = config.encryptionProviderConfigAutomaticReload
    ? reloadedEncryption(config, clock, log)
    : encryptionOf(config, clock, log);
  const further = clientCaFile === undefined ? undefined : followedFile("client-ca-file", clientCaFile, clock);
  const proxy =
    requestheaderClientCaFile === undefined
      ? undefined
      : followedFile("requestheader-client-ca-file", requestheaderClientCaFile, clock);
  const audit = auditorOf(config, clock);
  return {
    serviceAccountKeys: serviceAccountKeysOf(config, pki().serviceAccount, clock, log),
    authentication: {
      clientAuthority: () => [authority(), further?.()].filter((pem) => pem !== undefined).join("\n"),
      allowsAnonymous: config.anonymousAuth,
      ...(proxy === undefined
        ? {}
        : {
            frontProxy: {
              authority: proxy,
              allowedNames: config.requestheaderAllowedNames,
              userHeaders: lower(config.requestheaderUsernameHeaders),
              uidHeaders: lower(config.requestheaderUidHeaders),
              groupHeaders: lower(config.requestheaderGroupHeaders),
              extraPrefixes: lower(config.requestheaderExtraHeadersPrefix),
            },
          }),
      ...oidcOf(config),
    },
    ...(admissionControlConfigFile === undefined
      ? {}
      : { admissionConfiguration: admissionConfigurationOf(admissionControlConfigFile) }),
    ...(tokenAuthFile === undefined ? {} : { tokens: read("token-auth-file", tokenAuthFile, parseTokenFile) }),
    ...(encryption === undefined ? {} : { encryption }),
    ...(audit === undefined ? {} : { audit }),
    ...(config.enablePriorityAndFairness
      ? { flow: { seatsMax: config.maxRequestsInflight + config.maxMutatingRequestsInflight } }
      : {}),
    authorizesNodes: authorizesNodes(config.authorizationMode),
    serviceRanges: {
      addresses: parsed("service-cluster-ip-range", config.serviceClusterIpRange, parseAddressRanges),
      ports: parsed("service-node-port-range", config.serviceNodePortRange, parsePortRange),
    },
  };
}

/** Files that a configuration names stand beside it, unless they are named from the root. */
const admissionConfigurationOf = (path: string): AdmissionConfiguration =>
  read("admission-control-config-file", path, (text) =>
    parseAdmissionConfiguration(text, (other) => readFileSync(resolve(dirname(path), other), "utf8")),
  );

function reloadedEncryption({ encryptionProviderConfig: path }: ServerConfig, clock: Clock, log: Logger): Encryption {
  if (path === undefined)
    throw new Error("--encryption-provider-config-automatic-reload: --encryption-provider-config is needed with it");
  return read("encryption-provider-config", path, () =>
    followedEncryption(
      followedFile("encryption-provider-config", path, clock),
      (error) => log.error("the encryption configuration that was changed is not used", { path, error }),
      { clock, log },
    ),
  );
}

/** The key that signs, and all whose tokens are believed. A file that is broken later on leaves what was there. */
function serviceAccountKeysOf(config: ServerConfig, own: Pki["serviceAccount"], clock: Clock, log: Logger) {
  const { serviceAccountKeyFile: paths, serviceAccountSigningKeyFile: signing } = config;
  const further = paths.map((path) => {
    const file = followedFile("service-account-key-file", path, clock);
    let good = file();
    read("service-account-key-file", path, readServiceAccountKeys);
    let seen = good;
    return (): string => {
      const found = file();
      if (found === seen) return good;
      seen = found;
      try {
        readServiceAccountKeys(found);
        good = found;
      } catch (error) {
        log.error("service account keys that were changed are not used", { path, error });
      }
      return good;
    };
  });
  const believed = () => [...further.map((file) => file()), ...(signing === undefined ? [] : [own.publicKey])];
  if (signing === undefined) return { ...own, further: believed };
  const privateKey = read("service-account-signing-key-file", signing, (text) => text);
  const publicKey = parsed("service-account-signing-key-file", signing, () =>
    createPublicKey(privateKey).export({ type: "spki", format: "pem" }).toString(),
  );
  return { privateKey, publicKey, further: believed };
}

/** What a flag's text means. Throws with the flag and what is wrong. */
function parsed<T>(flag: string, text: string, parse: (text: string) => T): T {
  try {
    return parse(text);
  } catch (error) {
    throw new Error(`--${flag}: ${JSON.stringify(text)}: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
}

/** Whether kubelets are authorized as such. RBAC always is there; what else Kubernetes knows is refused by name. */
function authorizesNodes(modes: readonly string[]): boolean {
  for (const mode of modes)
    if (mode !== "Node" && mode !== "RBAC")
      throw new Error(`--authorization-mode: ${JSON.stringify(mode)} is not supported; known are Node and RBAC`);
  if (!modes.includes("RBAC")) throw new Error("--authorization-mode: RBAC is needed");
  return modes.includes("Node");
}

/** Authorities whose certificates clients are asked for. */
export const askedAuthorities = (options: AccessOptions): string =>
  [options.authentication?.clientAuthority?.(), options.authentication?.frontProxy?.authority()]
    .filter((pem) => pem !== undefined)
    .join("\n");

function oidcOf(config: ServerConfig): Pick<NonNullable<AccessOptions["authentication"]>, "oidc"> {
  if (config.oidcIssuerUrl === undefined) return {};
  const required = config.oidcRequiredClaim.map((pair) => {
    const equals = pair.indexOf("=");
    if (equals < 1) throw new Error(`--oidc-required-claim: ${JSON.stringify(pair)} must be CLAIM=VALUE`);
    return [pair.slice(0, equals), pair.slice(equals + 1)] as const;
  });
  return {
    oidc: {
      issuerUrl: config.oidcIssuerUrl,
      clientId: config.oidcClientId,
      usernameClaim: config.oidcUsernameClaim,
      ...(config.oidcUsernamePrefix === undefined ? {} : { usernamePrefix: config.oidcUsernamePrefix }),
      ...(config.oidcGroupsClaim === undefined ? {} : { groupsClaim: config.oidcGroupsClaim }),
      groupsPrefix: config.oidcGroupsPrefix,
      requiredClaims: Object.fromEntries(required),
      signingAlgorithms: config.oidcSigningAlgs,
      ...(config.oidcCaFile === undefined
        ? {}
        : { certificateAuthority: read("oidc-ca-file", config.oidcCaFile, (text) => text) }),
    },
  };
}

function auditorOf(config: ServerConfig, clock: Clock): Auditor | undefined {
  const { auditPolicyFile, auditLogPath } = config;
  if (auditPolicyFile === undefined || auditLogPath === undefined) {
    if (auditPolicyFile !== undefined) throw new Error("--audit-policy-file: --audit-log-path is needed with it");
    if (auditLogPath !== undefined) throw new Error("--audit-log-path: --audit-policy-file is needed with it");
    return undefined;
  }
  const sink = openAuditFile({
    path: auditLogPath,
    sizeMax: config.auditLogMaxsize,
    backupsMax: config.auditLogMaxbackup,
    ageDaysMax: config.auditLogMaxage,
    clock,
  });
  return new Auditor(read("audit-policy-file", auditPolicyFile, parseAuditPolicy), sink, () => clock.now());
}
