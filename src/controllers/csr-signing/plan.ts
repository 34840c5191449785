import type { CertificateSigningRequest } from "#apis/kubernetes";
import type { CertificateRequest } from "#certs";

export type Decision =
  | { readonly outcome: "sign"; readonly seconds: number; readonly usages: readonly string[] }
  | { readonly outcome: "fail"; readonly message: string };

export interface SigningOptions {
  /** Longest and usual life of a certificate; default a year. */
  readonly clusterSigningDurationMs: number;
}

const SECONDS_MIN = 600;
/** The identity that sets up rights of new agents holds every right: it lives as long as a registration takes. */
const GENERATOR = "system:karmada:agent:rbac-generator";
const GENERATOR_SECONDS_MAX = 3_600;

const isSubset = (values: readonly string[], of: readonly string[]) => values.every((value) => of.includes(value));
const isExactly = (values: readonly string[], of: readonly string[]) =>
  isSubset(values, of) && isSubset(of, values) && new Set(values).size === values.length;

/** What a signer demands of a request; the first sentence that is wrong, or `undefined`. */
const SIGNERS: Readonly<
  Record<string, (request: CertificateRequest, usages: readonly string[]) => string | undefined>
> = {
  "kubernetes.io/kube-apiserver-client": (request, usages) => {
    if (request.organizations.includes("system:masters")) return "organization system:masters is not allowed";
    if (!usages.includes("client auth")) return "usages must include client auth";
    return isSubset(usages, ["digital signature", "key encipherment", "client auth"])
      ? undefined
      : "usages must be among key encipherment, digital signature and client auth";
  },
  "kubernetes.io/kube-apiserver-client-kubelet": (request, usages) => {
    const subject = nodeSubject(request);
    if (subject !== undefined) return subject;
    const { dnsNames, ipAddresses, emails, uris } = request;
    if (dnsNames.length + ipAddresses.length + emails.length + uris.length > 0)
      return "DNS, IP, email and URI names are not allowed";
    return isNodeUsage(usages, "client auth")
      ? undefined
      : "usages must be exactly digital signature and client auth, with or without key encipherment";
  },
  "kubernetes.io/kubelet-serving": (request, usages) => {
    const subject = nodeSubject(request);
    if (subject !== undefined) return subject;
    if (request.dnsNames.length + request.ipAddresses.length === 0) return "at least one DNS or IP name is required";
    if (request.emails.length + request.uris.length > 0) return "email and URI names are not allowed";
    return isNodeUsage(usages, "server auth")
      ? undefined
      : "usages must be exactly digital signature and server auth, with or without key encipherment";
  },
  "kubernetes.io/legacy-unknown": () => undefined,
};

function nodeSubject({ organizations, commonName }: CertificateRequest): string | undefined {
  if (!isExactly(organizations, ["system:nodes"])) return "organization must be exactly system:nodes";
  return commonName.startsWith("system:node:") ? undefined : "common name must begin with system:node:";
}

const isNodeUsage = (usages: readonly string[], purpose: string) =>
  isExactly(usages, ["digital signature", purpose]) ||
  isExactly(usages, ["key encipherment", "digital signature", purpose]);

export const isOurSigner = (signerName: string): boolean => Object.hasOwn(SIGNERS, signerName);

/** Whether a request waits for its certificate: approved, not denied, not failed, not issued. */
export function isWaiting({ status }: CertificateSigningRequest): boolean {
  const has = (type: string) => status?.conditions?.some((condition) => condition.type === type) ?? false;
  return has("Approved") && !has("Denied") && !has("Failed") && !status?.certificate;
}

/** What becomes of an approved request. */
export function planSigning(
  { spec }: CertificateSigningRequest,
  request: CertificateRequest,
  options: SigningOptions,
): Decision {
  const usages = spec.usages ?? [];
  const wrong = SIGNERS[spec.signerName]?.(request, usages);
  if (wrong !== undefined) return { outcome: "fail", message: `invalid certificate request: ${wrong}` };
  const longest = Math.min(
    Math.floor(options.clusterSigningDurationMs / 1000),
    request.commonName === GENERATOR ? GENERATOR_SECONDS_MAX : Number.POSITIVE_INFINITY,
  );
  const seconds = Math.min(longest, Math.max(SECONDS_MIN, spec.expirationSeconds ?? longest));
  return { outcome: "sign", seconds, usages };
}
