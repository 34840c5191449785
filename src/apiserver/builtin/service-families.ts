/** Which families of addresses a Service has: asked for, kept from before, or the cluster's own. */
import { deepEqual } from "#base";
import { type FieldError, fieldInvalid, getPath, type KubeObject } from "#machinery";
import type { Json } from "./pod-defaults.ts";
import { type Family, familyOf } from "./service-ranges.ts";
import { serviceAddressErrors } from "./service-rules.ts";

type Outcome = { readonly service: KubeObject } | { readonly errors: readonly FieldError[] };

const specOf = (service: KubeObject): Json => (getPath(service, "spec") ?? {}) as Json;
const textsOf = (value: unknown): readonly string[] => (Array.isArray(value) ? (value as readonly string[]) : []);
const other = (family: string): Family => (family === "IPv4" ? "IPv6" : "IPv4");

/** Whether a Service has no addresses and its endpoints are written by others: they may be of both families. */
const isOpen = ({ clusterIP, selector }: Json) =>
  clusterIP === "None" && Object.keys((selector ?? {}) as object).length === 0;

/** A Service with its families and their policy; `configured` are those of the cluster, its own first. */
export function planFamilies(service: KubeObject, old: KubeObject | undefined, configured: readonly Family[]): Outcome {
  const asked = inStep(specOf(service));
  if (asked["type"] === "ExternalName") return { service };
  const before = old === undefined || specOf(old)["type"] === "ExternalName" ? {} : specOf(old);
  const spec = withoutReleased(withKept(asked, before), before);
  const wrong = serviceAddressErrors(spec, textsOf(before["clusterIPs"]));
  if (wrong.length > 0) return { errors: wrong };
  const open = isOpen(spec);
  const policy = spec["ipFamilyPolicy"] ?? (open ? "RequireDualStack" : "SingleStack");
  const addresses = textsOf(spec["clusterIPs"]);
  const families = familiesWith(textsOf(spec["ipFamilies"]), addresses);
  const errors = [
    ...policyErrors(policy, addresses, textsOf(spec["ipFamilies"]), before),
    ...foreignAddressErrors(textsOf(spec["ipFamilies"]).length, addresses, configured),
  ];
  if (errors.length > 0) return { errors };
  const missing = open ? [] : unconfiguredErrors(policy, families, configured);
  if (missing.length > 0) return { errors: missing };
  const filled = isPreferredAsBefore(spec, before) ? families : filledUp(families, policy, open, configured);
  const next = { ...spec, ipFamilies: filled, ipFamilyPolicy: policy };
  return { service: deepEqual(next, specOf(service)) ? service : ({ ...service, spec: next } as KubeObject) };
}

/** The first address is said twice. */
const inStep = (spec: Json): Json =>
  spec["clusterIP"] && textsOf(spec["clusterIPs"]).length === 0 ? { ...spec, clusterIPs: [spec["clusterIP"]] } : spec;

/** What a client leaves out stays. */
const withKept = (spec: Json, before: Json): Json => ({
  ...spec,
  ...(spec["ipFamilyPolicy"] === undefined && before["ipFamilyPolicy"] !== undefined
    ? { ipFamilyPolicy: before["ipFamilyPolicy"] }
    : {}),
  ...(textsOf(spec["ipFamilies"]).length === 0 && before["ipFamilies"] !== undefined
    ? { ipFamilies: before["ipFamilies"] }
    : {}),
});

/** A policy of one family gives the second one back where a client repeats it unchanged. */
function withoutReleased(spec: Json, before: Json): Json {
  if (spec["ipFamilyPolicy"] !== "SingleStack" || before["ipFamilyPolicy"] === "SingleStack") return spec;
  const cut = (field: string) =>
    textsOf(before[field]).length === 2 && deepEqual(spec[field], before[field])
      ? { [field]: textsOf(before[field]).slice(0, 1) }
      : {};
  return { ...spec, ...cut("clusterIPs"), ...cut("ipFamilies") };
}

/** The families named, and behind them those of addresses that are named. */
const familiesWith = (named: readonly string[], addresses: readonly string[]): readonly string[] => [
  ...named,
  ...addresses.slice(named.length).flatMap((address) => (address === "None" ? [] : [familyOf(address)])),
];

function policyErrors(
  policy: unknown,
  addresses: readonly string[],
  families: readonly string[],
  before: Json,
): FieldError[] {
  const refuse = (why: string) => [fieldInvalid("spec.ipFamilyPolicy", policy, why)];
  const twice = (what: string) =>
    refuse(`must be 'RequireDualStack' or 'PreferDualStack' when multiple ${what} are specified`);
  const release = (what: string) => refuse(`must be 'SingleStack' to release the secondary ${what}`);
  if (policy === "SingleStack")
    return [
      ...(addresses.length === 2 ? twice("cluster IPs") : []),
      ...(families.length === 2 ? twice("IP families") : []),
    ];
  return [
    ...(addresses.length < 2 && textsOf(before["clusterIPs"]).length === 2 ? release("cluster IP") : []),
    ...(families.length < 2 && textsOf(before["ipFamilies"]).length === 2 ? release("IP family") : []),
  ];
}

const foreignAddressErrors = (
  known: number,
  addresses: readonly string[],
  configured: readonly Family[],
): FieldError[] =>
  addresses.flatMap((address, at) =>
    at < known || address === "None" || configured.includes(familyOf(address))
      ? []
      : [fieldInvalid(`spec.clusterIPs[${at}]`, addresses, `${familyOf(address)} is not configured on this cluster`)],
  );

const unconfiguredErrors = (
  policy: unknown,
  families: readonly string[],
  configured: readonly Family[],
): FieldError[] => [
  ...(policy === "RequireDualStack" && configured.length < 2
    ? [fieldInvalid("spec.ipFamilyPolicy", policy, "this cluster is not configured for dual-stack services")]
    : []),
  ...families.flatMap((family, at) =>
    configured.some((one) => one === family)
      ? []
      : [fieldInvalid(`spec.ipFamilies[${at}]`, family, "not configured on this cluster")],
  ),
];

/** A Service that prefers two families and has one is left alone where a client changes something else. */
const isPreferredAsBefore = (spec: Json, before: Json): boolean =>
  spec["ipFamilyPolicy"] === "PreferDualStack" &&
  ["ipFamilyPolicy", "ipFamilies", "clusterIPs"].every((field) => deepEqual(spec[field], before[field]));

function filledUp(
  families: readonly string[],
  policy: unknown,
  open: boolean,
  configured: readonly Family[],
): readonly string[] {
  const first = families[0] ?? (configured[0] as Family);
  const hasRoom = families.length < 2 && policy !== "SingleStack" && (open || configured.length === 2);
  return hasRoom ? [first, other(first)] : families.length === 0 ? [first] : families;
}
