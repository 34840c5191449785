import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { parseAllDocuments } from "yaml";
import { ResourceInterpreterCustomization } from "#apis/karmada";
import type { Client } from "#client";
import type { KubeObject } from "#machinery";

/** A customization, and where it came from. */
export interface Source {
  readonly source: string;
  /** The file and the document in it, where it came from one. */
  readonly file?: { readonly path: string; readonly document: number };
  readonly customization: ResourceInterpreterCustomization;
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** The documents of a YAML or JSON file; `-` is standard input. */
export function readDocuments(path: string): readonly unknown[] {
  const text = readFileSync(path === "-" ? 0 : path, "utf8");
  return parseAllDocuments(text, { version: "1.1" }).flatMap((document) => {
    const [error] = document.errors;
    if (error !== undefined) throw new Error(`${path}: ${error.message}`);
    const value: unknown = document.toJS();
    return value === null || value === undefined ? [] : [value];
  });
}

/** The one object of a file. */
export function readObject(path: string): KubeObject {
  const [object, ...more] = readDocuments(path);
  if (more.length > 0) throw new Error(`${path}: it must hold one object, not ${more.length + 1}`);
  if (!isObject(object) || typeof object["apiVersion"] !== "string" || typeof object["kind"] !== "string")
    throw new Error(`${path}: it holds no object with apiVersion and kind`);
  const { metadata } = object;
  return { ...object, metadata: isObject(metadata) ? metadata : {} } as unknown as KubeObject;
}

function* filesOf(path: string, isRecursive: boolean): Generator<string> {
  if (path === "-" || !statSync(path).isDirectory()) {
    yield path;
    return;
  }
  for (const name of readdirSync(path).sort()) {
    const inner = join(path, name);
    if (statSync(inner).isDirectory()) {
      if (isRecursive) yield* filesOf(inner, true);
    } else if (/\.(ya?ml|json)$/.test(name)) yield inner;
  }
}

function customizationOf(value: unknown, source: string): ResourceInterpreterCustomization {
  const kind = isObject(value)
    ? `${String(value["apiVersion"] ?? "")}, Kind=${String(value["kind"] ?? "")}`
    : typeof value;
  if (!isObject(value) || value["kind"] !== "ResourceInterpreterCustomization")
    throw new Error(`${source}: not a ResourceInterpreterCustomization, got ${kind}`);
  const spec = isObject(value["spec"]) ? value["spec"] : {};
  return {
    ...value,
    metadata: isObject(value["metadata"]) ? value["metadata"] : {},
    spec: {
      ...spec,
      target: isObject(spec["target"]) ? spec["target"] : {},
      customizations: isObject(spec["customizations"]) ? spec["customizations"] : {},
    },
  } as unknown as ResourceInterpreterCustomization;
}

/** Customizations of files and folders, then those named on the server. */
export async function loadCustomizations(
  paths: readonly string[],
  isRecursive: boolean,
  names: readonly string[],
  client: () => Client,
): Promise<readonly Source[]> {
  const found: Source[] = [];
  for (const path of paths.flatMap((list) => list.split(",")).flatMap((each) => [...filesOf(each, isRecursive)]))
    for (const [document, value] of readDocuments(path).entries())
      found.push({ source: path, file: { path, document }, customization: customizationOf(value, path) });
  for (const name of names)
    found.push({ source: name, customization: await client().get(ResourceInterpreterCustomization, { name }) });
  return found;
}
