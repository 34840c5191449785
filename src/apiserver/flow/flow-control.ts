import { hash } from "node:crypto";
import { type Clock, type Metrics, silentMetrics } from "#base";
import { formatTime, getPath, type KubeObject } from "#machinery";
import type { Attributes } from "../authorization/attributes.ts";
import { asApiServer } from "../bootstrap-writes.ts";
import type { ApiServer } from "../server.ts";
import { type LevelOptions, PriorityLevel, type Rejection } from "./level.ts";
import { orderSchemas, type Schema } from "./schemas.ts";

export interface FlowOptions {
  /** Requests at a time, all levels together; default 600. */
  readonly seatsMax?: number;
  /** Longest wait in a queue; default 15 s. */
  readonly waitMaxMs?: number;
  readonly clock: Clock;
  readonly metrics?: Metrics;
}

/** A request that was let in. `leave` must be called once. */
export interface Admitted {
  leave(): void;
  /** Which rules it went by. */
  readonly headers: Readonly<Record<string, string>>;
}

interface Condition {
  readonly type: string;
  readonly status: string;
  readonly message?: string;
  readonly lastTransitionTime?: string;
}

const CONSUMER = "api-priority-and-fairness-config-consumer-v1";
const GROUP = "flowcontrol.apiserver.k8s.io";
const SEATS_DEFAULT = 600;
const WAIT_DEFAULT_MS = 15_000;
const WAIT_SECONDS = [0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30];

/**
 * Priority and fairness: every request belongs to a flow of a FlowSchema, every schema to a PriorityLevelConfiguration.
 * It follows both kinds as they are stored; a change counts at once.
 */
export class FlowControl {
  readonly #server: ApiServer;
  readonly #options: FlowOptions;
  readonly #levels = new Map<string, PriorityLevel>();
  #schemas: readonly Schema[] = [];
  #telling = false;
  readonly #measures;

