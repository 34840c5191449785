import { type ApiError, apiError, forbidden } from "#machinery";
import { type Attributes, type Authorizer, refusal } from "../authorization/attributes.ts";
import type { User } from "../definition.ts";
import type { Impersonation, ImpersonationNeed } from "./impersonation.ts";

const GROUP = "authentication.k8s.io";
const MASTERS = "system:masters";
const NODE = "system:node:";
const NODES = ["system:nodes"];
const NODE_EXTRA = "authentication.kubernetes.io/node-name";
const KNOWN_MAX = 1_000;

/** What somebody must be allowed, and why nobody is where that is so. */
interface Need extends ImpersonationNeed {
  readonly never?: string;
}

/** A way of asking in another's name; undefined where it is not one for this user. */
interface Mode {
  readonly name: string;
  /** Groups that follow from the user's name. */
  readonly groups?: readonly string[];
  needs(asked: Impersonation, asker: User): readonly Need[] | undefined;
}

const need = (resource: string, name: string, more: Partial<Need> = {}): Need => ({
  group: GROUP,
  version: "v1",
  resource,
  subresource: "",
  namespace: "",
  name,
  ...more,
});

const isBare = ({ wanted }: Impersonation) =>
  wanted.groups.length === 0 && wanted.uid === undefined && wanted.extra === undefined;
const nodeOf = ({ wanted }: Impersonation) =>
  wanted.name.startsWith(NODE) ? wanted.name.slice(NODE.length) : undefined;

/** A key of extra data that somebody may be given: a path behind a domain. */
const EXTRA_KEY = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\/[A-Za-z0-9/\-._~%!$&'()*+,;=:]+$/;

function extraNeeds([key, values]: readonly [string, readonly string[]]): readonly Need[] {
  const isKey = EXTRA_KEY.test(key) && key === key.toLowerCase();
  const never = `impersonating an invalid key in extra is not allowed: extra.key: Invalid value: ${JSON.stringify(key)}: must be a domain-prefixed path (such as "acme.io/foo")`;
  return isKey
    ? values.map((value) => need("userextras", value, { subresource: key }))
    : [need("userextras", "", { never })];
}

/** From the narrowest to the widest. Each but the last also needs the right to do what is asked in another's name. */
const MODES: readonly Mode[] = [
  {
    name: "associated-node",
    groups: NODES,
    needs(asked, asker) {
      const node = nodeOf(asked);
      const isOwn = asker.extra?.[NODE_EXTRA]?.length === 1 && asker.extra[NODE_EXTRA][0] === node;
      if (node === undefined || !isOwn || !isBare(asked) || asked.account !== undefined) return undefined;
      return asker.name.startsWith("system:serviceaccount:") ? [need("nodes", "*")] : undefined;
    },
  },
  {
    name: "arbitrary-node",
    groups: NODES,
    needs(asked) {
      const node = nodeOf(asked);
      return node === undefined || !isBare(asked) ? undefined : [need("nodes", node)];
    },
  },
  {
    name: "serviceaccount",
    needs(asked) {
      const { account } = asked;
      if (account === undefined || !isBare(asked)) return undefined;
      return [need("serviceaccounts", account.name, { namespace: account.namespace })];
    },
  },
  {
    name: "user-info",
    needs(asked) {
      const { name, groups, uid, extra } = asked.wanted;
      if (asked.account !== undefined || nodeOf(asked) !== undefined) return undefined;
      return [
        need("users", name),
        ...groups.map((group) =>
          need(
            "groups",
            group,
            group === MASTERS ? { never: "impersonating the system:masters group is not allowed" } : {},
          ),
        ),
        ...(uid === undefined ? [] : [need("uids", uid)]),
        ...Object.entries(extra ?? {}).flatMap(extraNeeds),
      ];
    },
  },
];

/**
 * Whether somebody may ask in another's name: by one of the constrained modes, which say both whom and for what, or by
 * the plain right to impersonate.
 */
export class ImpersonationModes {
  readonly #authorizer: Authorizer;
  /** Which mode let somebody in the last time; it is tried first, and its refusal is the one that is told. */
  readonly #last = new Map<string, string>();

  constructor(authorizer: Authorizer) {
    this.#authorizer = authorizer;
  }

  /** Who is asking from now on. Throws a 403 that names what is missing. */
  mustBeAllowed(asker: User, asked: Impersonation, attributes: Attributes): User {
    const last = this.#last.get(asker.name);
    const modes = [...MODES.map(({ name }) => name), LEGACY];
    const order = last === undefined ? modes : [last, ...modes.filter((name) => name !== last)];
    let refused: ApiError | undefined;
    for (const name of order) {
      const missing = this.#missing(name, asker, asked, attributes);
      if (missing === undefined) continue;
      if (missing === "nothing") {
        this.#remember(asker.name, name);
        const { groups = [] } = MODES.find((mode) => mode.name === name) ?? {};
        return groups.length === 0 ? asked.user : { ...asked.user, groups: [...groups, ...asked.user.groups] };
      }
      refused ??= missing;
    }
    throw refused ?? apiError(403, "Forbidden", "all impersonation modes failed");
  }

  #missing(name: string, asker: User, asked: Impersonation, attributes: Attributes): ApiError | "nothing" | undefined {
    if (name === LEGACY) return this.#firstRefused(asker, "impersonate", asked.needs);
    const needs = MODES.find((mode) => mode.name === name)?.needs(asked, asker);
    if (needs === undefined) return undefined;
    const deed = { ...attributes, user: asker, verb: `impersonate-on:${name}:${attributes.verb}` };
    const decision = this.#authorizer.authorize(deed);
    if (!decision.isAllowed) return refuse(deed, decision.reason);
    return this.#firstRefused(asker, `impersonate:${name}`, needs);
  }

  #firstRefused(user: User, verb: string, needs: readonly Need[]): ApiError | "nothing" {
    for (const { never, ...what } of needs) {
      const wanted = { user, verb, ...what };
      if (never !== undefined) return refuse(wanted, never);
      const decision = this.#authorizer.authorize(wanted);
      if (!decision.isAllowed) return refuse(wanted, decision.reason);
    }
    return "nothing";
  }

  #remember(asker: string, mode: string): void {
    if (this.#last.size >= KNOWN_MAX && !this.#last.has(asker)) this.#last.clear();
    this.#last.set(asker, mode);
  }
}

const LEGACY = "legacy";

function refuse(wanted: Attributes, reason: string): ApiError {
  const text = refusal(wanted, reason);
  if (wanted.path !== undefined) return apiError(403, "Forbidden", `forbidden: ${text}`, {});
  return forbidden({ group: wanted.group, resource: wanted.resource }, wanted.name, text);
}
