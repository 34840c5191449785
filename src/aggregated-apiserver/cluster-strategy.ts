import type { Cluster } from "#apis/karmada";
import type { Strategy } from "#apiserver";
import type { Clock } from "#base";
import { defaultResourceModels } from "#estimator";
import {
  DNS_LABEL,
  DNS_LABEL_TEXT,
  type FieldError,
  fieldDuplicate,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  formatTime,
  type KubeObject,
  LABEL_VALUE,
} from "#machinery";

const NAME_MAX = 48;
const MAX = "9223372036854775807";

/** Fills in what every write of a Cluster gets: times of NoExecute taints, zones, resource models. */
function settled(object: KubeObject, clock: Clock, isNew: boolean): KubeObject {
  const cluster = object as Cluster;
  const spec = (cluster.spec ?? {}) as NonNullable<Cluster["spec"]> & { readonly zone?: string };
  const taints = spec.taints?.map((taint) =>
    taint.effect === "NoExecute" && !taint.timeAdded ? { ...taint, timeAdded: formatTime(clock.now()) } : taint,
  );
  const { zone, ...rest } = spec;
  const zones = zone && (spec.zones ?? []).length === 0 ? { zones: [zone] } : zone === undefined ? {} : { zone };
  const models = spec.resourceModels ?? (isNew ? defaultResourceModels() : undefined);
  const sorted = models === undefined ? undefined : [...models].sort((a, b) => a.grade - b.grade);
  const bounded = sorted?.map((model, at) => ({
    ...model,
    ranges: model.ranges.map((range) => ({
      ...range,
      ...(at === 0 ? { min: "0" } : {}),
      ...(at === sorted.length - 1 ? { max: MAX } : {}),
    })),
  }));
  return {
    ...cluster,
    spec: {
      ...rest,
      ...zones,
      ...(taints === undefined ? {} : { taints }),
      ...(bounded === undefined ? {} : { resourceModels: bounded }),
    },
  } as KubeObject;
}

/** What is wrong with a Cluster, by field. */
export function clusterErrors(cluster: Cluster): FieldError[] {
  const errors: FieldError[] = [];
  const name = cluster.metadata.name ?? "";
  const spec = (cluster.spec ?? {}) as NonNullable<Cluster["spec"]> & { readonly zone?: string };
  if (name.length > NAME_MAX)
    errors.push(fieldInvalid("metadata.name", name, `must be no more than ${NAME_MAX} characters`));
  if (!DNS_LABEL.test(name)) errors.push(fieldInvalid("metadata.name", name, DNS_LABEL_TEXT));
  if (!spec.syncMode) errors.push(fieldRequired("spec.syncMode"));
  else if (spec.syncMode !== "Push" && spec.syncMode !== "Pull")
    errors.push(fieldNotSupported("spec.syncMode", spec.syncMode, ["Push", "Pull"]));
  if (spec.apiEndpoint) {
    try {
      const url = new URL(spec.apiEndpoint);
      if (url.host === "" || url.username !== "" || url.hash !== "" || url.search !== "") throw new Error("host");
    } catch {
      errors.push(
        fieldInvalid(
          "spec.apiEndpoint",
          spec.apiEndpoint,
          "must be a URL with a host and without user information, fragment or query",
        ),
      );
    }
  }
  if (spec.proxyURL && !/^(https?|socks5):\/\//.test(spec.proxyURL))
    errors.push(fieldInvalid("spec.proxyURL", spec.proxyURL, "the scheme must be http, https or socks5"));
  for (const field of ["secretRef", "impersonatorSecretRef"] as const) {
    const reference = spec[field];
    if (reference === undefined) continue;
    if (!reference.namespace) errors.push(fieldRequired(`spec.${field}.namespace`));
    if (!reference.name) errors.push(fieldRequired(`spec.${field}.name`));
  }
  for (const field of ["provider", "region", "zone"] as const) {
    const value = spec[field];
    if (value && (value.length > 63 || !LABEL_VALUE.test(value)))
      errors.push(fieldInvalid(`spec.${field}`, value, "must be a valid label value"));
  }
  if (spec.zone && (spec.zones ?? []).length > 0)
    errors.push(fieldInvalid("spec.zone", spec.zone, "zone and zones cannot co-exist"));
  const seen = new Set<string>();
  for (const [at, { key, effect }] of (spec.taints ?? []).entries()) {
    if (!key) errors.push(fieldRequired(`spec.taints[${at}].key`));
    if (effect !== "NoSchedule" && effect !== "NoExecute")
      errors.push(fieldNotSupported(`spec.taints[${at}].effect`, effect, ["NoSchedule", "NoExecute"]));
    const id = `${key}:${effect}`;
    if (seen.has(id))
      errors.push({
        ...fieldDuplicate(`spec.taints[${at}]`, id),
        message: `Duplicate value: ${JSON.stringify(id)}: taints must be unique by key and effect pair`,
      });
    seen.add(id);
  }
  return errors;
}

export function clusterStrategy(clock: Clock): Strategy {
  return {
    prepareForCreate: (object) => settled(object, clock, true),
    prepareForUpdate: (object) => settled(object, clock, false),
    validate: (object) => clusterErrors(object as Cluster),
  };
}
