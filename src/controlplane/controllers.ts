import { type AnyBinding, Cluster } from "#apis/karmada";
import type { RunningApiServer } from "#apiserver";
import type { Pki } from "#certs";
import { controllerNames, duration, type EngineConfig, isControllerWanted, type ServerConfig } from "#config";
import type { ControllerDefinition, Manager } from "#controller-runtime";
import { agentCsrApproving } from "#controllers/agent-csr-approving";
import { applicationFailover } from "#controllers/application-failover";
import { bindingController } from "#controllers/binding";
import { bindingStatus } from "#controllers/binding-status";
import { bootstrapSigner } from "#controllers/bootstrap-signer";
import { clusterRoleAggregation } from "#controllers/cluster-role-aggregation";
import { clusterController } from "#controllers/cluster";
import { clusterStatus } from "#controllers/cluster-status";
import { clusterTaintPolicy } from "#controllers/cluster-taint-policy";
import { csrCleaner } from "#controllers/csr-cleaner";
import { csrSigning } from "#controllers/csr-signing";
import { dependenciesDistributor } from "#controllers/dependencies-distributor";
import { deploymentReplicasSyncer } from "#controllers/deployment-replicas-syncer";
import { detector, type MarkNew, type TemplateKinds } from "#controllers/detector";
import { execution } from "#controllers/execution";
import { failBack } from "#controllers/fail-back";
import { federatedResourceQuotaEnforcement } from "#controllers/federated-resource-quota-enforcement";
import { federatedResourceQuotaStatus } from "#controllers/federated-resource-quota-status";
import { federatedResourceQuotaSync } from "#controllers/federated-resource-quota-sync";
import { garbageCollector } from "#controllers/garbage-collector";
import { gracefulEviction } from "#controllers/graceful-eviction";
import { hpaScaleTargetMarker } from "#controllers/hpa-scale-target-marker";
import { namespaceLifecycle } from "#controllers/namespace-lifecycle";
import { namespaceSync } from "#controllers/namespace-sync";
import { remedy } from "#controllers/remedy";
import { rootCaPublisher } from "#controllers/root-ca-publisher";
import { serviceAccount } from "#controllers/service-account";
import { taintManager } from "#controllers/taint-manager";
import { tokenCleaner } from "#controllers/token-cleaner";
import { workStatus } from "#controllers/work-status";
import { unifiedAuth } from "#controllers/unified-auth";
import { workloadRebalancer } from "#controllers/workload-rebalancer";
import type { Interpreter } from "#interpreter";
import type { Member, MemberPool } from "#member";
import { type PlaceNew, simulateSchedule } from "#scheduler";
import type { ServedKinds } from "#simulator";

/** Adds one controller if `--controllers` asks for it. */
export type AddController = <D, O>(
  definition: ControllerDefinition<D, O>,
  given: { readonly deps: D; readonly options?: Partial<O>; readonly concurrency?: number },
  isOn?: boolean,
  name?: string,
) => void;

/** Controllers that have no name in `--controllers`: they run whatever it says. */
const NAMELESS = new Set(["detector", "dependencies-distributor", "fail-back"]);

/** Follows `--controllers`; `refuseMissing` throws when it names a controller that was never offered. */
export function controllerAdder(
  { controllers: words }: Pick<EngineConfig, "controllers">,
  manager: Manager,
): { readonly add: AddController; refuseMissing(): void } {
  const known = new Set<string>();
  return {
    add: (definition, given, isOn = true, name = definition.name) => {
      known.add(name);
      if (isOn && (NAMELESS.has(name) || isControllerWanted(words, name))) manager.add(definition, given);
    },
    refuseMissing() {
      for (const word of words)
        if (controllerNames.some(({ name }) => name === word) && !known.has(word))
          throw new Error(`--controllers: controller ${JSON.stringify(word)} is not there yet`);
    },
  };
}

/** What the controllers that stand in for a kube-controller-manager are given. */
export interface KubernetesParts {
  readonly config: ServerConfig;
  readonly api: RunningApiServer;
  readonly pki: Pki;
  readonly kinds: ServedKinds;
}

/** Adds what an API server of its own needs beside Karmada's controllers. */
export function addKubernetesControllers(add: AddController, { config, api, pki, kinds }: KubernetesParts): void {
  add(garbageCollector, { deps: { kinds } });
  add(namespaceLifecycle, { deps: { kinds } });
  add(serviceAccount, {
    deps: {
      sign: (account, secretName) => api.tokens.signForSecret(account, secretName),
      authority: pki.authority.certificate,
    },
  });
  add(rootCaPublisher, { deps: { authority: () => pki.authority.certificate } });
  add(csrSigning, { deps: { sign: pki.authority.sign }, options: config });
  add(csrCleaner, { deps: {} });
  add(bootstrapSigner, { deps: {} });
  add(tokenCleaner, { deps: {} });
  add(clusterRoleAggregation, { deps: {} });
}

/** What Karmada's controllers are given. */
export interface KarmadaParts {
  readonly config: EngineConfig;
  readonly manager: Manager;
  readonly members: MemberPool;
  readonly interpreter: Interpreter;
  readonly templates: TemplateKinds;
  readonly marksNew?: (mark: MarkNew) => void;
  readonly placeNew: PlaceNew;
  readonly connect: (cluster: Cluster) => Promise<Member>;
  /** Whether the API server is another's, and admission a webhook of it. */
  readonly isGuest: boolean;
}

