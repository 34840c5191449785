import type { Member } from "#member";

/** The identity of a Kubernetes cluster is that of its system namespace (`CL-6`); `undefined` when it does not say. */
export async function identityOf(member: Member, signal: AbortSignal): Promise<string | undefined> {
  const answer = await member.transport.raw({ method: "GET", path: "/api/v1/namespaces/kube-system", signal });
  if (answer.status !== 200) return undefined;
  const read = JSON.parse(new TextDecoder().decode(answer.body)) as { readonly metadata?: { readonly uid?: unknown } };
  return typeof read.metadata?.uid === "string" ? read.metadata.uid : undefined;
}
