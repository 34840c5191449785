import type { Readable, Writable } from "node:stream";
import type { KubeObject } from "#machinery";

/** What a program in a simulated container knows, and where it reads and writes. */
export interface Surroundings {
  readonly pod: KubeObject;
  readonly container: string;
  readonly env: readonly { readonly name: string; readonly value?: string }[];
  readonly now: () => number;
  /** Absent where nothing is sent. */
  readonly stdin: Readable | undefined;
  readonly stdout: Writable;
  readonly stderr: Writable;
  /** Whether a terminal is on the other side: what is typed is shown. */
  readonly isTerminal: boolean;
}

type Run = (args: readonly string[], around: Surroundings) => number | Promise<number>;

const NOT_FOUND = 127;
const STDIN_BYTES_MAX = 16 * 1024 * 1024;
const LINE_BYTES_MAX = 64 * 1024;

const variablesOf = ({ env, pod }: Surroundings): readonly (readonly [string, string])[] => [
  ["PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
  ["HOSTNAME", pod.metadata.name ?? ""],
  ...env.map(({ name, value }) => [name, value ?? ""] as const),
];

const filesOf = (around: Surroundings): Readonly<Record<string, string>> => ({
  "/etc/hostname": `${around.pod.metadata.name}\n`,
  "/var/run/secrets/kubernetes.io/serviceaccount/namespace": around.pod.metadata.namespace ?? "",
});

async function cat(files: readonly string[], around: Surroundings): Promise<number> {
  let code = 0;
  for (const file of files.length === 0 ? ["-"] : files) {
    if (file === "-") {
      code = Math.max(code, await copyInput(around));
      continue;
    }
    const text = filesOf(around)[file];
    if (text === undefined) {
      around.stderr.write(`cat: ${file}: No such file or directory\n`);
      code = 1;
    } else around.stdout.write(text);
  }
  return code;
}

async function copyInput({ stdin, stdout, stderr, isTerminal }: Surroundings): Promise<number> {
  if (stdin === undefined) return 0;
  let bytes = 0;
  for await (const chunk of stdin as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > STDIN_BYTES_MAX) {
      stderr.write("standard input is too large\n");
      return 1;
    }
    // The end of a file, as terminals send it.
    const end = isTerminal ? chunk.indexOf(4) : -1;
    if (chunk.length > 0) stdout.write(end < 0 ? chunk : chunk.subarray(0, end));
    if (end >= 0) break;
  }
  return 0;
}

/** The programs every simulated container has; whatever else is asked for is not found, as in an empty image. */
const PROGRAMS: Readonly<Record<string, Run>> = {
  true: () => 0,
  false: () => 1,
  cat,
  echo: (args, { stdout }) => {
    const [first, ...rest] = args;
    stdout.write(first === "-n" ? rest.join(" ") : `${args.join(" ")}\n`);
    return 0;
  },
  hostname: (_args, { pod, stdout }) => {
    stdout.write(`${pod.metadata.name}\n`);
    return 0;
  },
  date: (_args, { now, stdout }) => {
    stdout.write(`${new Date(now()).toUTCString()}\n`);
    return 0;
  },
  pwd: (_args, { stdout }) => {
    stdout.write("/\n");
    return 0;
  },
  env: (_args, around) => {
    around.stdout.write(
      variablesOf(around)
        .map(([name, value]) => `${name}=${value}\n`)
        .join(""),
    );
    return 0;
  },
  sh: shell,
};
const SHELLS = new Set(["sh", "bash", "ash"]);

