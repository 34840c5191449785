/** The part of the Lua machine this room uses; the package itself carries no types. */
declare module "fengari" {
  export type LuaString = Uint8Array;
  export type Native = (L: LuaState) => number;
  export interface LuaState {
    hookmask: number;
    readonly ci: {
      readonly l_base: number;
      readonly l_savedpc: number;
      readonly l_code: readonly { readonly opcode: number; readonly B: number; readonly C: number }[];
    };
    readonly stack: readonly { readonly value: unknown; ttisstring(): boolean; vslen(): number }[];
  }
  interface Fengari {
    to_luastring(text: string): LuaString;
    to_jsstring(text: LuaString, from?: number, to?: number, replacement?: boolean): string;
    lua: Lua;
    lauxlib: Auxiliary;
    lualib: Libraries;
  }
  interface Lua {
    LUA_OK: number;
    LUA_REGISTRYINDEX: number;
    LUA_MASKCOUNT: number;
    LUA_TNIL: number;
    LUA_TBOOLEAN: number;
    LUA_TNUMBER: number;
    LUA_TSTRING: number;
    LUA_TTABLE: number;
    LUA_TFUNCTION: number;
    lua_atnativeerror(L: LuaState, native: Native): void;
    lua_concat(L: LuaState, count: number): void;
    lua_createtable(L: LuaState, items: number, members: number): void;
    lua_error(L: LuaState): number;
    lua_gettop(L: LuaState): number;
    lua_settop(L: LuaState, top: number): void;
    lua_isnoneornil(L: LuaState, index: number): boolean;
    lua_insert(L: LuaState, index: number): void;
    lua_next(L: LuaState, index: number): number;
    lua_pcall(L: LuaState, given: number, wanted: number, handler: number): number;
    lua_pop(L: LuaState, count: number): void;
    lua_pushboolean(L: LuaState, value: boolean): void;
    lua_pushcfunction(L: LuaState, native: Native): void;
    lua_pushnil(L: LuaState): void;
    lua_pushnumber(L: LuaState, value: number): void;
    lua_pushstring(L: LuaState, text: LuaString): void;
    lua_pushvalue(L: LuaState, index: number): void;
    lua_pushinteger(L: LuaState, value: number): void;
    lua_remove(L: LuaState, index: number): void;
    lua_stringtonumber(L: LuaState, text: LuaString): number;
    lua_tocfunction(L: LuaState, index: number): Native | null;
    lua_rawget(L: LuaState, index: number): number;
    lua_rawgeti(L: LuaState, index: number, key: number): number;
    lua_rawlen(L: LuaState, index: number): number;
    lua_rawset(L: LuaState, index: number): void;
    lua_rawseti(L: LuaState, index: number, key: number): void;
    lua_setmetatable(L: LuaState, index: number): void;
    lua_setupvalue(L: LuaState, index: number, at: number): LuaString | null;
    lua_sethook(L: LuaState, hook: (L: LuaState) => void, mask: number, count: number): void;
    lua_toboolean(L: LuaState, index: number): boolean;
    lua_tonumber(L: LuaState, index: number): number;
    lua_topointer(L: LuaState, index: number): object;
    lua_touserdata(L: LuaState, index: number): unknown;
    lua_tolstring(L: LuaState, index: number): LuaString | null;
    lua_type(L: LuaState, index: number): number;
    lua_typename(L: LuaState, type: number): LuaString;
  }
  interface Auxiliary {
    luaL_checkstack(L: LuaState, slots: number, message: LuaString | null): void;
    luaL_checknumber(L: LuaState, index: number): number;
    luaL_checklstring(L: LuaState, index: number): LuaString;
    luaL_checktype(L: LuaState, index: number, type: number): void;
    luaL_loadbuffer(L: LuaState, text: LuaString, size: number, name: LuaString): number;
    luaL_newstate(): LuaState;
    luaL_ref(L: LuaState, table: number): number;
    luaL_requiref(L: LuaState, name: LuaString, open: Native, isGlobal: boolean): void;
    luaL_tolstring(L: LuaState, index: number): LuaString;
    luaL_unref(L: LuaState, table: number, reference: number): void;
    luaL_where(L: LuaState, level: number): void;
  }
  interface Libraries {
    luaopen_base: Native;
    luaopen_math: Native;
    luaopen_table: Native;
  }
  const fengari: Fengari;
  export default fengari;
}

declare module "fengari/src/lobject.js" {
  import type { LuaState } from "fengari";
  interface Value {
    readonly value: number;
    setfltvalue(value: number): void;
    setsvalue(text: unknown): void;
    ttisinteger(): boolean;
  }
  const lobject: {
    luaO_str2num(text: Uint8Array, into: Value): number;
    luaO_tostring(L: LuaState, value: Value): void;
  };
  export default lobject;
}

declare module "fengari/src/ldebug.js" {
  import type { LuaState } from "fengari";
  const ldebug: {
    luaG_traceexec(L: LuaState): void;
    luaG_runerror(L: LuaState, text: Uint8Array): never;
  };
  export default ldebug;
}

declare module "fengari/src/lstring.js" {
  import type { LuaState } from "fengari";
  const lstring: { luaS_bless(L: LuaState, text: Uint8Array): unknown };
  export default lstring;
}

declare module "fengari/src/lopcodes.js" {
  const lopcodes: { OpCodesI: Readonly<Record<string, number>> };
  export default lopcodes;
}
