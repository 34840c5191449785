import { Service } from "#apis/kubernetes";
import { ResourceInterpreterCustomization, ResourceInterpreterWebhookConfiguration } from "#apis/karmada";
import type { Clock, Logger, Random } from "#base";
import type { Informers } from "#client";
import type { EventRecorder } from "#controller-runtime";
import {
  createCustomizations,
  createInterpreter,
  createLuaEngine,
  createWebhookPost,
  createWebhooks,
  type Interpreter,
  type InterpreterPluginHost,
  nativeSource,
  startInterpreterPlugin,
  thirdPartySource,
} from "#interpreter";
import type { KubeObject, ResourceKind } from "#machinery";

export interface InterpretationOptions {
  readonly informers: Informers;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** Records what users must know of their customizations and webhooks; asked for when something happens. */
  readonly events: () => EventRecorder;
  /** URLs of users' modules. */
  readonly plugins: readonly string[];
}

/** The interpreter of a control plane, and what keeps it in step with what users configure. */
export interface Interpretation {
  readonly interpreter: Interpreter;
  /** Loads users' modules and follows their customizations and webhooks; resolves when all of them count. */
  start(): Promise<void>;
  stop(): Promise<void>;
}

/** Sources in order of precedence: customizations, webhooks, users' modules, third-party rules, native rules. */
export function createInterpretation(options: InterpretationOptions): Interpretation {
  const { informers, clock, log } = options;
  const now = () => clock.now();
  const engine = createLuaEngine({
    now: () => clock.now() / 1000,
    print: (line) => log.debug("a customization printed", { line: line.slice(0, 1_000) }),
  });
  const customizations = createCustomizations({
    engine,
    now,
    onTrouble({ customization, operation, message, pauseMs }) {
      const text = `The ${operation} script was stopped (${message}) and is left alone for ${pauseMs / 1000} s.`;
      log.warn("stopped a customization's script", { customization: customization.metadata.name, operation, message });
      options.events().warning(customization, "ScriptStopped", text);
    },
  });
  const web = createWebhookPost();
  const webhooks = createWebhooks({
    post: web.post,
    now,
    uuid: () => options.random.uuid(),
    async serviceOf(namespace, name) {
      const services = informers.of(Service);
      await services.whenSynced();
      const found = services.get(`${namespace}/${name}`);
      if (found === undefined) return undefined;
      const { type, clusterIP, externalName, ports = [] } = found.spec ?? {};
      return {
        ...(type === undefined ? {} : { type }),
        ...(clusterIP === undefined ? {} : { clusterIP }),
        ...(externalName === undefined ? {} : { externalName }),
        ports: ports.map(({ port }) => port),
      };
    },
    onTrouble({ configuration, webhook, message, pauseMs }) {
      log.warn("a webhook interpreter is in trouble", { configuration: configuration.metadata.name, webhook, message });
      if (pauseMs > 0)
        options
          .events()
          .warning(configuration, "WebhookUnavailable", `${message}; it is left alone for ${pauseMs / 1000} s.`);
      else options.events().normal(configuration, "WebhookAvailable", `Webhook ${JSON.stringify(webhook)} ${message}.`);
    },
  });
  let plugins: readonly InterpreterPluginHost[] = [];
  const stops: (() => void)[] = [];
  const follow = async <T extends KubeObject>(kind: ResourceKind<T>, set: (objects: readonly T[]) => void) => {
    const informer = informers.of(kind);
    const reload = () => set(informer.list());
    await informer.whenSynced();
    reload();
    stops.push(informer.handle({ add: reload, update: reload, delete: reload }));
  };
  return {
    interpreter: createInterpreter([
      customizations.source,
      webhooks.source,
      (apiVersion, kind, answers) => mergedRules(plugins, apiVersion, kind, answers),
      thirdPartySource,
      nativeSource,
    ]),
    async start() {
      plugins = await Promise.all(options.plugins.map((url) => startInterpreterPlugin({ url, clock, log })));
      await Promise.all([
        follow(ResourceInterpreterCustomization, customizations.set),
        follow(ResourceInterpreterWebhookConfiguration, webhooks.set),
      ]);
    },
    async stop() {
      for (const stop of stops.splice(0)) stop();
      for (const plugin of plugins) plugin.close();
      await web.close();
    },
  };
}

/** Of several modules the first that has a rule answers, rule by rule. */
function mergedRules(
  plugins: readonly InterpreterPluginHost[],
  ...[apiVersion, kind, answers]: Parameters<InterpreterPluginHost["source"]>
): ReturnType<InterpreterPluginHost["source"]> {
  if (plugins.length === 0) return undefined;
  const all = plugins.map(({ source }) => source(apiVersion, kind, answers));
  return all.some((rules) => rules !== undefined) ? Object.assign({}, ...all.reverse()) : undefined;
}

/** What is wrong with the text of a Lua script, as admission asks it; nothing is run. */
export function luaSyntaxError(): (script: string) => string | undefined {
  const engine = createLuaEngine({ now: () => 0 });
  return (script) => {
    try {
      engine.check(script);
      return undefined;
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  };
}