/** Runs a command in a simulated container; gives its exit code. */
export function runProgram(command: readonly string[], around: Surroundings): number | Promise<number> {
  const [path = "", ...args] = command;
  const name = path.replace(/^(\/usr)?\/bin\//, "");
  const known = SHELLS.has(name) ? "sh" : name;
  const program = Object.hasOwn(PROGRAMS, known) ? PROGRAMS[known] : undefined;
  if (program !== undefined) return program(args, around);
  around.stderr.write(`exec: ${JSON.stringify(path)}: executable file not found in $PATH (simulated container)\n`);
  return NOT_FOUND;
}

/** Ends the shell it is run in. */
class Exit extends Error {
  readonly code: number;
  constructor(code: number) {
    super(`exit ${code}`);
    this.code = code;
  }
}

/** `sh -c SCRIPT`, or commands line by line from standard input: words, quotes, variables, `;`, `&&` and `||`. */
async function shell(args: readonly string[], around: Surroundings): Promise<number> {
  try {
    if (args[0] === "-c") return await runScript(args[1] ?? "", around, 0);
    if (args.length > 0) {
      around.stderr.write(`sh: can't open '${args[0]}': No such file or directory\n`);
      return 2;
    }
    return await runLines(around);
  } catch (error) {
    if (error instanceof Exit) return error.code;
    throw error;
  }
}

async function runLines(around: Surroundings): Promise<number> {
  const { stdin, stdout, isTerminal } = around;
  let code = 0;
  let line = "";
  const prompt = () => {
    if (isTerminal) stdout.write("$ ");
  };
  prompt();
  for await (const chunk of (stdin ?? []) as AsyncIterable<Buffer>) {
    for (const letter of chunk.toString("utf8")) {
      if (letter === "\u0004" && line === "") return code;
      if (letter === "\u007f") {
        if (isTerminal && line !== "") stdout.write("\b \b");
        line = line.slice(0, -1);
      } else if (letter === "\n" || letter === "\r") {
        if (isTerminal) stdout.write("\n");
        // What a command reads is what the shell is sent: here commands read nothing.
        code = await runScript(line, { ...around, stdin: undefined }, code);
        line = "";
        prompt();
      } else if (line.length < LINE_BYTES_MAX) {
        if (isTerminal) stdout.write(letter);
        line += letter;
      }
    }
  }
  return line === "" ? code : runScript(line, { ...around, stdin: undefined }, code);
}

async function runScript(script: string, around: Surroundings, last: number): Promise<number> {
  let code = last;
  const failed = (what: string): number => {
    around.stderr.write(`sh: syntax error: ${what} (simulated container)\n`);
    return 2;
  };
  for (const { joiner, words, unsupported } of commandsOf(script)) {
    if (unsupported !== undefined) return failed(`${JSON.stringify(unsupported)} is not supported`);
    if ((joiner === "&&" && code !== 0) || (joiner === "||" && code === 0)) continue;
    const [name, ...args] = words
      .map((word) => expand(word, around, code))
      .filter(({ text, isKept }) => isKept || text);
    if (name === undefined) continue;
    if (name.text === "exit") throw new Exit(Number(args[0]?.text ?? code) & 255);
    if (name.text === "cd" || name.text === ":") code = 0;
    else
      code = await runProgram(
        [name, ...args].map(({ text }) => text),
        around,
      );
  }
  return code;
}

/** A word as it is written: pieces, of which those in single quotes stay as they are. */
type Word = readonly { readonly text: string; readonly quote: "" | "'" | '"' }[];

interface Command {
  readonly joiner: string;
  readonly words: readonly Word[];
  readonly unsupported?: string;
}

const TOKEN = /\s*(?:(&&|\|\||;|\n|&|\||>|<|\(|\)|`)|#[^\n]*|((?:'[^']*'|"(?:[^"\\]|\\.)*"|\\.|[^\s;&|<>()'"`\\])+))/gy;
const PIECE = /'([^']*)'|"((?:[^"\\]|\\.)*)"|\\(.)|([^'"\\]+)/gs;

function* commandsOf(script: string): Generator<Command> {
  let words: Word[] = [];
  let joiner = ";";
  TOKEN.lastIndex = 0;
  const text = script.trim();
  while (TOKEN.lastIndex < text.length) {
    const from = TOKEN.lastIndex;
    const match = TOKEN.exec(text);
    if (match === null) return yield { joiner, words: [], unsupported: text.slice(from).trim().slice(0, 20) };
    const [, operator, word] = match;
    if (word !== undefined)
      words.push(
        [...word.matchAll(PIECE)].map(([, single, double, escaped, bare]) =>
          single !== undefined
            ? { text: single, quote: "'" }
            : double !== undefined
              ? { text: double.replace(/\\(["\\$])/g, "$1"), quote: '"' }
              : escaped !== undefined
                ? { text: escaped, quote: "'" }
                : { text: bare ?? "", quote: "" },
        ),
      );
    else if (operator !== undefined) {
      if (!["&&", "||", ";", "\n"].includes(operator)) return yield { joiner, words: [], unsupported: operator };
      yield { joiner, words };
      joiner = operator;
      words = [];
    }
  }
  yield { joiner, words };
}

function expand(word: Word, around: Surroundings, code: number): { readonly text: string; readonly isKept: boolean } {
  const variables = new Map(variablesOf(around));
  const filled = (text: string) =>
    text.replace(/\$(?:\{(\w+)\}|(\w+)|(\?))/g, (_all, braced: string | undefined, bare: string | undefined, result) =>
      result === undefined ? (variables.get(braced ?? bare ?? "") ?? "") : String(code),
    );
  return {
    text: word.map(({ text, quote }) => (quote === "'" ? text : filled(text))).join(""),
    isKept: word.some(({ quote }) => quote !== ""),
  };
}
