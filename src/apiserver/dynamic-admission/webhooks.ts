import { CelBudgetError, CelRuntimeError, CostBudget, type Program, type Value } from "#cel";
import { deepEqual } from "#base";
import {
  type ApiError,
  applyJsonPatch,
  badRequest,
  internalError,
  type KubeObject,
  PatchError,
  webhookRefusal,
} from "#machinery";
import { type AdmissionRequest, refusalOf } from "../admission.ts";
import type { Authorizer } from "../authorization/attributes.ts";
import type { ResourceDefinition } from "../definition.ts";
import type { ApiServer } from "../server.ts";
import { decodingMistake } from "../verbs/body.ts";
import { matchRules, seenObjects, selectorsMatch, takenObject } from "./matching.ts";
import { admissionReview } from "./review.ts";
import { admissionValues, compileConditions } from "./scope.ts";
import type { Webhook } from "./types.ts";
import type { WebhookAnswer, WebhookClient } from "./webhook-client.ts";
import type { WebhookOutcome } from "./webhook-measures.ts";

/** One webhook of a configuration, its conditions compiled. */
export interface CompiledWebhook {
  readonly configuration: string;
  readonly hook: Webhook;
  readonly conditions: readonly (readonly [string, Program])[];
}

/** The webhooks of a configuration. Conditions that do not compile any more never hold, so that `failurePolicy` decides. */
export function compileWebhooks(configuration: KubeObject): readonly CompiledWebhook[] {
  const { webhooks = [] } = configuration as KubeObject & { webhooks?: readonly Webhook[] };
  return webhooks.map((hook) => ({
    configuration: configuration.metadata.name ?? "",
    hook,
    conditions: compileConditions(hook.matchConditions),
  }));
}

/** What one webhook made of a request. */
interface Called {
  readonly answer: WebhookAnswer;
  readonly matched: ResourceDefinition;
  readonly object: KubeObject | undefined;
}

export interface WebhookParts {
  readonly server: ApiServer;
  readonly authorizer: Authorizer;
  readonly client: WebhookClient;
  readonly measure: (outcome: WebhookOutcome) => void;
}

/** Whether all conditions hold. One that fails to run counts only when none is false; then it throws. */
export function conditionsHold(
  conditions: readonly (readonly [string, Program])[],
  values: Readonly<Record<string, Value>>,
): boolean {
  const failures: string[] = [];
  const budget = new CostBudget();
  for (const [, program] of conditions) {
    try {
      if (program.run(values, budget) !== true) return false;
    } catch (error) {
      if (!(error instanceof CelRuntimeError) && !(error instanceof CelBudgetError)) throw error;
      failures.push(`expression '${program.source.trim()}' resulted in error: ${error.message}`);
    }
  }
  if (failures.length > 0) throw new Error(failures.length === 1 ? failures[0] : `[${failures.join(", ")}]`);
  return true;
}

/** The version a webhook is called in, or undefined when the request is none of its business. */
function matches(parts: WebhookParts, { hook }: CompiledWebhook, request: AdmissionRequest) {
  const { server } = parts;
  const matched = matchRules(server, hook.rules, hook.matchPolicy, request);
  return matched !== undefined && selectorsMatch(server, hook, request) ? matched : undefined;
}

