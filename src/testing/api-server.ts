import { generateKeyPairSync } from "node:crypto";
import { type RunningApiServer, startApiServer, type StartOptions } from "#apiserver";
import { seededRandom, silentLogger, systemClock } from "#base";
import { createMemoryBackend } from "#store";

const serviceAccountKeys = generateKeyPairSync("rsa", {
  modulusLength: 2048,
  publicKeyEncoding: { type: "spki", format: "pem" },
  privateKeyEncoding: { type: "pkcs8", format: "pem" },
});

/** An API server in memory without controllers, on the real clock unless `options` says otherwise. */
export function startTestApiServer(options: Partial<StartOptions> = {}): Promise<RunningApiServer> {
  return startApiServer({
    backend: createMemoryBackend(),
    clock: systemClock,
    random: seededRandom(1),
    log: silentLogger,
    serviceAccountKeys,
    ...options,
  });
}
