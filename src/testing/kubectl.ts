import { execFile, execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const execute = promisify(execFile);
/** The lab's kubectl is of a known version; without it this machine's own serves. */
const labKubectl = fileURLToPath(new URL("../../lab/bin/kubectl", import.meta.url));
const program = existsSync(labKubectl) ? labKubectl : "kubectl";

/** Whether there is a kubectl, the lab's or this machine's. */
export function hasKubectl(): boolean {
  try {
    execFileSync(program, ["version", "--client"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

/** Runs the real kubectl; gives standard output. Rejects with its standard error when it fails. */
export async function kubectl(kubeconfig: string, words: readonly string[], input?: string): Promise<string> {
  const child = execute(program, ["--kubeconfig", kubeconfig, ...words], {
    maxBuffer: 16 * 1024 * 1024,
    timeout: 30_000,
    env: { ...process.env, HOME: "/nonexistent" },
  });
  if (input !== undefined) child.child.stdin?.end(input);
  const { stdout, stderr } = await child;
  return stdout + stderr;
}
