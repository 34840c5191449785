import { setMaxListeners } from "node:events";
import { type Backoff, type Clock, type Logger, type Metrics, type Random, silentMetrics } from "#base";
import { type Client, createClient, createInformers, type Informers } from "#client";
import { type KubeObject, objectKey, type ResourceKind, splitKey, type Transport } from "#machinery";
import type { Change, ControllerContext, ControllerDefinition, Request, Wakeup } from "./definition.ts";
import { createEventRecorder, type EventRecorder } from "./event-recorder.ts";
import { Turns, type Urgency } from "./turns.ts";
import { queueMetrics } from "./queue-metrics.ts";
import { PRIORITY_LOW, WorkQueue, type RetryRate } from "./work-queue.ts";

export interface ManagerOptions {
  readonly transport: Transport;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics?: Metrics;
  /** Recorded as field manager and event source; default `karmada-controller-manager`. */
  readonly component?: string;
  /** Caches to share with others; default: the manager's own. */
  readonly informers?: Informers;
  /** Whom the controllers share the thread with, besides each other; default nobody. */
  readonly turns?: Turns;
  /** Of controllers whose definition does not say; default `normal`. */
  readonly urgency?: Urgency;
  /** Whether a controller may write only what its definition lists; default true. */
  readonly isGuarded?: boolean;
  /** Wait before the next try of a request that failed; default 5 ms doubling up to 1 000 s. */
  readonly backoff?: Backoff;
  /** How many failures of each controller may come back at a time; default any number. */
  readonly retryRate?: RetryRate;
}

/** Runs controllers over shared caches. */
export interface Manager {
  readonly client: Client;
  readonly informers: Informers;
  readonly events: EventRecorder;
  /** Adds a controller before or after `start`. `options` overrides single defaults, `concurrency` the definition's. */
  add<Deps, Options>(
    definition: ControllerDefinition<Deps, Options>,
    given: { readonly deps: Deps; readonly options?: Partial<Options>; readonly concurrency?: number },
  ): void;
  /** Fills the caches and starts the controllers; resolves when all of them run. */
  start(): Promise<void>;
  /** Resolves when everything is quiet. */
  stop(): Promise<void>;
  /** Resolves when no controller has anything ready to do; delayed requests do not count. */
  whenIdle(): Promise<void>;
  /** Requests reconciled so far, all controllers together: moves whenever anything is done. */
  readonly processed: number;
  /** Requests waiting or running. */
  readonly depth: number;
}

/** How long a manager that stops goes on writing events: they are a courtesy, and a stop is waited for. */
const LAST_EVENTS_MS = 2_000;

interface Running {
  readonly name: string;
  start(): Promise<void>;
  stop(): Promise<void>;
  /** Of requests and of reports. */
  readonly queues: readonly WorkQueue<string>[];
}

const kindKey = (kind: ResourceKind) => `${kind.group}/${kind.resource}`;
const itemOf = (kind: ResourceKind, key: string) => `${kindKey(kind)}|${key}`;

