/**
 * Charges to federated quotas where admission is a webhook, outside the transaction that writes the binding. A charge is
 * written down, by compare-and-swap, before the write is let through, and counts until the binding is stored or cannot come
 * any more; `status.overallUsed` itself is only ever counted from bindings that are there, so that nothing refused stays in it.
 */
import { ConfigMap } from "#apis/kubernetes";
import {
  addRequests,
  type FederatedResourceQuota,
  FederatedResourceQuota as QuotaKind,
  isChargeOver,
  type QuotaCharge,
  quotaChargeData,
  quotaChargesOf,
  quotaUsageOf,
  readQuotaCharges,
  ResourceBinding,
} from "#apis/karmada";
import { type Clock, sleep } from "#base";
import type { Client } from "#client";
import {
  compareQuantities,
  formatQuantity,
  formatTime,
  isAlreadyExists,
  isConflict,
  parseQuantity,
  parseTime,
  type Quantity,
} from "#machinery";
import { type Amounts, charge } from "./quota.ts";

/** Longest an API server works on a request, and something for clocks that differ: an older charge belongs to a failed write. */
const ABANDONED_MS = 75_000;
/** Charges of a namespace above which the ones that are over are looked for. */
const OPEN_MAX = 200;
const BATCH_MAX = 100;
const TRIES_MAX = 10;
const PAUSE_MS = 10;

/** A write that asks for room. */
export interface ChargeRequest {
  readonly namespace: string;
  readonly binding: string;
  /** Version of the stored binding; absent for a creation. */
  readonly against?: string;
  readonly change: Amounts;
}

/** What became of it: `undefined` when there is room, else what is exceeded. */
export type ChargeAnswer = string | undefined;

export interface ChargeBook {
  /** Asks for room and, unless `isDryRun`, keeps it. Throws when the book cannot be written. */
  ask(request: ChargeRequest, isDryRun: boolean): Promise<ChargeAnswer>;
}

interface Waiting {
  readonly request: ChargeRequest;
  readonly isDryRun: boolean;
  readonly resolve: (answer: ChargeAnswer) => void;
  readonly reject: (error: unknown) => void;
}

const isSame = (left: { binding: string; against?: string }, right: { binding: string; against?: string }) =>
  left.binding === right.binding && left.against === right.against;

