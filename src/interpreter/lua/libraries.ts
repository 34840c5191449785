import { assert } from "#base";
import {
  charge,
  jsText,
  lauxlib,
  lua,
  lualib,
  type LuaState,
  luaText,
  type Native,
  numberText,
  raise,
} from "./fengari.ts";
import { formatText } from "./format.ts";
import { kubeLibrary } from "./kube.ts";
import { matchPattern } from "./patterns.ts";
import { timeLibrary } from "./time.ts";

/** What the libraries are given from outside. */
export interface LibraryOptions {
  /** Seconds since 1970. */
  readonly now: () => number;
  readonly print?: (line: string) => void;
}

export interface Sandbox {
  /** Makes the environment the next call runs in; it is left on the stack. */
  pushEnvironment(): void;
}

const TEXT_MAX = 1_000_000;
const FORBIDDEN = [
  "collectgarbage",
  "dofile",
  "getfenv",
  "getmetatable",
  "load",
  "loadfile",
  "loadstring",
  "rawequal",
  "rawget",
  "rawset",
  "setfenv",
  "setmetatable",
  "module",
  "newproxy",
];
const BASE = ["assert", "error", "ipairs", "next", "pairs", "pcall", "select", "type", "xpcall"];
const MATH = [
  "abs",
  "acos",
  "asin",
  "atan",
  "cos",
  "deg",
  "exp",
  "fmod",
  "log",
  "max",
  "min",
  "modf",
  "rad",
  "sin",
  "sqrt",
  "tan",
]; // prettier-ignore

const forbidden =
  (name: string): Native =>
  (L) =>
    raise(L, `call function ${name} is not supported in karmada customized resourceinterpreter.`);
const unsupported =
  (name: string): Native =>
  (L) =>
    raise(
      L,
      `The Lua function ${name} is not supported by Karmada. If you believe this function is essential for your use case, please submit an issue to let us know why you need it.`,
    );

/** A text argument, counted by its length. */
function textAt(L: LuaState, index: number): Uint8Array {
  const text = lauxlib.luaL_checklstring(L, index);
  if (text.length > TEXT_MAX) raise(L, `string argument is longer than ${TEXT_MAX} bytes`);
  charge(L, text.length >> 4);
  return text;
}

/** What a value reads like, counted by its length. */
function shownAt(L: LuaState, index: number): string {
  if (lua.lua_type(L, index) === lua.LUA_TNUMBER) return numberText(lua.lua_tonumber(L, index));
  const text = jsText(lauxlib.luaL_tolstring(L, index));
  lua.lua_pop(L, 1);
  charge(L, text.length >> 4, text.length);
  return text;
}

function giveText(L: LuaState, text: Uint8Array | string): number {
  charge(L, text.length >> 4, text.length);
  lua.lua_pushstring(L, typeof text === "string" ? luaText(text) : text);
  return 1;
}

function give(L: LuaState, value: number): number {
  lua.lua_pushnumber(L, value);
  return 1;
}

/** A whole number argument; absent is `fallback`. */
function positionAt(L: LuaState, index: number, fallback: number): number {
  return lua.lua_isnoneornil(L, index) ? fallback : Math.trunc(lauxlib.luaL_checknumber(L, index));
}

/** The 0-based half-open range of Lua's 1-based `i`, `j`, where negatives count from the end. */
function rangeOf(length: number, i: number, j: number): readonly [start: number, end: number] {
  const start = i < 0 ? Math.max(length + i, 0) : i === 0 ? 0 : i - 1;
  const end = j < 0 ? length + j + 1 : Math.min(j, length);
  return [start, Math.max(start, end)];
}

function guarded<T>(L: LuaState, run: () => T): T {
  try {
    return run();
  } catch (error) {
    if (error instanceof Error) return raise(L, error.message);
    throw error;
  }
}

function pushCaptures(L: LuaState, captures: readonly (Uint8Array | number)[]): number {
  lauxlib.luaL_checkstack(L, captures.length, null);
  for (const capture of captures)
    if (typeof capture === "number") lua.lua_pushnumber(L, capture);
    else giveText(L, capture);
  return captures.length;
}

