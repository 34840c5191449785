import type { Pod } from "#apis/kubernetes";
import { type KubeObject, quantityMilliValue, quantityValue, type StringMap } from "#machinery";

/**
 * What simulated pods use. A pod uses half of what it requests, unless an annotation says otherwise: `cpu` and `memory` on
 * the pod say what one pod uses; `load-cpu` and `load-memory` on the workload say what all its ready pods use together, so
 * that more pods share it.
 */
const PREFIX = "simulator.flotilla.io/";
const CPU_MILLI_DEFAULT = 10;
const MEMORY_BYTES_DEFAULT = 32 * 1024 * 1024;

/** Thousandths of a core, and bytes. */
export interface Usage {
  readonly cpuMilli: number;
  readonly memoryBytes: number;
}

export interface ContainerRequest extends Usage {
  readonly name: string;
}

/** What each container requests; 0 where it requests nothing. */
export function requestsOf(pod: Pod): readonly ContainerRequest[] {
  return (pod.spec?.containers ?? []).map(({ name = "", resources }) => ({
    name,
    cpuMilli: quantityMilliValue(resources?.requests?.["cpu"] as string | undefined),
    memoryBytes: quantityValue(resources?.requests?.["memory"] as string | undefined),
  }));
}

/** A workload that says how much load its pods share. */
export interface Load {
  readonly annotations: StringMap | undefined;
  readonly readyReplicas: number;
}

export function loadOf(workload: KubeObject | undefined): Load | undefined {
  const annotations = workload?.metadata.annotations;
  if (annotations === undefined || !Object.keys(annotations).some((key) => key.startsWith(`${PREFIX}load-`)))
    return undefined;
  const { readyReplicas } = ((workload as { readonly status?: unknown }).status ?? {}) as {
    readonly readyReplicas?: number;
  };
  return { annotations, readyReplicas: readyReplicas ?? 0 };
}

/** What a whole pod uses. */
export function usageOf(pod: Pod, load: Load | undefined): Usage {
  const requests = requestsOf(pod);
  const shared = (name: string) => load?.annotations?.[`${PREFIX}load-${name}`];
  const own = (name: string) => pod.metadata.annotations?.[`${PREFIX}${name}`];
  const among = Math.max(1, load?.readyReplicas ?? 1);
  const amount = (name: string, read: (text: string) => number, requested: number, fallback: number) => {
    const total = shared(name);
    if (total !== undefined) return Math.ceil(read(total) / among);
    const text = own(name);
    if (text !== undefined) return read(text);
    return requested > 0 ? Math.ceil(requested / 2) : fallback;
  };
  return {
    cpuMilli: amount(
      "cpu",
      quantityMilliValue,
      requests.reduce((sum, { cpuMilli }) => sum + cpuMilli, 0),
      CPU_MILLI_DEFAULT,
    ),
    memoryBytes: amount(
      "memory",
      quantityValue,
      requests.reduce((sum, { memoryBytes }) => sum + memoryBytes, 0),
      MEMORY_BYTES_DEFAULT,
    ),
  };
}

/** A pod's use divided among its containers: by what they request, or evenly. */
export function usageByContainer(pod: Pod, usage: Usage): readonly ContainerRequest[] {
  const requests = requestsOf(pod);
  const total = (key: keyof Usage) => requests.reduce((sum, request) => sum + request[key], 0);
  const part = (request: ContainerRequest, key: keyof Usage) =>
    Math.round(total(key) > 0 ? (usage[key] * request[key]) / total(key) : usage[key] / requests.length);
  return requests.map((request) => ({
    name: request.name,
    cpuMilli: part(request, "cpuMilli"),
    memoryBytes: part(request, "memoryBytes"),
  }));
}
