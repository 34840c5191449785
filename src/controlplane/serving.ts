import { createPrivateKey, X509Certificate } from "node:crypto";
import type { Listener, ServingCertificate } from "#apiserver";
import type { Clock, Logger, Timer } from "#base";
import type { Pki } from "#certs";
import type { ServerConfig } from "#config";
import { followedFile } from "./access.ts";

/** The certificate a control plane serves with, kept fresh while it runs. */
export interface Serving {
  readonly present: ServingCertificate;
  /** Hands new certificates to a listener as they come. */
  follow(listener: Listener): void;
  stop(): void;
}

export interface ServingOptions {
  readonly config: Pick<ServerConfig, "tlsCertFile" | "tlsPrivateKeyFile">;
  readonly clock: Clock;
  readonly log: Logger;
  readonly pki: Pki;
  /** Loads our own certificates again, renewed where their end is near. */
  readonly renew?: () => Promise<Pki>;
  readonly authorities: () => string;
}

const LOOK_AGAIN_MS = 30_000;
const RENEW_EVERY_MS = 12 * 3_600_000;

/** Follows the files of `--tls-cert-file`, or renews our own certificate. Throws when the files are no pair. */
export function followServing(options: ServingOptions): Serving {
  const { config, clock, log, authorities } = options;
  const { tlsCertFile, tlsPrivateKeyFile } = config;
  if ((tlsCertFile === undefined) !== (tlsPrivateKeyFile === undefined))
    throw new Error("--tls-cert-file and --tls-private-key-file: one is needed with the other");
  const files =
    tlsCertFile === undefined || tlsPrivateKeyFile === undefined
      ? undefined
      : {
          certificate: followedFile("tls-cert-file", tlsCertFile, clock),
          key: followedFile("tls-private-key-file", tlsPrivateKeyFile, clock),
        };
  let own = options.pki.server;
  const read = (): ServingCertificate => ({
    certificate: files?.certificate() ?? own.certificate,
    key: files?.key() ?? own.key,
    clientAuthority: authorities(),
  });
  const first = read();
  const wrong = mismatch(first);
  if (wrong !== undefined) throw new Error(`--tls-cert-file: ${wrong}`);
  let present = first;
  let timer: Timer | undefined;
  let renewedMs = clock.now();
  let isStopped = false;

  async function look(listener: Listener): Promise<void> {
    if (options.renew !== undefined && files === undefined && Math.abs(clock.now() - renewedMs) >= RENEW_EVERY_MS) {
      renewedMs = clock.now();
      try {
        own = (await options.renew()).server;
      } catch (error) {
        log.error("certificates could not be renewed; the present ones stay", { error });
      }
    }
    const next = read();
    const isSame = (["certificate", "key", "clientAuthority"] as const).every((part) => next[part] === present[part]);
    if (isSame || isStopped) return;
    const trouble = mismatch(next);
    // The two files are replaced one after the other: until they fit, the old pair stays.
    if (trouble !== undefined) return log.warn("the serving certificate was not taken", { reason: trouble });
    present = next;
    listener.renew(next);
    log.info("serving with another certificate", { until: new X509Certificate(next.certificate).validTo });
  }

  return {
    present: first,
    follow(listener) {
      const again = () => {
        if (isStopped) return;
        timer = clock.after(LOOK_AGAIN_MS, () => void look(listener).finally(again));
      };
      again();
    },
    stop() {
      isStopped = true;
      timer?.cancel();
    },
  };
}

/**
 * A certificate and its key from two files that are replaced one after the other: until they fit, the old pair stays.
 * Throws with the flag where they do not fit at first.
 */
export function followedPair(
  flag: string,
  certificate: () => string,
  key: () => string,
): () => { readonly certificate: string; readonly key: string } {
  let pair = { certificate: certificate(), key: key() };
  const wrong = mismatch(pair);
  if (wrong !== undefined) throw new Error(`--${flag}: ${wrong}`);
  return () => {
    const next = { certificate: certificate(), key: key() };
    const isSame = next.certificate === pair.certificate && next.key === pair.key;
    if (!isSame && mismatch(next) === undefined) pair = next;
    return pair;
  };
}

/** Why a certificate and a key are no pair; `undefined` when they are one. */
function mismatch({ certificate, key }: Pick<ServingCertificate, "certificate" | "key">): string | undefined {
  try {
    return new X509Certificate(certificate).checkPrivateKey(createPrivateKey(key))
      ? undefined
      : "the key is not the certificate's";
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
