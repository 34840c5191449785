import { execFile, execFileSync } from "node:child_process";
import { promisify } from "node:util";

const execute = promisify(execFile);

/** Whether this machine has a kubectl. */
export function hasKubectl(): boolean {
  try {
    execFileSync("kubectl", ["version", "--client"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

/** Runs the real kubectl; gives standard output. Rejects with its standard error when it fails. */
export async function kubectl(kubeconfig: string, words: readonly string[], input?: string): Promise<string> {
  const child = execute("kubectl", ["--kubeconfig", kubeconfig, ...words], {
    maxBuffer: 16 * 1024 * 1024,
    timeout: 30_000,
    env: { ...process.env, HOME: "/nonexistent" },
  });
  if (input !== undefined) child.child.stdin?.end(input);
  const { stdout, stderr } = await child;
  return stdout + stderr;
}
