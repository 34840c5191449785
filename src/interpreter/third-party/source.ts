import type { RuleSource } from "../interpreter.ts";
import type { KindRules } from "../rules.ts";
import { batchKinds } from "./batch.ts";
import { flinkKinds } from "./flink.ts";
import { fluxKinds } from "./flux.ts";
import { kruiseKinds } from "./kruise.ts";
import { kubeflowKinds } from "./kubeflow.ts";
import { kyvernoKinds } from "./kyverno.ts";
import { rayKinds } from "./ray.ts";
import { sparkKinds } from "./spark.ts";

export const thirdPartyKinds: Readonly<Record<string, KindRules>> = {
  ...batchKinds,
  ...flinkKinds,
  ...fluxKinds,
  ...kruiseKinds,
  ...kubeflowKinds,
  ...kyvernoKinds,
  ...rayKinds,
  ...sparkKinds,
};

/** Rules for kinds of other projects; they stand before the native ones. */
export const thirdPartySource: RuleSource = (apiVersion, kind) => thirdPartyKinds[`${apiVersion}/${kind}`];
