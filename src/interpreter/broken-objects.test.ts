/** Built-in rules on objects that no API server should let through: an answer or a plain error, never a crash. */
import { expect, test } from "vitest";
import { seededRandom } from "#base";
import type { KubeObject } from "#machinery";
import { createInterpreter, nativeSource } from "./interpreter.ts";
import { nativeKinds } from "./native/kinds.ts";
import type { AggregatedItem } from "./rules.ts";
import { thirdPartyKinds, thirdPartySource } from "./third-party/source.ts";

const containers = [
  { name: "a", image: "i", envFrom: [{ configMapRef: { name: "c" } }, { secretRef: { name: "s" } }] },
  { name: "b", env: [{ valueFrom: { secretKeyRef: { name: "s", key: "k" } } }], volumeMounts: [{ name: "v" }] },
];
const template = {
  metadata: { labels: { app: "a" } },
  spec: {
    containers,
    initContainers: containers,
    nodeSelector: { disk: "ssd" },
    volumes: [{ name: "v", projected: { sources: [{ configMap: { name: "c" } }] } }, { secret: { secretName: "s" } }],
  },
};
const roles = { Master: { replicas: 1, template }, Worker: { replicas: 2, template }, Launcher: { template } };
const cluster = { headGroupSpec: { template }, workerGroupSpecs: [{ groupName: "g", replicas: 2, template }] };
/** A bit of everything the rules of any kind look at. */
const whole = {
  spec: {
    replicas: 2,
    parallelism: 2,
    completions: 4,
    template,
    ...template.spec,
    jobTemplate: { spec: { template } },
    tls: [{ secretName: "t" }],
    tasks: [{ name: "t", minAvailable: 1, template }],
    rayClusterSpec: cluster,
    rayClusterConfig: cluster,
    ...cluster,
    pytorchReplicaSpecs: roles,
    tfReplicaSpecs: roles,
    mpiReplicaSpecs: roles,
    valuesFrom: [{ kind: "Secret", name: "s" }],
    driver: { cores: 1, memory: "1g" },
    executor: { instances: 2, memory: "512m" },
    jobManager: { resource: { cpu: 1, memory: "2048m" } },
    taskManager: { replicas: 2, resource: { cpu: 1, memory: "2048m" } },
  },
  status: {
    replicas: 2,
    readyReplicas: 1,
    observedGeneration: 1,
    phase: "Running",
    conditions: [{ type: "Ready", status: "True", reason: "Succeeded", message: "m" }],
    loadBalancer: { ingress: [{ ip: "10.0.0.1", ports: [{ port: 80, protocol: "TCP" }] }] },
    containerStatuses: [{ ready: true, state: { running: {} } }],
    replicaStatuses: { Worker: { active: 1 } },
    containerState: { running: {} },
    rulecount: { validate: 1, generate: 0, mutate: 0, verifyimages: 0 },
    disruptedPods: { p: "2026-01-01T00:00:00Z" },
    active: [{ name: "j" }],
    artifact: { digest: "d" },
    applicationState: { state: "RUNNING" },
    activeServiceStatus: { applicationStatuses: { app: { status: "RUNNING" } } },
    taskStatusCount: { t: { phase: { Running: 1 } } },
    state: { phase: "Running" },
    jobStatus: { state: "RUNNING" },
  },
};

const random = seededRandom(7);
const JUNK: readonly unknown[] = [null, "text", 1.5, [], {}, true, -3, [null], ["text"], [[]], { a: null }];

/** The same value with one member of it somewhere replaced by junk or left out. */
function spoilt<T>(value: T): T {
  if (typeof value !== "object" || value === null || random.next() < 0.15) return JUNK[random.below(JUNK.length)] as T;
  const keys = Object.keys(value);
  const key = keys[random.below(keys.length)];
  if (key === undefined) return value;
  if (Array.isArray(value)) return value.map((item, at) => (String(at) === key ? spoilt(item as unknown) : item)) as T;
  const { [key as keyof T]: member, ...rest } = value;
  return (random.next() < 0.1 ? rest : { ...value, [key]: spoilt(member) }) as T;
}

