import type { Cluster } from "#apis/karmada";
import type { Strategy } from "#apiserver";
import { type Clock, deepEqual } from "#base";
import { defaultResourceModels } from "#estimator";
import {
  compareQuantities,
  type FieldError,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  formatTime,
  type KubeObject,
  labelErrors,
  labelValueErrors,
  parseQuantity,
  type Quantity,
  qualifiedNameErrors,
} from "#machinery";

type Spec = NonNullable<Cluster["spec"]>;
type Model = NonNullable<Spec["resourceModels"]>[number];

const NAME_MAX = 48;
const MAX = "9223372036854775807";
const EFFECTS = ["NoSchedule", "NoExecute"];

/** Models in order of their grades, open at both ends. */
function standardised(models: readonly Model[]): readonly Model[] {
  const sorted = [...models].sort((a, b) => a.grade - b.grade);
  return sorted.map((model, at) => ({
    ...model,
    ranges: model.ranges.map((range) => ({
      ...range,
      ...(at === 0 ? { min: "0" } : {}),
      ...(at === sorted.length - 1 ? { max: MAX } : {}),
    })),
  }));
}

/** Fills in what every write of a Cluster gets: times of NoExecute taints, zones, resource models. */
function settled(object: KubeObject, clock: Clock, isNew: boolean): KubeObject {
  const cluster = object as Cluster;
  const spec = (cluster.spec ?? {}) as Spec;
  const taints = spec.taints?.map((taint) =>
    taint.effect === "NoExecute" && !taint.timeAdded ? { ...taint, timeAdded: formatTime(clock.now()) } : taint,
  );
  const { zone, ...rest } = spec;
  const zones = zone && (spec.zones ?? []).length === 0 ? { zones: [zone] } : zone === undefined ? {} : { zone };
  const given = spec.resourceModels ?? [];
  const models = given.length > 0 ? standardised(given) : isNew ? defaultResourceModels() : spec.resourceModels;
  const next = {
    ...cluster,
    spec: {
      ...rest,
      ...zones,
      ...(taints === undefined ? {} : { taints }),
      ...(models === undefined ? {} : { resourceModels: models }),
    },
  } as KubeObject;
  return deepEqual(next, object) ? object : next;
}

function endpointErrors(text: string, path: string): FieldError[] {
  if (!URL.canParse(text))
    return [fieldInvalid(path, text, `apiEndpoint must be a valid URL: parse ${JSON.stringify(text)}: invalid URL`)];
  const url = new URL(text);
  return [
    ...(url.host === ""
      ? [fieldInvalid(path, text, "host must be provided; desired format: hostname, hostname:port, IP or IP:port")]
      : []),
    ...(url.username !== "" || url.password !== ""
      ? [fieldInvalid(path, url.username, "user information is not permitted in the URL")]
      : []),
    ...(url.hash !== "" ? [fieldInvalid(path, url.hash.slice(1), "fragments are not permitted in the URL")] : []),
    ...(url.search !== ""
      ? [fieldInvalid(path, url.search.slice(1), "query parameters are not permitted in the URL")]
      : []),
  ];
}

function taintErrors(taints: NonNullable<Spec["taints"]>): FieldError[] {
  const seen = new Set<string>();
  return taints.flatMap(({ key, value, effect }, at) => {
    const path = `spec.taints[${at}]`;
    const errors = qualifiedNameErrors(key ?? "", `${path}.key`);
    if (value) errors.push(...labelValueErrors(value, `${path}.value`));
    if (!effect) errors.push(fieldRequired(`${path}.effect`));
    else if (!EFFECTS.includes(effect)) errors.push(fieldNotSupported(`${path}.effect`, effect, EFFECTS));
    const id = `${key}:${effect}`;
    if (seen.has(id))
      errors.push({
        type: "FieldValueDuplicate",
        field: path,
        message: `Duplicate value: ${JSON.stringify(id)}: taints must be unique by key and effect pair`,
      });
    seen.add(id);
    return errors;
  });
}

