import type { ResourceInterpreterWebhookConfiguration } from "#apis/karmada";
import { gvkOf, writeJson } from "#machinery";
import type { Answers } from "../answers.ts";
import { Unanswered } from "../answers.ts";
import type { RuleSource } from "../interpreter.ts";
import type { KindRules, Operation } from "../rules.ts";
import { type Answer, answerOf, contextOf, type Question } from "./protocol.ts";

type Webhook = ResourceInterpreterWebhookConfiguration["webhooks"][number];

/** One call of a webhook. */
export interface WebhookCall {
  readonly url: string;
  /** PEM; the system's authorities when absent. */
  readonly certificateAuthority?: string;
  /** The name the server's certificate must carry, where it is not the URL's. */
  readonly serverName?: string;
  readonly body: string;
  readonly timeoutMs: number;
}

/** The part of a Service an address is made of. */
export interface ServiceAddress {
  readonly type?: string;
  readonly clusterIP?: string;
  readonly externalName?: string;
  readonly ports: readonly number[];
}

export interface WebhookOptions {
  readonly post: (call: WebhookCall) => Promise<{ readonly status: number; readonly text: string }>;
  readonly serviceOf: (namespace: string, name: string) => Promise<ServiceAddress | undefined>;
  readonly uuid: () => string;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** Told when a webhook is left alone for a while, and when it answers again (`pauseMs` 0). */
  readonly onTrouble?: (trouble: WebhookTrouble) => void;
}

export interface WebhookTrouble {
  readonly configuration: ResourceInterpreterWebhookConfiguration;
  readonly webhook: string;
  readonly message: string;
  readonly pauseMs: number;
}

/** Rules that webhooks answer. */
export interface Webhooks {
  readonly source: RuleSource;
  /** Replaces what is known; the next call sees it. */
  set(configurations: readonly ResourceInterpreterWebhookConfiguration[]): void;
}

interface Target {
  readonly configuration: ResourceInterpreterWebhookConfiguration;
  readonly webhook: Webhook;
  readonly key: string;
}

const TIMEOUT_SECONDS = 10;
/** Failures to reach a webhook in a row before it is left alone. */
const FAILURES_MAX = 5;
const PAUSE_FIRST_MS = 1_000;
const PAUSE_MOST_MS = 60_000;

const holds = (words: readonly string[], word: string) => words.includes("*") || words.includes(word);

/** The webhook that answers for a kind and an operation: the first by configuration and name. */
export function webhookFor(
  configurations: readonly ResourceInterpreterWebhookConfiguration[],
  apiVersion: string,
  kind: string,
  operation: Operation,
): Target | undefined {
  const { group, version } = gvkOf({ apiVersion, kind });
  let best: Target | undefined;
  for (const configuration of configurations)
    for (const webhook of configuration.webhooks ?? []) {
      const isMeant = (webhook.rules ?? []).some(
        (rule) =>
          holds(rule.operations, operation) &&
          holds(rule.apiGroups, group) &&
          holds(rule.apiVersions, version) &&
          holds(rule.kinds, kind),
      );
      const key = `${configuration.metadata.name}/${webhook.name}`;
      if (isMeant && (best === undefined || key < best.key)) best = { configuration, webhook, key };
    }
  return best;
}

/** Where a webhook listens, and the name its certificate must carry. */
export async function addressOf(
  { url, service }: Webhook["clientConfig"],
  serviceOf: WebhookOptions["serviceOf"],
): Promise<{ readonly url: string; readonly serverName?: string }> {
  if (service === undefined) return { url: url ?? "" };
  const { name = "", namespace = "", port = 443, path = "" } = service;
  const serverName = `${name}.${namespace}.svc`;
  const steps = path === "" || path.startsWith("/") ? path : `/${path}`;
  const at = (host: string) => ({
    url: `https://${host.includes(":") ? `[${host}]` : host}:${port}${steps}`,
    serverName,
  });
  const found = await serviceOf(namespace, name);
  if (found === undefined) return at(serverName);
  if (found.type === "ExternalName") return at(found.externalName ?? "");
  if (!found.clusterIP || found.clusterIP === "None")
    throw new Error(`cannot route to service ${namespace}/${name} without a cluster IP`);
  if (!found.ports.includes(port)) throw new Error(`no service port ${port} found for service ${namespace}/${name}`);
  return at(found.clusterIP);
}