function search(L: LuaState, isFind: boolean): number {
  const source = textAt(L, 1);
  const pattern = textAt(L, 2);
  const [from] = rangeOf(source.length, positionAt(L, 3, 1), -1);
  if (from > source.length) {
    lua.lua_pushnil(L);
    return 1;
  }
  if (isFind && lua.lua_toboolean(L, 4)) {
    const at = Buffer.from(source.buffer, source.byteOffset, source.length).indexOf(pattern, from);
    if (at < 0) {
      lua.lua_pushnil(L);
      return 1;
    }
    lua.lua_pushnumber(L, at + 1);
    lua.lua_pushnumber(L, at + pattern.length);
    return 2;
  }
  const match = guardedMatch(L, source, pattern, from);
  if (match === undefined) {
    lua.lua_pushnil(L);
    return 1;
  }
  if (isFind) {
    lua.lua_pushnumber(L, match.start + 1);
    lua.lua_pushnumber(L, match.end);
    return 2 + pushCaptures(L, match.captures);
  }
  return pushCaptures(L, match.captures.length === 0 ? [source.subarray(match.start, match.end)] : match.captures);
}

function guardedMatch(L: LuaState, source: Uint8Array, pattern: Uint8Array, from: number) {
  let pending = 0;
  const step = () => {
    if (++pending < 64) return;
    pending = 0;
    charge(L, 64);
  };
  try {
    return matchPattern(source, pattern, from, step);
  } catch (error) {
    if (error instanceof Error) return raise(L, error.message);
    throw error;
  }
}

const gmatch: Native = (L) => {
  const source = textAt(L, 1);
  const pattern = textAt(L, 2);
  let from = 0;
  lua.lua_pushcfunction(L, (state) => {
    const match = from > source.length ? undefined : guardedMatch(state, source, pattern, from);
    if (match === undefined) {
      lua.lua_pushnil(state);
      return 1;
    }
    from = match.end === match.start ? match.end + 1 : match.end;
    const whole = [source.subarray(match.start, match.end)];
    return pushCaptures(state, match.captures.length === 0 ? whole : match.captures);
  });
  return 1;
};

const format: Native = (L) => {
  let at = 1;
  const pattern = jsText(textAt(L, 1));
  const text = guarded(L, () =>
    formatText(pattern, (verb) => {
      at++;
      if (verb !== "s" && verb !== "q") return lauxlib.luaL_checknumber(L, at);
      if (at > lua.lua_gettop(L)) return raise(L, `bad argument #${at} to 'format' (no value)`);
      return shownAt(L, at);
    }),
  );
  return giveText(L, text);
};

const stringLibrary: Readonly<Record<string, Native>> = {
  byte: (L) => {
    const text = textAt(L, 1);
    const first = positionAt(L, 2, 1);
    const [start, end] = rangeOf(text.length, first, positionAt(L, 3, first));
    lauxlib.luaL_checkstack(L, end - start, null);
    charge(L, end - start, (end - start) * 32);
    for (let at = start; at < end; at++) lua.lua_pushnumber(L, text[at] as number);
    return end - start;
  },
  char: (L) => {
    const bytes = Uint8Array.from({ length: lua.lua_gettop(L) }, (_, at) => lauxlib.luaL_checknumber(L, at + 1));
    return giveText(L, bytes);
  },
  find: (L) => search(L, true),
  format,
  gmatch,
  gfind: gmatch,
  len: (L) => give(L, textAt(L, 1).length),
  lower: (L) =>
    giveText(
      L,
      textAt(L, 1).map((byte) => (byte >= 65 && byte <= 90 ? byte + 32 : byte)),
    ),
  match: (L) => search(L, false),
  reverse: (L) => giveText(L, textAt(L, 1).slice().reverse()),
  sub: (L) => {
    const text = textAt(L, 1);
    const [start, end] = rangeOf(text.length, positionAt(L, 2, 1), positionAt(L, 3, -1));
    return giveText(L, text.subarray(start, end));
  },
  upper: (L) =>
    giveText(
      L,
      textAt(L, 1).map((byte) => (byte >= 97 && byte <= 122 ? byte - 32 : byte)),
    ),
  rep: unsupported("string.rep"),
  gsub: unsupported("string.gsub"),
  dump: unsupported("string.dump"),
};

/** Functions of the machine's table library, counted by the length of the table. */
const counted =
  (native: Native, perItem: (length: number) => number): Native =>
  (L) => {
    if (lua.lua_type(L, 1) === lua.LUA_TTABLE) {
      const length = lua.lua_rawlen(L, 1);
      charge(L, perItem(length));
    }
    return native(L);
  };

