/** A script failed: it does not compile, raised an error, or gave what it must not. */
export class LuaError extends Error {
  override readonly name: string = "LuaError";
}

/** A script was stopped because it used more than its share of time or memory. */
export class LuaLimitError extends LuaError {
  override readonly name = "LuaLimitError";
}
