import { describe, expect, it } from "vitest";
import type {
  AnyPropagationPolicy,
  ClusterTaintPolicy,
  CronFederatedHPA,
  FederatedHPA,
  FederatedResourceQuota,
  MultiClusterService,
  Placement,
  ResourceInterpreterWebhookConfiguration,
} from "#apis/karmada";
import type { AdmissionRequest } from "#apiserver";
import type { FieldError } from "#machinery";
import { clusterTaintPolicyErrors } from "./cluster-taint-policy/index.ts";
import { cronFederatedHpaErrors, isRunnableSchedule } from "./cron-federated-hpa/index.ts";
import { denied } from "./denied.ts";
import { defaultedFederatedHpa, federatedHpaErrors } from "./federated-hpa/index.ts";
import { federatedResourceQuotaErrors } from "./federated-resource-quota/index.ts";
import { interpreterWebhookErrors } from "./interpreter-webhook/index.ts";
import { multiClusterServiceErrors } from "./multi-cluster-service/index.ts";
import { overridePolicyAdmission } from "./override-policy/index.ts";
import { placementErrors, policyErrors, spreadWarnings } from "./propagation-policy/index.ts";

const texts = (errors: readonly FieldError[]) => errors.map(({ field, message }) => `${field}: ${message}`);
const named = (spec: object, name = "web") => ({ metadata: { name, namespace: "default" }, spec }) as unknown;

describe("a refusal", () => {
  const one: FieldError = { type: "FieldValueForbidden", field: "spec.a", message: "Forbidden: no" };

  it("reads like the webhook's", () => {
    expect(denied("x.karmada.io", [one, one])).toMatchObject({
      message: 'admission webhook "x.karmada.io" denied the request: spec.a: Forbidden: no',
    });
    expect(denied("x.karmada.io", [one, { ...one, field: "spec.b" }])).toMatchObject({
      message: 'admission webhook "x.karmada.io" denied the request: [spec.a: Forbidden: no, spec.b: Forbidden: no]',
    });
  });
});

describe("D4: constraints that do not spread", () => {
  it("are warned about by name, not refused", () => {
    const spreadConstraints = [{ spreadByField: "cluster" }, { spreadByField: "zone" }, { spreadByLabel: "rack" }];
    expect(spreadWarnings({ spreadConstraints } as Placement)).toEqual([
      "spec.placement.spreadConstraints[1]: clusters without a zone are left out, but replicas are not spread by zone",
      "spec.placement.spreadConstraints[2]: replicas are not spread by label; only cluster and region spread",
    ]);
  });
});

describe("ClusterTaintPolicy", () => {
  const errors = (taints: readonly object[], allow = false) =>
    texts(clusterTaintPolicyErrors(named({ taints }) as ClusterTaintPolicy, allow));

  it("TA-9: may set NoExecute only where the operator allows it", () => {
    expect(errors([{ key: "a", effect: "NoExecute" }])).toEqual([
      "spec.taints[0]: Forbidden: Configuring taint with NoExecute effect is not allowed, this capability must be explicitly enabled by administrators through command-line flags",
    ]);
    expect(errors([{ key: "a", effect: "NoExecute" }], true)).toEqual([]);
  });

  it("names each taint once; the earlier one is blamed", () => {
    expect(
      errors([
        { key: "a", effect: "NoSchedule" },
        { key: "a", effect: "NoSchedule", value: "v" },
      ]),
    ).toEqual([
      'spec.taints[0]: Duplicate value: "Duplicate taint with the same key(a) and effect(NoSchedule) is not allowed"',
    ]);
  });

  it("has keys and values a Cluster can carry", () => {
    expect(errors([{ key: "a b", effect: "NoSchedule", value: "-" }]).map((text) => text.slice(0, 60))).toEqual([
      'spec.taints[0].key: Invalid value: "a b": name part must con',
      'spec.taints[0].value: Invalid value: "-": a valid label must',
    ]);
  });

  it("has only effects a Cluster can carry", () => {
    expect(errors([{ key: "a", effect: "PreferNoSchedule" }])).toEqual([
      'spec.taints[0].effect: Unsupported value: "PreferNoSchedule": supported values: "NoSchedule", "NoExecute"',
    ]);
  });
});

