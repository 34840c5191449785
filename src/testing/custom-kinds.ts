import type { CustomResourceDefinition } from "#apis/kubernetes";
import { apiVersionOf, type KubeObject, type ResourceKind } from "#machinery";

const OPEN = { type: "object", "x-kubernetes-preserve-unknown-fields": true };

interface DefinitionParts {
  /** Served versions, the first of which is stored; default the kind's own. */
  readonly versions?: readonly string[];
  readonly hasStatus?: boolean;
  /** Schema of the whole object; default everything goes. */
  readonly schema?: object;
}

/** A definition that makes a server serve a kind. */
export function aDefinition(
  { group, version, kind, resource, namespaced }: ResourceKind,
  { versions = [version], hasStatus = false, schema = OPEN }: DefinitionParts = {},
): CustomResourceDefinition {
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: `${resource}.${group}` },
    spec: {
      group,
      scope: namespaced ? "Namespaced" : "Cluster",
      names: { kind, listKind: `${kind}List`, plural: resource, singular: kind.toLowerCase() },
      versions: versions.map((name, at) => ({
        name,
        served: true,
        storage: at === 0,
        schema: { openAPIV3Schema: schema },
        ...(hasStatus ? { subresources: { status: {} } } : {}),
      })),
    },
  } as unknown as CustomResourceDefinition;
}

/** A kind nobody knows more about than its name. */
export const Widget: ResourceKind = {
  group: "example.io",
  version: "v1",
  kind: "Widget",
  resource: "widgets",
  namespaced: true,
};

export const aWidget = (name: string, n = 1): KubeObject =>
  ({
    apiVersion: apiVersionOf(Widget),
    kind: Widget.kind,
    metadata: { namespace: "default", name },
    spec: { n },
  }) as KubeObject;

/** Flink's operator's kind, whose state failover carries along. */
export const FlinkDeployment: ResourceKind = {
  group: "flink.apache.org",
  version: "v1beta1",
  kind: "FlinkDeployment",
  resource: "flinkdeployments",
  namespaced: true,
};

/** Its definition, as far as jobs here need one. */
export const flinkDefinition = (): CustomResourceDefinition =>
  aDefinition(FlinkDeployment, {
    hasStatus: true,
    schema: {
      type: "object",
      properties: {
        spec: {
          ...OPEN,
          properties: {
            job: {
              type: "object",
              properties: {
                jarURI: { type: "string" },
                parallelism: { type: "integer" },
                initialSavepointPath: { type: "string" },
              },
            },
          },
        },
        status: OPEN,
      },
    },
  });

export const aFlinkJob = (name: string): KubeObject =>
  ({
    apiVersion: apiVersionOf(FlinkDeployment),
    kind: FlinkDeployment.kind,
    metadata: { namespace: "default", name },
    spec: { job: { jarURI: "local:///job.jar", parallelism: 2 }, flinkConfiguration: {} },
  }) as KubeObject;

/** What its operator says of a job whose manager is up. */
export const flinkStatus = (jobID: string, state: string): object => ({
  jobManagerDeploymentStatus: "READY",
  lifecycleState: "STABLE",
  jobStatus: { jobID, state },
});

/** The label of the job's id, and the rule that carries it into the next cluster. */
export const FLINK_JOB_LABEL = "application.karmada.io/failover-jobid";
export const flinkPolicy = (tolerationSeconds: number, purgeMode: string): object => ({
  resourceSelectors: [{ apiVersion: apiVersionOf(FlinkDeployment), kind: FlinkDeployment.kind }],
  propagateDeps: true,
  failover: {
    application: {
      decisionConditions: { tolerationSeconds },
      purgeMode,
      statePreservation: { rules: [{ aliasLabelName: FLINK_JOB_LABEL, jsonPath: "{.jobStatus.jobID}" }] },
    },
  },
});
