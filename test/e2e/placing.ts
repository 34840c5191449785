/** How tests of scheduling place workloads and look where they went. */
import { PropagationPolicy, ResourceBinding } from "#apis/karmada";
import { Deployment } from "#apis/kubernetes";
import type { Client } from "#client";
import { aDeployment, aPropagationPolicy, eventually } from "#testing";

export interface Placing {
  readonly name: string;
  readonly replicas: number;
  readonly clusters: readonly string[];
  /** What each replica requests. */
  readonly cpu: string;
  /** Further fields of the policy's spec. */
  readonly policy?: object;
}

/** Creates a Deployment and the policy that divides it by the room of its clusters. */
export async function place(client: Client, { name, replicas, clusters, cpu, policy = {} }: Placing): Promise<void> {
  const made = aPropagationPolicy(
    name,
    {
      clusterAffinity: { clusterNames: clusters },
      replicaScheduling: {
        replicaSchedulingType: "Divided",
        replicaDivisionPreference: "Weighted",
        weightPreference: { dynamicWeight: "AvailableReplicas" },
      },
    },
    "default",
    policy,
  );
  await client.create(PropagationPolicy, {
    ...made,
    spec: { ...made.spec, resourceSelectors: [{ apiVersion: "apps/v1", kind: "Deployment", name }] },
  });
  const deployment = aDeployment(name, replicas);
  const labels = { workload: name };
  await client.create(Deployment, {
    ...deployment,
    spec: {
      replicas,
      selector: { matchLabels: labels },
      template: {
        metadata: { labels },
        spec: { containers: [{ name: "app", image: "nginx:1.29", resources: { requests: { cpu } } }] },
      },
    },
  } as Deployment);
}

export const bindingOf = (client: Client, name: string) =>
  client.find(ResourceBinding, { namespace: "default", name: `${name}-deployment` });

type Targets = Readonly<Record<string, number>>;

/** Replicas by cluster, as soon as they are as wanted. */
export const placed = (client: Client, name: string, isWanted: (targets: Targets) => boolean): Promise<Targets> =>
  eventually(async () => {
    const targets = (await bindingOf(client, name))?.spec.clusters ?? [];
    const replicas = Object.fromEntries(targets.map((target) => [target.name, target.replicas ?? 0]));
    return isWanted(replicas) ? replicas : undefined;
  });

export const sumOf = (targets: Targets): number => Object.values(targets).reduce((all, one) => all + one, 0);
