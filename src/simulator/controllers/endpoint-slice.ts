import { EndpointSlice, Pod, Service } from "#apis/kubernetes";
import { deepEqual } from "#base";
import { type ControllerContext, defineController, done, type Request, type Result, wake } from "#controller-runtime";
import { controllerReference, isAlreadyExists, isBeingDeleted, isConflict, isNotFound, setPath } from "#machinery";
import { isPodReady, isPodTerminal } from "../pods.ts";

/** Endpoint slices of Services with a selector, and addresses for load balancers, as a cloud would give them. */
export const endpointSliceController = defineController<unknown, Record<string, never>>({
  name: "endpointslice",
  reconciles: [Service],
  wakes: [
    wake(Pod, (change, context: ControllerContext<unknown, unknown>) => {
      if (
        change.type === "updated" &&
        change.object.status === change.old.status &&
        change.object.metadata.labels === change.old.metadata.labels
      )
        return [];
      return context
        .cache(Service)
        .list(change.object.metadata.namespace)
        .filter((service) => matches(service, change.object))
        .map((service) => ({ namespace: service.metadata.namespace, name: service.metadata.name ?? "" }));
    }),
  ],
  writes: [
    { kind: EndpointSlice, verbs: ["create", "update"] },
    { kind: Service, verbs: ["update"], subresources: ["status"] },
  ],
  options: {},
  concurrency: () => 16,
  reconcile,
});

function matches(service: Service, pod: Pod): boolean {
  const selector = Object.entries(service.spec?.selector ?? {});
  return selector.length > 0 && selector.every(([key, value]) => pod.metadata.labels?.[key] === value);
}

async function reconcile(request: Request, context: ControllerContext): Promise<Result> {
  const service = context.cache(Service).get(request.key);
  if (service === undefined || isBeingDeleted(service)) return done;
  try {
    if (service.spec?.type === "LoadBalancer" && (service.status?.loadBalancer?.ingress ?? []).length === 0) {
      const address = (service.spec.clusterIP ?? "10.96.0.1").replace(/^10\./, "203.");
      await context.client.updateStatus(
        Service,
        setPath(service, ["status", "loadBalancer"], { ingress: [{ ip: address, ipMode: "VIP" }] }),
      );
    }
    if (Object.keys(service.spec?.selector ?? {}).length === 0) return done;
    const pods = context
      .cache(Pod)
      .list(request.namespace)
      .filter((pod) => matches(service, pod) && pod.status?.podIP !== undefined && !isPodTerminal(pod));
    const name = `${request.name}-simulated`;
    const slice = {
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: {
        name,
        namespace: request.namespace ?? "",
        labels: {
          ...service.metadata.labels,
          "kubernetes.io/service-name": request.name,
          "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
        },
        ownerReferences: [controllerReference(service)],
      },
      addressType: "IPv4",
      endpoints: pods
        .sort((a, b) => (a.metadata.name ?? "").localeCompare(b.metadata.name ?? ""))
        .map((pod) => ({
          addresses: [pod.status?.podIP ?? ""],
          conditions: {
            ready: isPodReady(pod) && !isBeingDeleted(pod),
            serving: isPodReady(pod),
            terminating: isBeingDeleted(pod),
          },
          nodeName: pod.spec?.nodeName ?? "",
          targetRef: {
            kind: "Pod",
            namespace: pod.metadata.namespace ?? "",
            name: pod.metadata.name ?? "",
            uid: pod.metadata.uid ?? "",
          },
        })),
      ports: (service.spec?.ports ?? []).map((port) => ({
        name: port.name ?? "",
        port: typeof port.targetPort === "number" ? port.targetPort : port.port,
        protocol: port.protocol ?? "TCP",
      })),
    } as unknown as EndpointSlice;
    const present = await context.client.find(EndpointSlice, { namespace: request.namespace, name });
    if (present === undefined) await context.client.create(EndpointSlice, slice);
    else if (!deepEqual([present.endpoints, present.ports], [slice.endpoints, slice.ports]))
      await context.client.update(EndpointSlice, { ...slice, metadata: { ...present.metadata, ...slice.metadata } });
  } catch (error) {
    if (isConflict(error) || isAlreadyExists(error)) return { outcome: "requeue", afterMs: 5 };
    if (!isNotFound(error)) throw error;
  }
  return done;
}
