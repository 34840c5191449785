import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import type { EstimatorClientConfig } from "#config";
import type { ClientSecurity, DiscoveryOptions } from "#estimator";

/** Reads a file a flag names. Throws with the flag's name. */
export function fileOf(flag: string, path: string | undefined): string | undefined {
  if (path === undefined) return undefined;
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new Error(`--${flag}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

/** How estimators elsewhere are found and asked, from flags; files are read. */
export function discoveryOf(
  config: EstimatorClientConfig & { readonly disableSchedulerEstimatorInPullMode?: boolean },
): DiscoveryOptions {
  const certificate = fileOf("scheduler-estimator-cert-file", config.schedulerEstimatorCertFile);
  const key = fileOf("scheduler-estimator-key-file", config.schedulerEstimatorKeyFile);
  if ((certificate === undefined) !== (key === undefined))
    throw new Error("--scheduler-estimator-cert-file and --scheduler-estimator-key-file must be given together");
  const authority = fileOf("scheduler-estimator-ca-file", config.schedulerEstimatorCaFile);
  const security: ClientSecurity = {
    ...(authority === undefined ? {} : { authority }),
    ...(certificate === undefined || key === undefined ? {} : { certificate, key }),
    skipsVerify: config.insecureSkipEstimatorVerify,
  };
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
