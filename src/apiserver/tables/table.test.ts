import { describe, expect, it } from "vitest";
import type { KubeList, KubeObject } from "#machinery";
import type { ResourceDefinition } from "../definition.ts";
import { cellsOf } from "./cells.ts";
import { tableOf } from "./table.ts";

it("shows flow schemas in the order in which they are tried, and other lists as they come", () => {
  const rowsOf = (group: string, kind: string) => {
    const definition = { kind: { group, version: "v1", kind }, columns: [] } as unknown as ResourceDefinition;
    const items = [9_000, 2, 150].map((matchingPrecedence) => ({
      apiVersion: `${group}/v1`,
      kind,
      metadata: { name: `at-${matchingPrecedence}` },
      spec: { matchingPrecedence },
    }));
    const list = { apiVersion: `${group}/v1`, kind: `${kind}List`, metadata: {}, items } as KubeList;
    const { rows } = tableOf(definition, list, "None", 0) as { rows: { cells: unknown[] }[] };
    return rows.map(({ cells }) => cells[0]);
  };
  expect(rowsOf("flowcontrol.apiserver.k8s.io", "FlowSchema")).toEqual(["at-2", "at-150", "at-9000"]);
  expect(rowsOf("example.com", "FlowSchema")).toEqual(["at-9000", "at-2", "at-150"]);
});

describe("cells of rows", () => {
  const at = "2026-01-01T00:00:00Z";
  const cells = (group: string, kind: string, rest: object) =>
    cellsOf(group, kind, { metadata: { name: "o", creationTimestamp: at }, ...rest } as KubeObject, Date.parse(at));
  const ingress = [{ ip: "5.6.7.8" }, {}, { hostname: "a.example.com" }, { ip: "5.6.7.8" }];
  const claim = { volumeName: "v", storageClassName: "s", volumeAttributesClassName: "gold" };
  const metrics = [
    { type: "Resource", resource: { name: "cpu", target: { averageUtilization: 50 } } },
    { type: "External", external: { target: { averageValue: "5" } } },
    { type: "Object", object: { target: { value: "5" } } },
    { type: "Pods", pods: { target: { averageValue: "7" } } },
  ];
  const said = { reason: "R", type: "Normal" };

  it.each<readonly [string, string, string, object, readonly unknown[]]>([
    [
      "a node nobody reported of",
      "",
      "Node",
      {},
      ["o", "Unknown", "<none>", "0s", "", "<none>", "<none>", "<unknown>", "<unknown>", "<unknown>"],
    ],
    [
      "a node that is ready and full",
      "",
      "Node",
      {
        spec: { unschedulable: true },
        status: {
          conditions: [{ type: "Ready", status: "True" }],
          nodeInfo: { kernelVersion: "6.1", architecture: "amd64", osImage: "Debian" },
        },
      },
      ["o", "Ready,SchedulingDisabled", "<none>", "0s", "", "<none>", "<none>", "Debian", "6.1 (amd64)", "<unknown>"],
    ],
    [
      "a Service behind load balancers",
      "",
      "Service",
      {
        spec: { type: "LoadBalancer", clusterIP: "10.0.0.1", externalIPs: ["1.2.3.4"] },
        status: { loadBalancer: { ingress } },
      },
      ["o", "LoadBalancer", "10.0.0.1", "5.6.7.8,a.example.com,1.2.3.4", "<none>", "0s", "<none>"],
    ],
    [
      "a claim that is bound",
      "",
      "PersistentVolumeClaim",
      { spec: claim, status: { phase: "Bound", accessModes: ["ReadOnlyMany", "ReadWriteOnce", "ReadOnlyMany", "?"] } },
      ["o", "Bound", "v", "0", "RWO,ROX", "s", "gold", "0s", "Filesystem"],
    ],
    [
      "a default class of storage",
      "storage.k8s.io",
      "StorageClass",
      {
        metadata: {
          name: "o",
          creationTimestamp: at,
          annotations: { "storageclass.kubernetes.io/is-default-class": "true" },
        },
        provisioner: "p",
      },
      ["o (default)", "p", "Delete", "Immediate", false, "0s"],
    ],
    [
      "an event of the new group",
      "events.k8s.io",
      "Event",
      {
        ...said,
        note: " N ",
        regarding: { kind: "Pod", name: "p" },
        eventTime: at,
        reportingController: "c",
        reportingInstance: "i",
        series: { count: 4, lastObservedTime: at },
      },
      ["0s", "Normal", "R", "pod/p", "", "c, i", "N", "0s", 4, "o"],
    ],
    [
      "an event without a time",
      "",
      "Event",
      { ...said, message: "M" },
      ["<unknown>", "Normal", "R", "", "", "", "M", "<unknown>", 1, "o"],
    ],
    [
      "an autoscaler of several metrics",
      "autoscaling",
      "HorizontalPodAutoscaler",
      {
        spec: { scaleTargetRef: { kind: "Deployment", name: "d" }, maxReplicas: 5, metrics },
        status: { currentMetrics: [{ resource: { current: { averageUtilization: 5 } } }] },
      },
      ["o", "Deployment/d", "cpu: 5%/50%, <unknown>/5 (avg) + 2 more...", "<unset>", 5, 0, "0s"],
    ],
    [
      "a claim of devices",
      "resource.k8s.io",
      "ResourceClaim",
      { status: { allocation: {}, reservedFor: [{ name: "p" }] } },
      ["o", "allocated,reserved", "0s"],
    ],
    [
      "a pod with a sidecar",
      "",
      "Pod",
      {
        spec: { containers: [{ name: "c" }], initContainers: [{ name: "i", restartPolicy: "Always" }] },
        status: {
          phase: "Running",
          initContainerStatuses: [{ name: "i", started: true, ready: true, state: { running: {} } }],
          containerStatuses: [{ name: "c", ready: true, state: { running: {} } }],
        },
      },
      ["o", "2/2", "Running", "0", "0s", "<none>", "<none>", "<none>", "<none>"],
    ],
  ])("of %s", (_what, group, kind, rest, expected) => {
    expect(cells(group, kind, rest)).toEqual(expected);
  });
});