function concat(L: LuaState): number {
  lauxlib.luaL_checktype(L, 1, lua.LUA_TTABLE);
  const separator = lua.lua_isnoneornil(L, 2) ? "" : jsText(textAt(L, 2));
  const first = positionAt(L, 3, 1);
  const last = positionAt(L, 4, lua.lua_rawlen(L, 1));
  const parts: string[] = [];
  for (let at = first; at <= last; at++) {
    const type = lua.lua_rawgeti(L, 1, at);
    if (type !== lua.LUA_TSTRING && type !== lua.LUA_TNUMBER)
      return raise(L, `invalid value (at index ${at}) in table for 'concat'`);
    const part = shownAt(L, -1);
    lua.lua_pop(L, 1);
    charge(L, 1 + (separator.length >> 4), separator.length);
    parts.push(part);
  }
  return giveText(L, parts.join(separator));
}

const mathExtras: Readonly<Record<string, Native>> = {
  atan2: (L) => give(L, Math.atan2(lauxlib.luaL_checknumber(L, 1), lauxlib.luaL_checknumber(L, 2))),
  ceil: (L) => give(L, Math.ceil(lauxlib.luaL_checknumber(L, 1))),
  cosh: (L) => give(L, Math.cosh(lauxlib.luaL_checknumber(L, 1))),
  floor: (L) => give(L, Math.floor(lauxlib.luaL_checknumber(L, 1))),
  frexp: (L) => {
    const value = lauxlib.luaL_checknumber(L, 1);
    const power = value === 0 || !Number.isFinite(value) ? 0 : Math.floor(Math.log2(Math.abs(value))) + 1;
    give(L, value / 2 ** power);
    return 1 + give(L, power);
  },
  ldexp: (L) => give(L, lauxlib.luaL_checknumber(L, 1) * 2 ** lauxlib.luaL_checknumber(L, 2)),
  log10: (L) => give(L, Math.log10(lauxlib.luaL_checknumber(L, 1))),
  mod: (L) => give(L, lauxlib.luaL_checknumber(L, 1) % lauxlib.luaL_checknumber(L, 2)),
  pow: (L) => give(L, lauxlib.luaL_checknumber(L, 1) ** lauxlib.luaL_checknumber(L, 2)),
  sinh: (L) => give(L, Math.sinh(lauxlib.luaL_checknumber(L, 1))),
  tanh: (L) => give(L, Math.tanh(lauxlib.luaL_checknumber(L, 1))),
};

/** `math.random` gives the same numbers in every call: what an object means must not depend on chance. */
function randomLibrary(): { readonly random: Native; readonly randomseed: Native; reset(): void } {
  let seed = 1;
  return {
    reset: () => {
      seed = 1;
    },
    random: (L) => {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) & 0x7fff_ffff;
      const share = seed / 0x8000_0000;
      if (lua.lua_gettop(L) === 0) return give(L, share);
      const first = positionAt(L, 1, 1);
      const [low, high] = lua.lua_gettop(L) > 1 ? [first, positionAt(L, 2, first)] : [1, first];
      if (high < low) raise(L, "bad argument to 'random' (interval is empty)");
      return give(L, low + Math.floor(share * (high - low + 1)));
    },
    randomseed: (L) => {
      seed = positionAt(L, 1, 1) & 0x7fff_ffff;
      return 0;
    },
  };
}

const toNumber: Native = (L) => {
  if (lua.lua_isnoneornil(L, 2)) {
    if (lua.lua_type(L, 1) === lua.LUA_TNUMBER) {
      lua.lua_settop(L, 1);
      return 1;
    }
    if (lua.lua_type(L, 1) === lua.LUA_TSTRING && lua.lua_stringtonumber(L, textAt(L, 1)) > 0) return 1;
    lua.lua_pushnil(L);
    return 1;
  }
  const base = positionAt(L, 2, 10);
  if (base < 2 || base > 36) raise(L, "bad argument #2 to 'tonumber' (base out of range)");
  const text = jsText(textAt(L, 1)).trim().toLowerCase();
  const [, sign = "", digits = ""] = /^(-?)([0-9a-z]+)$/.exec(text) ?? [];
  const isNumber = digits !== "" && [...digits].every((digit) => Number.parseInt(digit, 36) < base);
  if (isNumber) lua.lua_pushnumber(L, Number.parseInt(digits, base) * (sign === "-" ? -1 : 1));
  else lua.lua_pushnil(L);
  return 1;
};