/** Where a fresh schedule would place a binding now; `undefined` when it would fail. */
function placeAnew(binding: AnyBinding, manager: Manager, gates: ReadonlySet<string>, nowMs: number) {
  const [outcome] = simulateSchedule(
    { clusters: manager.informers.of(Cluster).list(), bindings: [binding] },
    { rebalances: true },
    { gates, nowMs },
  ).bindings;
  return outcome === undefined || outcome.outcome === "failed" || outcome.outcome === "held"
    ? undefined
    : outcome.after;
}

/** Adds every controller of Karmada's controller manager. */
export function addKarmadaControllers(add: AddController, parts: KarmadaParts): void {
  const { config, manager, members, interpreter, templates, connect } = parts;
  const { gates } = config;
  const clusterSyncs = config.concurrentClusterSyncs;
  const bindingSyncs = Math.max(config.concurrentResourcebindingSyncs, config.concurrentClusterresourcebindingSyncs);
  const kindOf = templates.find;
  const templateOf = async (resource: {
    readonly apiVersion: string;
    readonly kind: string;
    readonly namespace?: string;
    readonly name: string;
  }) => {
    const kind = kindOf(resource.apiVersion, resource.kind);
    if (kind === undefined) return undefined;
    const key = kind.namespaced && resource.namespace ? `${resource.namespace}/${resource.name}` : resource.name;
    return (
      (manager.informers.has(kind) ? manager.informers.of(kind).get(key) : undefined) ??
      manager.client.find(kind, resource)
    );
  };
  add(agentCsrApproving, { deps: {} });
  // Cluster failover as a whole stands behind its gate, older releases' automatic NoExecute taints included.
  const failoverEvictionTimeoutMs = gates.has("Failover") ? config.failoverEvictionTimeoutMs : 0;
  add(clusterController, {
    deps: { members },
    options: { ...config, failoverEvictionTimeoutMs },
    concurrency: clusterSyncs,
  });
  // A status pass waits for its member, so that the number of workers must not bound it.
  add(clusterStatus, { deps: { members, connect, gates }, options: config });
  add(clusterTaintPolicy, { deps: {}, concurrency: clusterSyncs }, gates.has("Failover"));
  add(
    taintManager,
    { deps: { gates, members }, options: config },
    gates.has("Failover") && config.enableTaintManager,
    "cluster",
  );
  add(gracefulEviction, { deps: {}, options: config, concurrency: bindingSyncs });
  add(failBack, {
    deps: {
      readDuration: (text) => duration.read(text, JSON.stringify(text)),
      placeAnew: (binding, nowMs) => placeAnew(binding, manager, gates, nowMs),
    },
    options: config,
  });
  add(applicationFailover, { deps: { interpreter, gates }, concurrency: bindingSyncs });
  add(workloadRebalancer, { deps: {} });
  add(remedy, { deps: {} });
  add(federatedResourceQuotaSync, { deps: {} });
  add(federatedResourceQuotaStatus, { deps: { gates } });
  add(
    federatedResourceQuotaEnforcement,
    { deps: { keepsBook: parts.isGuest }, options: config },
    gates.has("FederatedQuotaEnforcement"),
  );
  add(detector, {
    deps: {
      interpreter,
      gates,
      templates,
      placeNew: parts.placeNew,
      ...(parts.marksNew === undefined ? {} : { marksNew: parts.marksNew }),
    },
    options: {
      skippedPropagatingApis: config.skippedPropagatingApis,
      skippedPropagatingNamespaces: config.skippedPropagatingNamespaces,
      concurrentSyncs: config.concurrentResourceTemplateSyncs,
    },
  });
  add(
    dependenciesDistributor,
    {
      deps: { interpreter, kindOf, templateOf },
      options: {
        unclaimedBindings: config.unclaimedBindings,
        clusterScopedDependencies: config.propagateClusterScopedDependencies,
        concurrentSyncs: config.concurrentDependentResourceSyncs,
      },
    },
    gates.has("PropagateDeps"),
  );
  add(hpaScaleTargetMarker, { deps: { kindOf } });
  add(deploymentReplicasSyncer, { deps: {} });
  add(bindingController, {
    deps: { interpreter, gates, kindOf, templateOf },
    options: { unclaimedBindings: config.unclaimedBindings, concurrentSyncs: bindingSyncs },
  });
  add(bindingStatus, {
    deps: { interpreter, kindOf },
    options: { writesTemplateStatus: config.writeTemplateStatus },
    concurrency: bindingSyncs,
  });
  add(execution, {
    deps: { members, interpreter },
    options: {
      concurrentWorkSyncs: config.concurrentWorkSyncs,
      massDeletionShare: config.massDeletionShare,
      massDeletionWindowMs: config.massDeletionWindowMs,
      massDeletionFloor: config.massDeletionFloor,
    },
  });
  add(workStatus, { deps: { members, interpreter }, options: { concurrentWorkSyncs: config.concurrentWorkSyncs } });
  add(unifiedAuth, { deps: {}, concurrency: clusterSyncs });
  add(namespaceSync, {
    deps: {},
    options: { skippedPropagatingNamespaces: config.skippedPropagatingNamespaces },
    concurrency: config.concurrentNamespaceSyncs,
  });
}
