import { Cron } from "croner";
import { CronJob, Job, Pod } from "#apis/kubernetes";
import { deepEqual } from "#base";
import {
  type ControllerContext,
  defineController,
  done,
  type Request,
  requeueAfter,
  type Result,
  wake,
} from "#controller-runtime";
import {
  controllerOf,
  controllerReference,
  formatTime,
  isAlreadyExists,
  isBeingDeleted,
  isConflict,
  isNotFound,
  keyOf,
  parseTime,
} from "#machinery";
import { Expectations } from "../expectations.ts";
import { isPodActive, isPodReady, podFromTemplate } from "../pods.ts";
import { podsByController } from "./replica-set.ts";

export const jobController = defineController<unknown, Record<string, never>>({
  name: "job",
  reconciles: [Job],
  wakes: [
    wake(Pod, (change) => {
      const owner = controllerOf(change.object);
      return owner?.kind === "Job" ? [{ namespace: change.object.metadata.namespace, name: owner.name }] : [];
    }),
  ],
  indexes: [podsByController()],
  writes: [
    { kind: Job, verbs: ["update", "delete"], subresources: ["status"] },
    { kind: Pod, verbs: ["create", "delete"] },
  ],
  options: {},
  concurrency: () => 16,
  reconcile: reconcileJob,
});

const expectationsOf = new WeakMap<object, Expectations>();
const isFinished = (job: Job) =>
  job.status?.conditions?.some(({ type, status }) => (type === "Complete" || type === "Failed") && status === "True") ??
  false;

async function reconcileJob(request: Request, context: ControllerContext): Promise<Result> {
  const job = context.cache(Job).get(request.key);
  if (job === undefined || isBeingDeleted(job)) return done;
  let expectations = expectationsOf.get(context);
  if (expectations === undefined)
    expectationsOf.set(context, (expectations = new Expectations(() => context.clock.now())));
  if (isFinished(job)) return expire(job, context);
  const cache = context.cache(Pod);
  const pods = cache.byIndex("controller", job.metadata.uid ?? "");
  const succeeded = pods.filter((pod) => pod.status?.phase === "Succeeded").length;
  const failed = pods.filter((pod) => pod.status?.phase === "Failed").length;
  const active = pods.filter(isPodActive);
  const completions = job.spec?.completions ?? 1;
  const parallelism = job.spec?.parallelism ?? 1;
  const isFailed = failed > (job.spec?.backoffLimit ?? 6);
  const isComplete = succeeded >= completions;
  const unseen = expectations.missing(request.key, (key) => cache.get(key) !== undefined);
  try {
    if (!isFailed && !isComplete && job.spec?.suspend !== true) {
      const missing = Math.min(parallelism, completions - succeeded) - active.length - unseen;
      for (let at = 0; at < missing; at++) {
        const pod = await context.client.create(
          Pod,
          podFromTemplate(job, job.spec?.template, { generateName: `${job.metadata.name}-` }),
        );
        expectations.expectCreated(request.key, keyOf(pod));
      }
    } else
      for (const pod of active)
        await context.client.delete(Pod, { namespace: pod.metadata.namespace, name: pod.metadata.name ?? "" });
    const now = formatTime(context.clock.now());
    const ended = isComplete ? "Complete" : isFailed ? "Failed" : undefined;
    const condition = (type: string, reason: string, message: string) => ({
      type,
      status: "True",
      reason,
      message,
      lastProbeTime: now,
      lastTransitionTime: now,
    });
    const status = {
      ...(job.spec?.suspend ? {} : { startTime: job.status?.startTime ?? now }),
      ...(ended === undefined && active.length + unseen > 0 ? { active: active.length } : {}),
      ready: ended === undefined ? active.filter(isPodReady).length : 0,
      terminating: 0,
      ...(succeeded === 0 ? {} : { succeeded }),
      ...(failed === 0 ? {} : { failed }),
      uncountedTerminatedPods: {},
      ...(isComplete
        ? {
            completionTime: now,
            conditions: [
              condition("SuccessCriteriaMet", "CompletionsReached", "Reached expected number of succeeded pods"),
              condition("Complete", "CompletionsReached", "Reached expected number of succeeded pods"),
            ],
          }
        : isFailed
          ? {
              conditions: [
                condition("FailureTarget", "BackoffLimitExceeded", "Job has reached the specified backoff limit"),
                condition("Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit"),
              ],
            }
          : {}),
    };
    if (!deepEqual(job.status ?? {}, status)) await context.client.updateStatus(Job, { ...job, status } as Job);
  } catch (error) {
    if (isConflict(error)) return requeueAfter(5);
    if (!isNotFound(error)) throw error;
  }
  return done;
}

