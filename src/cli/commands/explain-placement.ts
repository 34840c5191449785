import {
  APPLIED_CLUSTER_OVERRIDES,
  APPLIED_OVERRIDES,
  bindingName,
  CLUSTER_PROPAGATION_POLICY_NAME,
  ClusterResourceBinding,
  executionNamespace,
  PROPAGATION_POLICY_NAME,
  ResourceBinding,
  Work,
  workName,
} from "#apis/karmada";
import { type KubeObject, objectKey } from "#machinery";
import { kubeconfigFlags, openConnection } from "../connection.ts";
import { parseArguments, withHelp } from "../flags.ts";
import { resourceArgument } from "../resource-argument.ts";
import { formatTable } from "../table.ts";

function whyUnbound(shown: string, template: KubeObject | undefined, namespace: string | undefined): string {
  if (template === undefined)
    return `${shown} is not in the control plane${namespace === undefined ? "" : `, in namespace ${namespace}`}`;
  const selects =
    namespace === undefined
      ? "no ClusterPropagationPolicy selects it"
      : `no PropagationPolicy of namespace ${namespace} and no ClusterPropagationPolicy selects it`;
  return `${shown} has no binding: ${selects}`;
}

/** `flotilla explain placement deployment/nginx`: the chain from template to member, with the first broken link marked. */
export function run(words: readonly string[], program: string): Promise<number> {
  return withHelp(async () => {
    const parsed = parseArguments(
      words,
      [...kubeconfigFlags, { name: "namespace", short: "n", default: "default", meaning: "namespace of the workload" }],
      `${program} explain placement TYPE/NAME`,
    );
    const namespace = parsed.get("namespace") ?? "default";
    const { client, transport } = openConnection(parsed.get("kubeconfig"), parsed.get("karmada-context"));
    try {
      const { resource, name } = await resourceArgument(transport, parsed.args);
      const kind = resource.kind.toLowerCase();
      const where = resource.namespaced ? { namespace } : {};
      const bindingKind = (resource.namespaced ? ResourceBinding : ClusterResourceBinding) as typeof ResourceBinding;
      const binding = await client.find(bindingKind, { ...where, name: bindingName(kind, name) });
      if (binding === undefined) {
        const template = await client.find(resource, { ...where, name });
        process.stdout.write(`${whyUnbound(`${kind}/${name}`, template, where.namespace)}\n`);
        return 1;
      }
      const annotations = binding.metadata.annotations ?? {};
      const policy =
        annotations[PROPAGATION_POLICY_NAME] ??
        annotations[CLUSTER_PROPAGATION_POLICY_NAME] ??
        "(released: no policy claims it)";
      const scheduled = binding.status?.conditions?.find(({ type }) => type === "Scheduled");
      process.stdout.write(
        `policy     ${policy}\nbinding    ${objectKey(where.namespace, binding.metadata.name ?? "")}\nscheduled  ${scheduled?.status ?? "not yet"}${scheduled?.status === "True" ? "" : ` ✗ ${scheduled?.message ?? ""}`}\n\n`,
      );
      const rows = await Promise.all(
        (binding.spec.clusters ?? []).map(async ({ name: cluster, replicas = 0 }) => {
          const work = await client.find(Work, {
            namespace: executionNamespace(cluster),
            name: workName(kind, name, where.namespace ?? ""),
          });
          const applied = work?.status?.conditions?.find(({ type }) => type === "Applied");
          const item = binding.status?.aggregatedStatus?.find(({ clusterName }) => clusterName === cluster);
          const overrides = [
            work?.metadata.annotations?.[APPLIED_CLUSTER_OVERRIDES],
            work?.metadata.annotations?.[APPLIED_OVERRIDES],
          ]
            .flatMap((text) =>
              text === undefined ? [] : (JSON.parse(text) as readonly { readonly policyName: string }[]),
            )
            .map(({ policyName }) => policyName);
          return [
            cluster,
            String(replicas),
            overrides.join(",") || "-",
            work === undefined ? "✗ no work" : (applied?.status ?? "not yet"),
            item?.health ?? "Unknown",
            applied?.status === "False" ? applied.message : "",
          ];
        }),
      );
      process.stdout.write(formatTable(["CLUSTER", "REPLICAS", "OVERRIDES", "APPLIED", "HEALTH", ""], rows));
      return 0;
    } finally {
      await transport.close();
    }
  });
}
