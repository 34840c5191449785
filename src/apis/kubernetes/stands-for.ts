/**
 * On a Node of a simulated member: how many nodes like it there are. On a Pod of such a member: how many pods like it run.
 * A fleet of half a million nodes is simulated by few objects that way.
 */
export const STANDS_FOR = "simulator.flotilla.io/stands-for";

const COUNT_MAX = 10_000_000;

interface Annotated {
  readonly metadata: { readonly annotations?: Readonly<Record<string, string>> };
}

/** Whether a node stands for all nodes of its class; only on such nodes do pods stand for several. */
export const isNodeClass = ({ metadata }: Annotated): boolean => metadata.annotations?.[STANDS_FOR] !== undefined;

/** How many an object stands for; 1 for ordinary ones, and where the annotation is no whole number from 1 on. */
export function standsFor({ metadata }: Annotated): number {
  const text = metadata.annotations?.[STANDS_FOR];
  if (text === undefined) return 1;
  const count = Number(text);
  return Number.isInteger(count) && count >= 1 && count <= COUNT_MAX ? count : 1;
}