export function createManager(options: ManagerOptions): Manager {
  const { transport, clock, random, log } = options;
  const metrics = options.metrics ?? silentMetrics;
  const component = options.component ?? "karmada-controller-manager";
  const informers = options.informers ?? createInformers(transport, { clock, log });
  const client = createClient(transport, { fieldManager: component });
  const controllers: Running[] = [];
  const turns = options.turns ?? new Turns();
  const events = createEventRecorder({ client, clock, random, log, component, turns, metrics });
  let state: "new" | "running" | "stopped" = "new";

  const reconcileSeconds = metrics.histogram(
    "controller_runtime_reconcile_time_seconds",
    "Length of time per reconciliation per controller",
    ["controller"],
  );
  const reconcileTotal = metrics.counter(
    "controller_runtime_reconcile_total",
    "Total number of reconciliations per controller",
    ["controller", "result"],
  );

  const measureQueue = queueMetrics(metrics);

  function build<Deps, Options>(
    definition: ControllerDefinition<Deps, Options>,
    deps: Deps,
    controllerOptions: Options,
    concurrency = definition.concurrency?.(controllerOptions) ?? 8,
  ): Running {
    const abort = new AbortController();
    // A controller may follow any number of kinds, and each ends with it.
    setMaxListeners(0, abort.signal);
    const name = definition.name;
    const kinds = new Map(definition.reconciles.map((kind) => [kindKey(kind), kind]));
    const firstKind = definition.reconciles[0] as ResourceKind;
    // Upstream has a reconciler for each kind, and measures it by a name of its own.
    const { reconcilers = [] } = definition;
    const names = new Map(
      definition.reconciles.map((kind, at) => [kindKey(kind), reconcilers[at] ?? reconcilers[0] ?? name]),
    );
    const nameOf = (item: string) => names.get(item.slice(0, item.indexOf("|"))) ?? reconcilers[0] ?? name;
    const allowed = new Set(
      definition.writes.flatMap(({ kind, verbs, subresources = [] }) =>
        verbs.flatMap((verb) => [
          `${verb} ${kindKey(kind)}`,
          ...subresources.map((subresource) => `${verb} ${kindKey(kind)}/${subresource}`),
        ]),
      ),
    );
    const isOpen = definition.writes.some(({ kind }) => kind.resource === "*");
    const guarded = createClient(transport, {
      fieldManager: component,
      ...(options.isGuarded === false || isOpen
        ? {}
        : {
            guard: (verb: string, kind: ResourceKind, subresource: string | undefined) => {
              const wanted = `${verb} ${kindKey(kind)}${subresource === undefined ? "" : `/${subresource}`}`;
              if (!allowed.has(wanted))
                throw new Error(`controller ${name} does not list "${wanted}" among the kinds it writes`);
            },
          }),
    });
    const controllerLog = log.with({ controller: name });

    const enqueue = (wakeup: Wakeup) => {
      const kind = wakeup.kind ?? firstKind;
      queue.add(itemOf(kind, objectKey(wakeup.namespace, wakeup.name)), wakeup);
    };
    const context: ControllerContext<Deps, Options> = {
      name,
      client: guarded,
      cache: (kind) => informers.of(kind),
      clock,
      random,
      log: controllerLog,
      metrics,
      events,
      options: controllerOptions,
      deps,
      enqueue,
      report: (request, write) => {
        const item = itemOf(request.kind, request.key);
        reports.set(item, write);
        reporting.add(item);
      },
      follow: (kind, requests) => {
        const stop = handle(kind, (change) => {
          for (const wakeup of requests(change as never)) enqueue(wakeup);
        });
        return { stop };
      },
      signal: abort.signal,
    };

    const queue = new WorkQueue<string>(
      {
        clock,
        concurrency,
        turns,
        urgency: definition.urgency ?? options.urgency ?? "normal",
        ...(options.backoff === undefined ? {} : { backoff: options.backoff }),
        ...(options.retryRate === undefined ? {} : { retryRate: options.retryRate }),
        measure: measureQueue([...new Set(names.values())], nameOf),
      },
      process,
    );

    const reports = new Map<string, () => Promise<void>>();
    const reporting = new WorkQueue<string>({ clock, concurrency, turns, urgency: "background" }, async (item) => {
      const write = reports.get(item);
      reports.delete(item);
      try {
        await write?.();
      } catch (error) {
        if (abort.signal.aborted) return;
        controllerLog.debug("report not written", { item, error });
        queue.addFailed(item);
      }
    });

    async function process(item: string): Promise<void> {
      const bar = item.indexOf("|");
      const key = item.slice(bar + 1);
      const request: Request = { kind: kinds.get(item.slice(0, bar)) ?? firstKind, ...splitKey(key), key };
      const startedMs = performance.now();
      const controller = nameOf(item);
      try {
        const result = await definition.reconcile(request, context);
        queue.forget(item);
        reconcileTotal.add(1, { controller, result: result.outcome === "requeue" ? "requeue_after" : "success" });
        if (result.outcome === "requeue") queue.add(item, { afterMs: Math.max(1, result.afterMs) });
        else if (result.outcome === "terminal") controllerLog.warn("gave up", { key, reason: result.reason });
      } catch (error) {
        if (abort.signal.aborted) return;
        reconcileTotal.add(1, { controller, result: "error" });
        controllerLog.debug("reconcile failed", { key, error, failures: queue.failuresOf(item) });
        queue.addFailed(item);
      } finally {
        reconcileSeconds.observe((performance.now() - startedMs) / 1000, { controller });
      }
    }

    /** Calls `react` for every change of a kind; a change that throws is the controller's bug and is logged. */
    function handle(kind: ResourceKind, react: (change: Change) => void): () => void {
      const safely = (change: Change) => {
        try {
          react(change);
        } catch (error) {
          controllerLog.error("a wake rule threw", { kind: kind.kind, error });
        }
      };
      const stop = informers.of(kind).handle({
        add: (object, isInitial) => safely({ type: "added", object, isInitial }),
        update: (object, old) => safely({ type: "updated", object, old }),
        delete: (object) => safely({ type: "deleted", object }),
      });
      abort.signal.addEventListener("abort", stop, { once: true });
      return stop;
    }

    return {
      name,
      queues: [queue, reporting],
      async start() {
        for (const { kind, name: index, of } of definition.indexes ?? []) informers.of(kind).addIndex(index, of);
        const needed = [
          ...definition.reconciles,
          ...(definition.reads ?? []),
          ...(definition.wakes ?? []).map((rule) => rule.kind),
          ...(definition.indexes ?? []).map((index) => index.kind),
        ].filter((kind) => kind.resource !== "*");
        await Promise.all(needed.map((kind) => informers.of(kind).whenSynced()));
        if (abort.signal.aborted) return;
        await definition.start?.(context);
        for (const kind of definition.reconciles) {
          if (kind.resource === "*") continue;
          handle(kind, (change) => {
            if (definition.when !== undefined && !definition.when(change, context)) return;
            const { namespace, name: objectName = "" } = change.object.metadata;
            const priority = change.type === "added" && change.isInitial ? { priority: PRIORITY_LOW } : {};
            enqueue({ kind, namespace, name: objectName, ...priority });
          });
        }
        for (const rule of definition.wakes ?? [])
          handle(rule.kind, (change) => {
            for (const wakeup of rule.requests(change as Change<KubeObject>, context)) enqueue(wakeup);
          });
        queue.start();
        reporting.start();
      },
      async stop() {
        abort.abort();
        await Promise.all([queue.stop(), reporting.stop()]);
      },
    };
  }

  const queues = () => controllers.flatMap((controller) => controller.queues);
  const manager: Manager = {
    client,
    informers,
    events,
    add(definition, given) {
      const running = build(definition, given.deps, { ...definition.options, ...given.options }, given.concurrency);
      controllers.push(running);
      if (state === "running") void running.start();
    },
    async start() {
      if (state !== "new") return;
      state = "running";
      informers.start();
      await Promise.all(controllers.map((controller) => controller.start()));
    },
    async stop() {
      if (state === "stopped") return;
      state = "stopped";
      await Promise.all(controllers.map((controller) => controller.stop()));
      await events.flush(LAST_EVENTS_MS);
      if (options.informers === undefined) informers.stop();
    },
    async whenIdle() {
      while (manager.depth > 0) await Promise.all(queues().map((queue) => queue.whenIdle()));
    },
    get processed() {
      return queues().reduce((sum, { processed }) => sum + processed, 0);
    },
    get depth() {
      return queues().reduce((sum, { depth }) => sum + depth, 0);
    },
  };
  return manager;
}
