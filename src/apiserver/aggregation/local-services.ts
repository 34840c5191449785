import type { Logger } from "#base";
import { isAlreadyExists, isConflict, isNotFound, type KubeObject } from "#machinery";
import { systemUser } from "../definition.ts";
import type { ApiServer } from "../server.ts";
import { API_SERVICES, type ApiService } from "./api-service.ts";

/** Priorities of groups and versions as kube-apiserver gives them; others come last, as groups of CRDs do. */
const PRIORITIES: Readonly<Record<string, readonly [number, number]>> = {
  "": [18_000, 1],
  apps: [17_800, 15],
  "events.k8s.io": [17_750, 15],
  "authentication.k8s.io": [17_700, 15],
  "authorization.k8s.io": [17_600, 15],
  autoscaling: [17_500, 15],
  batch: [17_400, 15],
  "certificates.k8s.io": [17_300, 15],
  "networking.k8s.io": [17_200, 15],
  policy: [17_100, 15],
  "rbac.authorization.k8s.io": [17_000, 15],
  "storage.k8s.io": [16_800, 15],
  "apiextensions.k8s.io": [16_700, 15],
  "admissionregistration.k8s.io": [16_700, 15],
  "scheduling.k8s.io": [16_600, 15],
  "coordination.k8s.io": [16_500, 15],
  "node.k8s.io": [16_300, 10],
  "discovery.k8s.io": [16_200, 15],
  "flowcontrol.apiserver.k8s.io": [16_100, 21],
  "resource.k8s.io": [15_900, 15],
};
/** Who owns what these services say, as Kubernetes has it. */
export const MANAGER = "kube-apiserver";
const AUTOMANAGED = "kube-aggregator.kubernetes.io/automanaged";

/** Keeps one local APIService a served group and version, as `kubectl get apiservices` shows them. */
export class LocalServices {
  readonly #server: ApiServer;
  readonly #log: Logger;
  #running: Promise<void> | undefined;
  #isDirty = false;

  constructor(server: ApiServer, log: Logger) {
    this.#server = server;
    this.#log = log;
  }

  /** Follows what is served; the first pass runs beside everything else. Returns how to stop. */
  start(): () => void {
    const look = () => {
      this.#isDirty = true;
      this.#running ??= this.#run().finally(() => {
        this.#running = undefined;
      });
    };
    look();
    return this.#server.registry.onChange(look);
  }

  async #run(): Promise<void> {
    while (this.#isDirty) {
      this.#isDirty = false;
      try {
        await this.#settle();
      } catch (error) {
        this.#log.warn("local APIServices not settled", { error });
      }
    }
  }

  async #settle(): Promise<void> {
    const definition = this.#server.registry.find(API_SERVICES.group, API_SERVICES.version, API_SERVICES.resource);
    if (definition === undefined) return;
    const store = this.#server.store(definition);
    await store.load();
    const wanted = new Map<string, KubeObject>();
    for (const { kind, origin, virtual } of this.#server.registry.all) {
      // The group of APIServices themselves has none.
      if (origin === "remote" || kind.group === API_SERVICES.group) continue;
      const name = `${kind.version}.${kind.group}`;
      if (virtual !== undefined && wanted.has(name)) continue;
      if (!wanted.has(name)) wanted.set(name, localService(kind.group, kind.version, origin === "builtin"));
    }
    const transport = this.#server.transport(systemUser, { tracksFields: true });
    const options = { fieldManager: MANAGER };
    const calls: Promise<unknown>[] = [];
    for (const [name, body] of wanted)
      if (store.get(name) === undefined) calls.push(transport.send({ verb: "create", ...API_SERVICES, body, options }));
    for (const [name, { object }] of store.range(undefined))
      if (!wanted.has(name) && object.metadata.labels?.[AUTOMANAGED] !== undefined && isLocal(object as ApiService))
        calls.push(transport.send({ verb: "delete", ...API_SERVICES, name }));
    for (const outcome of await Promise.allSettled(calls))
      if (outcome.status === "rejected" && !isExpected(outcome.reason)) throw outcome.reason;
  }
}

const isLocal = ({ spec }: ApiService) => spec?.service === undefined;
/** Another replica was faster. */
const isExpected = (error: unknown) => isAlreadyExists(error) || isNotFound(error) || isConflict(error);

function localService(group: string, version: string, isBuiltin: boolean): KubeObject {
  const [groupPriorityMinimum, versionPriority] = PRIORITIES[group] ?? [1000, 100];
  return {
    apiVersion: "apiregistration.k8s.io/v1",
    kind: "APIService",
    metadata: { name: `${version}.${group}`, labels: { [AUTOMANAGED]: isBuiltin ? "onstart" : "true" } },
    spec: { ...(group === "" ? {} : { group }), version, groupPriorityMinimum, versionPriority },
  } as unknown as KubeObject;
}
