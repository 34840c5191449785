import type { KubeObject } from "#machinery";
import { type WebhookRoute, webhookRoutes } from "./routes.ts";

/** Where an API server reaches the webhooks. */
export interface WebhookAddress {
  /** `https://host:port`, without a path. */
  readonly url: string;
  /** PEM of the authority that signed the server's certificate. */
  readonly authority: string;
}

const TIMEOUT_SECONDS = 3;

/** The objects that make a foreign API server ask our webhooks: `mutating-config` and `validating-config` (wire). */
export function webhookConfigurations(
  { url, authority }: WebhookAddress,
  routes: readonly WebhookRoute[] = webhookRoutes,
): readonly KubeObject[] {
  const caBundle = Buffer.from(authority).toString("base64");
  const entry = (route: WebhookRoute) => ({
    name: route.name,
    clientConfig: { url: `${url}${route.path}`, caBundle },
    admissionReviewVersions: ["v1"],
    failurePolicy: "Fail",
    sideEffects: route.hasEffects ? "NoneOnDryRun" : "None",
    timeoutSeconds: route.timeoutSeconds ?? TIMEOUT_SECONDS,
    rules: [
      {
        operations: route.operations,
        apiGroups: [route.group],
        apiVersions: ["*"],
        resources: [route.resource],
        scope: "*",
      },
    ],
    ...(route.label === undefined
      ? {}
      : { objectSelector: { matchExpressions: [{ key: route.label, operator: "Exists" }] } }),
  });
  const configuration = (kind: string, name: string, of: WebhookRoute["kind"]) =>
    ({
      apiVersion: "admissionregistration.k8s.io/v1",
      kind,
      metadata: { name, labels: { app: "karmada-webhook" } },
      webhooks: routes.filter((route) => route.kind === of).map(entry),
    }) as KubeObject;
  return [
    configuration("MutatingWebhookConfiguration", "mutating-config", "mutating"),
    configuration("ValidatingWebhookConfiguration", "validating-config", "validating"),
  ];
}
