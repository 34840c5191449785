import { discover, type DiscoveredResource } from "#client";
import type { Transport } from "#machinery";

/** One object as a command line names it. */
export interface ResourceArgument {
  readonly resource: DiscoveredResource;
  readonly name: string;
}

/** Reads `TYPE/NAME` or `TYPE NAME`; a type is a plural, singular or short name or a kind, with `.GROUP` behind it if need be. */
export async function resourceArgument(transport: Transport, args: readonly string[]): Promise<ResourceArgument> {
  const [first = "", second] = args;
  const [type = "", name] = first.includes("/") ? first.split("/", 2) : [first, second];
  if (type === "" || !name) throw new Error("one resource such as deployment/nginx is required");
  const wanted = type.toLowerCase();
  const { resources } = await discover(transport);
  const matching = resources.filter((resource) => {
    const names = [resource.resource, resource.singular, resource.kind.toLowerCase(), ...resource.shortNames];
    return names.some(
      (known) => known === wanted || (resource.group !== "" && `${known}.${resource.group}` === wanted),
    );
  });
  const resource = matching.find(({ isPreferred }) => isPreferred) ?? matching[0];
  if (resource === undefined) throw new Error(`the server doesn't have a resource type ${JSON.stringify(type)}`);
  return { resource, name };
}
