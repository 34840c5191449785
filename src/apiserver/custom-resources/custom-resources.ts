import { deepEqual } from "#base";
import {
  apiError,
  formatTime,
  getPath,
  isConflict,
  isJsonObject,
  isNotFound,
  type KubeObject,
  type ResourceAddress,
  withoutFinalizer,
} from "#machinery";
import { asApiServer } from "../bootstrap-writes.ts";
import { type ResourceDefinition, systemUser, unheard } from "../definition.ts";
import type { WebhookClientConfig } from "../dynamic-admission/types.ts";
import { WebhookClient } from "../dynamic-admission/webhook-client.ts";
import type { ApiServer } from "../server.ts";
import { type CrdCondition, FINALIZER, isConditionTrue, specOf, statusOf, withCondition } from "./crd.ts";
import { WebhookConversion } from "./conversion-webhook.ts";
import { deleteObject } from "../verbs/deletion.ts";
import { definitionsOf, everyVersionOf, namesOf } from "./definitions.ts";
import { planStatus } from "./names.ts";

const CRDS = { group: "apiextensions.k8s.io", version: "v1", resource: "customresourcedefinitions" };
/** Objects held by finalizers go when whoever set those is done; this often we look. */
const CLEAN_UP_MS = 1_000;

const errorOf = (error: unknown): Error => (error instanceof Error ? error : new Error(String(error)));

interface Served {
  readonly definitions: readonly ResourceDefinition[];
  readonly spec: unknown;
  readonly names: unknown;
  readonly isTerminating: boolean;
}

/** Serves what CRDs say, live: names accepted, established, and objects removed with their CRD. */
export class CustomResources {
  readonly #server: ApiServer;
  readonly #served = new Map<string, Served>();
  readonly #busy = new Set<Promise<void>>();
  /** CRDs whose names are to be looked at, one after the other. */
  readonly #waiting = new Set<string>();
  #accepting: Promise<void> | undefined;
  /** CRDs whose objects are being removed now. */
  readonly #cleaning = new Set<string>();

  readonly #client: WebhookClient;

  constructor(server: ApiServer) {
    this.#server = server;
    this.#client = new WebhookClient(server);
  }

  /** Follows the stored CRDs; resolves when those that exist are served. */
  async start(): Promise<void> {
    const definition = this.#server.registry.find(CRDS.group, CRDS.version, CRDS.resource);
    if (definition === undefined) return;
    const store = this.#server.store(definition);
    await store.load();
    for (const crd of this.#all()) this.#serve(crd);
    store.watch({
      event: ({ type, object }) => {
        const name = object.metadata.name ?? "";
        if (type === "DELETED") {
          this.#remove(name);
          // Names that were taken are free now.
          for (const other of this.#all())
            if (!isConditionTrue(other, "NamesAccepted")) this.#acceptNext(other.metadata.name ?? "");
          return;
        }
        this.#serve(object);
        // Who is going may still change its names.
        this.#acceptNext(name);
        // Names it gave back may be what another one waits for.
        for (const other of this.#all())
          if (other.metadata.name !== name && !isConditionTrue(other, "NamesAccepted"))
            this.#acceptNext(other.metadata.name ?? "");
        if (object.metadata.deletionTimestamp !== undefined) this.#run(this.#cleanUp(name));
      },
      closed() {},
    });
    const present = this.#all();
    // One after the other: the older one keeps a name that two claim.
    for (const crd of present.filter(({ metadata }) => metadata.deletionTimestamp === undefined))
      await this.#accept(crd.metadata.name ?? "");
    for (const { metadata } of present)
      if (metadata.deletionTimestamp !== undefined) this.#run(this.#cleanUp(metadata.name ?? ""));
  }

  #all(): readonly KubeObject[] {
    const definition = this.#server.registry.find(CRDS.group, CRDS.version, CRDS.resource);
    if (definition === undefined) return [];
    return [...this.#server.store(definition).range(undefined)].map(([, { object }]) => object);
  }

  #run(work: Promise<void>): void {
    const tracked = work
      .catch((error: unknown) => this.#server.log.warn("custom resource definition not settled", { error }))
      .finally(() => this.#busy.delete(tracked));
    this.#busy.add(tracked);
  }

  #serve(crd: KubeObject): void {
    // Names that were not accepted belong to somebody else.
    if (!isConditionTrue(crd, "Established")) return;
    const name = crd.metadata.name ?? "";
    const spec = specOf(crd);
    const isTerminating = crd.metadata.deletionTimestamp !== undefined;
    const names = namesOf(crd);
    const present = this.#served.get(name);
    const isSame = deepEqual(present?.spec, spec) && deepEqual(present?.names, names);
    if (present !== undefined && present.isTerminating === isTerminating && isSame) return;
    const definitions = definitionsOf(crd, this.#webhookOf(crd));
    if (present !== undefined) {
      const kept = new Set(definitions.map(({ kind }) => kind.version));
      this.#server.registry.remove(present.definitions.filter(({ kind }) => !kept.has(kind.version)));
    }
    this.#served.set(name, { definitions, spec, names, isTerminating });
    this.#server.registry.put(definitions);
  }

  #webhookOf(crd: KubeObject): WebhookConversion | undefined {
    const conversion = specOf(crd).conversion;
    const config = getPath(conversion, "webhook", "clientConfig");
    if (conversion?.strategy !== "Webhook" || !isJsonObject(config)) return undefined;
    return new WebhookConversion(this.#client, config as unknown as WebhookClientConfig, () =>
      this.#server.random.uuid(),
    );
  }

  #remove(name: string): void {
    const present = this.#served.get(name);
    if (present === undefined) return;
    this.#served.delete(name);
    this.#server.registry.remove(present.definitions);
    for (const definition of present.definitions)
      this.#server.store(definition).closeWatchers(apiError(410, "Gone", "the resource is no longer served"));
  }

  /** Looks at the names of a CRD when those before it are settled: two that claim one name never see each other too late. */
  #acceptNext(name: string): void {
    this.#waiting.add(name);
    if (this.#accepting !== undefined) return;
    this.#accepting = this.#acceptWaiting().finally(() => {
      this.#accepting = undefined;
      const [next] = this.#waiting;
      if (next !== undefined) this.#acceptNext(next);
    });
    this.#run(this.#accepting);
  }