describe("FQ-6 FederatedResourceQuota", () => {
  const errors = (spec: object, name?: string) =>
    texts(federatedResourceQuotaErrors(named(spec, name) as FederatedResourceQuota));

  it.each([
    [
      "fits",
      {
        overall: { cpu: "2", "requests.memory": "1Gi", pods: 4 },
        staticAssignments: [{ clusterName: "m1", hard: { cpu: "1500m" } }],
      },
      [],
    ],
    [
      "assigns more than there is",
      {
        overall: { cpu: "1" },
        staticAssignments: [
          { clusterName: "m1", hard: { cpu: "600m" } },
          { clusterName: "m2", hard: { cpu: "600m" } },
        ],
      },
      ['spec.overall[cpu]: Invalid value: "1": overall is less than assignments'],
    ],
    [
      "assigns what is not limited",
      { overall: { cpu: "1" }, staticAssignments: [{ clusterName: "m1", hard: { pods: 1 } }] },
      ['spec.staticAssignments[0].hard[pods]: Invalid value: "pods": assignment resourceName is not exist in overall'],
    ],
    [
      "is negative",
      { overall: { cpu: "-1" } },
      [
        'spec.overall[cpu]: Invalid value: "-1": must be greater than or equal to 0',
        'spec.overall[cpu]: Invalid value: "-1": overall is less than assignments',
      ],
    ],
    ["counts halves", { overall: { pods: "500m" } }, ['spec.overall[pods]: Invalid value: "500m": must be an integer']],
    [
      "limits something unknown",
      { overall: { gold: "1" } },
      [
        'spec.overall[gold]: Invalid value: "gold": must be a standard resource type or fully qualified',
        'spec.overall[gold]: Invalid value: "gold": must be a standard resource for quota',
      ],
    ],
    [
      "names no cluster",
      { overall: {}, staticAssignments: [{ clusterName: "", hard: {} }] },
      ['spec.staticAssignments[0].clusterName: Invalid value: "": must be not empty'],
    ],
  ])("that %s", (_, spec, expected) => {
    expect(errors(spec)).toEqual(expected);
  });

  it("has a name that can be a label value", () => {
    expect(errors({ overall: {} }, "q".repeat(64))).toEqual([
      `metadata.name: Invalid value: "${"q".repeat(64)}": must be no more than 63 characters`,
    ]);
  });
});

describe("FederatedHPA", () => {
  const target = { apiVersion: "apps/v1", kind: "Deployment", name: "web" };
  const errors = (spec: object) =>
    texts(federatedHpaErrors(named({ scaleTargetRef: target, maxReplicas: 5, ...spec }) as FederatedHPA));

  it("gets the defaults of an autoscaler", () => {
    const hpa = defaultedFederatedHpa(
      named({
        scaleTargetRef: target,
        maxReplicas: 5,
        behavior: { scaleDown: { selectPolicy: "Min" } },
      }) as FederatedHPA,
    );
    expect(hpa.spec).toMatchObject({
      minReplicas: 1,
      metrics: [
        { type: "Resource", resource: { name: "cpu", target: { type: "Utilization", averageUtilization: 80 } } },
      ],
      behavior: {
        scaleUp: {
          stabilizationWindowSeconds: 0,
          selectPolicy: "Max",
          policies: [
            { type: "Pods", value: 4, periodSeconds: 15 },
            { type: "Percent", value: 100, periodSeconds: 15 },
          ],
        },
        scaleDown: { selectPolicy: "Min", policies: [{ type: "Percent", value: 100, periodSeconds: 15 }] },
      },
    });
    expect(hpa.spec.behavior?.scaleDown).not.toHaveProperty("stabilizationWindowSeconds");
    expect(texts(federatedHpaErrors(hpa))).toEqual([]);
  });

  it.each([
    ["never below one", { minReplicas: 0 }, ["spec.minReplicas: Invalid value: 0: must be greater than or equal to 1"]],
    [
      "never upside down",
      { minReplicas: 7 },
      ["spec.maxReplicas: Invalid value: 5: must be greater than or equal to `minReplicas`"],
    ],
    [
      "of something named",
      { scaleTargetRef: { kind: "Deployment", name: "" } },
      ["spec.scaleTargetRef.name: Required value"],
    ],
    [
      "not by external metrics",
      { metrics: [{ type: "External" }] },
      [
        'spec.metrics[0].type: Unsupported value: "External": supported values: "ContainerResource", "Object", "Pods", "Resource"',
      ],
    ],
    [
      "by a metric that is there",
      { metrics: [{ type: "Resource" }] },
      ["spec.metrics[0].resource: Required value: must populate information for the given metric source"],
    ],
    [
      "by one target",
      {
        metrics: [
          {
            type: "Resource",
            resource: { name: "cpu", target: { type: "Utilization", averageUtilization: 5, averageValue: "1" } },
          },
        ],
      },
      [
        "spec.metrics[0].resource.target.averageValue: Forbidden: may not set both a target raw value and a target utilization",
      ],
    ],
    [
      "within an hour",
      {
        behavior: {
          scaleUp: { stabilizationWindowSeconds: 3601, policies: [{ type: "Pods", value: 1, periodSeconds: 1801 }] },
        },
      },
      [
        "spec.behavior.scaleUp.stabilizationWindowSeconds: Invalid value: 3601: must be less than or equal to 3600",
        "spec.behavior.scaleUp.policies[0].periodSeconds: Invalid value: 1801: must be less than or equal to 1800",
      ],
    ],
  ])("scales %s", (_, spec, expected) => {
    expect(errors(spec)).toEqual(expected);
  });
});

