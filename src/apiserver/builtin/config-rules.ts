/** ConfigMaps, Secrets and ServiceAccounts: what they must keep to, and what of them may change. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import {
  type FieldError,
  fieldForbidden,
  fieldInvalid,
  fieldRequired,
  fieldTooLong,
  type KubeObject,
} from "#machinery";
import { deepEqual } from "#base";
import type { Strategy } from "../definition.ts";
import { isMap, valueAt } from "./checks.ts";
import { scanJson } from "../http/json-text.ts";
import { configKeyErrors } from "./pod-containers.ts";

type Texts = Readonly<Record<string, string>>;

const BYTES_MAX = 1_048_576;
const DEPTH_MAX = 10_000;
const ACCOUNT = "kubernetes.io/service-account.name";
const IMMUTABLE = "field is immutable when `immutable` is set";
const REDACTED = "<secret contents redacted>";

const texts = (object: KubeObject, path: string): Texts => (valueAt(object, path) ?? {}) as Texts;
const decoded = (text: string): Buffer => Buffer.from(text, "base64");

/** Once a map or secret is immutable, its contents and that it is keep as they are. */
function frozenErrors(object: KubeObject, old: KubeObject, parts: readonly string[]): FieldError[] {
  if (valueAt(old, "immutable") !== true) return [];
  return [
    ...(valueAt(object, "immutable") === true ? [] : [fieldForbidden("immutable", IMMUTABLE)]),
    ...parts
      .filter((part) => !deepEqual(texts(object, part), texts(old, part)))
      .map((part) => fieldForbidden(part, IMMUTABLE)),
  ];
}

function mapErrors(object: KubeObject): FieldError[] {
  const [data, binary] = [texts(object, "data"), texts(object, "binaryData")];
  const bytes =
    Object.values(data).reduce((sum, value) => sum + Buffer.byteLength(value), 0) +
    Object.values(binary).reduce((sum, value) => sum + decoded(value).length, 0);
  return [
    ...Object.keys(data).flatMap((key) => [
      ...configKeyErrors(key, `data[${key}]`),
      ...(Object.hasOwn(binary, key)
        ? [fieldInvalid(`data[${key}]`, key, "duplicate of key present in binaryData")]
        : []),
    ]),
    ...Object.keys(binary).flatMap((key) => configKeyErrors(key, `binaryData[${key}]`)),
    ...(bytes > BYTES_MAX ? [fieldTooLong("", BYTES_MAX)] : []),
  ];
}

/** Data of a registry must be a JSON object; its contents are not shown. */
function registryErrors(data: Texts, key: string): FieldError[] {
  const path = `data[${key}]`;
  const encoded = data[key];
  if (encoded === undefined) return [fieldRequired(path)];
  const text = decoded(encoded).toString("utf8");
  const mistake = scanJson(text, DEPTH_MAX).error;
  if (mistake !== undefined) return [fieldInvalid(path, REDACTED, mistake)];
  const value: unknown = JSON.parse(text);
  if (value === null || isMap(value)) return [];
  const kind = Array.isArray(value) ? "array" : typeof value === "boolean" ? "bool" : typeof value;
  return [fieldInvalid(path, REDACTED, `json: cannot unmarshal ${kind} into Go value of type map[string]interface {}`)];
}

const missing = (data: Texts, ...keys: readonly string[]): FieldError[] =>
  keys.filter((key) => data[key] === undefined).map((key) => fieldRequired(`data[${key}]`));

/** What a Secret of a type must hold. */
function typeErrors(object: KubeObject, data: Texts): FieldError[] {
  switch (valueAt(object, "type")) {
    case "kubernetes.io/service-account-token":
      return object.metadata.annotations?.[ACCOUNT] ? [] : [fieldRequired(`metadata.annotations[${ACCOUNT}]`)];
    case "kubernetes.io/dockercfg":
      return registryErrors(data, ".dockercfg");
    case "kubernetes.io/dockerconfigjson":
      return registryErrors(data, ".dockerconfigjson");
    case "kubernetes.io/basic-auth":
      return data["username"] === undefined && data["password"] === undefined
        ? missing(data, "username", "password")
        : [];
    case "kubernetes.io/ssh-auth":
      return data["ssh-privatekey"] ? [] : [fieldRequired("data[ssh-privatekey]")];
    case "kubernetes.io/tls":
      return missing(data, "tls.crt", "tls.key");
    default:
      return [];
  }
}

function secretErrors(object: KubeObject): FieldError[] {
  const data = texts(object, "data");
  const bytes = Object.values(data).reduce((sum, value) => sum + decoded(value).length, 0);
  return [
    ...Object.keys(data).flatMap((key) => configKeyErrors(key, `data[${key}]`)),
    ...(bytes > BYTES_MAX ? [fieldTooLong("data", BYTES_MAX)] : []),
    ...typeErrors(object, data),
  ];
}

/** Why a pair of certificate and key cannot be used, in Go's words. */
function pairWarning(data: Texts): readonly string[] {
  const [certificate, key] = ["tls.crt", "tls.key"].map((name) => decoded(data[name] ?? "").toString("latin1"));
  if (!/-----BEGIN [A-Z0-9 ]+-----/.test(certificate ?? ""))
    return ["tls: failed to find any PEM data in certificate input"];
  if (!certificate?.includes("-----BEGIN CERTIFICATE-----")) return [];
  if (!/-----BEGIN [A-Z0-9 ]+-----/.test(key ?? "")) return ["tls: failed to find any PEM data in key input"];
  try {
    const holder = new X509Certificate(certificate);
    if (!holder.checkPrivateKey(createPrivateKey(key ?? ""))) return ["tls: private key does not match public key"];
  } catch {
    return ["tls: failed to parse private key"];
  }
  return [];
}

const ENFORCE = "kubernetes.io/enforce-mountable-secrets";

export const configRules: Readonly<Record<string, Strategy>> = {
  ConfigMap: {
    checksChangesFirst: true,
    rulesAreWhole: true,
    validate: mapErrors,
    validateUpdate: (object, old) => frozenErrors(object, old, ["data", "binaryData"]),
  },
  Secret: {
    checksChangesFirst: true,
    rulesAreWhole: true,
    applyDefaults: (object) => {
      const { stringData, ...rest } = object as KubeObject & {
        stringData?: Texts | null;
        data?: Texts;
        type?: string;
      };
      const typed = rest.type ? rest : { ...rest, type: "Opaque" };
      if (stringData === undefined || stringData === null) return typed as KubeObject;
      const data = { ...rest.data };
      for (const [key, value] of Object.entries(stringData)) data[key] = Buffer.from(value).toString("base64");
      return { ...typed, data } as KubeObject;
    },
    validate: secretErrors,
    validateUpdate: (object, old) => [
      ...(valueAt(object, "type") === valueAt(old, "type")
        ? []
        : [fieldInvalid("type", valueAt(object, "type"), "field is immutable")]),
      ...frozenErrors(object, old, ["data"]),
    ],
    warnings: (object) => (valueAt(object, "type") === "kubernetes.io/tls" ? pairWarning(texts(object, "data")) : []),
    fields: (object) => ({ type: String(valueAt(object, "type") ?? "") }),
  },
  ServiceAccount: {
    rulesAreWhole: true,
    returnsDeleted: true,
    warnings: (object, old) =>
      object.metadata.annotations?.[ENFORCE] === undefined || old?.metadata.annotations?.[ENFORCE] !== undefined
        ? []
        : [
            `metadata.annotations[${ENFORCE}]: deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets`,
          ],
  },
};
