import { copyWithout, type Metrics } from "#base";
import { type KubeObject, withMetadata } from "#machinery";
import type { AdmissionPlugin, AdmissionRequest } from "../admission.ts";
import type { Authorizer } from "../authorization/attributes.ts";
import type { ApiServer } from "../server.ts";
import { CompiledObjects } from "./compiled-objects.ts";
import { isExempt } from "./matching.ts";
import { compileMutatingPolicy, mutateByPolicy } from "./mutating-policies.ts";
import { compileBinding, compilePolicy, validateByPolicies } from "./policies.ts";
import { followTypes } from "./type-checking.ts";
import { WebhookClient } from "./webhook-client.ts";
import { webhookMeasures } from "./webhook-measures.ts";
import { compileWebhooks, mutateByWebhook, validateByWebhooks, type WebhookParts } from "./webhooks.ts";

/** What the server gives a new object only when nobody changes it any more. */
const BIRTH = ["uid", "creationTimestamp", "generation"] as const;

const withoutBirth = (object: KubeObject): KubeObject =>
  ({ ...object, metadata: copyWithout(object.metadata, ...BIRTH) }) as KubeObject;

const withBirth = (object: KubeObject, born: KubeObject): KubeObject => {
  const given = BIRTH.flatMap((name) => (born.metadata[name] === undefined ? [] : [[name, born.metadata[name]]]));
  return withMetadata(object, Object.fromEntries(given) as Partial<KubeObject["metadata"]>);
};

/** One step of mutation, and whether it wants to look again when others changed the object after it. */
interface Step {
  /** Whether it looks again at what it changed itself, too. */
  readonly seesOwnChanges: boolean;
  readonly isReinvoked: boolean;
  run(request: AdmissionRequest): Promise<KubeObject | undefined>;
}

/**
 * Admission that users configure: mutating policies, then mutating webhooks, in order of their names; later validating
 * policies and validating webhooks.
 */
export class DynamicAdmission implements AdmissionPlugin {
  readonly name = "DynamicAdmission";
  readonly seesConnections = true;
  readonly #parts: WebhookParts;
  readonly #mutating;
  readonly #validating;
  readonly #mutatingPolicies;
  readonly #mutatingBindings;
  readonly #policies;
  readonly #bindings;

  readonly #checksTypes: boolean;

  constructor(server: ApiServer, authorizer: Authorizer, metrics?: Metrics, checksTypes = true) {
    this.#checksTypes = checksTypes;
    this.#parts = { server, authorizer, client: new WebhookClient(server), measure: webhookMeasures(metrics) };
    this.#mutating = new CompiledObjects(server, "mutatingwebhookconfigurations", compileWebhooks);
    this.#validating = new CompiledObjects(server, "validatingwebhookconfigurations", compileWebhooks);
    this.#mutatingPolicies = new CompiledObjects(server, "mutatingadmissionpolicies", compileMutatingPolicy);
    this.#mutatingBindings = new CompiledObjects(server, "mutatingadmissionpolicybindings", compileBinding);
    this.#policies = new CompiledObjects(server, "validatingadmissionpolicies", (object) => compilePolicy(object));
    this.#bindings = new CompiledObjects(server, "validatingadmissionpolicybindings", compileBinding);
  }

  /** Reads what is configured and follows it. */
  async start(): Promise<void> {
    for (const objects of [
      this.#mutating,
      this.#validating,
      this.#mutatingPolicies,
      this.#mutatingBindings,
      this.#policies,
      this.#bindings,
    ])
      await objects.start();
    if (this.#checksTypes) await followTypes(this.#parts.server);
  }

  stop(): void {
    this.#parts.client.close();
  }

  handles({ definition }: AdmissionRequest): boolean {
    const isConfigured =
      this.#mutating.all.length > 0 ||
      this.#validating.all.length > 0 ||
      this.#mutatingPolicies.all.length > 0 ||
      this.#policies.all.length > 0;
    return isConfigured && !isExempt(definition);
  }

  async mutate(request: AdmissionRequest & { readonly object: KubeObject }): Promise<KubeObject> {
    if (request.operation !== "CREATE" || request.view !== undefined)
      return (await this.#runSteps(request)) as KubeObject;
    const unborn = withoutBirth(request.object);
    const object = (await this.#runSteps({ ...request, object: unborn })) as KubeObject;
    return object === unborn ? request.object : withBirth(object, request.object);
  }

  async validate(request: AdmissionRequest): Promise<void> {
    // Deletions have nothing to change, but mutating webhooks may still refuse them.
    if (request.object === undefined) await this.#runSteps(request);
    await validateByPolicies(this.#parts, this.#policies.all, this.#bindings.all, request);
    await validateByWebhooks(this.#parts, this.#validating.all.flat(), request);
  }

  #steps(): readonly Step[] {
    const parts = this.#parts;
    return [
      ...this.#mutatingPolicies.all.map((policy) => ({
        isReinvoked: policy.spec.reinvocationPolicy === "IfNeeded",
        seesOwnChanges: true,
        run: (request: AdmissionRequest) => mutateByPolicy(parts, policy, this.#mutatingBindings.all, request),
      })),
      ...this.#mutating.all.flat().map((hook) => ({
        isReinvoked: hook.hook.reinvocationPolicy === "IfNeeded",
        seesOwnChanges: false,
        run: (request: AdmissionRequest) => mutateByWebhook(parts, hook, request),
      })),
    ];
  }

  /** All steps once; then those that asked for it once more, if the object is no longer what they left. */
  async #runSteps(request: AdmissionRequest): Promise<KubeObject | undefined> {
    const steps = this.#steps();
    const left = new Map<Step, KubeObject | undefined>();
    let object = request.object;
    for (const step of steps) {
      const before = object;
      object = await step.run({ ...request, object });
      left.set(step, step.seesOwnChanges ? before : object);
    }
    for (const step of steps)
      if (step.isReinvoked && left.get(step) !== object) object = await step.run({ ...request, object });
    return object;
  }
}
