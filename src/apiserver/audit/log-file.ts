import {
  createWriteStream,
  existsSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  type WriteStream,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import type { Clock } from "#base";

/** Where audit events go, one line each. */
export interface AuditSink {
  write(line: string): void;
  /** Resolves when everything is written. */
  close(): Promise<void>;
}

export interface AuditFileOptions {
  /** A file, or `-` for standard output. */
  readonly path: string;
  /** MiB after which a new file begins; 0 never. */
  readonly sizeMax: number;
  /** Old files kept; 0 for all. */
  readonly backupsMax: number;
  /** Days old files are kept; 0 for ever. */
  readonly ageDaysMax: number;
  readonly clock: Clock;
}

const MIB = 1024 * 1024;
const DAY_MS = 86_400_000;

/** Appends to a file that only its owner reads, and sets full ones aside under their time. */
export function openAuditFile(options: AuditFileOptions): AuditSink {
  if (options.path === "-") return standardOutput;
  const { path, sizeMax, clock } = options;
  let bytes = existsSync(path) ? statSync(path).size : 0;
  let stream = open(path);
  const closing: Promise<void>[] = [];

  function turn(): void {
    closing.push(ended(stream));
    const time = new Date(clock.now()).toISOString().replaceAll(":", "-");
    const dot = path.lastIndexOf(".");
    const [stem, extension] = dot > path.lastIndexOf("/") ? [path.slice(0, dot), path.slice(dot)] : [path, ""];
    renameSync(path, `${stem}-${time}${extension}`);
    removeOld(options);
    stream = open(path);
    bytes = 0;
  }

  return {
    write(line) {
      const length = Buffer.byteLength(line) + 1;
      if (sizeMax > 0 && bytes > 0 && bytes + length > sizeMax * MIB) turn();
      bytes += length;
      stream.write(`${line}\n`);
    },
    async close() {
      await Promise.all([...closing, ended(stream)]);
    },
  };
}

const standardOutput: AuditSink = {
  write: (line) => void process.stdout.write(`${line}\n`),
  close: () => Promise.resolve(),
};

// Opened at once: a file that is set aside before its first line is written must be there.
const open = (path: string): WriteStream => createWriteStream("", { fd: openSync(path, "a", 0o600) });
const ended = (stream: WriteStream): Promise<void> => new Promise((resolve) => void stream.end(() => resolve()));

function removeOld({ path, backupsMax, ageDaysMax, clock }: AuditFileOptions): void {
  const folder = dirname(path);
  const stem = basename(path).replace(/\.[^.]*$/, "");
  const old = readdirSync(folder)
    .filter((name) => name.startsWith(`${stem}-`) && /-\d{4}-\d\d-\d\dT/.test(name))
    .sort()
    .reverse();
  for (const [at, name] of old.entries()) {
    const isTooMany = backupsMax > 0 && at >= backupsMax;
    const isTooOld = ageDaysMax > 0 && statSync(join(folder, name)).mtimeMs < clock.now() - ageDaysMax * DAY_MS;
    if (isTooMany || isTooOld) rmSync(join(folder, name));
  }
}
