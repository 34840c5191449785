import { type sendUnaryData, Server, ServerCredentials, type ServerUnaryCall, status } from "@grpc/grpc-js";
import { type Logger, type Metrics, silentMetrics } from "#base";
import { algorithmTimer } from "../algorithm-metrics.ts";
import type { ClusterEstimator, ObjectRef } from "../pool.ts";
import { requireCluster } from "../unschedulable.ts";
import { assumedFromWire, componentsFromWire, requirementsFromWire } from "./convert.ts";
import { type Message, methods } from "./messages.ts";

/** PEM texts. With certificate and key the server speaks TLS; with a client authority it demands client certificates. */
export interface ServerSecurity {
  readonly certificate: string;
  readonly key: string;
  readonly clientAuthority?: string;
  /** `--insecure-skip-grpc-client-verify`; default false. */
  readonly skipsClientVerify?: boolean;
}

export interface EstimatorServerOptions {
  /** The one member cluster this server answers for. */
  readonly cluster: string;
  readonly estimator: ClusterEstimator;
  readonly log: Logger;
  readonly metrics?: Metrics;
  /** Default 0.0.0.0. */
  readonly host?: string;
  /** Default 10352; 0 takes a free one. */
  readonly port?: number;
  readonly security?: ServerSecurity;
}

export interface EstimatorServer {
  readonly port: number;
  /** Connections that come from now on are met with this; those that stand go on. Only for a server that speaks TLS. */
  renew(security: ServerSecurity): void;
  stop(): Promise<void>;
}

type MethodName = keyof typeof methods;
type Answer = (request: Message, signal: AbortSignal) => Promise<Message>;

const PORT = 10_352;
const NANO_PER_MS = 1_000_000;

/** Credentials with a choice of TLS version, which `createSsl` does not offer, and that can be renewed. */
class TlsCredentials extends ServerCredentials {
  constructor(security: ServerSecurity) {
    const requestCert = security.clientAuthority !== undefined && !security.skipsClientVerify;
    super({ requestCert, rejectUnauthorized: requestCert, minVersion: "TLSv1.3" }, contextOf(security));
  }

  renew(security: ServerSecurity): void {
    this.updateSecureContextOptions(contextOf(security));
  }

  override _equals(other: ServerCredentials): boolean {
    return this === other;
  }
}

const contextOf = ({ certificate, key, clientAuthority }: ServerSecurity) => ({
  cert: certificate,
  key,
  ...(clientAuthority === undefined ? {} : { ca: clientAuthority }),
});

/** The text of an error as clients of upstream's estimator see it. */
async function prefixed<T>(prefix: string, ask: () => Promise<T> | T): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    throw new Error(`${prefix}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

function answersOf({ cluster, estimator }: EstimatorServerOptions): Readonly<Record<MethodName, Answer>> {
  const check = (request: Message) => requireCluster(cluster, (request["cluster"] as string | undefined) ?? "");
  return {
    async MaxAvailableReplicas(request, signal) {
      check(request);
      const requirements = requirementsFromWire(request["replicaRequirements"] as Message | undefined);
      const assumed = assumedFromWire(request["assumedWorkloads"]);
      return {
        maxReplicas: await prefixed("failed to estimate replicas", () =>
          estimator.maxReplicas(requirements, { assumed, signal }),
        ),
      };
    },
    async MaxAvailableComponentSets(request, signal) {
      check(request);
      const assumed = assumedFromWire(request["assumedWorkloads"]);
      const namespace = request["namespace"] as string | undefined;
      return {
        maxSets: await prefixed("failed to estimate component sets", () =>
          estimator.maxSets(componentsFromWire(request["components"]), namespace, { assumed, signal }),
        ),
      };
    },
    async GetUnschedulableReplicas(request, signal) {
      check(request);
      const { apiVersion = "", kind = "", namespace, name = "" } = (request["resource"] ?? {}) as Partial<ObjectRef>;
      const thresholdMs = ((request["unschedulableThreshold"] as number | undefined) ?? 0) / NANO_PER_MS;
      const ref: ObjectRef = { apiVersion, kind, name, ...(namespace ? { namespace } : {}) };
      return { unschedulableReplicas: await estimator.unschedulableReplicas(ref, thresholdMs, { signal }) };
    },
  };
}

/** Serves one member's estimator over gRPC, wire-compatible with upstream's schedulers and descheduler. */
export async function startEstimatorServer(options: EstimatorServerOptions): Promise<EstimatorServer> {
  const { log, metrics = silentMetrics, host = "0.0.0.0", port = PORT } = options;
  const requests = metrics.counter(
    "karmada_scheduler_estimator_estimating_request_total",
    "Requests to the estimator",
    ["result", "type"],
  );
  const took = algorithmTimer(metrics);
  const server = new Server();
  const abort = new AbortController();
  const answers = answersOf(options);
  const service = Object.fromEntries(
    Object.entries(methods).map(([name, { path, request, response }]) => [
      name,
      {
        path,
        requestStream: false,
        responseStream: false,
        requestSerialize: request.encode,
        requestDeserialize: request.decode,
        responseSerialize: response.encode,
        responseDeserialize: response.decode,
      },
    ]),
  );
  const handle = (name: MethodName) => (call: ServerUnaryCall<Message, Message>, reply: sendUnaryData<Message>) => {
    const startedMs = performance.now();
    const settle = (result: "success" | "error") => {
      requests.add(1, { result, type: name });
      took(name, "Total", result, performance.now() - startedMs);
    };
    answers[name](call.request, abort.signal).then(
      (answer) => {
        settle("success");
        reply(null, answer);
      },
      (error: unknown) => {
        settle("error");
        log.debug("could not estimate", { type: name, object: call.metadata.get("object")[0]?.toString(), error });
        reply({ code: status.UNKNOWN, details: error instanceof Error ? error.message : String(error) });
      },
    );
  };
  server.addService(
    service,
    Object.fromEntries(Object.keys(methods).map((name) => [name, handle(name as MethodName)])) as never,
  );
  const tls = options.security === undefined ? undefined : new TlsCredentials(options.security);
  const bound = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`${host}:${port}`, tls ?? ServerCredentials.createInsecure(), (error, taken) =>
      error === null ? resolve(taken) : reject(error),
    );
  });
  return {
    port: bound,
    renew: (security) => tls?.renew(security),
    stop: () =>
      new Promise((resolve) => {
        abort.abort();
        server.tryShutdown(() => resolve());
        server.forceShutdown();
      }),
  };
}
