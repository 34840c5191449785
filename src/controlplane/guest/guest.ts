import { karmadaAdmission } from "#admission";
import type { AdmissionPlugin } from "#apiserver";
import type { Clock, Logger, Metrics, Random } from "#base";
import { type CertificateAuthority, createCertificateAuthority, type KubeconfigEndpoint } from "#certs";
import { createClient } from "#client";
import type { GuestConfig } from "#config";
import { lead } from "#controller-runtime";
import type { Transport } from "#machinery";
import { createDecisionLog } from "#scheduler";
import { managementEndpoint } from "../cluster-api.ts";
import { LEASES, startEngine } from "../engine.ts";
import { luaSyntaxError } from "../interpretation.ts";
import { startPlainListeners } from "../plain-listeners.ts";
import { aggregatedAdmission } from "./aggregated-admission.ts";
import { keptKinds, serveAggregatedApi, withdrawAggregatedApi } from "./aggregated-api/index.ts";
import { followDiscovery } from "./discovered-kinds.ts";
import { ensureNamespaces, install } from "./install.ts";
import { admitLate, withOwnAdmission } from "./own-admission.ts";
import { startWebhookServer } from "./webhook-server.ts";

export interface GuestOptions {
  readonly config: GuestConfig;
  /** The API server that is used as the control plane's. */
  readonly transport: Transport;
  /** Where and as whom it is reached now. */
  readonly endpoint: () => KubeconfigEndpoint;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics?: Metrics;
  readonly metricsText?: () => Promise<string>;
}

export interface Guest {
  readonly isLeader: boolean;
  /** Rejects when the controllers could not start. It never resolves. */
  readonly failed: Promise<never>;
  stop(): Promise<void>;
}

const RENEW_EVERY_MS = 30 * 24 * 3_600_000;

/** Runs controllers, scheduler and admission on an API server that is there already. */
export async function startGuest(options: GuestOptions): Promise<Guest> {
  const { config, clock, random, log, metrics } = options;
  managementEndpoint(config);
  checkAdmission(config);
  const transport = keptKinds(options.transport);
  const client = createClient(transport, { fieldManager: "flotilla" });
  const plugins = [
    ...karmadaAdmission(random, {
      allowNoExecuteTaintPolicy: config.allowNoExecuteTaintPolicy,
      gates: config.gates,
      client: () => client,
      clock,
      defaultTolerations: {
        notReadySeconds: config.defaultNotReadyTolerationSeconds,
        unreachableSeconds: config.defaultUnreachableTolerationSeconds,
      },
      luaSyntaxError: luaSyntaxError(),
    }),
    ...aggregatedAdmission(clock),
  ];
  const authority = await createCertificateAuthority("flotilla-webhook", () => clock.now());
  const webhooks = config.admissionWebhooks ? await serveWebhooks(options, authority, plugins) : undefined;
  const decisions = createDecisionLog();

  async function work(through: Transport): Promise<{ stop(): Promise<void> }> {
    // Admission is served by who leads: the others' addresses are in nobody's configuration.
    await install({
      client: createClient(through),
      clock,
      log,
      webhooks: webhooks && { url: webhooks.url, authority: authority.certificate },
    });
    const late =
      webhooks === undefined ? await admitLate({ transport: through, plugins, clock, random, log }) : undefined;
    const stopAggregatedApi = config.clusterProxy
      ? await serveAggregatedApi({
          config,
          random,
          endpoint: options.endpoint,
          transport: through,
          authority,
          bindAddress: config.webhookBindAddress,
          port: config.clusterProxyPort,
          host: config.webhookHost,
          clock,
          log,
        })
      : // An earlier process may have been killed while it served them.
        await withdrawAggregatedApi(createClient(through)).then(() => () => Promise.resolve());
    const templates = await followDiscovery(through, clock, log);
    try {
      const engine = await startEngine({
        config,
        transport: late === undefined ? through : withOwnAdmission(through, plugins, log),
        clock,
        random,
        log,
        decisions,
        templates,
        isGuest: true,
        ...(metrics === undefined ? {} : { metrics }),
      });
      log.info("controllers run");
      return {
        async stop() {
          await stopAggregatedApi();
          await engine.stop();
          await late?.stop();
          templates.stop();
        },
      };
    } catch (error) {
      templates.stop();
      await stopAggregatedApi();
      await late?.stop();
      throw error;
    }
  }

  if (config.leaderElect) await ensureNamespaces(client, [config.leaderElectResourceNamespace]);
  const leadership = config.leaderElect
    ? lead({
        transport,
        clock,
        random,
        log,
        config,
        leases: LEASES,
        whenLost: "wait",
        start: work,
        ...(metrics === undefined ? {} : { metrics }),
      })
    : undefined;
  const alone = leadership === undefined ? await work(transport) : undefined;
  const plain = await startPlainListeners({
    metrics: config.metricsBindAddress,
    health: config.healthProbeBindAddress,
    metricsText: options.metricsText ?? (() => Promise.resolve("")),
    isReady: () => true,
  });
  return {
    get isLeader() {
      return leadership?.isLeader ?? true;
    },
    failed: leadership?.failed ?? new Promise<never>(() => undefined),
    async stop() {
      await leadership?.stop();
      await alone?.stop();
      await webhooks?.stop();
      await plain.close();
    },
  };
}

/** Serves admission with a certificate that is renewed; whoever calls believes the authority, so nothing else changes. */
async function serveWebhooks(
  { config, clock, log }: GuestOptions,
  authority: CertificateAuthority,
  plugins: readonly AdmissionPlugin[],
): Promise<{ readonly url: string; stop(): Promise<void> }> {
  const issue = () => authority.issueServer("karmada-webhook", [config.webhookHost]);
  const server = await startWebhookServer({
    host: config.webhookBindAddress,
    port: config.webhookPort,
    certificate: await issue(),
    log,
    plugins,
  });
  const renew = () =>
    issue().then(
      (certificate) => server.renew(certificate),
      (error: unknown) => log.error("the certificate of the webhooks could not be renewed", { error }),
    );
  // Valid for a year.
  let renewal = clock.after(RENEW_EVERY_MS, function again() {
    void renew();
    renewal = clock.after(RENEW_EVERY_MS, again);
  });
  const host = config.webhookHost.includes(":") ? `[${config.webhookHost}]` : config.webhookHost;
  return {
    url: `https://${host}:${server.port}`,
    async stop() {
      renewal.cancel();
      await server.stop();
    },
  };
}

/** What only admission at the API server can do is refused where it is not asked. */
function checkAdmission({ admissionWebhooks, gates }: GuestConfig): void {
  if (!admissionWebhooks && gates.has("FederatedQuotaEnforcement"))
    throw new Error(
      "--admission-webhooks=false: FederatedQuotaEnforcement needs them, for quotas are charged when bindings are admitted",
    );
}
