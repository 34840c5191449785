import { Node, Pod } from "#apis/kubernetes";
import type { ComputedObjects, ResourceDefinition } from "#apiserver";
import type { Clock } from "#base";
import type { Informer } from "#client";
import { formatTime, type KubeObject, type ResourceKind } from "#machinery";
import { type Caches, podUsage } from "./pod-usage.ts";
import { type Usage, usageByContainer } from "./usage.ts";

/** `metrics.k8s.io/v1beta1`: what pods and nodes use, made when it is asked for. */

const GROUP = { group: "metrics.k8s.io", version: "v1beta1" };
const WINDOW = "15s";

export interface MetricsSource extends Caches {
  cache<T extends KubeObject>(kind: ResourceKind<T>): Pick<Informer<T>, "get" | "list" | "byIndex">;
}

const amounts = ({ cpuMilli, memoryBytes }: Usage) => ({
  cpu: `${Math.round(cpuMilli)}m`,
  memory: `${Math.round(memoryBytes / 1024)}Ki`,
});

/** `source` is asked when a request comes, so that the definitions may be made before the caches are. */
export function metricsDefinitions(source: () => MetricsSource, clock: Clock): readonly ResourceDefinition[] {
  const measured = () => ({ timestamp: formatTime(clock.now()), window: WINDOW });
  const head = (kind: string, object: KubeObject) => ({
    apiVersion: `${GROUP.group}/${GROUP.version}`,
    kind,
    metadata: {
      name: object.metadata.name,
      ...(object.metadata.namespace === undefined ? {} : { namespace: object.metadata.namespace }),
      ...(object.metadata.labels === undefined ? {} : { labels: object.metadata.labels }),
      creationTimestamp: formatTime(clock.now()),
    },
  });
  const podMetrics = (pod: Pod): KubeObject | undefined =>
    pod.status?.phase === "Running"
      ? ({
          ...head("PodMetrics", pod),
          ...measured(),
          containers: usageByContainer(pod, podUsage(pod, source())).map((container) => ({
            name: container.name,
            usage: amounts(container),
          })),
        } as KubeObject)
      : undefined;
  const nodeMetrics = (node: Node): KubeObject => {
    let cpuMilli = 0;
    let memoryBytes = 0;
    for (const pod of source()
      .cache(Pod)
      .byIndex("node", node.metadata.name ?? "")) {
      if (pod.status?.phase !== "Running") continue;
      const usage = podUsage(pod, source());
      cpuMilli += usage.cpuMilli;
      memoryBytes += usage.memoryBytes;
    }
    return { ...head("NodeMetrics", node), ...measured(), usage: amounts({ cpuMilli, memoryBytes }) } as KubeObject;
  };
  const present = (object: KubeObject | undefined): object is KubeObject => object !== undefined;
  return [
    definition("NodeMetrics", "nodes", false, {
      list: () => source().cache(Node).list().map(nodeMetrics),
      find(_namespace, name) {
        const node = source().cache(Node).get(name);
        return node === undefined ? undefined : nodeMetrics(node);
      },
    }),
    definition("PodMetrics", "pods", true, {
      list: (namespace) => source().cache(Pod).list(namespace).map(podMetrics).filter(present),
      find(namespace, name) {
        const pod = source().cache(Pod).get(`${namespace}/${name}`);
        return pod === undefined ? undefined : podMetrics(pod);
      },
    }),
  ];
}

function definition(
  kind: string,
  resource: string,
  namespaced: boolean,
  computed: ComputedObjects,
): ResourceDefinition {
  return {
    kind: { ...GROUP, kind, resource, namespaced },
    singular: "",
    shortNames: [],
    categories: [],
    verbs: ["get", "list"],
    subresources: [],
    schema: undefined,
    columns: [],
    storage: { prefix: `/computed/${GROUP.group}/${resource}/`, version: GROUP.version },
    origin: "aggregated",
    strategy: {},
    hasGeneration: false,
    computed,
  };
}
