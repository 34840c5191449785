/** Classes that a user left to the cluster: a claim's class of storage, an ingress's controller. */
import { getPath, type KubeObject, parseTime, setPath } from "#machinery";
import { FORMER_CLASS } from "./checks.ts";
import type { AdmissionPlugin, AdmissionRequest } from "../admission.ts";

/** Gives all classes of a kind. */
type ListClasses = (group: string, resource: string) => Promise<readonly KubeObject[]>;

const STORAGE_DEFAULT = [
  "storageclass.kubernetes.io/is-default-class",
  "storageclass.beta.kubernetes.io/is-default-class",
];
const INGRESS_DEFAULT = ["ingressclass.kubernetes.io/is-default-class"];
const INGRESS_CLASS = "kubernetes.io/ingress.class";

const isCreateOf = ({ operation, subresource, definition }: AdmissionRequest, group: string, resource: string) =>
  operation === "CREATE" &&
  subresource === undefined &&
  definition.kind.group === group &&
  definition.kind.resource === resource;

const isAnnotated = (object: KubeObject | undefined, key: string) => object?.metadata.annotations?.[key] !== undefined;

/** Of several defaults the newest; of those of one second the first by name. */
function defaultOf(classes: readonly KubeObject[], annotations: readonly string[]): string | undefined {
  const madeMs = ({ metadata }: KubeObject) => parseTime(metadata.creationTimestamp) ?? 0;
  const nameOf = ({ metadata }: KubeObject) => metadata.name ?? "";
  const [chosen] = classes
    .filter(({ metadata }) => annotations.some((annotation) => metadata.annotations?.[annotation] === "true"))
    .sort((one, other) => madeMs(other) - madeMs(one) || (nameOf(one) < nameOf(other) ? -1 : 1));
  return chosen?.metadata.name;
}

const withClass = (object: KubeObject, field: string, name: string | undefined): KubeObject =>
  name === undefined ? object : setPath(object, ["spec", field], name);

export const defaultStorageClass = (classes: ListClasses): AdmissionPlugin => ({
  name: "DefaultStorageClass",
  handles: (request) =>
    isCreateOf(request, "", "persistentvolumeclaims") &&
    getPath(request.object, "spec", "storageClassName") === undefined &&
    !isAnnotated(request.object, FORMER_CLASS),
  mutate: async ({ object }) =>
    withClass(
      object,
      "storageClassName",
      defaultOf(await classes("storage.k8s.io", "storageclasses"), STORAGE_DEFAULT),
    ),
});

export const defaultIngressClass = (classes: ListClasses): AdmissionPlugin => ({
  name: "DefaultIngressClass",
  handles: (request) =>
    isCreateOf(request, "networking.k8s.io", "ingresses") &&
    getPath(request.object, "spec", "ingressClassName") === undefined &&
    !isAnnotated(request.object, INGRESS_CLASS),
  mutate: async ({ object }) =>
    withClass(
      object,
      "ingressClassName",
      defaultOf(await classes("networking.k8s.io", "ingressclasses"), INGRESS_DEFAULT),
    ),
});
