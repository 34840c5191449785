import { type DiscoveredResource, discover } from "#client";
import type { Transport } from "#machinery";

/** The resource a word such as `deploy`, `deployments.apps` or `Deployment` names. Throws when nothing serves it. */
export async function resolveType(transport: Transport, word: string): Promise<DiscoveredResource> {
  return typeAmong((await discover(transport)).resources, word);
}

/** As `resolveType`, among what a server is known to serve. */
export function typeAmong(resources: readonly DiscoveredResource[], word: string): DiscoveredResource {
  const [name = "", ...rest] = word.toLowerCase().split(".");
  const group = rest.join(".");
  const named = resources.filter(
    ({ resource, singular, kind, shortNames }) =>
      resource === name || singular === name || kind.toLowerCase() === name || shortNames.includes(name),
  );
  const matching = named.filter(
    (each) => group === "" || each.group === group || `${each.version}.${each.group}` === group,
  );
  const found = matching.find(({ isPreferred }) => isPreferred) ?? matching[0];
  if (found === undefined) throw new Error(`the server doesn't have a resource type ${JSON.stringify(word)}`);
  return found;
}

/** `TYPE/NAME` or `TYPE NAME` as type and name. */
export function typeAndName(args: readonly string[]): readonly [type: string, name: string] {
  const [first = "", second] = args;
  const slash = first.indexOf("/");
  const [type, name] = slash < 0 ? [first, second] : [first.slice(0, slash), first.slice(slash + 1)];
  if (!type || !name || args.length > (slash < 0 ? 2 : 1))
    throw new Error("one object such as deployment/nginx is required");
  return [type, name];
}
