import type { User } from "../definition.ts";

/** What somebody wants to do. */
export interface Attributes {
  readonly user: User;
  readonly verb: string;
  readonly group: string;
  readonly version: string;
  readonly resource: string;
  readonly subresource: string;
  readonly namespace: string;
  readonly name: string;
  /** What a field selector demands of single fields: `path=value` requirements of lists and watches. */
  readonly selects?: Readonly<Record<string, string>>;
  /** Set for requests that are about no resource. */
  readonly path?: string;
}

export interface Decision {
  readonly isAllowed: boolean;
  /** Why, where there is something to say (wire: shown by access reviews). */
  readonly reason: string;
}

/** Says whether somebody may do something; the first of several that allows it decides. */
export interface Authorizer {
  authorize(wanted: Attributes): Decision;
}

export const noOpinion: Decision = { isAllowed: false, reason: "" };

/** kube-apiserver's sentence about what was refused, with the reason where there is one (wire). */
export function refusal(wanted: Attributes, reason = ""): string {
  return reason === "" ? sentenceOf(wanted) : `${sentenceOf(wanted)}: ${reason}`;
}

function sentenceOf(wanted: Attributes): string {
  const who = `User ${JSON.stringify(wanted.user.name)} cannot`;
  if (wanted.path !== undefined) return `${who} ${wanted.verb} path ${JSON.stringify(wanted.path)}`;
  const resource = wanted.subresource === "" ? wanted.resource : `${wanted.resource}/${wanted.subresource}`;
  const where =
    wanted.namespace === "" ? " at the cluster scope" : ` in the namespace ${JSON.stringify(wanted.namespace)}`;
  return `${who} ${wanted.verb} resource ${JSON.stringify(resource)} in API group ${JSON.stringify(wanted.group)}${where}`;
}