export function createWebhooks(options: WebhookOptions): Webhooks {
  let configurations: readonly ResourceInterpreterWebhookConfiguration[] = [];
  const pauses = new Map<string, { failures: number; untilMs: number; pauseMs: number }>();

  async function call({ configuration, webhook, key }: Target, question: Question): Promise<Answer> {
    const pause = pauses.get(key);
    if (pause !== undefined && options.now() < pause.untilMs)
      throw new Error(
        `calling webhook ${JSON.stringify(webhook.name)}: it did not answer and is left alone for a while`,
      );
    const uid = options.uuid();
    let reply: Awaited<ReturnType<WebhookOptions["post"]>>;
    try {
      const { caBundle } = webhook.clientConfig;
      reply = await options.post({
        ...(await addressOf(webhook.clientConfig, options.serviceOf)),
        ...(caBundle ? { certificateAuthority: Buffer.from(caBundle, "base64").toString("utf8") } : {}),
        body: writeJson(contextOf(question, uid)),
        timeoutMs: (webhook.timeoutSeconds ?? TIMEOUT_SECONDS) * 1_000,
      });
      if (reply.status >= 500) throw new Error(`the server answered ${reply.status}`);
    } catch (error) {
      const message = `calling webhook ${JSON.stringify(webhook.name)}: ${error instanceof Error ? error.message : String(error)}`;
      const failures = (pause?.failures ?? 0) + 1;
      const isOver = failures >= FAILURES_MAX;
      const pauseMs = isOver ? Math.min((pause?.pauseMs ?? 0) * 2 || PAUSE_FIRST_MS, PAUSE_MOST_MS) : 0;
      pauses.set(key, { failures, untilMs: options.now() + pauseMs, pauseMs });
      if (isOver) options.onTrouble?.({ configuration, webhook: webhook.name, message, pauseMs });
      throw new Error(message);
    }
    if (pauses.delete(key) && (pause?.pauseMs ?? 0) > 0)
      options.onTrouble?.({ configuration, webhook: webhook.name, message: "answers again", pauseMs: 0 });
    return answerOf(question, uid, reply.status, reply.text);
  }

  /** The rules of a kind; each is there only if some webhook has it. */
  function rulesOf(apiVersion: string, kind: string, answers: Answers | undefined): KindRules | undefined {
    const ask = <O extends Operation>(operation: O, rest: Omit<Question, "operation">) => {
      const target = webhookFor(configurations, apiVersion, kind, operation) as Target;
      const question: Question = { operation, ...rest };
      const key = writeJson([target.key, question]);
      const fetch = () => call(target, question);
      if (answers === undefined) throw new Unanswered(key, fetch);
      return answers.get(key, fetch).value as Extract<Answer, { readonly operation: O }>["value"];
    };
    const has = (operation: Operation) => webhookFor(configurations, apiVersion, kind, operation) !== undefined;
    const rules: KindRules = {
      ...(has("InterpretReplica") ? { replicas: (object) => ask("InterpretReplica", { object }) } : {}),
      ...(has("InterpretComponent") ? { components: (object) => ask("InterpretComponent", { object }) } : {}),
      ...(has("ReviseReplica") ? { revise: (object, replicas) => ask("ReviseReplica", { object, replicas }) } : {}),
      ...(has("Retain") ? { retain: (object, observed) => ask("Retain", { object, observed }) } : {}),
      ...(has("AggregateStatus")
        ? {
            aggregate: (object, items) =>
              (ask("AggregateStatus", { object, ...(items === undefined ? {} : { items }) }) as { status?: KubeStatus })
                .status,
          }
        : {}),
      ...(has("InterpretDependency") ? { dependencies: (object) => ask("InterpretDependency", { object }) } : {}),
      ...(has("InterpretStatus") ? { reflect: (object) => ask("InterpretStatus", { object }) } : {}),
      ...(has("InterpretHealth") ? { health: (object) => ask("InterpretHealth", { object }) } : {}),
    };
    return Object.keys(rules).length === 0 ? undefined : rules;
  }

  return {
    source: (apiVersion, kind, answers) =>
      configurations.length === 0 ? undefined : rulesOf(apiVersion, kind, answers),
    set(next) {
      configurations = next;
      pauses.clear();
    },
  };
}

type KubeStatus = Readonly<Record<string, unknown>>;
