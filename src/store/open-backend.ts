import type { Backend } from "./backend.ts";
import { StoreError } from "./errors.ts";
import { openFileBackend } from "./file.ts";
import { createMemoryBackend } from "./memory.ts";

/** Opens a store by URL. A scheme nobody knows is refused by name. */
export function openBackend(url: string): Backend {
  if (url === "memory://" || url === "memory:") return createMemoryBackend();
  if (url.startsWith("file:")) return openFileBackend(url.slice("file:".length).replace(/^\/\/(?=\/)/, ""));
  throw new StoreError("STORE_UNKNOWN_SCHEME", `--store ${url}: known are memory:// and file:FOLDER`);
}
