import { stringify } from "yaml";
import { type AnyBinding, bindingName, ClusterResourceBinding, ResourceBinding } from "#apis/karmada";
import type { Decision } from "#scheduler";
import { describeDecision } from "#scheduler";
import { kubeconfigFlags, openConnection } from "../connection.ts";
import { parseArguments, withHelp } from "../flags.ts";
import { resourceArgument } from "../resource-argument.ts";

interface Answer {
  readonly source: "kept" | "computed";
  readonly scheduler?: string;
  readonly isCurrent: boolean;
  readonly decision?: Decision;
  readonly error?: string;
  readonly leader?: string;
}

/** `flotilla explain schedule deployment/nginx`: why a workload is where it is, from the scheduler's own record. */
export function run(words: readonly string[], program: string): Promise<number> {
  return withHelp(async () => {
    const parsed = parseArguments(
      words,
      [
        ...kubeconfigFlags,
        { name: "namespace", short: "n", meaning: "namespace of the workload; default is the context's" },
        { name: "output", short: "o", default: "text", meaning: "text, json or yaml" },
        { name: "fresh", isSwitch: true, meaning: "decide anew on the present fleet, without writing anything" },
      ],
      `${program} explain schedule TYPE/NAME`,
    );
    const output = parsed.get("output") ?? "text";
    if (!["text", "json", "yaml"].includes(output))
      throw new Error(`--output: ${JSON.stringify(output)} must be one of text, json, yaml`);
    const { client, transport, endpoint } = openConnection(parsed.get("kubeconfig"), parsed.get("karmada-context"));
    try {
      const { resource, name } = await resourceArgument(transport, parsed.args);
      const isBinding = resource.group === "work.karmada.io" && resource.kind.endsWith("ResourceBinding");
      const isCluster = isBinding ? resource.kind === "ClusterResourceBinding" : !resource.namespaced;
      const kind = (isCluster ? ClusterResourceBinding : ResourceBinding) as typeof ResourceBinding;
      const namespace = isCluster ? undefined : (parsed.get("namespace") ?? endpoint.namespace ?? "default");
      const of = isBinding ? name : bindingName(resource.kind, name);
      const shown = `${resource.singular || resource.resource}/${name}`;
      const binding = (await client.find(kind, { namespace, name: of })) as AnyBinding | undefined;
      if (binding === undefined) {
        const place = namespace === undefined ? "" : ` in namespace ${namespace}`;
        if (isBinding || (await client.find(resource, { namespace, name })) === undefined)
          throw new Error(`${shown} is not in the control plane${place}`);
        throw new Error(`${shown} has no binding${place}: no policy selects it`);
      }
      const path = `/apis/work.karmada.io/v1alpha2/${namespace === undefined ? "" : `namespaces/${encodeURIComponent(namespace)}/`}${kind.resource}/${encodeURIComponent(of)}/decision${parsed.isOn("fresh") ? "?fresh=true" : ""}`;
      const { status, body } = await transport.raw({ method: "GET", path });
      const text = Buffer.from(body).toString("utf8");
      if (status === 404) throw new Error("this control plane keeps no decisions: its API has no such subresource");
      if (status !== 200) throw new Error(messageOf(text) ?? `the server answered ${status}`);
      const answer = JSON.parse(text) as Answer;
      if (output === "json") process.stdout.write(`${JSON.stringify(answer, undefined, 4)}\n`);
      else if (output === "yaml") process.stdout.write(stringify(answer));
      else process.stdout.write(inWords(answer, binding));
      return 0;
    } finally {
      await transport.close();
    }
  });
}

function messageOf(text: string): string | undefined {
  try {
    return (JSON.parse(text) as { readonly message?: string }).message;
  } catch {
    return undefined;
  }
}

function inWords({ source, scheduler, isCurrent, decision, error, leader }: Answer, binding: AnyBinding): string {
  const lines: string[] = [];
  if (decision !== undefined) lines.push(...describeDecision(decision));
  if (error !== undefined) lines.push(`No decision: ${error}`);
  if (source === "computed" && scheduler !== undefined)
    lines.push(
      `The scheduler ${scheduler} has told this server nothing yet: this is what the server's own would decide now.`,
    );
  else if (source === "computed")
    lines.push("This is what the scheduler would decide now, were it to place the workload; it has written nothing.");
  if (leader !== undefined) lines.push(`Answered by a replica that does not decide: ${leader}.`);
  if (!isCurrent) lines.push("The binding has changed since, and the scheduler has not finished with it.");
  const { suspension, schedulerName = "default-scheduler" } = binding.spec;
  if (suspension?.scheduling === true) lines.push("Scheduling of it is suspended (spec.suspension.scheduling).");
  if (schedulerName !== "default-scheduler") lines.push(`It is handed to the scheduler ${schedulerName}.`);
  const scheduled = binding.status?.conditions?.find(({ type }) => type === "Scheduled");
  if (scheduled !== undefined) lines.push(`Scheduled: ${scheduled.status} (${scheduled.reason}) ${scheduled.message}`);
  return `${lines.join("\n")}\n`;
}
