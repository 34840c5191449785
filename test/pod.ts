/** A pod's view for a plain process: a mount namespace in which it finds a service account where pods find theirs. */
import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const MOUNTS = "/run/secrets/kubernetes.io/serviceaccount";
/** Hides this machine's /run, and puts the account's folder where a pod has it. */
const ENTER = `mount -t tmpfs none /run && mkdir -p ${MOUNTS} && mount --bind "$0" ${MOUNTS} && exec "$@"`;

/** Whether this machine lets us make mounts of our own. */
export const canEnterPods = (): boolean =>
  spawnSync("unshare", ["--mount", "sh", "-ec", "mount -t tmpfs none /run && test -d /var/run/"]).status === 0;

export interface Account {
  readonly folder: string;
  /** `https://host:port` of the cluster's API server. */
  readonly server: string;
  readonly authority: string;
  readonly token: string;
}

/** The command line and the environment of a program in a pod. */
export function inPod({ folder, server, authority, token }: Account, words: readonly string[]) {
  mkdirSync(folder, { recursive: true });
  for (const [name, text] of Object.entries({ "ca.crt": authority, token, namespace: "karmada-system" }))
    writeFileSync(join(folder, name), text);
  const { hostname, port } = new URL(server);
  return {
    command: "unshare",
    words: ["--mount", "sh", "-ec", ENTER, folder, ...words],
    env: {
      PATH: process.env["PATH"],
      // Without a kubeconfig, as in an image.
      HOME: "/nonexistent",
      KUBERNETES_SERVICE_HOST: hostname,
      KUBERNETES_SERVICE_PORT: port,
    },
  };
}
