import { readFileSync } from "node:fs";

const PAGE_BYTES = 4096;

/** Bytes of files that are in this process's memory at present; 0 where the system does not say. */
export function mappedBytes(): number {
  try {
    // Pages: all, in memory, and of those the ones of files or shared memory.
    return Number(readFileSync("/proc/self/statm", "latin1").split(" ")[2]) * PAGE_BYTES;
  } catch {
    return 0;
  }
}
