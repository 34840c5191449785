import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { kmsMethods } from "#apiserver";

/** What a key manager of tests says of itself, and how often it was asked to open something. */
interface KeyManagerState {
  keyId: string;
  healthz: string;
  version: string;
  decrypts: number;
}

/** A key manager (KMS v2) on a unix socket, whose keys can be rotated and which can be ill. */
export async function startKeyManager(socket: string): Promise<{
  readonly state: KeyManagerState;
  rotate(keyId: string): void;
  stop(): void;
}> {
  const keys = new Map([["key-1", randomBytes(32)]]);
  const state: KeyManagerState = { keyId: "key-1", healthz: "ok", version: "v2", decrypts: 0 };
  const server = new Server();
  server.addService(kmsMethods, {
    Status: (_call: unknown, reply: (error: null, answer: object) => void) =>
      reply(null, { version: state.version, healthz: state.healthz, keyId: state.keyId }),
    Encrypt: (call: { request: { plaintext: Buffer } }, reply: (error: null, answer: object) => void) => {
      const nonce = randomBytes(12);
      const cipher = createCipheriv("aes-256-gcm", keys.get(state.keyId) as Buffer, nonce);
      const sealed = Buffer.concat([nonce, cipher.update(call.request.plaintext), cipher.final(), cipher.getAuthTag()]);
      reply(null, { ciphertext: sealed, keyId: state.keyId, annotations: { "kms.example.com": Buffer.from("x") } });
    },
    Decrypt: (
      call: { request: { ciphertext: Buffer; keyId: string; annotations: Record<string, Buffer> } },
      reply: (error: Error | null, answer?: object) => void,
    ) => {
      state.decrypts++;
      const { ciphertext, keyId, annotations } = call.request;
      const secret = keys.get(keyId);
      if (secret === undefined || annotations["kms.example.com"]?.toString() !== "x")
        return reply(new Error("no such key"));
      const end = ciphertext.length - 16;
      const decipher = createDecipheriv("aes-256-gcm", secret, ciphertext.subarray(0, 12));
      decipher.setAuthTag(ciphertext.subarray(end));
      reply(null, { plaintext: Buffer.concat([decipher.update(ciphertext.subarray(12, end)), decipher.final()]) });
    },
  });
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix:${socket}`, ServerCredentials.createInsecure(), (error) =>
      error === null ? resolve() : reject(error),
    );
  });
  return {
    state,
    rotate(keyId: string) {
      keys.set(keyId, randomBytes(32));
      state.keyId = keyId;
    },
    stop: () => server.forceShutdown(),
  };
}
