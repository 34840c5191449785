import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseAllDocuments } from "yaml";
import { ResourceInterpreterCustomization } from "#apis/karmada";
import type { Client } from "#client";
import { CUSTOMIZATION_RULES, type Operation } from "#interpreter";
import type { Source } from "./load.ts";

type Scripts = ResourceInterpreterCustomization["spec"]["customizations"];

const DOCUMENTATION: Readonly<Record<Operation, string>> = {
  Retain:
    "function Retain(desiredObj, observedObj)\n  -- Gives the object to write: the desired one with what the member may keep.\n  return desiredObj\nend",
  InterpretReplica:
    "function GetReplicas(desiredObj)\n  -- Gives the number of replicas, and what one of them needs or nil.\n  return desiredObj.spec.replicas, nil\nend",
  InterpretComponent:
    "function GetComponents(desiredObj)\n  -- Gives a list of { name, replicas, replicaRequirements }.\n  return {}\nend",
  ReviseReplica:
    "function ReviseReplica(desiredObj, desiredReplica)\n  -- Gives the object with that number of replicas.\n  return desiredObj\nend",
  InterpretStatus:
    "function ReflectStatus(observedObj)\n  -- Gives the part of the status that is collected.\n  return observedObj.status\nend",
  AggregateStatus:
    "function AggregateStatus(desiredObj, statusItems)\n  -- Gives the object with the status of all members: items are { clusterName, status, applied, health }.\n  return desiredObj\nend",
  InterpretHealth: "function InterpretHealth(observedObj)\n  -- Gives true or false.\n  return true\nend",
  InterpretDependency:
    "function GetDependencies(desiredObj)\n  -- Gives a list of { apiVersion, kind, namespace, name }.\n  return {}\nend",
};

const RULE = "---@rule:";

/** The Lua text an editor shows: a header, then a section for each operation. */
export function editableText(
  { metadata, spec }: ResourceInterpreterCustomization,
  showsDocumentation: boolean,
): string {
  const lines = [
    `---@name: ${metadata.name ?? ""}`,
    `---@apiVersion: ${spec.target.apiVersion}`,
    `---@kind: ${spec.target.kind}`,
    "",
  ];
  for (const { rule, operation } of CUSTOMIZATION_RULES) {
    lines.push(`${RULE} ${operation}`);
    if (showsDocumentation) lines.push(...DOCUMENTATION[operation].split("\n").map((line) => `---@doc: ${line}`));
    lines.push((spec.customizations[rule]?.luaScript ?? "").trimEnd(), "");
  }
  return lines.join("\n");
}

/** The scripts of an edited text; an empty section has none. Throws on a rule nobody knows. */
export function editedScripts(text: string): Scripts {
  const scripts: Record<string, { luaScript: string }> = {};
  let rule: string | undefined;
  let body: string[] = [];
  const close = () => {
    const script = body.join("\n").trim();
    if (rule !== undefined && script !== "") scripts[rule] = { luaScript: `${script}\n` };
    body = [];
  };
  for (const line of text.split("\n")) {
    if (line.startsWith(RULE)) {
      close();
      const operation = line.slice(RULE.length).trim();
      const found = CUSTOMIZATION_RULES.find((each) => each.operation === operation);
      if (found === undefined) throw new Error(`there is no rule ${JSON.stringify(operation)}`);
      rule = found.rule;
    } else if (!line.startsWith("---@")) body.push(line);
  }
  close();
  return scripts as Scripts;
}

/** Opens an editor on a customization and writes back what came of it; gives what to tell. */
export async function edit(source: Source, showsDocumentation: boolean, client: () => Client): Promise<string> {
  const { customization } = source;
  const folder = mkdtempSync(join(tmpdir(), "interpret-"));
  try {
    const path = join(folder, `${customization.metadata.name ?? "customization"}.lua`);
    const before = editableText(customization, showsDocumentation);
    writeFileSync(path, before);
    const editor = process.env["KUBE_EDITOR"] || process.env["EDITOR"] || "vi";
    const { status, error } = spawnSync(`${editor} "$FILE"`, {
      shell: true,
      stdio: "inherit",
      env: { ...process.env, FILE: path },
    });
    if (error !== undefined || status !== 0) throw new Error(`the editor ${JSON.stringify(editor)} failed`);
    const after = readFileSync(path, "utf8");
    if (after === before) return "Edit cancelled, no changes made.";
    await writeBack(source, editedScripts(after), client);
    return `${customization.metadata.name ?? source.source} edited`;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function writeBack({ file, customization }: Source, scripts: Scripts, client: () => Client): Promise<void> {
  if (file === undefined) {
    const none = Object.fromEntries(CUSTOMIZATION_RULES.map(({ rule }) => [rule, null]));
    await client().patch(
      ResourceInterpreterCustomization,
      { name: customization.metadata.name ?? "" },
      "application/merge-patch+json",
      { spec: { customizations: { ...none, ...scripts } } },
    );
    return;
  }
  const documents = parseAllDocuments(readFileSync(file.path, "utf8"), { version: "1.1" });
  const present = documents.filter((document) => document.contents !== null);
  present[file.document]?.setIn(["spec", "customizations"], present[file.document]?.createNode(scripts));
  writeFileSync(file.path, present.map(String).join(present.length > 1 ? "---\n" : ""));
}
