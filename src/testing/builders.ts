import type { Deployment } from "#apis/kubernetes";
import type { PropagationPolicy } from "#apis/karmada";

/** A Deployment of one container; `replicas` 1 by default. */
export function aDeployment(name: string, replicas = 1, namespace = "default"): Deployment {
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { namespace, name, labels: { app: "test" } },
    spec: {
      replicas,
      selector: { matchLabels: { workload: "test" } },
      template: {
        metadata: { labels: { workload: "test" } },
        spec: { containers: [{ name: "app", image: "nginx:1.29", resources: { requests: { cpu: "100m" } } }] },
      },
    },
  } as unknown as Deployment;
}

/** A Deployment whose pods mount a ConfigMap. */
export function aDeploymentThatNeeds(name: string, configMap: string): Deployment {
  const plain = aDeployment(name) as unknown as { readonly spec: { readonly template: { readonly spec: object } } };
  const { template } = plain.spec;
  const spec = { ...template.spec, volumes: [{ name: "settings", configMap: { name: configMap } }] };
  return { ...plain, spec: { ...plain.spec, template: { ...template, spec } } } as unknown as Deployment;
}

/** A policy for all Deployments of a namespace. */
export function aPropagationPolicy(
  name: string,
  placement: unknown,
  namespace = "default",
  more: object = {},
): PropagationPolicy {
  return {
    apiVersion: "policy.karmada.io/v1alpha1",
    kind: "PropagationPolicy",
    metadata: { namespace, name },
    spec: { resourceSelectors: [{ apiVersion: "apps/v1", kind: "Deployment" }], placement, ...more },
  } as unknown as PropagationPolicy;
}
