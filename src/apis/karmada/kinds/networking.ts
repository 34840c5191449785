import { AGE, column, defineKind } from "./kind.ts";
import { condition, portStatus, typedLocalReference } from "./kubernetes-shapes.ts";
import { ATOMIC_MAP, atomicList, int32, keyedList, list, object, oneOf, shape, string, strings } from "./schema.ts";
import { clusterNames } from "./placement.ts";

/** Kinds for services and traffic that reach over clusters. */

const clusterSelector = shape("ClusterSelector", "One cluster.", { name: string("Name of the cluster.") }, ["name"]);

export const multiClusterService = defineKind({
  group: "networking.karmada.io",
  kind: "MultiClusterService",
  plural: "multiclusterservices",
  scope: "Namespaced",
  shortNames: ["mcs"],
  isListedWithAll: true,
  versions: [
    {
      name: "v1alpha1",
      description:
        "Lets clusters use the Service of this name that other clusters provide. Behind the gate MultiClusterService.",
      hasStatus: true,
      fields: {
        spec: object(
          "Who provides the Service, who uses it, and how.",
          {
            consumerClusters: list("Clusters that use the Service. Empty: every cluster.", clusterSelector()),
            ports: list(
              "Ports of the Service to offer. Empty: all of them.",
              object(
                "A port of the Service.",
                { name: string("Name of the port."), port: int32("Number of the port, from 1 to 65535.") },
                ["port"],
              ),
            ),
            providerClusters: list("Clusters whose endpoints are used. Empty: every cluster.", clusterSelector()),
            range: clusterNames("Older form of `consumerClusters`; does nothing any more."),
            serviceConsumptionClusters: strings("Older form of `consumerClusters`; does nothing any more."),
            serviceProvisionClusters: strings("Older form of `providerClusters`; does nothing any more."),
            types: strings(
              "How the Service is offered: CrossCluster to other clusters, LoadBalancer to the outside. One of them; cannot be changed later.",
            ),
          },
          ["types"],
        ),
        status: object("How offering the Service went.", {
          conditions: keyedList("Facts about this object: ServiceAppliedSucceed.", ["type"], condition()),
          loadBalancer: object("The load balancer in front of the Service.", {
            ingress: atomicList(
              "Where the load balancer is reached.",
              object("One address.", {
                hostname: string("Name, where the load balancer has one."),
                ip: string("IP address, where the load balancer has one."),
                ipMode: string(
                  "VIP: packets arrive with the address of the load balancer; Proxy: with that of a node or pod.",
                ),
                ports: atomicList("What became of the ports.", portStatus()),
              }),
            ),
          }),
        }),
      },
      required: ["spec"],
    },
  ],
});

const ingressBackend = shape("IngressBackend", "Where a request goes. Give either `service` or `resource`.", {
  resource: typedLocalReference("An object in the namespace that takes the request."),
  service: object(
    "A Service that takes the request.",
    {
      name: string("Name of the Service, in the same namespace."),
      port: object(
        "Port of the Service. Give either its name or its number.",
        { name: string("Name of the port."), number: int32("Number of the port.") },
        [],
        ATOMIC_MAP,
      ),
    },
    ["name"],
  ),
});

