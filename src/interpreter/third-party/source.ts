import type { RuleSource } from "../interpreter.ts";
import type { KindRules } from "../rules.ts";
import { fluxKinds } from "./flux.ts";
import { kruiseKinds } from "./kruise.ts";
import { kyvernoKinds } from "./kyverno.ts";

const kinds: Readonly<Record<string, KindRules>> = { ...kruiseKinds, ...fluxKinds, ...kyvernoKinds };

/** Rules for kinds of other projects; they stand before the native ones. */
export const thirdPartySource: RuleSource = (apiVersion, kind) => kinds[`${apiVersion}/${kind}`];

/** Whether a kind has rules here. */
export const isThirdPartyKind = (apiVersion: string, kind: string): boolean =>
  kinds[`${apiVersion}/${kind}`] !== undefined;