const unpack: Native = (L) => {
  lauxlib.luaL_checktype(L, 1, lua.LUA_TTABLE);
  const first = positionAt(L, 2, 1);
  const last = positionAt(L, 3, lua.lua_rawlen(L, 1));
  const count = Math.max(0, last - first + 1);
  if (count > 10_000) raise(L, "too many results to unpack");
  charge(L, count, count * 32);
  lauxlib.luaL_checkstack(L, count, null);
  for (let at = first; at <= last; at++) lua.lua_rawgeti(L, 1, at);
  return count;
};

const getn: Native = (L) => {
  lauxlib.luaL_checktype(L, 1, lua.LUA_TTABLE);
  return give(L, lua.lua_rawlen(L, 1));
};

/** The largest positive number among the keys. */
const maxn: Native = (L) => {
  lauxlib.luaL_checktype(L, 1, lua.LUA_TTABLE);
  let largest = 0;
  lua.lua_pushnil(L);
  while (lua.lua_next(L, 1) !== 0) {
    charge(L, 1);
    lua.lua_pop(L, 1);
    if (lua.lua_type(L, -1) === lua.LUA_TNUMBER) largest = Math.max(largest, lua.lua_tonumber(L, -1));
  }
  return give(L, largest);
};

/** Functions of the machine's own libraries, by name. */
function natives(L: LuaState, open: Native, name: string, members: readonly string[]): Record<string, Native> {
  lauxlib.luaL_requiref(L, luaText(name), open, false);
  const found: Record<string, Native> = {};
  for (const member of members) {
    lua.lua_pushstring(L, luaText(member));
    lua.lua_rawget(L, -2);
    const native = lua.lua_tocfunction(L, -1);
    assert(native !== null, `the Lua machine must have ${name}.${member}`);
    found[member] = native;
    lua.lua_pop(L, 1);
  }
  lua.lua_pop(L, 1);
  return found;
}

type Members = Readonly<Record<string, Native | number>>;

function pushTable(L: LuaState, members: Members): void {
  lua.lua_createtable(L, 0, 0);
  for (const [key, member] of Object.entries(members)) {
    lua.lua_pushstring(L, luaText(key));
    if (typeof member === "number") lua.lua_pushnumber(L, member);
    else lua.lua_pushcfunction(L, member);
    lua.lua_rawset(L, -3);
  }
}

/**
 * Fills a state with what scripts may use. Library tables are made anew when a call first names them, so that nothing one
 * script does to them reaches another.
 */
