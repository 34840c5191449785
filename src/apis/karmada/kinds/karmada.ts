import { AGE, column, defineKind } from "./kind.ts";
import { condition, toleration } from "./kubernetes-shapes.ts";
import { affinity, container, disruptionBudget, resources, volumeMount } from "./pod-shapes.ts";
import {
  boolean,
  int32,
  int64,
  labels,
  list,
  map,
  object,
  oneOf,
  type Schema,
  shape,
  string,
  strings,
} from "./schema.ts";
import { claimTemplate, emptyDir, hostPath, volume } from "./volume-shapes.ts";

/** The operator's kind: a whole control plane to be installed. It lives in the cluster the operator runs in. */

const secretReference = shape("NamespacedReference", "Names a Secret of the cluster the operator runs in.", {
  name: string("Name of the Secret."),
  namespace: string("Namespace of the Secret."),
});

const common: Readonly<Record<string, Schema>> = {
  affinity: affinity("Where the pods may run; replaces what the operator would set."),
  annotations: labels("Annotations for the workload and its pods."),
  imagePullPolicy: string("Always, IfNotPresent (the default) or Never."),
  imageRepository: string("Name of the image without its tag."),
  imageTag: string("Tag of the image."),
  labels: labels("Labels for the workload and its pods."),
  podDisruptionBudgetConfig: disruptionBudget(),
  priorityClassName: string("Priority class of the pods.", { default: "system-node-critical" }),
  replicas: int32("How many pods. Default 1, for the metrics adapter 2."),
  resources: resources("Resources of each pod's container."),
  tolerations: list("Taints of nodes the pods put up with; replaces what the operator would set.", toleration()),
};
const extraArgs = labels("Flags by name, without the leading hyphens; they win over those the operator sets.");
const featureGates = map("Feature gates of this component. Not applied; use `spec.featureGates`.", boolean());
const controllers = strings("Which controllers run. Not applied; use the flag `controllers` in `extraArgs`.");
const certSANs = (description: string) => strings(description);

const configured = (description: string, more: Readonly<Record<string, Schema>> = {}) =>
  object(description, { ...common, extraArgs, ...more });

const etcd = object("The store. Give either `local` or `external`; with neither, a local one is made.", {
  external: object(
    "An etcd that is there already.",
    {
      endpoints: strings("Addresses of its members."),
      secretRef: secretReference("Secret with `ca.crt`, `tls.crt` and `tls.key` for it."),
    },
    ["endpoints", "secretRef"],
  ),
  local: object("An etcd to be installed beside the control plane.", {
    ...common,
    peerCertSANs: certSANs("Further names in certificates between members. Not applied."),
    serverCertSANs: certSANs("Further names in the certificate of the server."),
    volumeData: object("Where data is kept. Absent: in an empty folder that is lost with the pod.", {
      emptyDir: emptyDir(),
      hostPath: hostPath(),
      volumeClaim: claimTemplate(),
    }),
  }),
});

const apiServer = configured("The API server.", {
  certSANs: certSANs("Further names in the certificate of the server."),
  extraVolumeMounts: list("Further mounts of the first container.", volumeMount()),
  extraVolumes: list("Further volumes of the pod.", volume()),
  featureGates,
  loadBalancerClass: string("Class of the load balancer, for type LoadBalancer."),
  serviceAnnotations: labels("Annotations of the Service in front of the server."),
  serviceSubnet: string("Range of addresses for Services. Default 10.96.0.0/12."),
  serviceType: oneOf(
    "How the server is reached. ClusterIP (the default) is refused for a remote host.",
    ["ClusterIP", "NodePort", "LoadBalancer"],
    { default: "ClusterIP" },
  ),
  sidecarContainers: list("Further containers of the pod.", container()),
});

const spec = object("The control plane that is wanted.", {
  components: object(
    "Its parts.",
    {
      etcd,
      karmadaAPIServer: apiServer,
      karmadaAggregatedAPIServer: configured("The aggregated API server, which serves Clusters.", {
        certSANs: certSANs("Further names in the certificate of the server. Not applied."),
        featureGates,
      }),
      karmadaControllerManager: configured("The controllers.", { controllers, featureGates }),
      karmadaDescheduler: configured("The descheduler. Installed only where given."),
      karmadaMetricsAdapter: configured("The metrics adapter."),
      karmadaScheduler: configured("The scheduler.", { featureGates }),
      karmadaSearch: configured("The search server. Installed only where given."),
      karmadaWebhook: configured("The admission webhooks."),
      kubeControllerManager: configured("Kubernetes' own controllers, for namespaces, garbage and certificates.", {
        controllers,
        featureGates,
      }),
    },
    ["etcd"],
  ),
  crdTarball: object("Where the definitions of Karmada's kinds come from. Absent: those of the operator's version.", {
    crdDownloadPolicy: oneOf(
      "Always fetches them each time, IfNotPresent (the default) only when they are not there.",
      ["Always", "IfNotPresent"],
      { default: "IfNotPresent" },
    ),
    httpSource: object(
      "An archive on a web server.",
      {
        proxy: object("A proxy on the way.", { proxyURL: string("Address of the proxy.") }, ["proxyURL"]),
        url: string("Address of the archive."),
      },
      ["url"],
    ),
  }),
  customCertificate: object("Certificates of your own.", {
    apiServerCACert: secretReference("Secret with the authority, as `tls.crt` and `tls.key`."),
    leafCertValidityDays: int32("For how many days certificates are made, from 1. Default 365.", { minimum: 1 }),
  }),
  featureGates: map("Feature gates of Karmada's parts.", boolean()),
  hostCluster: object("The cluster the control plane is installed in. Absent: that of the operator.", {
    apiEndpoint: string("Address of its API server. Not used."),
    networking: object("Its network.", {
      dnsDomain: string("DNS domain of the cluster. Not used. Default cluster.local."),
    }),
    secretRef: secretReference("Secret with its kubeconfig, under the key `kubeconfig`."),
  }),
  privateRegistry: object(
    "A registry for all images.",
    { registry: string("Name of the registry, put before the names of images. Not applied.") },
    ["registry"],
  ),
  suspend: boolean("Leaves the installation as it is until this is false. Absent: false."),
});

export const karmada = defineKind({
  group: "operator.karmada.io",
  kind: "Karmada",
  plural: "karmadas",
  scope: "Namespaced",
  isListedWithAll: true,
  versions: [
    {
      name: "v1alpha1",
      description: "A control plane that the operator installs, changes and removes.",
      hasStatus: true,
      columns: [column("READY", '.status.conditions[?(@.type=="Ready")].status'), AGE],
      fields: {
        spec,
        status: object("How the installation stands.", {
          apiServerService: object(
            "The Service in front of the API server.",
            { name: string("Name of the Service.") },
            ["name"],
          ),
          conditions: list("Facts about the installation: Ready.", condition()),
          karmadaVersion: string("Version of Karmada that is installed."),
          kubernetesVersion: string("Version of the API server that is installed."),
          observedGeneration: int64("The `metadata.generation` this status was made from."),
          secretRef: secretReference("Secret with a kubeconfig for the control plane."),
        }),
      },
    },
  ],
});
