import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { makeFolder } from "./folder.ts";

const scratch = mkdtempSync(join(tmpdir(), "flotilla-folder-"));
afterAll(() => rmSync(scratch, { recursive: true }));

test("makes a folder and those above it for their owner alone, and leaves what is there", () => {
  const path = join(scratch, "a", "b");
  makeFolder(path);
  makeFolder(path);
  expect(statSync(path).mode & 0o777).toBe(0o700);
  expect(statSync(join(scratch, "a")).mode & 0o777).toBe(0o700);
});

test("a file in the way is named", () => {
  const file = join(scratch, "file");
  writeFileSync(file, "");
  expect(() => makeFolder(file)).toThrow(`EEXIST: file already exists, mkdir '${file}'`);
  expect(() => makeFolder(join(file, "below"))).toThrow("ENOTDIR");
});

test.runIf(process.platform === "linux")("a file system that takes no folders is told of at once", () => {
  expect(() => makeFolder("/proc/flotilla/data")).toThrow("mkdir '/proc/flotilla'");
});