export const multiClusterIngress = defineKind({
  group: "networking.karmada.io",
  kind: "MultiClusterIngress",
  plural: "multiclusteringresses",
  scope: "Namespaced",
  shortNames: ["mci"],
  isListedWithAll: true,
  versions: [
    {
      name: "v1alpha1",
      description:
        "Rules for requests from outside to Services of many clusters; a controller of a load balancer carries them out.",
      hasStatus: true,
      fields: {
        spec: object("The rules.", {
          defaultBackend: ingressBackend("Where requests go that no rule covers."),
          ingressClassName: string("Name of the IngressClass whose controller is meant."),
          rules: atomicList(
            "Rules by host. Empty: everything goes to the default backend.",
            object("Rules for one host.", {
              host: string("Name of the host, perhaps with `*` as its first label. Empty: every host."),
              http: object(
                "Rules for HTTP requests.",
                {
                  paths: atomicList(
                    "Rules by path.",
                    object(
                      "A path and where its requests go.",
                      {
                        backend: ingressBackend(),
                        path: string("The path, beginning with `/`."),
                        pathType: string(
                          "How paths are compared: Exact, Prefix (by parts), or ImplementationSpecific.",
                        ),
                      },
                      ["backend", "pathType"],
                    ),
                  ),
                },
                ["paths"],
              ),
            }),
          ),
          tls: atomicList(
            "Certificates for hosts.",
            object("Certificate for some hosts.", {
              hosts: atomicList("Names the certificate is for.", string()),
              secretName: string("Secret with certificate and key."),
            }),
          ),
        }),
        status: object("What the controller did.", {
          loadBalancer: object("The load balancer in front of the rules.", {
            ingress: atomicList(
              "Where the load balancer is reached.",
              object("One address.", {
                hostname: string("Name, where the load balancer has one."),
                ip: string("IP address, where the load balancer has one."),
                ports: atomicList("What became of the ports.", portStatus()),
              }),
            ),
          }),
          serviceLocations: list(
            "Where the Services of the rules are.",
            object(
              "Where one Service is.",
              { clusters: strings("Names of the clusters."), name: string("Name of the Service.") },
              ["name"],
            ),
          ),
          trafficBlockClusters: strings("Clusters that get no traffic now."),
        }),
      },
    },
  ],
});

export const serviceExport = defineKind({
  group: "multicluster.x-k8s.io",
  kind: "ServiceExport",
  plural: "serviceexports",
  scope: "Namespaced",
  shortNames: ["svcex"],
  versions: [
    {
      name: "v1alpha1",
      description: "Offers the Service of this name to the other clusters.",
      hasStatus: true,
      columns: [{ ...AGE, name: "Age" }],
      fields: {
        status: object("How offering went.", {
          conditions: keyedList("Facts about the offer.", ["type"], condition()),
        }),
      },
    },
  ],
});

export const serviceImport = defineKind({
  group: "multicluster.x-k8s.io",
  kind: "ServiceImport",
  plural: "serviceimports",
  scope: "Namespaced",
  shortNames: ["svcim"],
  versions: [
    {
      name: "v1alpha1",
      description: "Uses a Service that other clusters offer; in the cluster it is called `derived-` and this name.",
      hasStatus: true,
      columns: [column("Type", ".spec.type"), column("IP", ".spec.ips"), { ...AGE, name: "Age" }],
      fields: {
        spec: object(
          "What the Service looks like.",
          {
            ips: strings("The address that reaches all clusters; for ClusterSetIP only.", { maxItems: 1 }),
            ports: atomicList(
              "Ports of the Service.",
              object(
                "A port.",
                {
                  appProtocol: string("Protocol of the application, for instance `http`."),
                  name: string("Name of the port; needed where there are several."),
                  port: int32("Number of the port."),
                  protocol: string("TCP (the default), UDP or SCTP."),
                },
                ["port"],
              ),
            ),
            sessionAffinity: string("ClientIP keeps a client on one endpoint, None (the default) does not."),
            sessionAffinityConfig: object("Details of ClientIP.", {
              clientIP: object("For how long.", {
                timeoutSeconds: int32("For how many seconds a client stays, from 1 to 86400. Default 10800."),
              }),
            }),
            type: oneOf("ClusterSetIP has one address, Headless lists the endpoints.", ["ClusterSetIP", "Headless"]),
          },
          ["ports", "type"],
        ),
        status: object("Where the Service is.", {
          clusters: keyedList(
            "Clusters that offer it.",
            ["cluster"],
            object("One cluster.", { cluster: string("Name of the cluster.") }, ["cluster"]),
          ),
        }),
      },
    },
  ],
});
