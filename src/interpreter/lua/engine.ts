import { LuaError, LuaLimitError } from "./errors.ts";
import { type EmptyTables, pushJson, readJson, typeName } from "./convert.ts";
import {
  type Budget,
  isExhausted,
  jsText,
  lauxlib,
  lua,
  type LuaState,
  luaText,
  startBudget,
  stepsUsed,
} from "./fengari.ts";
import { type LibraryOptions, openSandbox, type Sandbox } from "./libraries.ts";

export interface LuaOptions extends LibraryOptions {
  /** Instructions one call may run; the default is what takes some tens of milliseconds. */
  readonly stepsMax?: number;
  /** Bytes one call may allocate, roughly. */
  readonly bytesMax?: number;
}

/** What a call of a script gave. */
export interface LuaResult {
  /** The values the function returned, as many as were asked for; empty tables are `EmptyTable`. */
  readonly values: readonly unknown[];
  /** The Lua type of each value. */
  readonly types: readonly string[];
  readonly steps: number;
}

/** Runs Lua scripts, each call in an environment of its own. Scripts are compiled once and kept while they are used. */
export interface LuaEngine {
  /** Throws `LuaError` when the script does not compile. */
  check(script: string): void;
  /** Loads the script; throws `LuaError` when that fails or the global function `name` is not there. */
  probe(script: string, name: string): void;
  /** Loads the script, then calls its global function `name`. Throws `LuaError`. */
  call(script: string, name: string, given: readonly unknown[], wanted: number): LuaResult;
}

/** Compiled scripts kept; beyond that the state is made anew. */
const SCRIPTS_MAX = 500;
const CHUNK = luaText("=<string>");

interface Machine {
  readonly state: LuaState;
  readonly sandbox: Sandbox;
  readonly chunks: Map<string, number>;
}

export function createLuaEngine(options: LuaOptions): LuaEngine {
  const budget: Budget = { stepsMax: options.stepsMax ?? 2_000_000, bytesMax: options.bytesMax ?? 128 * 1024 * 1024 };
  let machine: Machine | undefined;
  const open = (): Machine => {
    if (machine !== undefined && machine.chunks.size < SCRIPTS_MAX) return machine;
    const state = lauxlib.luaL_newstate();
    // Errors of the host, such as too deep a recursion, become errors of the script.
    lua.lua_atnativeerror(state, (L) => {
      const error = lua.lua_touserdata(L, -1);
      lua.lua_pushstring(L, luaText(error instanceof Error ? error.message : String(error)));
      return 1;
    });
    startBudget({ stepsMax: Number.POSITIVE_INFINITY, bytesMax: Number.POSITIVE_INFINITY });
    return (machine = { state, sandbox: openSandbox(state, options), chunks: new Map() });
  };
  const compile = ({ state, chunks }: Machine, script: string): number => {
    const known = chunks.get(script);
    if (known !== undefined) return known;
    const text = luaText(script);
    if (lauxlib.luaL_loadbuffer(state, text, text.length, CHUNK) !== lua.LUA_OK) throw errorOf(state);
    const chunk = lauxlib.luaL_ref(state, lua.LUA_REGISTRYINDEX);
    chunks.set(script, chunk);
    return chunk;
  };
  const run = (state: LuaState, given: number, wanted: number) => {
    if (lua.lua_pcall(state, given, wanted, 0) === lua.LUA_OK) return;
    const error = errorOf(state);
    // A machine that was stopped in the middle of something is not used again.
    if (isExhausted()) machine = undefined;
    throw isExhausted() ? new LuaLimitError(error.message) : error;
  };
  /** Runs `work` on the machine and leaves its stack empty, whatever happens. */
  const using = <T>(work: (machine: Machine) => T): T => {
    const own = open();
    try {
      return work(own);
    } catch (error) {
      // What went wrong outside the script may have left the machine in the middle of something.
      if (!(error instanceof LuaError)) machine = undefined;
      throw error;
    } finally {
      lua.lua_sethook(own.state, () => undefined, 0, 0);
      lua.lua_settop(own.state, 0);
    }
  };
  /** Runs a script's top level in an environment of its own and leaves its function `name` on the stack. */
  const load = (own: Machine, script: string, name: string): void => {
    const { state, sandbox } = own;
    const chunk = compile(own, script);
    startBudget(budget);
    lua.lua_sethook(state, () => undefined, lua.LUA_MASKCOUNT, 1);
    lua.lua_rawgeti(state, lua.LUA_REGISTRYINDEX, chunk);
    sandbox.pushEnvironment();
    lua.lua_pushvalue(state, -1);
    lua.lua_setupvalue(state, -3, 1);
    // The environment stays at 1, the chunk at 2.
    lua.lua_insert(state, -2);
    run(state, 0, 0);
    lua.lua_pushstring(state, luaText(name));
    lua.lua_rawget(state, 1);
    const type = typeName(state, -1);
    if (type === "nil") throw new LuaError(`not found function ${name}`);
    if (type !== "function") throw new LuaError(`${name} is not a function: ${type}`);
  };
  return {
    check: (script) => using((own) => void compile(own, script)),
    probe: (script, name) => using((own) => load(own, script, name)),
    call: (script, name, given, wanted) =>
      using((own) => {
        const { state } = own;
        load(own, script, name);
        const empties: EmptyTables = new WeakMap();
        for (const value of given) pushJson(state, value, empties);
        run(state, given.length, wanted);
        const top = lua.lua_gettop(state);
        const at = Array.from({ length: wanted }, (_, index) => top - wanted + 1 + index);
        const types = at.map((index) => typeName(state, index));
        const values = at.map((index) => {
          try {
            return readJson(state, index, empties);
          } catch (error) {
            throw new LuaError(error instanceof Error ? error.message : String(error));
          }
        });
        return { values, types, steps: stepsUsed() };
      }),
  };
}

function errorOf(state: LuaState): LuaError {
  const text = lua.lua_tolstring(state, -1);
  return new LuaError(text === null ? `error object is a ${typeName(state, -1)} value` : jsText(text));
}