export function openSandbox(L: LuaState, options: LibraryOptions): Sandbox {
  const sort = (length: number) => length * Math.ceil(Math.log2(length + 2));
  const table = natives(L, lualib.luaopen_table, "table", ["insert", "remove", "sort"]);
  const random = randomLibrary();
  const libraries: Readonly<Record<string, Members>> = {
    string: stringLibrary,
    table: {
      concat,
      getn,
      insert: counted(table["insert"] as Native, (length) => (lua.lua_gettop(L) > 2 ? length : 1)),
      maxn,
      remove: counted(table["remove"] as Native, (length) => (lua.lua_gettop(L) > 1 ? length : 1)),
      sort: counted(table["sort"] as Native, sort),
    },
    math: {
      ...natives(L, lualib.luaopen_math, "math", MATH),
      ...mathExtras,
      random: random.random,
      randomseed: random.randomseed,
      huge: Number.POSITIVE_INFINITY,
      pi: Math.PI,
    },
    os: timeLibrary(options.now),
    kube: kubeLibrary,
  };
  const print: Native = (state) => {
    const words = Array.from({ length: lua.lua_gettop(state) }, (_, at) => shownAt(state, at + 1));
    options.print?.(words.join("\t"));
    return 0;
  };
  const base = natives(L, lualib.luaopen_base, "_G", BASE);

  // environment -> base functions -> libraries made on demand; scripts can reach neither of the latter two tables.
  lua.lua_createtable(L, 1, 0);
  lua.lua_pushvalue(L, -1);
  const holder = lauxlib.luaL_ref(L, lua.LUA_REGISTRYINDEX);
  lua.lua_pop(L, 1);
  const pushEnvironmentItself = () => {
    lua.lua_rawgeti(L, lua.LUA_REGISTRYINDEX, holder);
    lua.lua_rawgeti(L, -1, 1);
    lua.lua_remove(L, -2);
  };
  const library = (name: string) => {
    pushTable(L, libraries[name] as Members);
    pushEnvironmentItself();
    lua.lua_pushstring(L, luaText(name === "kube" ? "\0kube" : name));
    lua.lua_pushvalue(L, -3);
    lua.lua_rawset(L, -3);
    lua.lua_pop(L, 1);
  };
  const kube = () => {
    pushEnvironmentItself();
    lua.lua_pushstring(L, luaText("\0kube"));
    lua.lua_rawget(L, -2);
    lua.lua_remove(L, -2);
    if (lua.lua_type(L, -1) === lua.LUA_TTABLE) return 1;
    lua.lua_pop(L, 1);
    library("kube");
    return 1;
  };
  const loader: Native = () => kube();
  const globals: Members = {
    ...base,
    ...Object.fromEntries(FORBIDDEN.map((name) => [name, forbidden(name)])),
    print,
    tonumber: toNumber,
    tostring: (state) => {
      if (lua.lua_gettop(state) === 0) raise(state, "bad argument #1 to 'tostring' (value expected)");
      return giveText(state, shownAt(state, 1));
    },
    unpack,
    require: (state) => {
      const name = jsText(textAt(state, 1));
      if (name === "kube") return kube();
      if (name in libraries) {
        lua.lua_settop(state, 0);
        lua.lua_pushnil(state);
        lua.lua_pushstring(state, luaText(name));
        return onDemand(state);
      }
      return raise(state, `module ${name} not found:\n\tno field package.preload['${name}'], `);
    },
  };
  const onDemand: Native = (state) => {
    const name = lua.lua_type(state, 2) === lua.LUA_TSTRING ? jsText(lua.lua_tolstring(state, 2) as Uint8Array) : "";
    if (name === "_G") pushEnvironmentItself();
    else if (name === "package") {
      lua.lua_createtable(state, 0, 0);
      lua.lua_pushstring(state, luaText("preload"));
      pushTable(state, { kube: loader });
      lua.lua_rawset(state, -3);
      lua.lua_pushstring(state, luaText("loadlib"));
      lua.lua_pushcfunction(state, forbidden("package.loadlib"));
      lua.lua_rawset(state, -3);
    } else if (name !== "kube" && Object.hasOwn(libraries, name)) library(name);
    else lua.lua_pushnil(state);
    return 1;
  };
  pushTable(L, globals);
  lua.lua_createtable(L, 0, 0);
  lua.lua_pushstring(L, luaText("__index"));
  lua.lua_pushcfunction(L, onDemand);
  lua.lua_rawset(L, -3);
  lua.lua_setmetatable(L, -2);
  lua.lua_createtable(L, 0, 0);
  lua.lua_pushstring(L, luaText("__index"));
  lua.lua_pushvalue(L, -3);
  lua.lua_rawset(L, -3);
  const metatable = lauxlib.luaL_ref(L, lua.LUA_REGISTRYINDEX);
  lua.lua_pop(L, 1);

  // Methods of strings, as in ("x"):upper(), come from a table no script can reach.
  lua.lua_pushstring(L, luaText(""));
  lua.lua_createtable(L, 0, 0);
  lua.lua_pushstring(L, luaText("__index"));
  pushTable(L, stringLibrary);
  lua.lua_rawset(L, -3);
  lua.lua_setmetatable(L, -2);
  lua.lua_settop(L, 0);

  return {
    pushEnvironment() {
      random.reset();
      lua.lua_createtable(L, 0, 0);
      lua.lua_rawgeti(L, lua.LUA_REGISTRYINDEX, metatable);
      lua.lua_setmetatable(L, -2);
      lua.lua_rawgeti(L, lua.LUA_REGISTRYINDEX, holder);
      lua.lua_pushvalue(L, -2);
      lua.lua_rawseti(L, -2, 1);
      lua.lua_pop(L, 1);
    },
  };
}
