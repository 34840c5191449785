/**
 * Descheduler: takes replicas off clusters that cannot run them.
 *
 * Every interval it looks at the dynamically divided Deployments, asks the accurate estimators of targets that are not
 * ready how many replicas found no node, and lowers the targets' replicas. The scheduler then sees a smaller sum and
 * scales up elsewhere. Statically weighted, duplicated and never scheduled bindings are left alone.
 */
import { ResourceBinding } from "#apis/karmada";
import { defineController } from "#controller-runtime";
import type { DeschedulerDeps, DeschedulerOptions } from "./options.ts";
import { reconcile, startSweeps } from "./reconcile.ts";

export type { DeschedulerDeps, DeschedulerOptions } from "./options.ts";
export { isDeschedulable, planDeschedule, type DeschedulePlan, undesiredClusters } from "./plan.ts";

export const deschedulerController = defineController<DeschedulerDeps, DeschedulerOptions>({
  name: "descheduler",
  reconciles: [ResourceBinding],
  // Changes of bindings wake nobody: only the interval does.
  when: () => false,
  writes: [{ kind: ResourceBinding, verbs: ["update"] }],
  options: { deschedulingIntervalMs: 120_000, unschedulableThresholdMs: 300_000 },
  concurrency: () => 1,
  start: startSweeps,
  reconcile,
});
