import { Secret } from "#apis/kubernetes";
import { type Clock, exponentialBackoff, type Logger, type Timer } from "#base";
import type { Client } from "#client";
import type { EventRecorder } from "#controller-runtime";
import { isJsonObject, type KubeObject } from "#machinery";
import { secretText } from "#member";
import type { ObjectStore } from "../cache/member-caches.ts";
import type { StorePlan } from "../cache/plan.ts";
import { type Credentials, OpenSearchConnection } from "./connection.ts";
import { documentOf, INDEX, indexOf } from "./documents.ts";

export interface OpenSearchParts {
  /** Reads the Secrets that registries name. */
  readonly client: Client;
  readonly events: EventRecorder;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Gives the store of a cluster's objects that a registry asks for. */
export const openSearchStore =
  (parts: OpenSearchParts) =>
  (cluster: string, plan: StorePlan): ObjectStore =>
    new OpenSearchStore(parts, cluster, plan);

const GATHER_MS = 200;
const RETRY = exponentialBackoff({ baseMs: 1_000, maxMs: 60_000 });
const BATCH_MAX = 500;
const BATCH_BYTES_MAX = 4 * 1024 * 1024;
/**
 * Deletions that wait. What is to be written is bounded by itself: it is an object of the cache, once; of one that is gone only
 * the deletion waits.
 */
const DELETIONS_MAX = 50_000;
const NDJSON = "application/x-ndjson";

interface Waiting {
  readonly index: string;
  readonly id: string;
  /** Absent for a deletion. */
  readonly object?: KubeObject;
}

/** Changes of one request, with the lines that say them. */
type Batch = readonly { readonly entry: Waiting; readonly lines: string }[];

/** What the server says of one document. */
interface ItemAnswer {
  readonly status: number;
  readonly error?: unknown;
}

const mayPass = (status: number): boolean => status === 429 || status >= 500;

/**
 * Writes the objects of one cluster to OpenSearch, in batches and in the background. Of an object that changes often only the last
 * state is written. While the server cannot be reached, everything waits, with longer and longer pauses.
 */
class OpenSearchStore implements ObjectStore {
  readonly #parts: OpenSearchParts;
  readonly #cluster: string;
  readonly #plan: StorePlan;
  readonly #waiting = new Map<string, Waiting>();
  readonly #indexes = new Set<string>();
  readonly #abort = new AbortController();
  #deletions = 0;
  #connection: OpenSearchConnection | undefined;
  #timer: Timer | undefined;
  #isSending = false;
  #failures = 0;

  constructor(parts: OpenSearchParts, cluster: string, plan: StorePlan) {
    this.#parts = parts;
    this.#cluster = cluster;
    this.#plan = plan;
  }

  put(object: KubeObject): void {
    this.#add(object, true);
  }

  remove(object: KubeObject): void {
    this.#add(object, false);
  }

  stop(): void {
    this.#abort.abort();
    this.#timer?.cancel();
    this.#waiting.clear();
    void this.#connection?.close();
  }

  #add(object: KubeObject, isThere: boolean): void {
    const id = object.metadata.uid;
    if (id === undefined || this.#abort.signal.aborted) return;
    const index = indexOf(object);
    this.#enqueue({ index, id, ...(isThere ? { object } : {}) });
    // While it waits longer because of failures, nothing is sooner.
    this.#wakeIn(GATHER_MS);
  }

  #enqueue(entry: Waiting): void {
    const key = `${entry.index}/${entry.id}`;
    this.#take(key);
    this.#waiting.set(key, entry);
    if (entry.object !== undefined || ++this.#deletions <= DELETIONS_MAX) return;
    for (const [oldest, { object }] of this.#waiting)
      if (object === undefined) {
        this.#take(oldest);
        this.#tell("deletions are not written to OpenSearch: too many wait", `more than ${DELETIONS_MAX} wait`);
        return;
      }
  }

  #take(key: string): void {
    const entry = this.#waiting.get(key);
    if (entry !== undefined && entry.object === undefined) this.#deletions--;
    this.#waiting.delete(key);
  }

