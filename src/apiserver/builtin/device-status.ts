/** What was given to a claim on devices: the rules of its status, in kube-apiserver's words. */
import {
  type FieldError,
  fieldDuplicate,
  fieldForbidden,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  fieldTooLong,
} from "#machinery";
import { isIP } from "node:net";
import { isMap, listAt, repetitions, valueAt } from "./checks.ts";
import { conditionStatusErrors } from "./condition-checks.ts";
import { dnsLabelErrors, subdomainErrorsAt } from "./name-checks.ts";
import type { Json } from "./pod-defaults.ts";
import { nodeSelectorErrors } from "./pod-scheduling.ts";

const DRIVER_MAX = 63;
const POOL_MAX = 253;
const INTERFACE_MAX = 256;
const HARDWARE_ADDRESS_MAX = 128;
const SOURCES = ["FromClaim", "FromClass"];

const longer = (value: unknown, max: number, path: string): FieldError[] =>
  String(value).length > max ? [fieldTooLong(path, max)] : [];

/** Mistakes of the name of a driver. */
export const driverErrors = (value: unknown, path: string): FieldError[] =>
  value ? [...longer(value, DRIVER_MAX, path), ...subdomainErrorsAt(value, path)] : [fieldRequired(path)];

/** Mistakes of the name of a pool. */
export const poolErrors = (value: unknown, path: string): FieldError[] =>
  value
    ? [
        ...longer(value, POOL_MAX, path),
        ...String(value)
          .split("/")
          .flatMap((part) => subdomainErrorsAt(part, path)),
      ]
    : [fieldRequired(path)];

const deviceErrors = (device: Json, path: string): FieldError[] => [
  ...driverErrors(device["driver"], `${path}.driver`),
  ...poolErrors(device["pool"], `${path}.pool`),
  ...dnsLabelErrors(device["device"], `${path}.device`),
];

/** A device as refusals show it. */
const shownDevice = (device: Json) => ({
  Driver: device["driver"] ?? "",
  Pool: device["pool"] ?? "",
  Device: device["device"] ?? "",
  ShareID: device["shareID"] ?? "",
});
const keyOf = (device: Json) => JSON.stringify(shownDevice(device));

/** `named` and `configured` are the rules that the spec of a claim has as well. */
export function claimStatusErrors(
  status: Json,
  named: (holder: Json, path: string) => readonly FieldError[],
  configured: (config: Json, path: string) => readonly FieldError[],
): FieldError[] {
  const allocation = status["allocation"];
  const results = listAt(allocation, "devices.results");
  const given = new Set(results.map(keyOf));
  const path = "status.allocation.devices";
  return [
    ...usedErrors(listAt(status, "devices"), given),
    ...consumerErrors(status),
    ...results.flatMap((result, at) => {
      const place = `${path}.results[${at}]`;
      const asked = named({ requests: [result["request"] ?? ""] }, place).map((error) => ({
        ...error,
        field: `${place}.request`,
      }));
      return [...asked, ...deviceErrors(result, place)];
    }),
    ...listAt(allocation, "devices.config").flatMap((config, at) => {
      const place = `${path}.config[${at}]`;
      const source = config["source"];
      return [
        ...(source
          ? SOURCES.includes(String(source))
            ? []
            : [fieldNotSupported(`${place}.source`, source, SOURCES)]
          : [fieldRequired(`${place}.source`)]),
        ...named(config, place),
        ...configured(config, place),
      ];
    }),
    ...(isMap(valueAt(allocation, "nodeSelector"))
      ? nodeSelectorErrors(valueAt(allocation, "nodeSelector") as Json, "status.allocation.nodeSelector")
      : []),
  ];
}

/** Who may use what was given; nobody may before it is. */
function consumerErrors(status: Json): FieldError[] {
  const consumers = listAt(status, "reservedFor");
  const wasThere = repetitions();
  const missing = consumers.flatMap((consumer, at) =>
    ["resource", "name", "uid"]
      .filter((part) => !consumer[part])
      .map((part) => fieldRequired(`status.reservedFor[${at}].${part}`)),
  );
  // Who is there twice is told behind what is missing.
  const repeated = consumers.flatMap(({ uid }, at) =>
    wasThere(uid) && uid !== undefined ? [fieldDuplicate(`status.reservedFor[${at}]`, uid)] : [],
  );
  const errors = [...missing, ...repeated];
  if (consumers.length > 0 && !isMap(status["allocation"]))
    errors.push(fieldForbidden("status.reservedFor", "may not be specified when `allocated` is not set"));
  return errors;
}

/** What drivers say of the devices they gave. */
function usedErrors(devices: readonly Json[], given: ReadonlySet<string>): FieldError[] {
  const wasThere = repetitions();
  return devices.flatMap((device, at) => {
    const path = `status.devices[${at}]`;
    const key = keyOf(device);
    const isRepeated = wasThere(key);
    const data = device["data"];
    return [
      ...deviceErrors(device, path),
      ...(isRepeated ? [fieldDuplicate(path, shownDevice(device))] : []),
      ...(given.has(key) ? [] : [fieldInvalid(path, shownDevice(device), "must be an allocated device in the claim")]),
      ...conditionStatusErrors(listAt(device, "conditions"), `${path}.conditions`),
      ...(data === undefined || data === null || isMap(data)
        ? []
        : [fieldInvalid(`${path}.data`, "<value omitted>", "must be a valid JSON object")]),
      ...networkErrors((device["networkData"] ?? {}) as Json, `${path}.networkData`),
    ];
  });
}

function networkErrors(network: Json, path: string): FieldError[] {
  const wasThere = repetitions();
  return [
    ...longer(network["interfaceName"] ?? "", INTERFACE_MAX, `${path}.interfaceName`),
    ...longer(network["hardwareAddress"] ?? "", HARDWARE_ADDRESS_MAX, `${path}.hardwareAddress`),
    ...(listAt(network, "ips") as readonly unknown[]).flatMap((value, at) => {
      const place = `${path}.ips[${at}]`;
      const text = String(value ?? "");
      const isRepeated = wasThere(text);
      return [
        ...(isInterfaceAddress(text)
          ? []
          : [fieldInvalid(place, text, "must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)")]),
        ...(isRepeated ? [fieldDuplicate(place, text)] : []),
      ];
    }),
  ];
}

/** An address with the length of its network. */
function isInterfaceAddress(text: string): boolean {
  const [address = "", bits = "", ...more] = text.split("/");
  const family = isIP(address);
  return family !== 0 && more.length === 0 && /^(0|[1-9]\d*)$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128);
}