describe("CronFederatedHPA", () => {
  it.each(["* * * * *", "*/5 8-18 * * MON-FRI", "0 0 1,15 * *", "@daily", "@midnight", "@every 1h30m"])(
    "runs %s",
    (schedule) => {
      expect(isRunnableSchedule(schedule)).toBe(true);
    },
  );
  it.each([
    "",
    "* * * *",
    "0 * * * * *",
    "99 * * * *",
    "abc * * * *",
    "0 0 0 * *",
    "0 0 L * *",
    "0 0 15W * *",
    "0 0 * * 5#2",
    "@5minutes",
    "@every soon",
  ])("cannot run %j", (schedule) => {
    expect(isRunnableSchedule(schedule)).toBe(false);
  });

  const rule = { name: "r", schedule: "* * * * *" };
  const federated = { apiVersion: "autoscaling.karmada.io/v1alpha1", kind: "FederatedHPA", name: "web" };
  const deployment = { apiVersion: "apps/v1", kind: "Deployment", name: "web" };
  it.each([
    [
      "scales an unknown kind",
      { scaleTargetRef: { ...federated, kind: "CronFederatedHPA" }, rules: [] },
      [
        'spec.scaleTargetRef.kind: Invalid value: "CronFederatedHPA": invalid scaleTargetRef kind: CronFederatedHPA, only support FederatedHPA',
      ],
    ],
    [
      "says neither bound",
      { scaleTargetRef: federated, rules: [rule] },
      [
        'spec.rules[0].targetMaxReplicas: Invalid value: "": targetMinReplicas and targetMaxReplicas cannot be nil at the same time if you want to scale FederatedHPA',
      ],
    ],
    [
      "has its bounds upside down",
      { scaleTargetRef: federated, rules: [{ ...rule, targetMinReplicas: 3, targetMaxReplicas: 2 }] },
      [
        "spec.rules[0].targetMinReplicas: Invalid value: 3: targetMaxReplicas should be larger than or equal to targetMinReplicas",
      ],
    ],
    [
      "says no number",
      { scaleTargetRef: deployment, rules: [rule] },
      ['spec.rules[0].targetReplicas: Invalid value: "": targetReplicas cannot be nil if you want to scale Deployment'],
    ],
    [
      "repeats a rule",
      {
        scaleTargetRef: deployment,
        rules: [
          { ...rule, targetReplicas: 1 },
          { ...rule, targetReplicas: 2 },
        ],
      },
      ['spec.rules[1].name: Duplicate value: "r"'],
    ],
    [
      "lives nowhere",
      { scaleTargetRef: deployment, rules: [{ ...rule, targetReplicas: 1, timeZone: "Moon/Sea" }] },
      ['spec.rules[0].timeZone: Invalid value: "Moon/Sea": unknown time zone Moon/Sea'],
    ],
  ])("is refused when it %s", (_, spec, expected) => {
    expect(texts(cronFederatedHpaErrors(named(spec) as CronFederatedHPA))).toEqual(expected);
  });
});

