import { createHash } from "node:crypto";
import type { Clock, Logger, Random, Timer } from "#base";
import { formatMicroTime, getPath, isConflict, isNotFound, type KubeObject } from "#machinery";
import { asApiServer } from "../bootstrap-writes.ts";
import type { ApiServer } from "../server.ts";

const LEASES = { group: "coordination.k8s.io", version: "v1", resource: "leases", namespace: "kube-system" };
const LABEL = "apiserver.kubernetes.io/identity";
const VALUE = "kube-apiserver";
const LEASE_SECONDS = 3_600;
const RENEW_MS = 10_000;
const BASE_32 = "abcdefghijklmnopqrstuvwxyz234567";
const NAME_BYTES = 16;

/** What an API server on a machine is called: the same each time it starts there (wire). */
export function identityOf(hostname: string): string {
  const hash = createHash("sha256");
  // Each part behind its length, so that no two pairs are written alike.
  for (const part of [hostname, VALUE].map((text) => Buffer.from(text))) {
    const length = Buffer.alloc(2);
    length.writeUInt16BE(part.length);
    hash.update(length).update(part);
  }
  const bytes = hash.digest().subarray(0, NAME_BYTES);
  let text = "";
  let value = 0;
  let bits = 0;
  for (const byte of bytes) {
    value = (value << 8) | byte;
    bits += 8;
    for (; bits >= 5; bits -= 5) text += BASE_32[(value >>> (bits - 5)) & 31];
    value &= (1 << bits) - 1;
  }
  return `apiserver-${text}${bits === 0 ? "" : BASE_32[(value << (5 - bits)) & 31]}`;
}

/** The Lease in kube-system by which others know that this API server runs; those of servers that are gone are removed. */
export class IdentityLease {
  readonly #server: ApiServer;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #hostname: string;
  readonly #address: string;
  readonly #holder: string;
  readonly #name: string;
  #timer: Timer | undefined;
  #isStopped = false;
  #cleanedMs = Number.NEGATIVE_INFINITY;

  constructor(options: {
    readonly server: ApiServer;
    readonly clock: Clock;
    readonly random: Random;
    readonly log: Logger;
    readonly hostname: string;
    /** Where other servers reach this one: `HOST:PORT`. */
    readonly address: string;
  }) {
    this.#server = options.server;
    this.#clock = options.clock;
    this.#log = options.log;
    this.#hostname = options.hostname;
    this.#address = options.address;
    this.#name = identityOf(options.hostname);
    this.#holder = `${this.#name}_${options.random.uuid()}`;
  }

  /** Resolves after the first try; later ones follow by themselves. */
  async start(): Promise<void> {
    try {
      await this.#renew();
      if (this.#clock.now() - this.#cleanedMs >= LEASE_SECONDS * 1000) await this.#removeExpired();
    } catch (error) {
      // Somebody else of the same machine was faster.
      if (!isConflict(error)) this.#log.warn("the Lease of this API server could not be renewed", { error });
    }
    if (!this.#isStopped) this.#timer = this.#clock.after(RENEW_MS, () => void this.start());
  }

  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
  }

  async #renew(): Promise<void> {
    const send = asApiServer(this.#server);
    const spec = {
      holderIdentity: this.#holder,
      leaseDurationSeconds: LEASE_SECONDS,
      renewTime: formatMicroTime(this.#clock.now()),
    };
    let present: KubeObject;
    try {
      present = await send({ verb: "get", ...LEASES, name: this.#name });
    } catch (error) {
      if (!isNotFound(error)) throw error;
      const labels = { [LABEL]: VALUE, "kubernetes.io/hostname": this.#hostname };
      const annotations = { "kubernetes.io/peer-advertise-address": this.#address };
      const body = {
        apiVersion: "coordination.k8s.io/v1",
        kind: "Lease",
        metadata: { name: this.#name, namespace: LEASES.namespace, labels, annotations },
        spec,
      };
      await send({ verb: "create", ...LEASES, body: body as KubeObject });
      return;
    }
    const body = { ...present, spec: { ...(getPath(present, "spec") as object), ...spec } } as KubeObject;
    await send({ verb: "update", ...LEASES, name: this.#name, body });
  }

  async #removeExpired(): Promise<void> {
    const store = this.#server.store(this.#server.definition(LEASES));
    await store.load();
    const now = this.#clock.now();
    this.#cleanedMs = now;
    for (const [, { object }] of [...store.range(LEASES.namespace)]) {
      const { name = "", uid, labels } = object.metadata;
      if (labels?.[LABEL] !== VALUE || name === this.#name) continue;
      const renewed = Date.parse(String(getPath(object, "spec", "renewTime") ?? ""));
      const seconds = Number(getPath(object, "spec", "leaseDurationSeconds") ?? 0);
      if (renewed + seconds * 1000 >= now) continue;
      const options = uid === undefined ? {} : { preconditions: { uid } };
      await asApiServer(this.#server)({ verb: "delete", ...LEASES, name, options }).catch((error: unknown) => {
        if (!isNotFound(error) && !isConflict(error)) throw error;
      });
    }
  }
}
