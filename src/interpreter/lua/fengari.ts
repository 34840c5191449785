/**
 * The Lua machine, made to behave like Lua 5.1 with limits. The package implements 5.3 with 32-bit integers; three of its
 * inner functions are replaced, once, for the whole process, which uses it nowhere else:
 * - every number read from text is a float, as in 5.1 (32-bit integers would overflow at 2 GiB);
 * - numbers print without `.0`, and in full;
 * - the instruction hook counts steps and memory against the running call's budget, without a call per instruction.
 */
import fengari, { type LuaState, type Native } from "fengari";
import ldebug from "fengari/src/ldebug.js";
import lobject from "fengari/src/lobject.js";
import lopcodes from "fengari/src/lopcodes.js";
import lstring from "fengari/src/lstring.js";

export const { lua, lauxlib, lualib } = fengari;
export type { LuaState, Native };

/** What one call may use. */
export interface Budget {
  /** Instructions; functions of the libraries count by the size of what they work on. */
  stepsMax: number;
  /** Bytes that tables and strings take when they are made, roughly; nothing is given back. */
  bytesMax: number;
}

let steps = 0;
let bytes = 0;
let budget: Budget = { stepsMax: 0, bytesMax: 0 };

export function startBudget(given: Budget): void {
  budget = given;
  steps = 0;
  bytes = 0;
}

/** The steps used since the budget started. */
export const stepsUsed = (): number => steps;
export const isExhausted = (): boolean => steps > budget.stepsMax || bytes > budget.bytesMax;

const text = new Map<string, Uint8Array>();
/** Lua's string of a text; short ones are kept, because keys come again and again. */
export function luaText(value: string): Uint8Array {
  if (value.length > 64) return fengari.to_luastring(value);
  let known = text.get(value);
  if (known === undefined) {
    if (text.size > 4096) text.clear();
    known = fengari.to_luastring(value);
    text.set(value, known);
  }
  return known;
}

export const jsText = (value: Uint8Array): string =>
  Buffer.from(value.buffer, value.byteOffset, value.length).toString("utf8");

/** Raises a Lua error that says where. Never returns. */
export function raise(L: LuaState, message: string): never {
  lauxlib.luaL_where(L, 1);
  lua.lua_pushstring(L, luaText(message));
  lua.lua_concat(L, 2);
  lua.lua_error(L);
  throw new Error("unreachable");
}

/** Counts work a library function is about to do, and what it will allocate. */
export function charge(L: LuaState, work: number, memory = 0): void {
  steps += work;
  bytes += memory;
  if (steps > budget.stepsMax) raise(L, "context deadline exceeded");
  if (bytes > budget.bytesMax) raise(L, "memory limit exceeded");
}

/** A number as Lua 5.1 prints it: integers without a fraction, others in their shortest form. */
export function numberText(value: number): string {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "+Inf" : "-Inf";
  return String(value).replace(/e([+-])(\d)$/, "e$10$2");
}

const parseNumber = lobject.luaO_str2num;
lobject.luaO_str2num = (digits, into) => {
  const read = parseNumber(digits, into);
  if (read !== 0 && into.ttisinteger()) into.setfltvalue(into.value);
  return read;
};
lobject.luaO_tostring = (L, value) => {
  value.setsvalue(lstring.luaS_bless(L, fengari.to_luastring(numberText(value.value))));
};

const {
  OP_CONCAT = -1,
  OP_NEWTABLE = -1,
  OP_CLOSURE = -1,
  OP_SETTABLE = -1,
  OP_SETLIST = -1,
  OP_SETTABUP = -1,
} = lopcodes.OpCodesI;
const stepsText = fengari.to_luastring("context deadline exceeded");
const bytesText = fengari.to_luastring("memory limit exceeded");
ldebug.luaG_traceexec = (L) => {
  steps++;
  const { ci } = L;
  const instruction = ci.l_code[ci.l_savedpc - 1] as (typeof ci.l_code)[number];
  switch (instruction.opcode) {
    case OP_CONCAT: {
      let length = 32;
      for (let at = instruction.B; at <= instruction.C; at++) {
        const value = L.stack[ci.l_base + at];
        length += value?.ttisstring() ? value.vslen() : 16;
      }
      bytes += length;
      steps += length >> 5;
      break;
    }
    case OP_NEWTABLE:
    case OP_CLOSURE:
      bytes += 256;
      break;
    case OP_SETLIST:
      bytes += 64 * 128;
      break;
    case OP_SETTABLE:
    case OP_SETTABUP:
      bytes += 128;
      break;
    default:
      break;
  }
  if (steps > budget.stepsMax) ldebug.luaG_runerror(L, stepsText);
  if (bytes > budget.bytesMax) ldebug.luaG_runerror(L, bytesText);
};