  #wakeIn(delayMs: number): void {
    if (this.#timer !== undefined || this.#isSending || this.#abort.signal.aborted) return;
    this.#timer = this.#parts.clock.after(delayMs, () => {
      this.#timer = undefined;
      void this.#send();
    });
  }

  async #send(): Promise<void> {
    this.#isSending = true;
    let delayMs = 0;
    const batch = this.#batch();
    try {
      const late = await this.#write(batch);
      this.#giveBack(late);
      if (late.length > 0) throw new Error(`it did not take ${late.length} of ${batch.length} changes`);
      if (this.#failures > 0) this.#parts.log.info("OpenSearch is written to again", { cluster: this.#cluster });
      this.#failures = 0;
    } catch (error) {
      if (this.#abort.signal.aborted) return;
      delayMs = RETRY(this.#failures++);
      this.#tell("OpenSearch cannot be written to", error instanceof Error ? error.message : String(error));
      // Credentials and certificates may be others by now.
      await this.#connection?.close();
      this.#connection = undefined;
    } finally {
      this.#isSending = false;
    }
    if (this.#waiting.size > 0) this.#wakeIn(delayMs);
  }

  /** Takes what goes into one request out of what waits. */
  #batch(): Batch {
    const batch: Batch[number][] = [];
    let bytes = 0;
    for (const [key, entry] of this.#waiting) {
      if (batch.length === BATCH_MAX || bytes >= BATCH_BYTES_MAX) break;
      const head = { _index: entry.index, _id: entry.id };
      const lines =
        entry.object === undefined
          ? `${JSON.stringify({ delete: head })}\n`
          : `${JSON.stringify({ index: head })}\n${JSON.stringify(documentOf(entry.object, this.#cluster))}\n`;
      bytes += lines.length;
      batch.push({ entry, lines });
      this.#take(key);
    }
    return batch;
  }

  /** Writes a batch; gives what the server could not take now. Rejects when it took nothing: then all of it waits again. */
  async #write(batch: Batch): Promise<readonly Waiting[]> {
    if (batch.length === 0) return [];
    try {
      const connection = await this.#connected();
      for (const index of new Set(batch.map(({ entry }) => entry.index))) await this.#makeIndex(connection, index);
      const lines = batch.map((one) => one.lines).join("");
      const { status, body } = await connection.ask("POST", "/_bulk", NDJSON, lines, this.#abort.signal);
      if (status !== 200) throw new Error(`it answered ${status}: ${shortened(body)}`);
      return this.#lateOf(batch, body);
    } catch (error) {
      this.#giveBack(batch.map(({ entry }) => entry));
      throw error;
    }
  }

  /** Reads what became of each change. */
  #lateOf(batch: Batch, body: unknown): readonly Waiting[] {
    const items = isJsonObject(body) && Array.isArray(body["items"]) ? (body["items"] as readonly unknown[]) : [];
    const late: Waiting[] = [];
    let refused: string | undefined;
    for (const [at, { entry }] of batch.entries()) {
      const answer = itemOf(items[at]);
      if (answer === undefined) late.push(entry);
      else if (answer.status < 300 || (entry.object === undefined && answer.status === 404)) continue;
      else if (mayPass(answer.status)) late.push(entry);
      else refused ??= `${entry.index}/${entry.id}: ${shortened(answer.error)}`;
    }
    // What the server will not take as it is, it will not take later either.
    if (refused !== undefined) this.#tell("OpenSearch refuses objects", refused);
    return late;
  }

  async #makeIndex(connection: OpenSearchConnection, index: string): Promise<void> {
    if (this.#indexes.has(index)) return;
    const path = `/${encodeURIComponent(index)}`;
    const { status, body } = await connection.ask(
      "PUT",
      path,
      "application/json",
      JSON.stringify(INDEX),
      this.#abort.signal,
    );
    const isThere = JSON.stringify(body ?? "").includes("resource_already_exists_exception");
    if (status >= 300 && !isThere) throw new Error(`index ${index}: it answered ${status}: ${shortened(body)}`);
    this.#indexes.add(index);
  }

  async #connected(): Promise<OpenSearchConnection> {
    const credentials = this.#connection === undefined ? await this.#credentials() : undefined;
    return (this.#connection ??= new OpenSearchConnection(this.#plan.addresses, credentials));
  }

  /** Without a Secret that can be read, the server is asked as nobody. */
  async #credentials(): Promise<Credentials | undefined> {
    const { namespace, name } = this.#plan.secret;
    if (name === "") return undefined;
    try {
      const secret = await this.#parts.client.get(Secret, { namespace, name }, this.#abort.signal);
      const authority = secretText(secret, "caBundle");
      return {
        // The reference of the API calls it otherwise than the program that reads it.
        username: secretText(secret, "username") || secretText(secret, "userName"),
        password: secretText(secret, "password"),
        ...(authority === "" ? {} : { authority }),
      };
    } catch (error) {
      this.#parts.log.warn("credentials of OpenSearch cannot be read", { secret: `${namespace}/${name}`, error });
      return undefined;
    }
  }

  /** Lets what was not written wait again, unless something newer waits. */
  #giveBack(entries: readonly Waiting[]): void {
    for (const entry of entries) if (!this.#waiting.has(`${entry.index}/${entry.id}`)) this.#enqueue(entry);
  }

  #tell(message: string, reason: string): void {
    const { log, events } = this.#parts;
    log.warn(message, { cluster: this.#cluster, addresses: this.#plan.addresses, reason });
    events.warning(this.#plan.registry, "OpenSearchFailed", `cluster ${this.#cluster}: ${message}: ${reason}`);
  }
}

function itemOf(item: unknown): ItemAnswer | undefined {
  const answer = isJsonObject(item) ? Object.values(item)[0] : undefined;
  return isJsonObject(answer) && typeof answer["status"] === "number"
    ? { status: answer["status"], error: answer["error"] }
    : undefined;
}

const SHOWN_MAX = 200;
const shortened = (value: unknown): string =>
  (typeof value === "string" ? value : JSON.stringify(value ?? "")).slice(0, SHOWN_MAX);