async function expire(job: Job, context: ControllerContext): Promise<Result> {
  const ttl = job.spec?.ttlSecondsAfterFinished;
  if (ttl === undefined) return done;
  const endedMs =
    parseTime(
      job.status?.conditions?.find(({ type }) => type === "Complete" || type === "Failed")?.lastTransitionTime,
    ) ?? 0;
  const leftMs = endedMs + ttl * 1000 - context.clock.now();
  if (leftMs > 0) return requeueAfter(leftMs);
  await context.client.delete(
    Job,
    { namespace: job.metadata.namespace, name: job.metadata.name ?? "" },
    { propagationPolicy: "Background" },
  );
  return done;
}

export const cronJobController = defineController<unknown, Record<string, never>>({
  name: "cronjob",
  reconciles: [CronJob],
  wakes: [
    wake(Job, (change) => {
      const owner = controllerOf(change.object);
      return owner?.kind === "CronJob" ? [{ namespace: change.object.metadata.namespace, name: owner.name }] : [];
    }),
  ],
  writes: [
    { kind: CronJob, verbs: ["update"], subresources: ["status"] },
    { kind: Job, verbs: ["create", "delete"] },
  ],
  options: {},
  reconcile: reconcileCronJob,
});

async function reconcileCronJob(request: Request, context: ControllerContext): Promise<Result> {
  const cron = context.cache(CronJob).get(request.key);
  if (cron === undefined || isBeingDeleted(cron) || cron.spec?.suspend) return done;
  const nowMs = context.clock.now();
  const jobs = context
    .cache(Job)
    .list(request.namespace)
    .filter((job) => controllerOf(job)?.uid === cron.metadata.uid);
  const running = jobs.filter((job) => !isFinished(job));
  const schedule = new Cron(cron.spec?.schedule ?? "", {
    ...(cron.spec?.timeZone === undefined ? {} : { timezone: cron.spec.timeZone }),
  });
  const sinceMs = parseTime(cron.status?.lastScheduleTime) ?? parseTime(cron.metadata.creationTimestamp) ?? nowMs;
  const dueMs = schedule.nextRun(new Date(sinceMs))?.getTime();
  let lastScheduleTime = cron.status?.lastScheduleTime;
  if (dueMs !== undefined && dueMs <= nowMs) {
    const mayRun = cron.spec?.concurrencyPolicy !== "Forbid" || running.length === 0;
    if (mayRun) {
      if (cron.spec?.concurrencyPolicy === "Replace")
        for (const job of running)
          await context.client.delete(
            Job,
            { namespace: job.metadata.namespace, name: job.metadata.name ?? "" },
            { propagationPolicy: "Background" },
          );
      const template = cron.spec?.jobTemplate;
      try {
        await context.client.create(Job, {
          apiVersion: "batch/v1",
          kind: "Job",
          metadata: {
            name: `${cron.metadata.name}-${Math.floor(dueMs / 60_000)}`,
            ...(request.namespace === undefined ? {} : { namespace: request.namespace }),
            ...(template?.metadata?.labels === undefined ? {} : { labels: template.metadata.labels }),
            ownerReferences: [controllerReference(cron)],
          },
          ...(template?.spec === undefined ? {} : { spec: template.spec }),
        } as Job);
      } catch (error) {
        if (!isAlreadyExists(error)) throw error;
      }
    }
    lastScheduleTime = formatTime(dueMs);
  }
  for (const [isSuccess, kept] of [
    [true, cron.spec?.successfulJobsHistoryLimit ?? 3],
    [false, cron.spec?.failedJobsHistoryLimit ?? 1],
  ] as const) {
    const ended = jobs.filter((job) =>
      job.status?.conditions?.some(
        ({ type, status }) => type === (isSuccess ? "Complete" : "Failed") && status === "True",
      ),
    );
    const oldest = ended
      .sort((a, b) => (a.metadata.name ?? "").localeCompare(b.metadata.name ?? ""))
      .slice(0, Math.max(0, ended.length - kept));
    for (const job of oldest)
      await context.client.delete(
        Job,
        { namespace: job.metadata.namespace, name: job.metadata.name ?? "" },
        { propagationPolicy: "Background" },
      );
  }
  const active = running.map((job) => ({
    apiVersion: "batch/v1",
    kind: "Job",
    namespace: job.metadata.namespace,
    name: job.metadata.name,
    uid: job.metadata.uid,
    resourceVersion: job.metadata.resourceVersion,
  }));
  const status = {
    ...(active.length === 0 ? {} : { active }),
    ...(lastScheduleTime === undefined ? {} : { lastScheduleTime }),
  };
  try {
    if (!deepEqual(cron.status ?? {}, status))
      await context.client.updateStatus(CronJob, { ...cron, status } as unknown as CronJob);
  } catch (error) {
    if (!isConflict(error) && !isNotFound(error)) throw error;
  }
  const nextMs = schedule.nextRun(new Date(nowMs))?.getTime();
  return nextMs === undefined ? done : requeueAfter(Math.max(1, nextMs - nowMs));
}