  /** Resolves when the names of all definitions that were written are settled. */
  async whenSettled(): Promise<void> {
    while (this.#accepting !== undefined) await this.#accepting;
  }

  async #acceptWaiting(): Promise<void> {
    for (const name of this.#waiting) {
      // What is written meanwhile is looked at anew, behind all others.
      this.#waiting.delete(name);
      try {
        await this.#accept(name);
      } catch (error) {
        this.#server.log.warn("names of a custom resource definition not settled", { name, error });
      }
    }
  }

  async #accept(name: string): Promise<void> {
    const others = this.#all();
    const crd = others.find(({ metadata }) => metadata.name === name);
    if (crd === undefined) return;
    const status = planStatus(crd, others, formatTime(this.#server.clock.now()));
    if (deepEqual(status, statusOf(crd))) return;
    await this.#write({ ...crd, status } as KubeObject, "status");
  }

  /** Writes a CRD unless somebody was faster: the event of that write brings us back. */
  async #write(crd: KubeObject, subresource?: "status"): Promise<KubeObject | undefined> {
    const address: ResourceAddress & { readonly name: string } = { ...CRDS, name: crd.metadata.name ?? "" };
    try {
      return await asApiServer(this.#server)({
        verb: "update",
        ...address,
        ...(subresource === undefined ? {} : { subresource }),
        body: crd,
      });
    } catch (error) {
      if (isConflict(error) || isNotFound(error)) return undefined;
      throw error;
    }
  }

  /** Removes all objects of a CRD that is going, then lets it go. */
  async #cleanUp(name: string): Promise<void> {
    if (this.#cleaning.has(name)) return;
    this.#cleaning.add(name);
    try {
      const crd = this.#all().find(({ metadata }) => metadata.name === name);
      if (crd === undefined || !(crd.metadata.finalizers ?? []).includes(FINALIZER)) return;
      const isLeft = await this.#hasObjects(crd).catch((error: unknown) => errorOf(error));
      if (isLeft !== false) {
        await (isLeft === true
          ? this.#say(crd, "True", "InstanceDeletionInProgress", "CustomResource deletion is in progress")
          : this.#say(crd, "True", "InstanceDeletionFailed", `could not issue all deletes: ${isLeft.message}`));
        this.#server.clock.after(CLEAN_UP_MS, () => this.#run(this.#cleanUp(name)));
        return;
      }
      const said = await this.#say(crd, "False", "InstanceDeletionCompleted", "removed all instances");
      if (said !== undefined && (await this.#write(withoutFinalizer(said, FINALIZER))) !== undefined) return;
      this.#server.clock.after(CLEAN_UP_MS, () => this.#run(this.#cleanUp(name)));
    } finally {
      this.#cleaning.delete(name);
    }
  }

  /** Deletes what is there, served or not, and says whether something is left. */
  async #hasObjects(crd: KubeObject): Promise<boolean> {
    const served = this.#served.get(crd.metadata.name ?? "")?.definitions ?? definitionsOf(crd);
    const versions = [...(served[0]?.versions ?? everyVersionOf(crd)).values()];
    // The stored version needs no conversion, which may be just what is broken.
    const definition = versions.find(({ kind, storage }) => kind.version === storage.version);
    if (definition === undefined) return false;
    const store = this.#server.store(definition);
    await store.load();
    for (const [, { object }] of [...store.range(undefined)]) {
      const { namespace, name = "" } = object.metadata;
      try {
        await deleteObject(this.#server, definition, namespace, name, {}, { user: systemUser, warn: unheard });
      } catch (error) {
        if (!isNotFound(error)) throw error;
      }
    }
    return store.size > 0;
  }

  async #say(
    crd: KubeObject,
    status: CrdCondition["status"],
    reason: string,
    message: string,
  ): Promise<KubeObject | undefined> {
    const conditions = withCondition(
      statusOf(crd).conditions ?? [],
      { type: "Terminating", status, reason, message },
      formatTime(this.#server.clock.now()),
    );
    if (deepEqual(conditions, statusOf(crd).conditions)) return crd;
    return this.#write({ ...crd, status: { ...statusOf(crd), conditions } } as KubeObject, "status");
  }
}
