import { bool, CelCompileError, type CelEnvironment, CelTypeError, type CelType, dyn, schemaType, string } from "#cel";
import { apiVersionOf, isConflict, isNotFound, type KubeObject } from "#machinery";
import { resolveBuiltin } from "../builtin/schemas.ts";
import type { ResourceDefinition } from "../definition.ts";
import type { ApiServer } from "../server.ts";
import { compileVariables, scopeOf } from "./policies.ts";
import { compileStored } from "./scope.ts";
import type { PolicySpec } from "./types.ts";

interface ExpressionWarning {
  readonly fieldRef: string;
  readonly warning: string;
}

type Policy = KubeObject & {
  readonly spec?: PolicySpec;
  readonly status?: { readonly observedGeneration?: number };
};

const KINDS_MAX = 10;
const GROUP = { group: "admissionregistration.k8s.io", version: "v1", resource: "validatingadmissionpolicies" };

/** The kinds a policy names without wildcards: only for these can be said what their fields are. */
function kindsOf(server: ApiServer, spec: PolicySpec): readonly ResourceDefinition[] {
  const found: ResourceDefinition[] = [];
  const names = (list: readonly string[] | undefined) => (list ?? []).filter((one) => !one.includes("*"));
  for (const rule of spec.matchConstraints?.resourceRules ?? [])
    for (const group of names(rule.apiGroups))
      for (const version of names(rule.apiVersions))
        for (const resource of names(rule.resources)) {
          const definition = server.registry.find(group, version, resource);
          if (definition?.schema !== undefined && !found.includes(definition) && found.length < KINDS_MAX)
            found.push(definition);
        }
  return found;
}

function mistakeOf(environment: CelEnvironment, source: string, wanted: CelType): string | undefined {
  try {
    environment.compile(source, wanted);
    return undefined;
  } catch (error) {
    if (error instanceof CelCompileError || error instanceof CelTypeError) return error.message;
    throw error;
  }
}

/** What is wrong with the expressions of a policy when the fields of its kinds are known. */
export function typeWarnings(server: ApiServer, spec: PolicySpec): readonly ExpressionWarning[] {
  const kinds = kindsOf(server, spec).map((definition) => {
    const object = schemaType(definition.schema?.source ?? {}, resolveBuiltin, true);
    const options = { ...scopeOf(spec), object, params: dyn };
    const { environment } = compileVariables(spec.variables, options, compileStored);
    return { label: `${apiVersionOf(definition.kind)}, Kind=${definition.kind.kind}`, environment };
  });
  const warnings: ExpressionWarning[] = [];
  const check = (fieldRef: string, source: string, wanted: CelType) => {
    const texts = kinds.flatMap(({ label, environment }) => {
      const mistake = mistakeOf(environment, source, wanted);
      return mistake === undefined ? [] : [`${label}: ${mistake}`];
    });
    if (texts.length > 0) warnings.push({ fieldRef, warning: texts.join("\n") });
  };
  for (const [at, { expression, messageExpression }] of (spec.validations ?? []).entries()) {
    check(`spec.validations[${at}].expression`, expression, bool);
    if (messageExpression) check(`spec.validations[${at}].messageExpression`, messageExpression, string);
  }
  return warnings;
}

/** Writes into the status of each ValidatingAdmissionPolicy how its expressions fit its kinds, once a generation. */
export async function followTypes(server: ApiServer): Promise<void> {
  const definition = server.registry.find(GROUP.group, GROUP.version, GROUP.resource);
  if (definition === undefined) return;
  const settle = async (object: KubeObject) => {
    const { metadata, spec = {}, status } = object as Policy;
    if (metadata.deletionTimestamp !== undefined || status?.observedGeneration === metadata.generation) return;
    const warnings = typeWarnings(server, spec);
    const next = {
      ...status,
      observedGeneration: metadata.generation,
      typeChecking: warnings.length === 0 ? {} : { expressionWarnings: warnings },
    };
    await server.transport().send({
      verb: "update",
      ...GROUP,
      name: metadata.name ?? "",
      subresource: "status",
      body: { ...object, status: next } as KubeObject,
    });
  };
  const run = (object: KubeObject) =>
    void settle(object).catch((error: unknown) => {
      // Whoever wrote in between brings us back by the event of that write.
      if (!isConflict(error) && !isNotFound(error)) server.log.warn("policy types not written", { error });
    });
  const store = server.store(definition);
  await store.load();
  for (const [, { object }] of store.range(undefined)) run(object);
  store.watch({ event: ({ type, object }) => (type === "DELETED" ? undefined : run(object)), closed() {} });
}