describe("MultiClusterService", () => {
  const service = (spec: object) => named({ types: ["CrossCluster"], ...spec }) as MultiClusterService;
  it("keeps its type", () => {
    expect(texts(multiClusterServiceErrors(service({}), service({ types: ["LoadBalancer"] })))).toEqual([
      'spec.types: Invalid value: ["LoadBalancer"]: MultiClusterService types are immutable',
    ]);
  });
  it.each([
    [
      "types",
      { types: ["CrossCluster", "LoadBalancer"] },
      'spec.types: Invalid value: ["CrossCluster","LoadBalancer"]: MultiClusterService types should not contain more than one type',
    ],
    ["an unknown type", { types: ["Moon"] }, 'spec.types[0]: Invalid value: "Moon": ExposureType Error'],
    [
      "a port twice",
      {
        ports: [
          { name: "http", port: 80 },
          { name: "http", port: 81 },
        ],
      },
      'spec.ports[1].name: Duplicate value: "http"',
    ],
    [
      "a nameless cluster",
      { consumerClusters: [{ name: "" }] },
      'spec.range.consumerClusters[0]: Invalid value: "": must be not empty',
    ],
  ])("refuses %s", (_, spec, expected) => {
    expect(texts(multiClusterServiceErrors(service(spec), undefined))).toEqual([expected]);
  });
});

describe("ResourceInterpreterWebhookConfiguration", () => {
  const good = {
    name: "w.example.com",
    clientConfig: { url: "https://w.example.com/interpret" },
    interpreterContextVersions: ["v1alpha1"],
    rules: [{ operations: ["InterpretReplica"], apiGroups: ["apps"], apiVersions: ["v1"], kinds: ["Deployment"] }],
  };
  const errors = (change: object) =>
    texts(
      interpreterWebhookErrors({
        webhooks: [{ ...good, ...change }],
      } as unknown as ResourceInterpreterWebhookConfiguration),
    );
  it.each([
    ["nothing wrong", {}, []],
    [
      "a short name",
      { name: "w" },
      ['webhooks[0].name: Invalid value: "w": should be a domain with at least two segments separated by dots'],
    ],
    [
      "too much time",
      { timeoutSeconds: 31 },
      ["webhooks[0].timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds"],
    ],
    [
      "no address",
      { clientConfig: {} },
      ["webhooks[0].clientConfig: Required value: exactly one of url or service is required"],
    ],
    [
      "no version",
      { interpreterContextVersions: [] },
      ["webhooks[0].interpreterContextVersions: Required value: must specify one of v1alpha1"],
    ],
    [
      "a star among others",
      { rules: [{ ...good.rules[0], kinds: ["*", "Deployment"] }] },
      [
        `webhooks[0].rules[0].kinds: Invalid value: ["*","Deployment"]: if '*' is present, must not specify other kinds`,
      ],
    ],
    [
      "plain http",
      { clientConfig: { url: "http://w.example.com" } },
      [
        `webhooks[0].clientConfig.url: Invalid value: "http": 'https' is the only allowed URL scheme; desired format: https://host[:port]/path`,
      ],
    ],
    [
      "more than an address",
      { clientConfig: { url: "https://me:secret@w.example.com/a?b=c#d" } },
      [
        'webhooks[0].clientConfig.url: Invalid value: "me": user information is not permitted in the URL',
        'webhooks[0].clientConfig.url: Invalid value: "d": fragments are not permitted in the URL',
        'webhooks[0].clientConfig.url: Invalid value: "b=c": query parameters are not permitted in the URL',
      ],
    ],
    [
      "no host",
      { clientConfig: { url: "https:///a" } },
      [
        'webhooks[0].clientConfig.url: Invalid value: "": host must be specified; desired format: https://host[:port]/path',
      ],
    ],
    [
      "half a service",
      { clientConfig: { service: { name: "", namespace: "", port: 0, path: "a//b" } } },
      [
        "webhooks[0].clientConfig.service.name: Required value: service name is required",
        "webhooks[0].clientConfig.service.namespace: Required value: service namespace is required",
        "webhooks[0].clientConfig.service.port: Invalid value: 0: port is not valid: must be between 1 and 65535, inclusive",
        `webhooks[0].clientConfig.service.path: Invalid value: "a//b": must start with a '/'`,
      ],
    ],
    ["no name", { name: "" }, ["webhooks[0].name: Required value"]],
  ])("with %s", (_, change, expected) => {
    expect(errors(change)).toEqual(expected);
  });
});