function frozen<T>(value: T): T {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const member of Object.values(value)) frozen(member);
  }
  return value;
}

test.each([
  ["native", nativeKinds, createInterpreter([nativeSource])],
  ["third-party", thirdPartyKinds, createInterpreter([thirdPartySource])],
] as const)("%s rules answer or refuse, whatever an object holds, and change nothing of it", (_of, kinds, rules) => {
  const crashes = new Set<string>();
  for (const key of Object.keys(kinds))
    for (let run = 0; run < 60; run++) {
      const slash = key.lastIndexOf("/");
      const metadata = { name: "o", namespace: "default", generation: 1, annotations: {} };
      const object = () =>
        frozen({
          apiVersion: key.slice(0, slash),
          kind: key.slice(slash + 1),
          metadata,
          ...spoilt(spoilt({ ...whole })),
        }) as unknown as KubeObject;
      const items = (["m1", "m2"] as const).map((clusterName) =>
        frozen({ clusterName, status: spoilt(whole.status) }),
      ) as readonly AggregatedItem[];
      const asked: Readonly<Record<string, () => unknown>> = {
        replicas: () => rules.replicas(object()),
        components: () => rules.components(object()),
        revise: () => rules.revise(object(), 3),
        retain: () => rules.retain(object(), object()),
        aggregate: () => rules.aggregate(object(), items, 0),
        templateStatus: () => rules.templateStatus(object(), items, 0),
        dependencies: () => rules.dependencies(object()),
        reflect: () => rules.reflect(object()),
        health: () => rules.health(object()),
      };
      for (const [operation, ask] of Object.entries(asked))
        try {
          ask();
        } catch (error) {
          const isCrash = [TypeError, RangeError, ReferenceError].some((kind) => error instanceof kind);
          if (isCrash) crashes.add(`${key} ${operation}: ${String(error)} ${(error as Error).stack?.split("\n")[1]}`);
        }
    }
  expect([...crashes]).toEqual([]);
});

const interpreter = createInterpreter([thirdPartySource, nativeSource]);

test.each([
  ["apps/v1", "Deployment", "replicas"],
  ["apps.kruise.io/v1alpha1", "CloneSet", "replicas"],
  ["apps.kruise.io/v1alpha1", "BroadcastJob", "parallelism"],
  ["argoproj.io/v1alpha1", "Workflow", "parallelism"],
])("%s %s with a text as number of replicas is refused, and not taken for none", (apiVersion, kind, field) => {
  const object = { apiVersion, kind, metadata: { name: "a" }, spec: { [field]: "100%" } } as unknown as KubeObject;
  expect(() => interpreter.replicas(object)).toThrow(`spec.${field}: "100%" is not a number`);
});

test("to rules of third-party kinds a null is nothing: it neither hides what others report nor is retained", () => {
  const set = { apiVersion: "apps.kruise.io/v1alpha1", kind: "CloneSet", metadata: { name: "a", generation: 1 } };
  const items = [
    { clusterName: "m1", status: { replicas: 1, updateRevision: "r1" } },
    { clusterName: "m2", status: { replicas: null, updateRevision: null } },
  ] as unknown as readonly AggregatedItem[];
  expect(interpreter.aggregate(set as KubeObject, items)).toMatchObject({ replicas: 1, updateRevision: "r1" });
  const bucket = (suspend: unknown) =>
    ({
      apiVersion: "source.toolkit.fluxcd.io/v1beta2",
      kind: "Bucket",
      metadata: { name: "a" },
      spec: { suspend },
    }) as unknown as KubeObject;
  expect(interpreter.retain(bucket(true), bucket(null))).toEqual(bucket(true));
});

test("a HelmRelease that nobody reports on keeps what it said, and gets no texts where numbers belong", () => {
  const status = { lastReleaseRevision: 3, lastAppliedRevision: "1.0.0" };
  const release = {
    apiVersion: "helm.toolkit.fluxcd.io/v2beta1",
    kind: "HelmRelease",
    metadata: { name: "a", generation: 2 },
    status,
  } as unknown as KubeObject;
  expect(interpreter.aggregate(release, [])).toEqual({ ...status, observedGeneration: 2 });
});
