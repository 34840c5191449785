import type { Secret } from "#apis/kubernetes";
import type { Cluster } from "#apis/karmada";
import type { ProxyOptions, TlsOptions } from "#network";

/** How a member is reached: what its Cluster and the Secret it names say. */
export interface MemberAddress {
  readonly endpoint: string;
  readonly tls: TlsOptions;
  readonly proxy?: ProxyOptions;
}

/** A value of a Secret as text; empty when it has none. */
export const secretText = (secret: Secret | undefined, key: string): string =>
  Buffer.from(secret?.data?.[key] ?? "", "base64").toString("utf8");

/** `secret` is the one `spec.secretRef` names; without one the authorities of this machine are trusted. */
export function memberAddress(cluster: Cluster, secret: Secret | undefined): MemberAddress {
  const spec: NonNullable<Cluster["spec"]> = cluster.spec ?? ({} as NonNullable<Cluster["spec"]>);
  const certificateAuthority = secretText(secret, "caBundle");
  const isInsecure = spec.insecureSkipTLSVerification === true;
  return {
    endpoint: spec.apiEndpoint ?? "",
    tls: isInsecure ? { isInsecure } : certificateAuthority === "" ? {} : { ca: certificateAuthority },
    ...(spec.proxyURL === undefined || spec.proxyURL === ""
      ? {}
      : { proxy: { url: spec.proxyURL, headers: { ...(spec.proxyHeader as Readonly<Record<string, string>>) } } }),
  };
}
