import { parse } from "yaml";
import { isJsonObject } from "#machinery";
import type { Attributes } from "../authorization/attributes.ts";

export type AuditLevel = "None" | "Metadata" | "Request" | "RequestResponse";
export type AuditStage = "RequestReceived" | "ResponseStarted" | "ResponseComplete" | "Panic";

/** What is told of one request. */
export interface AuditDecision {
  readonly level: AuditLevel;
  readonly omitStages: ReadonlySet<string>;
  readonly omitManagedFields: boolean;
}

export interface AuditPolicy {
  /** By the first rule that matches; nothing is told where none does. */
  decide(request: Attributes): AuditDecision;
}

interface ResourceRule {
  readonly group?: string;
  readonly resources?: readonly string[];
  readonly resourceNames?: readonly string[];
}

interface Rule {
  readonly level: AuditLevel;
  readonly users?: readonly string[];
  readonly userGroups?: readonly string[];
  readonly verbs?: readonly string[];
  readonly resources?: readonly ResourceRule[];
  readonly namespaces?: readonly string[];
  readonly nonResourceURLs?: readonly string[];
  readonly omitStages?: readonly string[];
  readonly omitManagedFields?: boolean;
}

const LEVELS = ["None", "Metadata", "Request", "RequestResponse"];
const STAGES = ["RequestReceived", "ResponseStarted", "ResponseComplete", "Panic"];
const LISTS = ["users", "userGroups", "verbs", "namespaces", "nonResourceURLs", "omitStages"] as const;

const isEmpty = (list: readonly unknown[] | undefined) => list === undefined || list.length === 0;
const has = (list: readonly string[] | undefined, value: string) => isEmpty(list) || (list ?? []).includes(value);

function matches(rule: Rule, request: Attributes): boolean {
  if (!has(rule.users, request.user.name)) return false;
  if (!isEmpty(rule.userGroups) && !request.user.groups.some((group) => rule.userGroups?.includes(group))) return false;
  if (!has(rule.verbs, request.verb)) return false;
  const isAboutResources = !isEmpty(rule.resources) || !isEmpty(rule.namespaces);
  if (request.path !== undefined) {
    if (!isEmpty(rule.nonResourceURLs))
      return (rule.nonResourceURLs ?? []).some((url) => isPath(url, request.path ?? ""));
    return !isAboutResources;
  }
  if (!isAboutResources) return isEmpty(rule.nonResourceURLs);
  if (!has(rule.namespaces, request.namespace)) return false;
  return isEmpty(rule.resources) || (rule.resources ?? []).some((resource) => isResource(resource, request));
}

const isPath = (url: string, path: string) =>
  url === "*" || url === path || (url.endsWith("*") && path.startsWith(url.slice(0, -1)));

function isResource(rule: ResourceRule, request: Attributes): boolean {
  if ((rule.group ?? "") !== request.group) return false;
  if (!has(rule.resourceNames, request.name)) return false;
  const { resource, subresource } = request;
  const whole = subresource === "" ? resource : `${resource}/${subresource}`;
  return (
    isEmpty(rule.resources) ||
    (rule.resources ?? []).some(
      (wanted) =>
        wanted === "*" ||
        wanted === whole ||
        (subresource !== "" && (wanted === `*/${subresource}` || wanted === `${resource}/*`)),
    )
  );
}

/** Reads a `Policy` of audit.k8s.io/v1. Throws with the field that is wrong. */
export function parseAuditPolicy(text: string): AuditPolicy {
  const document: unknown = parse(text, { version: "1.1" });
  if (!isJsonObject(document) || document["kind"] !== "Policy" || document["apiVersion"] !== "audit.k8s.io/v1")
    throw new Error("audit policy: it must be a Policy of audit.k8s.io/v1");
  const given = document["rules"];
  if (!Array.isArray(given) || given.length === 0) throw new Error("audit policy: rules: Required value");
  const rules = given.map((rule: unknown, at) => readRule(rule, `rules[${at}]`));
  const omitStages = readStages(document["omitStages"], "omitStages");
  const omitManagedFields = document["omitManagedFields"] === true;
  const nothing: AuditDecision = { level: "None", omitStages: new Set(), omitManagedFields: false };
  const decisions = rules.map((rule) => ({
    level: rule.level,
    omitStages: new Set([...omitStages, ...(rule.omitStages ?? [])]),
    omitManagedFields: rule.omitManagedFields ?? omitManagedFields,
  }));
  return {
    decide(request) {
      const at = rules.findIndex((rule) => matches(rule, request));
      return decisions[at] ?? nothing;
    },
  };
}

function readRule(rule: unknown, path: string): Rule {
  if (!isJsonObject(rule)) throw new Error(`audit policy: ${path}: it must be an object`);
  if (!LEVELS.includes(String(rule["level"])))
    throw new Error(
      `audit policy: ${path}.level: Unsupported value: ${JSON.stringify(rule["level"] ?? "")}: supported values: ${LEVELS.join(", ")}`,
    );
  for (const name of LISTS) {
    const list = rule[name];
    if (list !== undefined && (!Array.isArray(list) || !list.every((value) => typeof value === "string")))
      throw new Error(`audit policy: ${path}.${name}: it must be a list of texts`);
  }
  readStages(rule["omitStages"], `${path}.omitStages`);
  const resources = rule["resources"];
  if (resources !== undefined && (!Array.isArray(resources) || !resources.every(isJsonObject)))
    throw new Error(`audit policy: ${path}.resources: it must be a list of objects`);
  if (
    !isEmpty(rule["nonResourceURLs"] as string[] | undefined) &&
    (!isEmpty(resources as object[] | undefined) || !isEmpty(rule["namespaces"] as string[] | undefined))
  )
    throw new Error(
      `audit policy: ${path}.nonResourceURLs: rules cannot apply to both regular resources and non-resource URLs`,
    );
  return rule as unknown as Rule;
}

function readStages(value: unknown, path: string): readonly string[] {
  const stages = (value ?? []) as readonly string[];
  for (const stage of stages)
    if (!STAGES.includes(stage))
      throw new Error(
        `audit policy: ${path}: Unsupported value: ${JSON.stringify(stage)}: supported values: ${STAGES.join(", ")}`,
      );
  return stages;
}
