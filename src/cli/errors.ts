/** A command line that cannot be understood. */
export class UsageError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "UsageError";
  }
}

/** `known` are the commands that begin with the word and go on otherwise. */
export function unknownCommand(program: string, word: string, known: readonly string[]): Error {
  const rest = known.length === 0 ? "" : `; there is ${known.map((name) => `"${program} ${name}"`).join(", ")}`;
  return new Error(`unknown command ${JSON.stringify(word)} for ${JSON.stringify(program)}${rest}`);
}
export const unknownFlag = (word: string): UsageError => new UsageError(`unknown flag: ${word}`);
