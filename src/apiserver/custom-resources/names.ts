import type { KubeObject } from "#machinery";
import { type CrdCondition, type CrdNames, type CrdStatus, specOf, statusOf, withCondition } from "./crd.ts";

/** The status of a CRD among the others of its group: which of its names are its own, and whether it is served. */
export function planStatus(crd: KubeObject, others: readonly KubeObject[], time: string): CrdStatus {
  const { names, group } = specOf(crd);
  const status = statusOf(crd);
  const taken = others
    .filter((other) => other.metadata.name !== crd.metadata.name && specOf(other).group === group)
    .map((other) => statusOf(other).acceptedNames ?? {});
  const inUse = new Set(
    taken.flatMap(({ plural, singular, shortNames = [] }) => [plural, singular, ...shortNames].filter(Boolean)),
  );
  const kindsInUse = new Set(taken.flatMap(({ kind, listKind }) => [kind, listKind].filter(Boolean)));
  const conflicts: [reason: string, name: string][] = [];
  const accepted: Record<string, unknown> = { ...status.acceptedNames };
  const claim = (member: keyof CrdNames, reason: string, set: ReadonlySet<string | undefined>) => {
    const name = names[member] as string | undefined;
    if (name !== undefined && set.has(name)) conflicts.push([reason, name]);
    else if (name === undefined) delete accepted[member];
    else accepted[member] = name;
  };
  claim("plural", "PluralConflict", inUse);
  claim("singular", "SingularConflict", inUse);
  const shorts = (names.shortNames ?? []).filter((name) => inUse.has(name));
  for (const name of shorts) conflicts.push(["ShortNamesConflict", name]);
  if (shorts.length === 0) {
    if (names.shortNames === undefined) delete accepted["shortNames"];
    else accepted["shortNames"] = names.shortNames;
  }
  claim("kind", "KindConflict", kindsInUse);
  claim("listKind", "ListKindConflict", kindsInUse);
  if (names.categories === undefined) delete accepted["categories"];
  else accepted["categories"] = names.categories;
  const [last] = conflicts.slice(-1);
  let conditions: readonly CrdCondition[] = status.conditions ?? [];
  conditions = withCondition(
    conditions,
    last === undefined
      ? { type: "NamesAccepted", status: "True", reason: "NoConflicts", message: "no conflicts found" }
      : {
          type: "NamesAccepted",
          status: "False",
          reason: last[0],
          message: `${JSON.stringify(last[1])} is already in use`,
        },
    time,
  );
  const isEstablished = conditions.some(({ type, status: value }) => type === "Established" && value === "True");
  if (last === undefined)
    conditions = withCondition(
      conditions,
      {
        type: "Established",
        status: "True",
        reason: "InitialNamesAccepted",
        message: "the initial names have been accepted",
      },
      time,
    );
  else if (!isEstablished)
    conditions = withCondition(
      conditions,
      { type: "Established", status: "False", reason: "NotAccepted", message: "not all names are accepted" },
      time,
    );
  const approval = approvalOf(crd);
  if (approval !== undefined) conditions = withCondition(conditions, approval, time);
  return { ...status, conditions, acceptedNames: accepted as unknown as CrdNames };
}

const APPROVAL = "api-approved.kubernetes.io";

/** Groups that belong to Kubernetes' own community need its approval. */
export const isProtectedGroup = (group: string): boolean =>
  ["k8s.io", "kubernetes.io"].some((owner) => group === owner || group.endsWith(`.${owner}`));

/** What a CRD of a protected group says of its approval. */
export function readApproval(
  crd: KubeObject,
): { readonly isApproved: boolean; readonly text: string } | "missing" | "invalid" | undefined {
  if (!isProtectedGroup(specOf(crd).group ?? "")) return undefined;
  const text = crd.metadata.annotations?.[APPROVAL];
  if (text === undefined || text === "") return "missing";
  if (text.startsWith("unapproved")) return { isApproved: false, text };
  return /^https?:\/\/[^\s/]+/.test(text) ? { isApproved: true, text } : "invalid";
}

function approvalOf(crd: KubeObject): CrdCondition | undefined {
  const approval = readApproval(crd);
  const type = "KubernetesAPIApprovalPolicyConformant";
  if (approval === undefined) return undefined;
  if (typeof approval === "string")
    return {
      type,
      status: "False",
      reason: approval === "missing" ? "MissingAnnotation" : "InvalidAnnotation",
      message: `protected groups must have approval annotation ${JSON.stringify(APPROVAL)}, see https://github.com/kubernetes/enhancements/pull/1111`,
    };
  return approval.isApproved
    ? { type, status: "True", reason: "ApprovedAnnotation", message: `approved in ${approval.text}` }
    : {
        type,
        status: "False",
        reason: "UnapprovedAnnotation",
        message: `not approved: ${JSON.stringify(approval.text)}`,
      };
}