/** The first thing that is wrong with resource models; amounts are compared as numbers, however they are written. */
export function resourceModelError(models: readonly Model[], path: string): FieldError | undefined {
  const wrong = (detail: string) => fieldInvalid(path, models, detail);
  const amount = (text: number | string): Quantity => parseQuantity(text) ?? { nano: 0n, format: "DecimalSI" };
  const first = models[0];
  for (const [at, { grade, ranges }] of models.entries()) {
    const before = models[at - 1];
    const isLast = at === models.length - 1;
    if (before?.grade === grade) return wrong("The grade of each models should not be the same");
    if (ranges.length !== first?.ranges.length) return wrong("The number of resource types should be the same");
    for (const [rangeAt, { name, min, max }] of ranges.entries()) {
      if (compareQuantities(amount(max), amount(min)) <= 0)
        return wrong("The max value of each resource must be greater than the min value");
      if (before === undefined && amount(min).nano !== 0n)
        return wrong("The min value of each resource in the first model should be 0");
      const below = before?.ranges[rangeAt];
      if (below !== undefined && below.name !== name)
        return wrong("The resource types of each models should be the same");
      if (below !== undefined && compareQuantities(amount(below.max), amount(min)) !== 0)
        return wrong("Model intervals for resources must be contiguous and non-overlapping");
      if (isLast && compareQuantities(amount(max), amount(MAX)) !== 0)
        return wrong("The max value of each resource in the last model should be MaxInt64");
    }
  }
  return undefined;
}

/** What is wrong with a Cluster, by field. */
export function clusterErrors(cluster: Cluster): FieldError[] {
  const name = cluster.metadata.name ?? "";
  const spec = (cluster.spec ?? {}) as Spec;
  const errors: FieldError[] =
    name.length > NAME_MAX
      ? [fieldInvalid("metadata.name", name, `must be no more than ${NAME_MAX} characters`)]
      : labelErrors(name, "metadata.name");
  if (!spec.syncMode) errors.push(fieldRequired("spec.syncMode"));
  if (spec.syncMode !== "Push" && spec.syncMode !== "Pull")
    errors.push(fieldNotSupported("spec.syncMode", spec.syncMode ?? "", ["Pull", "Push"]));
  if (spec.apiEndpoint) errors.push(...endpointErrors(spec.apiEndpoint, "spec.apiEndpoint"));
  for (const field of ["secretRef", "impersonatorSecretRef"] as const) {
    const reference = spec[field];
    if (reference === undefined) continue;
    if (!reference.namespace) errors.push(fieldRequired(`spec.${field}.namespace`));
    if (!reference.name) errors.push(fieldRequired(`spec.${field}.name`));
  }
  if (spec.proxyURL) {
    const scheme = /^([A-Za-z][A-Za-z0-9+.-]*):/.exec(spec.proxyURL)?.[1] ?? "";
    if (!["http", "https", "socks5"].includes(scheme))
      errors.push(
        fieldInvalid(
          "spec.proxyURL",
          spec.proxyURL,
          `unsupported scheme ${JSON.stringify(scheme)}, must be http, https, or socks5`,
        ),
      );
  }
  if (spec.provider) errors.push(...labelValueErrors(spec.provider, "spec.provider"));
  if (spec.region) errors.push(...labelValueErrors(spec.region, "spec.region"));
  if (spec.zone && (spec.zones ?? []).length > 0)
    errors.push(fieldInvalid("spec.zone", spec.zone, "Zone and Zones cannot co-exist"));
  if (spec.zone) errors.push(...labelValueErrors(spec.zone, "spec.zone"));
  for (const [at, zone] of (spec.zones ?? []).entries()) errors.push(...labelValueErrors(zone, `spec.zones[${at}]`));
  const model = resourceModelError(spec.resourceModels ?? [], "spec.resourceModels");
  return [...errors, ...taintErrors(spec.taints ?? []), ...(model === undefined ? [] : [model])];
}

/** Conditions as Go's types read and write them: whoever reports one may leave its texts and its time out. */
function withWholeConditions(object: KubeObject): KubeObject {
  const { status, ...rest } = object as Cluster;
  const conditions = status?.conditions;
  if (!Array.isArray(conditions) || conditions.every(isWhole)) return object;
  const whole = conditions.map((condition) =>
    isWhole(condition) ? condition : { lastTransitionTime: null, reason: "", message: "", ...condition },
  );
  return { ...rest, status: { ...status, conditions: whole } } as unknown as KubeObject;
}

function isWhole(condition: object | null): boolean {
  return (
    typeof condition !== "object" ||
    condition === null ||
    ("message" in condition && "reason" in condition && "lastTransitionTime" in condition)
  );
}

export function clusterStrategy(clock: Clock): Strategy {
  return {
    applyDefaults: withWholeConditions,
    prepareForCreate: (object) => settled(object, clock, true),
    prepareForUpdate: (object) => settled(object, clock, false),
    validate: (object) => clusterErrors(object as Cluster),
  };
}
