import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import type { Clock } from "#base";
import type { EstimatorClientConfig } from "#config";
import type { ClientSecurity, DiscoveryOptions } from "#estimator";
import { followedFile } from "./access.ts";
import { followedPair } from "./serving.ts";

/** The text of a file a flag names, as it is now; none where the flag is not given. Throws where it cannot be read at first. */
export const fileOf = (flag: string, path: string | undefined, clock: Clock): (() => string) | undefined =>
  path === undefined ? undefined : followedFile(flag, path, clock);

/** How estimators elsewhere are found and asked, from flags; files are read. */
export function discoveryOf(
  config: EstimatorClientConfig & { readonly disableSchedulerEstimatorInPullMode?: boolean },
  clock: Clock,
): DiscoveryOptions {
  const certificate = fileOf("scheduler-estimator-cert-file", config.schedulerEstimatorCertFile, clock);
  const key = fileOf("scheduler-estimator-key-file", config.schedulerEstimatorKeyFile, clock);
  if ((certificate === undefined) !== (key === undefined))
    throw new Error("--scheduler-estimator-cert-file and --scheduler-estimator-key-file must be given together");
  const authority = fileOf("scheduler-estimator-ca-file", config.schedulerEstimatorCaFile, clock);
  const pair =
    certificate === undefined || key === undefined
      ? undefined
      : followedPair("scheduler-estimator-cert-file", certificate, key);
  const security = (): ClientSecurity => ({
    ...(authority === undefined ? {} : { authority: authority() }),
    ...pair?.(),
    skipsVerify: config.insecureSkipEstimatorVerify,
  });
  return {
    namespace: config.schedulerEstimatorServiceNamespace,
    prefix: config.schedulerEstimatorServicePrefix,
    port: config.schedulerEstimatorPort,
    skipsPullMode: config.disableSchedulerEstimatorInPullMode ?? false,
    security,
  };
}

/** The URL of a user's module: a file by its path, or a package by its name, seen from the present folder. */
export function pluginUrl(given: string, flag: string): string {
  if (/^(file|data):/.test(given)) return given;
  const path = resolve(given);
  if (existsSync(path)) return pathToFileURL(path).href;
  try {
    return pathToFileURL(createRequire(resolve("package.json")).resolve(given)).href;
  } catch (error) {
    throw new Error(`${flag}: there is no file and no package ${JSON.stringify(given)}`, { cause: error });
  }
}
