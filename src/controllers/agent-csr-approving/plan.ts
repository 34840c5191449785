import type { CertificateSigningRequest } from "#apis/kubernetes";
import type { CertificateRequest } from "#certs";

const SIGNER = "kubernetes.io/kube-apiserver-client";
const AGENTS = "system:karmada:agents";
const AGENT = "system:karmada:agent:";
const USAGES = ["digital signature", "client auth"];

/** One way an agent's request may be approved. */
export interface Recognizer {
  /** Subresource of CertificateSigningRequests its sender must be allowed to create. */
  readonly subresource: "selfclusteragent" | "clusteragent";
  readonly message: string;
}

export const isUndecided = ({ spec, status }: CertificateSigningRequest): boolean =>
  spec.signerName === SIGNER &&
  !status?.certificate &&
  !(status?.conditions ?? []).some(({ type }) => type === "Approved" || type === "Denied");

/** The ways a request may be approved, in order; none when it is no agent's (`CE-1`). */
export function recognize(csr: CertificateSigningRequest, request: CertificateRequest): readonly Recognizer[] {
  const { commonName, organizations, dnsNames, emails, ipAddresses, uris } = request;
  const usages = csr.spec.usages ?? [];
  const isAgent =
    organizations.length === 1 &&
    organizations[0] === AGENTS &&
    commonName.startsWith(AGENT) &&
    dnsNames.length + emails.length + ipAddresses.length + uris.length === 0 &&
    new Set(usages).size === usages.length &&
    USAGES.every((usage) => usages.includes(usage)) &&
    usages.every((usage) => USAGES.includes(usage) || usage === "key encipherment");
  if (!isAgent) return [];
  return [
    ...(csr.spec.username === commonName
      ? [
          {
            subresource: "selfclusteragent" as const,
            message: "Auto approving self karmada agent certificate after SubjectAccessReview.",
          },
        ]
      : []),
    {
      subresource: "clusteragent" as const,
      message: "Auto approving karmada agent certificate after SubjectAccessReview.",
    },
  ];
}
