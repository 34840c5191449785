import { isJsonObject, type KubeObject, plainFailure } from "#machinery";
import type { ConversionWebhook } from "../definition.ts";
import type { WebhookClient } from "../dynamic-admission/webhook-client.ts";
import type { WebhookClientConfig } from "../dynamic-admission/types.ts";

const SECONDS = 30;

/** Converts objects by asking a webhook with ConversionReview v1. A failure is a 500 that says what the webhook did. */
export class WebhookConversion implements ConversionWebhook {
  readonly #client: WebhookClient;
  readonly #config: WebhookClientConfig;
  readonly #uid: () => string;

  constructor(client: WebhookClient, config: WebhookClientConfig, uid: () => string) {
    this.#client = client;
    this.#config = config;
    this.#uid = uid;
  }

  async convert(objects: readonly KubeObject[], desiredAPIVersion: string): Promise<readonly KubeObject[]> {
    const [first] = objects;
    if (first === undefined) return [];
    const uid = this.#uid();
    const refuse = (why: string) => plainFailure(`conversion webhook for ${shownKind(first)} failed: ${why}`);
    let text: string;
    try {
      const review = {
        apiVersion: "apiextensions.k8s.io/v1",
        kind: "ConversionReview",
        request: { uid, desiredAPIVersion, objects },
      };
      text = await this.#client.post(this.#config, SECONDS, review, (answer) => answer);
    } catch (error) {
      throw refuse(error instanceof Error ? error.message : String(error));
    }
    let body: unknown;
    try {
      body = JSON.parse(text) as unknown;
    } catch {
      throw refuse("the answer is no JSON");
    }
    const response = isJsonObject(body) ? body["response"] : undefined;
    if (!isJsonObject(body) || body["kind"] !== "ConversionReview" || !isJsonObject(response))
      throw refuse("expected a ConversionReview with a response");
    if (response["uid"] !== uid) throw refuse(`expected response.uid=${JSON.stringify(uid)}`);
    const { result, convertedObjects } = response;
    if (!isJsonObject(result) || result["status"] !== "Success")
      throw refuse(isJsonObject(result) && typeof result["message"] === "string" ? result["message"] : "unknown error");
    if (!Array.isArray(convertedObjects) || convertedObjects.length !== objects.length)
      throw refuse(
        `webhook returned ${Array.isArray(convertedObjects) ? convertedObjects.length : 0} objects, expected ${objects.length}`,
      );
    return objects.map((given, at) => checked(given, convertedObjects[at], desiredAPIVersion, at, refuse));
  }
}

const shownKind = ({ apiVersion, kind }: KubeObject) => `${apiVersion}, Kind=${kind}`;

/** A converted object: only labels and annotations of its metadata may differ. */
function checked(
  given: KubeObject,
  found: unknown,
  apiVersion: string,
  at: number,
  refuse: (why: string) => Error,
): KubeObject {
  if (!isJsonObject(found)) throw refuse(`webhook returned no object at index ${at}`);
  if (found["apiVersion"] !== apiVersion || found["kind"] !== given.kind)
    throw refuse(
      `webhook returned invalid converted object at index ${at}: invalid groupVersion (received ${String(found["apiVersion"])} expected ${apiVersion})`,
    );
  const { metadata } = found;
  if (!isJsonObject(metadata)) throw refuse(`webhook returned invalid metadata at index ${at}`);
  for (const name of ["name", "namespace", "uid"] as const)
    if (metadata[name] !== given.metadata[name])
      throw refuse(`webhook returned invalid metadata.${name} at index ${at}: must not change`);
  const { labels, annotations } = metadata as KubeObject["metadata"];
  const { labels: _labels, annotations: _annotations, ...kept } = given.metadata;
  return {
    ...found,
    metadata: {
      ...kept,
      ...(labels === undefined ? {} : { labels }),
      ...(annotations === undefined ? {} : { annotations }),
    },
  } as unknown as KubeObject;
}
