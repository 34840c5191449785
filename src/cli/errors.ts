/** A command line that cannot be understood. */
export class UsageError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "UsageError";
  }
}

export const unknownCommand = (program: string, word: string): Error =>
  new Error(`unknown command ${JSON.stringify(word)} for ${JSON.stringify(program)}`);
export const unknownFlag = (word: string): UsageError => new UsageError(`unknown flag: ${word}`);
