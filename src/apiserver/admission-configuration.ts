import { parse } from "yaml";
import { isJsonObject } from "#machinery";
import { LEVELS } from "./builtin/pod-standards.ts";

/** What `--admission-control-config-file` says of the plugins there are. */
export interface AdmissionConfiguration {
  readonly podSecurity?: PodSecurityConfiguration;
}

export interface PodSecurityConfiguration {
  /** Values of labels that namespaces without them are held to, by the name behind the prefix. */
  readonly defaults: Readonly<Record<string, string>>;
  readonly exemptions: {
    readonly usernames: readonly string[];
    readonly runtimeClasses: readonly string[];
    readonly namespaces: readonly string[];
  };
}

type Json = Readonly<Record<string, unknown>>;

const GROUP = "apiserver.config.k8s.io/v1";
const SECURITY_GROUP = "pod-security.admission.config.k8s.io";
const SECURITY_VERSIONS = ["v1", "v1beta1", "v1alpha1"].map((version) => `${SECURITY_GROUP}/${version}`);
const EXEMPTIONS = ["usernames", "runtimeClasses", "namespaces"] as const;
const DEFAULTS: Readonly<Record<string, string>> = Object.fromEntries(
  ["enforce", "audit", "warn"].flatMap((mode) => [
    [mode, "privileged"],
    [`${mode}-version`, "latest"],
  ]),
);

/**
 * Reads an `AdmissionConfiguration`. `readFile` gives the text of a file that a plugin's `path` names. Throws with the field
 * that is wrong; plugins that take no configuration here are refused by name.
 */
export function parseAdmissionConfiguration(text: string, readFile: (path: string) => string): AdmissionConfiguration {
  const document: unknown = parse(text, { version: "1.1" });
  if (!isJsonObject(document) || document["kind"] !== "AdmissionConfiguration" || document["apiVersion"] !== GROUP)
    throw new Error(`it must be an AdmissionConfiguration of ${GROUP}`);
  refuseUnknown(document, ["apiVersion", "kind", "plugins"], "");
  const plugins = document["plugins"] ?? [];
  if (!Array.isArray(plugins)) throw new Error("plugins: it must be a list");
  let podSecurity: PodSecurityConfiguration | undefined;
  const names = new Set<string>();
  for (const [at, plugin] of plugins.entries()) {
    const where = `plugins[${at}]`;
    if (!isJsonObject(plugin)) throw new Error(`${where}: it must be an object`);
    refuseUnknown(plugin, ["name", "path", "configuration"], `${where}.`);
    const { name, path, configuration } = plugin as Json;
    if (typeof name !== "string" || name === "") throw new Error(`${where}.name: Required value`);
    if (names.has(name)) throw new Error(`${where}.name: Duplicate value: ${JSON.stringify(name)}`);
    names.add(name);
    if (name !== "PodSecurity")
      throw new Error(`${where}.name: ${JSON.stringify(name)} takes no configuration here; PodSecurity does`);
    if (path !== undefined && configuration !== undefined)
      throw new Error(`${where}: path and configuration cannot both be there`);
    if (path !== undefined && typeof path !== "string") throw new Error(`${where}.path: it must be a text`);
    const own: unknown = path === undefined ? configuration : parse(readFile(path), { version: "1.1" });
    podSecurity = readPodSecurity(own, path === undefined ? `${where}.configuration` : String(path));
  }
  return podSecurity === undefined ? {} : { podSecurity };
}

function readPodSecurity(given: unknown, where: string): PodSecurityConfiguration {
  const isKind =
    isJsonObject(given) &&
    given["kind"] === "PodSecurityConfiguration" &&
    SECURITY_VERSIONS.includes(String(given["apiVersion"]));
  if (!isKind) throw new Error(`${where}: it must be a PodSecurityConfiguration of ${SECURITY_VERSIONS[0]}`);
  refuseUnknown(given, ["apiVersion", "kind", "defaults", "exemptions"], `${where}: `);
  const defaults = objectAt(given, "defaults", where);
  refuseUnknown(defaults, Object.keys(DEFAULTS), `${where}: defaults.`);
  for (const [name, value] of Object.entries(defaults)) {
    const isVersion = name.endsWith("-version");
    const isKnown = isVersion
      ? value === "latest" || /^v1\.(0|[1-9][0-9]{0,8})$/.test(String(value))
      : (LEVELS as readonly unknown[]).includes(value);
    const wanted = isVersion ? 'must be "latest" or "v1.x"' : `must be one of ${LEVELS.join(", ")}`;
    if (!isKnown) throw new Error(`${where}: defaults.${name}: Invalid value: ${JSON.stringify(value)}: ${wanted}`);
  }
  const exemptions = objectAt(given, "exemptions", where);
  refuseUnknown(exemptions, EXEMPTIONS, `${where}: exemptions.`);
  const listed = (name: (typeof EXEMPTIONS)[number]): readonly string[] => {
    const list = exemptions[name] ?? [];
    if (!Array.isArray(list) || !list.every((item) => typeof item === "string" && item !== ""))
      throw new Error(`${where}: exemptions.${name}: it must be a list of names`);
    const repeated = list.findIndex((item, at) => list.indexOf(item) < at);
    if (repeated >= 0)
      throw new Error(`${where}: exemptions.${name}[${repeated}]: Duplicate value: ${JSON.stringify(list[repeated])}`);
    return list as readonly string[];
  };
  return {
    defaults: { ...DEFAULTS, ...(defaults as Readonly<Record<string, string>>) },
    exemptions: {
      usernames: listed("usernames"),
      runtimeClasses: listed("runtimeClasses"),
      namespaces: listed("namespaces"),
    },
  };
}

function objectAt(given: Json, name: string, where: string): Json {
  const value = given[name] ?? {};
  if (!isJsonObject(value)) throw new Error(`${where}: ${name}: it must be an object`);
  return value;
}

function refuseUnknown(given: Json, known: readonly string[], where: string): void {
  const unknown = Object.keys(given).find((name) => !known.includes(name));
  if (unknown !== undefined) throw new Error(`${where}${unknown}: unknown field`);
}
