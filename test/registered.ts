import { writeFileSync } from "node:fs";
import { Secret } from "#apis/kubernetes";
import type { Client } from "#client";
import type { Program } from "./program.ts";

interface Registration {
  readonly cluster: string;
  /** Kubeconfigs of the control plane's administrator and of the member's. */
  readonly admin: string;
  readonly memberKubeconfig: string;
  readonly member: Client;
  /** Where the agent's kubeconfig is put. */
  readonly agentKubeconfig: string;
}

/** Registers a pull cluster as its administrator would. The agent then has its own rights in the control plane and no more. */
export async function registered(program: Program, registration: Registration): Promise<void> {
  const { cluster, admin, memberKubeconfig, member, agentKubeconfig } = registration;
  const printed = await program.run("token", "create", "--kubeconfig", admin, "--print-register-command");
  const [, , address = "", ...access] = printed.stdout.trim().split(" ");
  const done = await program.run(
    "register",
    address,
    ...access,
    "--kubeconfig",
    memberKubeconfig,
    `--cluster-name=${cluster}`,
  );
  if (done.code !== 0) throw new Error(`${cluster} is not registered: ${done.stderr}${done.stdout}`);
  const secret = await member.get(Secret, { namespace: "karmada-system", name: "karmada-kubeconfig" });
  writeFileSync(agentKubeconfig, Buffer.from(secret.data?.["karmada-kubeconfig"] ?? "", "base64"), { mode: 0o600 });
}