/** Calls a webhook if it wants to be asked. Gives nothing when it does not, or when it failed and that is to be ignored. */
async function callWebhook(
  parts: WebhookParts,
  compiled: CompiledWebhook,
  request: AdmissionRequest,
  type: WebhookOutcome["type"],
): Promise<Called | undefined> {
  const { server, authorizer, client } = parts;
  const { hook, conditions } = compiled;
  const matched = matches(parts, compiled, request);
  if (matched === undefined) return undefined;
  const { object, oldObject } = seenObjects(server, request, matched);
  const uid = server.random.uuid();
  const isForgiving = hook.failurePolicy === "Ignore";
  if (conditions.length > 0) {
    try {
      const values = admissionValues(request, matched, { object, oldObject }, authorizer, uid);
      if (!conditionsHold(conditions, values)) return undefined;
    } catch (error) {
      if (isForgiving) return undefined;
      throw refusalOf(request, (error as Error).message, type === "admit");
    }
  }
  if (request.isDryRun && hook.sideEffects !== "None" && hook.sideEffects !== "NoneOnDryRun")
    throw badRequest(`admission webhook ${JSON.stringify(hook.name)} does not support dry run`);
  const startedMs = performance.now();
  const measure = (outcome: Pick<WebhookOutcome, "code" | "rejection" | "isIgnored">) =>
    parts.measure({
      name: hook.name,
      type,
      operation: request.operation,
      seconds: (performance.now() - startedMs) / 1000,
      ...outcome,
    });
  try {
    const review = admissionReview(request, matched, object, oldObject, uid);
    const answer = await client.call(hook, review, uid, type === "admit");
    for (const text of answer.warnings) if (text !== "" && !/\p{Cc}/u.test(text)) request.warn(text);
    for (const [key, value] of Object.entries(answer.auditAnnotations))
      request.annotate?.(`${hook.name}/${key}`, value);
    measure(answer.isAllowed ? { code: 200 } : { code: refusalCode(answer), rejection: "no_error" });
    return { answer, matched, object };
  } catch (error) {
    const message = `failed calling webhook ${JSON.stringify(hook.name)}: ${(error as Error).message}`;
    measure({ code: 503, ...(isForgiving ? { isIgnored: true } : { rejection: "calling_webhook_error" }) });
    if (!isForgiving) throw internalError(new Error(message));
    server.log.warn("webhook failed and is ignored", { webhook: hook.name, error: message });
    return undefined;
  }
}

/** Codes below 400 are no refusals. */
const refusalCode = ({ status }: WebhookAnswer): number =>
  status?.code !== undefined && status.code >= 400 ? status.code : 400;

/** A refusal with the webhook's own words and code. */
function denied(hook: Webhook, answer: WebhookAnswer): ApiError {
  const { status } = answer;
  const why = status?.message || status?.reason;
  const by = `admission webhook ${JSON.stringify(hook.name)} denied the request`;
  const message = why === undefined ? `${by} without explanation` : `${by}: ${why}`;
  return webhookRefusal(refusalCode(answer), message, status?.reason, status?.details);
}

/** Asks one mutating webhook; gives the object to go on with. */
export async function mutateByWebhook(
  parts: WebhookParts,
  compiled: CompiledWebhook,
  request: AdmissionRequest,
): Promise<KubeObject | undefined> {
  const called = await callWebhook(parts, compiled, request, "admit");
  if (called === undefined) return request.object;
  const { answer, matched, object } = called;
  if (!answer.isAllowed) throw denied(compiled.hook, answer);
  if (answer.patch.length === 0 || object === undefined || request.object === undefined) return request.object;
  let patched: KubeObject;
  try {
    patched = applyJsonPatch<KubeObject>(object, answer.patch);
  } catch (error) {
    if (!(error instanceof PatchError)) throw error;
    throw internalError(new Error(error.message.replace(/(missing path: )"([^"]*)"/, "$1$2")));
  }
  if (deepEqual(patched, object)) return request.object;
  request.annotate?.(
    "mutation.webhook.admission.k8s.io",
    JSON.stringify({ configuration: compiled.configuration, webhook: compiled.hook.name, mutated: true }),
  );
  const mistake = request.view === undefined ? decodingMistake(matched, patched) : undefined;
  if (mistake !== undefined) throw mistake;
  return takenObject(parts.server, { ...request, object: request.object }, matched, object, patched);
}

/** Asks all validating webhooks at once; the first refusal in their order is thrown. */
export async function validateByWebhooks(
  parts: WebhookParts,
  hooks: readonly CompiledWebhook[],
  request: AdmissionRequest,
): Promise<void> {
  const outcomes = await Promise.allSettled(
    hooks.map(async (compiled) => {
      const called = await callWebhook(parts, compiled, request, "validating");
      if (called !== undefined && !called.answer.isAllowed) throw denied(compiled.hook, called.answer);
    }),
  );
  for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
}