  constructor(server: ApiServer, options: FlowOptions) {
    this.#server = server;
    this.#options = options;
    const metrics = options.metrics ?? silentMetrics;
    const labels = ["priority_level", "flow_schema"];
    this.#measures = {
      dispatched: metrics.counter(
        "apiserver_flowcontrol_dispatched_requests_total",
        "Number of requests executed by API Priority and Fairness subsystem",
        labels,
      ),
      rejected: metrics.counter(
        "apiserver_flowcontrol_rejected_requests_total",
        "Number of requests rejected by API Priority and Fairness subsystem",
        [...labels, "reason"],
      ),
      waited: metrics.histogram(
        "apiserver_flowcontrol_request_wait_duration_seconds",
        "Length of time a request spent waiting in its queue",
        [...labels, "execute"],
        WAIT_SECONDS,
      ),
      executing: metrics.gauge(
        "apiserver_flowcontrol_current_executing_requests",
        "Number of requests in initial (for a WATCH) or any (for a non-WATCH) execution stage in the API Priority and Fairness subsystem",
        ["priority_level"],
      ),
      inQueue: metrics.gauge(
        "apiserver_flowcontrol_current_inqueue_requests",
        "Number of requests currently pending in queues of the API Priority and Fairness subsystem",
        ["priority_level"],
      ),
      limit: metrics.gauge(
        "apiserver_flowcontrol_nominal_limit_seats",
        "Nominal number of execution seats configured for each priority level",
        ["priority_level"],
      ),
    };
  }

  /** Reads levels and schemas and follows their changes. */
  async start(): Promise<void> {
    for (const resource of ["prioritylevelconfigurations", "flowschemas"]) {
      const definition = this.#server.registry.find(GROUP, "v1", resource);
      if (definition === undefined) continue;
      const store = this.#server.store(definition);
      await store.load();
      store.watch({ event: () => this.#renew(), closed: () => {} });
    }
    this.#renew();
  }

  #objects(resource: string): readonly KubeObject[] {
    const definition = this.#server.registry.find(GROUP, "v1", resource);
    return definition === undefined
      ? []
      : [...this.#server.store(definition).range(undefined)].map(([, { object }]) => object);
  }

  #renew(): void {
    this.#schemas = orderSchemas(this.#objects("flowschemas"));
    const objects = this.#objects("prioritylevelconfigurations");
    const shares = objects.reduce((sum, object) => sum + sharesOf(object), 0);
    const wanted = objects.map((object) => levelOptions(object, this.#options.seatsMax ?? SEATS_DEFAULT, shares));
    const names = new Set(wanted.map(({ name }) => name));
    // A level that is gone takes nobody in; who waits in it is still served.
    for (const name of this.#levels.keys()) if (!names.has(name)) this.#levels.delete(name);
    for (const options of wanted) {
      this.#measures.limit.set(Number.isFinite(options.seats) ? options.seats : 0, { priority_level: options.name });
      const present = this.#levels.get(options.name);
      if (present === undefined) {
        const { clock, waitMaxMs = WAIT_DEFAULT_MS } = this.#options;
        this.#levels.set(
          options.name,
          new PriorityLevel(options, clock, waitMaxMs, () => this.#spareFor(options.name)),
        );
      } else {
        present.options = options;
        present.dispatch();
      }
    }
    if (this.#telling) return;
    this.#telling = true;
    queueMicrotask(() => {
      this.#telling = false;
      void this.#tell();
    });
  }

  /** Says on every schema whether its level is there. */
  async #tell(): Promise<void> {
    const send = asApiServer(this.#server, CONSUMER);
    for (const object of this.#objects("flowschemas")) {
      const level = String(getPath(object, "spec", "priorityLevelConfiguration", "name") ?? "");
      const isThere = this.#levels.has(level);
      const conditions = (getPath(object, "status", "conditions") ?? []) as readonly Condition[];
      const present = conditions.find(({ type }) => type === "Dangling");
      const status = isThere ? "False" : "True";
      const message = `This FlowSchema references the PriorityLevelConfiguration object named ${JSON.stringify(level)} ${isThere ? "and it exists" : "but there is no such object"}`;
      if (present?.status === status && present.message === message) continue;
      const condition = {
        type: "Dangling",
        status,
        lastTransitionTime:
          present?.status === status ? present.lastTransitionTime : formatTime(this.#options.clock.now()),
        reason: isThere ? "Found" : "NotFound",
        message,
      };
      const { apiVersion, kind, metadata } = object;
      const { name = "" } = metadata;
      // Another replica, or the next change, says the same.
      await send({
        verb: "patch",
        group: GROUP,
        version: "v1",
        resource: "flowschemas",
        subresource: "status",
        name,
        patchType: "application/apply-patch+yaml",
        body: { apiVersion, kind, metadata: { name }, status: { conditions: [condition] } },
        options: { force: true },
      }).catch(() => undefined);
    }
  }

  #spareFor(name: string): number {
    let spare = 0;
    for (const level of this.#levels.values()) {
      if (!Number.isFinite(level.options.seats)) continue;
      // What a level uses beyond its own is taken from the same pool.
      if (level.options.name !== name) spare += level.unused - Math.max(0, level.executing - level.options.seats);
    }
    return spare;
  }

  /** Lets a request in, perhaps after a wait; `undefined` when it must come again later. */
  async enter(request: Attributes): Promise<Admitted | undefined> {
    const schema = this.#schemas.find((candidate) => candidate.matches(request));
    const level = schema === undefined ? undefined : this.#levels.get(schema.level);
    if (schema === undefined || level === undefined) return { leave() {}, headers: {} };
    const labels = { priority_level: level.options.name, flow_schema: schema.name };
    const headers = {
      "x-kubernetes-pf-flowschema-uid": schema.uid,
      "x-kubernetes-pf-prioritylevel-uid": level.options.uid,
    };
    if (!Number.isFinite(level.options.seats)) {
      this.#measures.dispatched.add(1, labels);
      return { leave() {}, headers };
    }
    const startedMs = this.#options.clock.monotonicMs();
    const entering = level.enter(hashOf(`${schema.name}\0${schema.distinguish(request)}`));
    if (entering instanceof Promise) this.#show(level);
    const rejection: Rejection | undefined = await entering;
    this.#show(level);
    const waited = (this.#options.clock.monotonicMs() - startedMs) / 1000;
    this.#measures.waited.observe(waited, { ...labels, execute: String(rejection === undefined) });
    if (rejection !== undefined) {
      this.#measures.rejected.add(1, { ...labels, reason: rejection });
      return undefined;
    }
    this.#measures.dispatched.add(1, labels);
    let isIn = true;
    return {
      headers,
      leave: () => {
        if (!isIn) return;
        isIn = false;
        level.leave();
        this.#show(level);
        // A seat that is free here may be borrowed there.
        for (const other of this.#levels.values()) if (other !== level && other.waiting > 0) other.dispatch();
      },
    };
  }

  #show(level: PriorityLevel): void {
    this.#measures.executing.set(level.executing, { priority_level: level.options.name });
    this.#measures.inQueue.set(level.waiting, { priority_level: level.options.name });
  }
}

const sharesOf = (object: KubeObject): number =>
  Number(
    getPath(object, "spec", "limited", "nominalConcurrencyShares") ??
      (getPath(object, "spec", "type") === "Limited" ? 30 : 0),
  );

function levelOptions(object: KubeObject, seatsMax: number, shares: number): LevelOptions {
  const name = object.metadata.name ?? "";
  const uid = object.metadata.uid ?? "";
  if (getPath(object, "spec", "type") === "Exempt") {
    const unlimited = Number.POSITIVE_INFINITY;
    return { name, uid, seats: unlimited, lendable: 0, borrowable: 0, queuing: undefined };
  }
  const limited = getPath(object, "spec", "limited");
  const seats = shares === 0 ? 0 : Math.ceil((seatsMax * sharesOf(object)) / shares);
  const number = (...path: string[]) => getPath(limited, ...path) as number | undefined;
  const borrowing = number("borrowingLimitPercent");
  const isQueuing = getPath(limited, "limitResponse", "type") === "Queue";
  return {
    name,
    uid,
    seats,
    lendable: Math.round((seats * (number("lendablePercent") ?? 0)) / 100),
    borrowable: borrowing === undefined ? Number.POSITIVE_INFINITY : Math.round((seats * borrowing) / 100),
    queuing: isQueuing
      ? {
          queues: number("limitResponse", "queuing", "queues") ?? 64,
          handSize: number("limitResponse", "queuing", "handSize") ?? 8,
          queueLengthMax: number("limitResponse", "queuing", "queueLengthLimit") ?? 50,
        }
      : undefined,
  };
}

/** A number of 48 bits, as many as can be divided exactly. */
const hashOf = (text: string): number => hash("sha256", text, "buffer").readUIntBE(0, 6);