describe("OverridePolicy", () => {
  const refusal = async (spec: object): Promise<string> => {
    try {
      await overridePolicyAdmission(false).validate?.({
        operation: "CREATE",
        object: { metadata: { name: "o", namespace: "default" }, spec },
      } as unknown as AdmissionRequest);
      return "";
    } catch (error) {
      return (error as Error).message.replace('admission webhook "overridepolicy.karmada.io" denied the request: ', "");
    }
  };
  const bySize = { fieldSelector: { matchExpressions: [{ key: "size", operator: "In" }] } };
  it.each([
    [
      "rules and the older form",
      { overrideRules: [], targetCluster: {}, overriders: { plaintext: [{ path: "/a", operator: "remove" }] } },
      /overrideRules and targetCluster can't co-exist.*overrideRules and overriders can't co-exist/,
    ],
    [
      "clusters by something they do not say",
      { overrideRules: [{ targetCluster: bySize, overriders: {} }] },
      /^spec\.overrideRules\[0\]\.targetCluster\.fieldSelector: Invalid value: .*: unsupported key "size", must be provider, region, or zone$/,
    ],
    [
      "labels that are none",
      { overrideRules: [{ overriders: { labelsOverrider: [{ operator: "add", value: { "a b": "c" } }] } }] },
      /^spec\.overrideRules\[0\]\.overriders\.labelsOverrider\[0\]\.value: Invalid value: "a b": name part must/,
    ],
    [
      "annotations that are none",
      { overrideRules: [{ overriders: { annotationsOverrider: [{ operator: "add", value: { "/": "c" } }] } }] },
      /annotationsOverrider\[0\]\.value: Invalid value: "\/": prefix part must be non-empty/,
    ],
    [
      "a field in the older form that is no pointer",
      { overriders: { fieldOverrider: [{ fieldPath: "data", json: [{ operator: "add", subPath: "/a" }] }] } },
      /spec\.overriders\.fieldOverrider\[0\]\.fieldPath: Invalid value: "data": JSON pointer must be empty.*value is required for add or replace operation/s,
    ],
  ])("with %s is refused", async (_, spec, expected) => {
    expect(await refusal(spec)).toMatch(expected);
  });
});

describe("a placement", () => {
  const errors = (placement: object) => texts(placementErrors(placement as Placement, "spec.placement"));
  const divided = { replicaScheduling: { replicaSchedulingType: "Divided", replicaDivisionPreference: "Aggregated" } };
  const term = (primary: object, ...overflowAffinities: readonly object[]) => ({
    ...divided,
    clusterAffinities: [{ affinityName: "own", ...primary, overflowAffinities }],
  });
  const at = "spec.placement.clusterAffinities[0].overflowAffinities";
  it("overflows from named clusters into groups with names of their own", () => {
    expect(errors(term({ clusterNames: ["m1"] }, { affinityName: "rented", clusterNames: ["m2"] }))).toEqual([]);
    expect(errors(term({ clusterNames: ["m1"] }, { affinityName: "own", clusterNames: ["m2"] }))).toEqual([
      `${at}[0].affinityName: Invalid value: "own": overflow affinity name must be unique and must not duplicate the primary group's affinityName`,
    ]);
    expect(errors(term({}, { affinityName: "rented" }))[0]).toContain(
      "overflowAffinities can only be used together with the inline ClusterAffinity",
    );
  });
  it("draws workloads together and apart by different labels", () => {
    const by = { groupByLabelKey: "app" };
    expect(errors({ workloadAffinity: { affinity: by, antiAffinity: { groupByLabelKey: "tier" } } })).toEqual([]);
    expect(errors({ workloadAffinity: { affinity: by, antiAffinity: by } })[0]).toMatch(
      /affinity and antiAffinity must not use the same groupByLabelKey$/,
    );
    expect(errors({ workloadAffinity: { affinity: { groupByLabelKey: "a b" } } })[0]).toMatch(
      /^spec.placement.workloadAffinity.affinity.groupByLabelKey: Invalid value: "a b": name part/,
    );
  });
  it("keeps state under labels that can be labels", () => {
    const policy = named({
      resourceSelectors: [],
      failover: { cluster: { statePreservation: { rules: [{ aliasLabelName: "no label", jsonPath: "{.a}" }] } } },
    }) as AnyPropagationPolicy;
    expect(texts(policyErrors(policy, true))[0]).toMatch(
      /^spec.failover.cluster.statePreservation.rules\[0\].aliasLabelName: Invalid value: "no label"/,
    );
  });
});
