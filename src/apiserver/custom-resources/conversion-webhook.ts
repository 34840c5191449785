import { isJsonObject, type KubeObject, parseJson, plainFailure } from "#machinery";
import type { ConversionWebhook } from "../definition.ts";
import { noHead, type WebhookClient } from "../dynamic-admission/webhook-client.ts";
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
    const returned = (what: string) => plainFailure(`conversion webhook for ${shownKind(first)} returned ${what}`);
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
      throw refuse(error instanceof Error ? error.message.replace(/^failed to call webhook: /, "") : String(error));
    }
    let body: unknown;
    try {
      body = parseJson(text);
    } catch {
      throw refuse(noHead("string").message);
    }
    const response = isJsonObject(body) ? body["response"] : undefined;
    if (!isJsonObject(body) || body["kind"] !== "ConversionReview" || !isJsonObject(response))
      throw refuse("expected a ConversionReview with a response");
    if (response["uid"] !== uid) throw refuse(`expected response.uid=${JSON.stringify(uid)}`);
    const { result, convertedObjects } = response;
    if (!isJsonObject(result) || result["status"] !== "Success")
      throw refuse(
        isJsonObject(result) && typeof result["message"] === "string"
          ? result["message"]
          : `response.result.status was '${isJsonObject(result) ? String(result["status"] ?? "") : ""}', not 'Success'`,
      );
    if (!Array.isArray(convertedObjects) || convertedObjects.length !== objects.length)
      throw returned(
        `${Array.isArray(convertedObjects) ? convertedObjects.length : 0} objects, expected ${objects.length}`,
      );
    return objects.map((given, at) => checked(given, convertedObjects[at], desiredAPIVersion, at, returned));
  }
}

const shownKind = ({ apiVersion, kind }: KubeObject) => `${apiVersion}, Kind=${kind}`;

const KEPT = [
  ["name", "name"],
  ["namespace", "namespace"],
  ["uid", "UID"],
] as const;

/** A converted object: only labels and annotations of its metadata may differ. */
function checked(
  given: KubeObject,
  found: unknown,
  apiVersion: string,
  at: number,
  returned: (what: string) => Error,
): KubeObject {
  const invalid = (why: string) => returned(`invalid object at index ${at}: ${why}`);
  if (!isJsonObject(found)) throw invalid("it is no object");
  if (found["apiVersion"] !== apiVersion)
    throw invalid(`invalid groupVersion (expected ${apiVersion}, received ${String(found["apiVersion"])})`);
  if (found["kind"] !== given.kind)
    throw invalid(`invalid kind (expected ${given.kind}, received ${String(found["kind"])})`);
  const { metadata } = found;
  if (!isJsonObject(metadata)) throw invalid("it has no metadata");
  for (const [name, shown] of KEPT)
    if (metadata[name] !== given.metadata[name])
      throw returned(
        `invalid object: must have the same ${shown}: ${String(given.metadata[name] ?? "")} != ${String(metadata[name] ?? "")}`,
      );
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
