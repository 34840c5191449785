/**
 * Certs: who is who, in X.509 and kubeconfigs.
 *
 * Makes a certificate authority, server and client certificates and service account keys, keeps them in a folder with
 * rights for their owner only, signs certificate requests, and reads and writes kubeconfigs. Keys are ECDSA P-256, for
 * start-up time counts. It decides nothing about what an identity may do.
 */
export {
  type CertificateAuthority,
  createCertificateAuthority,
  type KeyPair,
  loadCertificateAuthority,
} from "./authority.ts";
export {
  type BootstrapToken,
  createBootstrapToken,
  detachedSignature,
  isSignedBy,
  parseBootstrapToken,
} from "./bootstrap-token.ts";
export {
  type CertificateRequest,
  createCertificateRequest,
  describeCertificates,
  expiredSince,
  parseCertificateRequest,
  publicKeyPins,
} from "./certificate-request.ts";
export {
  type ExecPlugin,
  type Kubeconfig,
  type KubeconfigEndpoint,
  kubeconfigText,
  ownCluster,
  parseKubeconfig,
  readKubeconfig,
  refuseOutside,
  resolveContext,
  withClient,
  writeKubeconfig,
} from "./kubeconfig.ts";
export { FRONT_PROXY, loadPki, type Pki, type PkiRoot } from "./pki.ts";
