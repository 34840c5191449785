import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadPki } from "#certs";
import { parseAddressRanges } from "#apiserver";
import { startRealApiServer } from "#lab";
import { startTestApiServer } from "#testing";
import { startHooks } from "./hooks.ts";
import { type Target, targetOf } from "./play.ts";

export interface Pair {
  readonly real: Target;
  readonly ours: Target;
  stop(): Promise<void>;
}

/**
 * Starts kube-apiserver over etcd, and our API server over HTTPS in this process, both without controllers. `ranges` are
 * those Services get addresses of, as `--service-cluster-ip-range` takes them.
 */
export async function startPair(ranges?: string): Promise<Pair> {
  const folder = mkdtempSync(join(tmpdir(), "flotilla-differential-"));
  const real = await startRealApiServer({
    name: "differential",
    folder: join(folder, "real"),
    isUnsafe: true,
    // What a control plane without nodes turns off: nothing would make accounts or take the finalizers of volumes away.
    args: [
      "--disable-admission-plugins=ServiceAccount,StorageObjectInUseProtection",
      // As installers turn it on beside the authorizer of nodes.
      "--enable-admission-plugins=NodeRestriction",
      "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
      ...(ranges === undefined ? [] : [`--service-cluster-ip-range=${ranges}`]),
    ],
  });
  const pki = await loadPki(undefined);
  const api = await startTestApiServer({
    serviceAccountKeys: pki.serviceAccount,
    // Upstream a controller of another process does it.
    checksPolicyTypes: false,
    authorizesNodes: true,
    flow: {},
    ...(ranges === undefined ? {} : { serviceRanges: { addresses: parseAddressRanges(ranges) } }),
    aggregation: { proxyCertificate: () => pki.frontProxy, authority: () => pki.authority.certificate },
  });
  const listener = await api.listen({
    host: "127.0.0.1",
    port: 0,
    certificate: pki.server.certificate,
    key: pki.server.key,
    clientAuthority: pki.authority.certificate,
  });
  api.setReady(true);
  const server = await startHooks(pki.server.certificate, pki.server.key);
  const hooks = { url: server.url, authority: Buffer.from(pki.authority.certificate).toString("base64") };
  const targets = {
    real: targetOf({ ...real.endpoint, hooks }),
    ours: targetOf({
      hooks,
      server: `https://127.0.0.1:${listener.port}`,
      certificateAuthority: pki.authority.certificate,
      clientCertificate: pki.admin.certificate,
      clientKey: pki.admin.key,
    }),
  };
  return {
    ...targets,
    async stop() {
      targets.real.close();
      targets.ours.close();
      await server.stop();
      await listener.close();
      api.stop();
      await real.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
