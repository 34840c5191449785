import { existsSync, readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { karmadaCustomResourceDefinitions } from "./definitions.ts";
import { kindDefinitions } from "./kinds/index.ts";
import type { Schema } from "./kinds/schema.ts";

const folder = "../shared/contract/crds";
const files = existsSync(folder) ? readdirSync(folder).filter((file) => file.endsWith(".json")) : [];

interface Published {
  readonly group: string;
  readonly names: { readonly kind: string };
  readonly conversion?: { readonly strategy: string };
  readonly versions: readonly {
    readonly additionalPrinterColumns: readonly Readonly<Record<string, unknown>>[];
    readonly subresources: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  }[];
}

/** A schema without its texts; a property may be called `description`, so only strings go. */
function withoutDescriptions(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutDescriptions);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([name, member]) => name !== "description" || typeof member !== "string")
      .map(([name, member]) => [name, withoutDescriptions(member)]),
  );
}

/** What a client can see of a published kind; how its server renders and connects is told in words there. */
function visible(published: Published): unknown {
  return withoutDescriptions({
    conversion: published.conversion?.strategy ?? "None",
    group: published.group,
    names: published.names,
    versions: published.versions.map((version) => ({
      ...version,
      deprecated: undefined,
      selectableFields: undefined,
      tableColumnsAlwaysAllSent: undefined,
      additionalPrinterColumns: version.additionalPrinterColumns.map((column) => ({ ...column, render: undefined })),
      subresources: Object.fromEntries(
        Object.entries(version.subresources).map(([name, { kind, verbs }]) => [
          name,
          kind === undefined ? {} : { kind, verbs },
        ]),
      ),
    })),
  });
}

/** Paths of fields that no text explains. */
function unexplained(schema: Schema, path: string): string[] {
  const { properties, items, additionalProperties } = schema as {
    readonly properties?: Readonly<Record<string, Schema>>;
    readonly items?: Schema;
    readonly additionalProperties?: Schema;
  };
  return [
    ...Object.entries(properties ?? {}).flatMap(([name, field]) => [
      ...(typeof field["description"] === "string" && /^[A-Z`].*[.]$/.test(field["description"])
        ? []
        : [`${path}.${name}`]),
      ...unexplained(field, `${path}.${name}`),
    ]),
    ...(items === undefined ? [] : unexplained(items, `${path}[]`)),
    ...(additionalProperties === undefined ? [] : unexplained(additionalProperties, `${path}{}`)),
  ];
}

describe("definitions of Karmada's kinds", () => {
  it.skipIf(files.length === 0)("say what the published ones say (skipped where those are absent)", () => {
    const mine = new Map(
      kindDefinitions.map((definition) => [`${definition.group}/${definition.names.kind}`, definition]),
    );
    expect(mine.size).toBe(files.length);
    for (const file of files) {
      const published = JSON.parse(readFileSync(`${folder}/${file}`, "utf8")) as Published;
      const own = mine.get(`${published.group}/${published.names.kind}`) as Published | undefined;
      expect(own && visible(own), file).toEqual(visible(published));
    }
  });

  it("explain every field in a whole sentence", () => {
    expect(
      kindDefinitions.flatMap(({ names, versions }) =>
        versions.flatMap(({ name, schema }) => unexplained(schema.openAPIV3Schema, `${names.kind}/${name}`)),
      ),
    ).toEqual([]);
  });

  const installed = karmadaCustomResourceDefinitions() as readonly unknown[] as readonly {
    readonly metadata: { readonly name: string };
    readonly spec: {
      readonly names: {
        readonly shortNames?: readonly string[];
        readonly categories?: readonly string[];
        readonly singular: string;
        readonly listKind: string;
      };
      readonly scope: string;
      readonly versions: readonly {
        readonly name: string;
        readonly storage: boolean;
        readonly subresources?: object;
      }[];
    };
  }[];
  const named = (name: string) => installed.find(({ metadata }) => metadata.name === name)?.spec;

  it("make nineteen CRDs for a control plane, each with one stored version", () => {
    expect(installed).toHaveLength(19);
    for (const { metadata, spec } of installed)
      expect(
        spec.versions.filter(({ storage }) => storage),
        metadata.name,
      ).toHaveLength(1);
  });

  it.each([
    ["propagationpolicies.policy.karmada.io", "pp", "Namespaced"],
    ["clusterpropagationpolicies.policy.karmada.io", "cpp", "Cluster"],
    ["overridepolicies.policy.karmada.io", "op", "Namespaced"],
    ["clusteroverridepolicies.policy.karmada.io", "cop", "Cluster"],
    ["works.work.karmada.io", "wk", "Namespaced"],
    ["resourcebindings.work.karmada.io", "rb", "Namespaced"],
    ["clusterresourcebindings.work.karmada.io", "crb", "Cluster"],
    ["resourceinterpretercustomizations.config.karmada.io", "ric", "Cluster"],
    ["federatedhpas.autoscaling.karmada.io", "fhpa", "Namespaced"],
    ["cronfederatedhpas.autoscaling.karmada.io", "cronfhpa", "Namespaced"],
    ["multiclusterservices.networking.karmada.io", "mcs", "Namespaced"],
    ["multiclusteringresses.networking.karmada.io", "mci", "Namespaced"],
    ["serviceexports.multicluster.x-k8s.io", "svcex", "Namespaced"],
    ["serviceimports.multicluster.x-k8s.io", "svcim", "Namespaced"],
  ])("%s answers to %s and is %s", (name, shortName, scope) => {
    expect(named(name)?.names.shortNames).toContain(shortName);
    expect(named(name)?.scope).toBe(scope);
  });

  it("leave the operator's kind and the aggregated ones out", () => {
    expect(named("karmadas.operator.karmada.io")).toBeUndefined();
    expect(named("clusters.cluster.karmada.io")).toBeUndefined();
  });

  it("give policies no status subresource and bindings two served versions", () => {
    expect(named("propagationpolicies.policy.karmada.io")?.versions[0]?.subresources).toBeUndefined();
    expect(named("resourcebindings.work.karmada.io")?.versions.map(({ name, storage }) => [name, storage])).toEqual([
      ["v1alpha1", false],
      ["v1alpha2", true],
    ]);
  });
});
