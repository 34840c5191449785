import type { KubeObject, ResourceKind } from "#machinery";

/** What identifies our installation to server-side apply. */
export const INSTALLER = { fieldManager: "flotilla-install", force: true } as const;

export const CustomResourceDefinition: ResourceKind<KubeObject> = {
  group: "apiextensions.k8s.io",
  version: "v1",
  kind: "CustomResourceDefinition",
  resource: "customresourcedefinitions",
  namespaced: false,
};

export const configurationKind = (kind: string, resource = `${kind.toLowerCase()}s`): ResourceKind<KubeObject> => ({
  group: "admissionregistration.k8s.io",
  version: "v1",
  kind,
  resource,
  namespaced: false,
});
