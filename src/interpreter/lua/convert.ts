import { jsText, lua, lauxlib, type LuaState, luaText } from "./fengari.ts";

const DEPTH_MAX = 200;

/** Where an empty Lua table came from, which the table itself cannot say. */
export type EmptyTables = WeakMap<object, "list" | "map">;

/** Pushes plain JSON as Lua values: lists count from 1, members that are null vanish. */
export function pushJson(L: LuaState, value: unknown, empties?: EmptyTables, depth = 0): void {
  switch (typeof value) {
    case "string":
      lua.lua_pushstring(L, luaText(value));
      return;
    case "number":
      lua.lua_pushnumber(L, value);
      return;
    // Lua counts in doubles.
    case "bigint":
      lua.lua_pushnumber(L, Number(value));
      return;
    case "boolean":
      lua.lua_pushboolean(L, value);
      return;
    default:
      break;
  }
  if (value === null || typeof value !== "object") {
    lua.lua_pushnil(L);
    return;
  }
  if (depth > DEPTH_MAX) throw new Error(`nested deeper than ${DEPTH_MAX} levels`);
  if (depth % 50 === 0) lauxlib.luaL_checkstack(L, 250, null);
  lua.lua_createtable(L, 0, 0);
  if (Array.isArray(value)) {
    for (let at = 0; at < value.length; at++) {
      pushJson(L, value[at], empties, depth + 1);
      lua.lua_rawseti(L, -2, at + 1);
    }
    if (value.length === 0) empties?.set(lua.lua_topointer(L, -1), "list");
    return;
  }
  let isEmpty = true;
  for (const key in value) {
    const member = (value as Readonly<Record<string, unknown>>)[key];
    isEmpty = false;
    if (member === null || member === undefined) continue;
    lua.lua_pushstring(L, luaText(key));
    pushJson(L, member, empties, depth + 1);
    lua.lua_rawset(L, -3);
  }
  if (isEmpty) empties?.set(lua.lua_topointer(L, -1), "map");
}

/** An empty table in a result; `of` says what it was when it came in, where that is known. */
export class EmptyTable {
  readonly of: "list" | "map" | undefined;
  constructor(of: "list" | "map" | undefined) {
    this.of = of;
  }
}

const fail = (reason: string): never => {
  throw new Error(`encode lua result to json failed: ${reason}`);
};

/**
 * Reads the value at `index` (absolute) as plain JSON, with `EmptyTable` where a table is empty. Keys 1..n make a list,
 * texts an object; everything else, and a table that stands in two places, throws.
 */
export function readJson(L: LuaState, index: number, empties?: EmptyTables): unknown {
  return read(L, index, new Set(), empties, 0);
}

function read(L: LuaState, index: number, seen: Set<object>, empties: EmptyTables | undefined, depth: number): unknown {
  switch (lua.lua_type(L, index)) {
    case lua.LUA_TNIL:
      return null;
    case lua.LUA_TBOOLEAN:
      return lua.lua_toboolean(L, index);
    case lua.LUA_TNUMBER: {
      const value = lua.lua_tonumber(L, index);
      if (!Number.isFinite(value)) fail(`unsupported value: ${value}`);
      return value === 0 ? 0 : value;
    }
    case lua.LUA_TSTRING:
      return jsText(lua.lua_tolstring(L, index) as Uint8Array);
    case lua.LUA_TTABLE:
      return readTable(L, index, seen, empties, depth);
    default:
      return fail(`cannot encode ${typeName(L, index)} to JSON`);
  }
}

function readTable(
  L: LuaState,
  index: number,
  seen: Set<object>,
  empties: EmptyTables | undefined,
  depth: number,
): unknown {
  if (depth > DEPTH_MAX) fail(`nested deeper than ${DEPTH_MAX} levels`);
  if (depth % 50 === 0) lauxlib.luaL_checkstack(L, 250, null);
  const table = lua.lua_topointer(L, index);
  if (seen.has(table)) fail("cannot encode recursively nested tables to JSON");
  seen.add(table);
  let items: unknown[] | undefined;
  let members: Record<string, unknown> | undefined;
  lua.lua_pushnil(L);
  while (lua.lua_next(L, index) !== 0) {
    const value = lua.lua_gettop(L);
    switch (lua.lua_type(L, value - 1)) {
      case lua.LUA_TNUMBER:
        if (members !== undefined) fail("cannot encode mixed or invalid key types");
        items ??= [];
        items[readPosition(L, value - 1)] = read(L, value, seen, empties, depth + 1);
        break;
      case lua.LUA_TSTRING: {
        if (items !== undefined) fail("cannot encode mixed or invalid key types");
        members ??= {};
        const key = jsText(lua.lua_tolstring(L, value - 1) as Uint8Array);
        const member = read(L, value, seen, empties, depth + 1);
        if (key === "__proto__") Object.defineProperty(members, key, { value: member, enumerable: true });
        else members[key] = member;
        break;
      }
      default:
        fail("cannot encode mixed or invalid key types");
    }
    lua.lua_settop(L, value - 1);
  }
  if (members !== undefined) return members;
  if (items === undefined) return new EmptyTable(empties?.get(table));
  for (let at = 0; at < items.length; at++) if (!(at in items)) fail("cannot encode sparse array");
  return items;
}

function readPosition(L: LuaState, index: number): number {
  const key = lua.lua_tonumber(L, index);
  if (!Number.isInteger(key) || key < 1 || key > 1_000_000) fail("cannot encode sparse array");
  return key - 1;
}

export const typeName = (L: LuaState, index: number): string => jsText(lua.lua_typename(L, lua.lua_type(L, index)));

/** Empty maps and lists of a reference by path, list indices left out. */
function emptyPaths(reference: unknown, path: string, into: Map<string, "list" | "map">): void {
  if (typeof reference !== "object" || reference === null) return;
  if (Array.isArray(reference)) {
    if (reference.length === 0) into.set(path, "list");
    for (const item of reference) emptyPaths(item, path, into);
    return;
  }
  const entries = Object.entries(reference);
  if (entries.length === 0) into.set(path, "map");
  for (const [key, member] of entries) emptyPaths(member, `${path}/${encodeURIComponent(key)}`, into);
}

/**
 * Settles the empty tables of a result: one that was empty when it came in, or that stands where a reference has an empty
 * map or list, is that; every other one is left out.
 */
export function settleEmpties(result: unknown, references: readonly unknown[]): unknown {
  const known = new Map<string, "list" | "map">();
  let isKnown = false;
  const settle = (value: unknown, path: string): unknown => {
    if (value instanceof EmptyTable) {
      if (!isKnown) {
        for (const reference of [...references].reverse()) emptyPaths(reference, "", known);
        isKnown = true;
      }
      const type = references.length === 0 ? undefined : (known.get(path) ?? value.of);
      return type === undefined ? undefined : type === "list" ? [] : {};
    }
    if (Array.isArray(value)) return value.map((item) => settle(item, path)).filter((item) => item !== undefined);
    if (typeof value !== "object" || value === null) return value;
    const members: Record<string, unknown> = {};
    for (const [key, member] of Object.entries(value)) {
      const settled = settle(member, `${path}/${encodeURIComponent(key)}`);
      if (settled !== undefined) members[key] = settled;
    }
    return members;
  };
  return settle(result, "");
}