/** One book for a process: requests of a namespace that come together are decided and written together. */
export function createChargeBook(access: { readonly client: () => Client; readonly clock: Clock }): ChargeBook {
  const queues = new Map<string, Waiting[]>();

  async function work(namespace: string, queue: Waiting[]): Promise<void> {
    while (queue.length > 0) {
      const batch = queue.splice(0, BATCH_MAX);
      try {
        const answers = await decideAndWrite(access, namespace, batch);
        for (const [at, { resolve }] of batch.entries()) resolve(answers[at]);
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
    queues.delete(namespace);
  }

  return {
    ask: (request, isDryRun) =>
      new Promise((resolve, reject) => {
        const waiting = { request, isDryRun, resolve, reject };
        const queue = queues.get(request.namespace);
        if (queue !== undefined) {
          queue.push(waiting);
          return;
        }
        const fresh = [waiting];
        queues.set(request.namespace, fresh);
        void work(request.namespace, fresh);
      }),
  };
}

async function decideAndWrite(
  access: { readonly client: () => Client; readonly clock: Clock },
  namespace: string,
  batch: readonly Waiting[],
): Promise<readonly ChargeAnswer[]> {
  const client = access.client();
  const at = quotaChargesOf(namespace);
  for (let tryNumber = 1; ; tryNumber++) {
    // The book first: what is struck from it was counted into a status before.
    const kept = await client.find(ConfigMap, at);
    const { items: quotas } = await client.list(QuotaKind, { namespace });
    if (quotas.length === 0) return batch.map(() => undefined);
    const nowMs = access.clock.now();
    const open = readQuotaCharges(kept);
    let plan = planCharges(batch, open, nowMs, (quota) => quota.status?.overallUsed, quotas);
    if (open.length > OPEN_MAX || plan.answers.some((answer) => answer !== undefined) || quotas.some(isUncounted)) {
      // Refused only after a look at the bindings themselves.
      const { items } = await client.list(ResourceBinding, { namespace });
      const used = formatted(sumOf(items));
      const stored = new Map(items.map((binding) => [binding.metadata.name ?? "", binding]));
      const isOver = (entry: QuotaCharge) => isChargeOver(entry, stored.get(entry.binding));
      const coming = open.filter((entry) => !isOver(entry) && nowMs - (parseTime(entry.at) ?? nowMs) < ABANDONED_MS);
      const planned = planCharges(batch, coming, nowMs, () => used, quotas);
      // What is over may be missing in a status yet: it is struck from the book when statuses are counted.
      const over = open.filter((entry) => isOver(entry) && !planned.open.some((other) => isSame(entry, other)));
      plan = { ...planned, open: [...over, ...planned.open] };
    }
    if (!plan.isChanged) return plan.answers;
    try {
      const data = quotaChargeData(plan.open);
      if (kept === undefined)
        await client.create(ConfigMap, { apiVersion: "v1", kind: "ConfigMap", metadata: at, data } as ConfigMap);
      else await client.update(ConfigMap, { ...kept, data });
      return plan.answers;
    } catch (error) {
      if ((!isConflict(error) && !isAlreadyExists(error)) || tryNumber >= TRIES_MAX) throw error;
      await sleep(access.clock, PAUSE_MS * tryNumber);
    }
  }
}

/** A quota that was not counted since it was made, or since it bounds another resource. */
function isUncounted({ spec, status }: FederatedResourceQuota): boolean {
  return Object.keys(spec.overall).some((resource) => status?.overallUsed?.[resource] === undefined);
}

interface Plan {
  readonly answers: readonly ChargeAnswer[];
  readonly open: readonly QuotaCharge[];
  readonly isChanged: boolean;
}

/** Decides request by request, each seeing those before it. Pure. */
function planCharges(
  batch: readonly Waiting[],
  before: readonly QuotaCharge[],
  nowMs: number,
  usedOf: (quota: FederatedResourceQuota) => Readonly<Record<string, number | string>> | undefined,
  quotas: readonly FederatedResourceQuota[],
): Plan {
  let open = before;
  let isChanged = false;
  const total = new Map<string, Quantity>();
  for (const { change } of open) addRequests(total, change, 1);
  const answers = batch.map(({ request, isDryRun }) => {
    const mine = open.find((entry) => isSame(entry, request));
    const others = new Map(total);
    addRequests(others, mine?.change, -1);
    const exceeded = quotas.flatMap((quota) => {
      const used = new Map(others);
      addRequests(used, usedOf(quota), 1);
      const answer = charge({ ...quota, status: { ...quota.status, overallUsed: formatted(used) } }, request.change);
      return answer.kind === "exceeded" ? [answer.message] : [];
    });
    if (exceeded.length > 0) return exceeded.join(" ");
    if (isDryRun) return undefined;
    // Of two writes against the same version only one can come: they hold the larger of both.
    const change = larger(mine?.change ?? {}, request.change);
    addRequests(total, mine?.change, -1);
    addRequests(total, change, 1);
    const { binding, against } = request;
    const entry = { binding, ...(against === undefined ? {} : { against }), change, at: formatTime(nowMs) };
    open = [...open.filter((other) => other !== mine), entry];
    isChanged = true;
    return undefined;
  });
  return { answers, open, isChanged };
}

function larger(kept: Readonly<Record<string, string>>, change: Amounts): Readonly<Record<string, string>> {
  const all: Record<string, string> = { ...kept };
  for (const [resource, amount] of change) {
    const present = parseQuantity(all[resource] ?? "0");
    if (amount.nano > 0n && (present === undefined || compareQuantities(amount, present) > 0))
      all[resource] = formatQuantity(amount);
  }
  return all;
}

function sumOf(bindings: readonly ResourceBinding[]): ReadonlyMap<string, Quantity> {
  const used = new Map<string, Quantity>();
  for (const binding of bindings)
    for (const [resource, amount] of quotaUsageOf(binding))
      addRequests(used, { [resource]: formatQuantity(amount) }, 1);
  return used;
}

function formatted(amounts: ReadonlyMap<string, Quantity>): Readonly<Record<string, string>> {
  return Object.fromEntries([...amounts].map(([resource, amount]) => [resource, formatQuantity(amount)]));
}
