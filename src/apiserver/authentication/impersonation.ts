import { badRequest } from "#machinery";
import type { User } from "../definition.ts";
import { ANONYMOUS } from "./authenticator.ts";
import { extraHeaders, headerOf, type Headers, headerValues } from "./headers.ts";

/** One right that an impersonation needs: `impersonate` on this. */
export interface ImpersonationNeed {
  readonly group: string;
  readonly version: string;
  readonly resource: string;
  readonly subresource: string;
  readonly namespace: string;
  readonly name: string;
}

/** Whom a request asks to be taken for. */
export interface Impersonation {
  /** The user with all that follows from the name. */
  readonly user: User;
  /** What was asked for, as it was written. */
  readonly wanted: User;
  /** The service account the name stands for, if it does. */
  readonly account?: { readonly namespace: string; readonly name: string };
  /** What its sender must be allowed to impersonate without any constraint. */
  readonly needs: readonly ImpersonationNeed[];
}

/** Whom a request asks to be taken for; `undefined` when it does not ask. Throws a 400 when there is no name. */
export function impersonationOf(headers: Headers): Impersonation | undefined {
  const name = headerOf(headers, "impersonate-user") || undefined;
  const asked = headerValues(headers, "impersonate-group").filter(Boolean);
  const uid = headerOf(headers, "impersonate-uid") || undefined;
  const extra = extraHeaders(headers, "impersonate-extra-");
  if (name === undefined) {
    if (asked.length > 0 || uid !== undefined || extra !== undefined)
      throw badRequest(`requested ${asGoText(uid ?? "", asked, extra)} without impersonating a user name`);
    return undefined;
  }
  const need = (group: string, resource: string, what: string, more: Partial<ImpersonationNeed> = {}) => ({
    group,
    version: "v1",
    resource,
    subresource: "",
    namespace: "",
    name: what,
    ...more,
  });
  const account = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(name);
  const needs: ImpersonationNeed[] = [
    account === null
      ? need("", "users", name)
      : need("", "serviceaccounts", account[2] as string, { namespace: account[1] as string }),
    ...asked.map((group) => need("", "groups", group)),
    ...(uid === undefined ? [] : [need("authentication.k8s.io", "uids", uid)]),
    ...Object.entries(extra ?? {}).flatMap(([key, values]) =>
      values.map((value) => need("authentication.k8s.io", "userextras", value, { subresource: key })),
    ),
  ];
  const groups = asked.length > 0 ? asked : groupsOf(account?.[1]);
  return {
    user: {
      name,
      groups: [...groups, ...impliedGroups(name, groups)],
      ...(uid === undefined ? {} : { uid }),
      ...(extra === undefined ? {} : { extra }),
    },
    wanted: { name, groups: asked, ...(uid === undefined ? {} : { uid }), ...(extra === undefined ? {} : { extra }) },
    ...(account === null ? {} : { account: { namespace: account[1] as string, name: account[2] as string } }),
    needs,
  };
}

/** Groups that accounts are in by their name. */
const groupsOf = (namespace: string | undefined): readonly string[] =>
  namespace === undefined ? [] : ["system:serviceaccounts", `system:serviceaccounts:${namespace}`];

function impliedGroups(name: string, groups: readonly string[]): readonly string[] {
  const unknown = "system:unauthenticated";
  if (name === ANONYMOUS.name) return groups.includes(unknown) ? [] : [unknown];
  return groups.includes("system:authenticated") || groups.includes(unknown) ? [] : ["system:authenticated"];
}

/** The asked identity as kube-apiserver prints it (wire). */
function asGoText(
  uid: string,
  groups: readonly string[],
  extra: Readonly<Record<string, readonly string[]>> | undefined,
) {
  const texts = (values: readonly string[] | undefined) =>
    values === undefined || values.length === 0
      ? "[]string(nil)"
      : `[]string{${values.map((value) => JSON.stringify(value)).join(", ")}}`;
  const pairs = Object.entries(extra ?? {}).sort(([one], [other]) => (one < other ? -1 : 1));
  const map =
    pairs.length === 0
      ? "map[string][]string(nil)"
      : `map[string][]string{${pairs.map(([key, values]) => `${JSON.stringify(key)}:${texts(values)}`).join(", ")}}`;
  return `&user.DefaultInfo{Name:"", UID:${JSON.stringify(uid)}, Groups:${texts(groups)}, Extra:${map}}`;
}
