import { ConfigMap } from "#apis/kubernetes";
import { type BootstrapToken, isSignedBy, publicKeyPins, readKubeconfig } from "#certs";
import { createClient, createHttpTransport } from "#client";
import { type Clock, sleep } from "#base";

const TRY_TIMEOUT_MS = 10_000;
const RETRY_MS = 5_000;
const AT = { namespace: "kube-public", name: "cluster-info" };

export interface DiscoveryOptions {
  /** `host:port` of the control plane. */
  readonly address: string;
  readonly token: BootstrapToken;
  /** `sha256:HEX` of acceptable authorities; empty skips that check. */
  readonly pins: readonly string[];
  readonly timeoutMs: number;
  readonly clock: Clock;
}

/**
 * Learns the control plane's authority from `cluster-info`: fetched without trust, believed because the token signed it,
 * and with pins fetched again under that authority and compared. Throws with the last obstacle when time is over.
 */
export async function discoverAuthority(options: DiscoveryOptions): Promise<string> {
  const { address, token, pins, timeoutMs, clock } = options;
  const endMs = clock.monotonicMs() + timeoutMs;
  let obstacle = "";
  for (;;) {
    try {
      const found = await fetchInfo(address, undefined);
      const signature = found[`jws-kubeconfig-${token.id}`];
      if (signature === undefined)
        obstacle = `token id ${JSON.stringify(token.id)} is invalid for this cluster or it has expired: cluster-info is not signed by it`;
      else return await verified(address, found["kubeconfig"] ?? "", signature, token, pins);
    } catch (error) {
      if (error instanceof DiscoveryRefusal) throw error;
      obstacle = error instanceof Error ? error.message : String(error);
    }
    if (clock.monotonicMs() + RETRY_MS > endMs)
      throw new Error(`couldn't validate the identity of the API server at ${address}: ${obstacle}`);
    await sleep(clock, RETRY_MS);
  }
}

/** What another try would not change. */
class DiscoveryRefusal extends Error {}

async function fetchInfo(address: string, authority: string | undefined): Promise<Readonly<Record<string, string>>> {
  const transport = createHttpTransport({
    server: `https://${address}`,
    timeoutMs: TRY_TIMEOUT_MS,
    ...(authority === undefined ? { insecureSkipTlsVerify: true } : { certificateAuthority: authority }),
  });
  try {
    return (await createClient(transport).get(ConfigMap, AT)).data ?? {};
  } finally {
    await transport.close();
  }
}

async function verified(
  address: string,
  kubeconfig: string,
  signature: string,
  token: BootstrapToken,
  pins: readonly string[],
): Promise<string> {
  if (!isSignedBy(signature, kubeconfig, token))
    throw new DiscoveryRefusal(
      "failed to verify JWS signature of received cluster info object, can't trust this API Server",
    );
  const { clusters } = readKubeconfig(kubeconfig, "cluster-info");
  if (clusters.length !== 1)
    throw new DiscoveryRefusal(
      `expected the kubeconfig file in the cluster-info ConfigMap to have a single cluster, but it had ${clusters.length}`,
    );
  const data = clusters[0]?.value["certificate-authority-data"];
  const authority = typeof data === "string" ? Buffer.from(data, "base64").toString("utf8") : "";
  if (pins.length === 0) return authority;
  const own = await publicKeyPins(authority);
  if (!own.some((pin) => pins.includes(pin.toLowerCase())))
    throw new DiscoveryRefusal(
      `cluster CA found in cluster-info ConfigMap is invalid: none of the public keys ${own.join(" ")} are pinned`,
    );
  const again = await fetchInfo(address, authority);
  if (again["kubeconfig"] !== kubeconfig)
    throw new DiscoveryRefusal(
      "the second kubeconfig from the cluster-info ConfigMap (using validated TLS) was different from the first",
    );
  return authority;
}
