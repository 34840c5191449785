/** `os.time` and `os.date`, always in UTC: what an object means must not depend on where the control plane runs. */
import { jsText, lauxlib, lua, type LuaState, luaText, type Native, raise } from "./fengari.ts";

const DAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS = [
  "January",
  "February",
  "March",
  "April",
  "May",
  "June",
  "July",
  "August",
  "September",
  "October",
  "November",
  "December",
]; // prettier-ignore
const two = (value: number) => String(value).padStart(2, "0");
const dayOfYear = (date: Date) => Math.floor((date.getTime() - Date.UTC(date.getUTCFullYear(), 0, 1)) / 86_400_000) + 1;

function render(verb: string, date: Date): string | undefined {
  const day = DAYS[date.getUTCDay()] as string;
  const month = MONTHS[date.getUTCMonth()] as string;
  const hour = date.getUTCHours();
  switch (verb) {
    case "a":
      return day.slice(0, 3);
    case "A":
      return day;
    case "b":
      return month.slice(0, 3);
    case "B":
      return month;
    case "c":
      return renderDate("%a %b %d %H:%M:%S %Y", date);
    case "d":
      return two(date.getUTCDate());
    case "D":
    case "x":
      return renderDate("%m/%d/%y", date);
    case "F":
      return renderDate("%Y-%m-%d", date);
    case "H":
      return two(hour);
    case "I":
      return two(hour % 12 === 0 ? 12 : hour % 12);
    case "j":
      return String(dayOfYear(date)).padStart(3, "0");
    case "m":
      return two(date.getUTCMonth() + 1);
    case "M":
      return two(date.getUTCMinutes());
    case "p":
      return hour < 12 ? "AM" : "PM";
    case "S":
      return two(date.getUTCSeconds());
    case "T":
    case "X":
      return renderDate("%H:%M:%S", date);
    case "w":
      return String(date.getUTCDay());
    case "y":
      return two(date.getUTCFullYear() % 100);
    case "Y":
      return String(date.getUTCFullYear());
    case "z":
      return "+0000";
    case "Z":
      return "UTC";
    case "%":
      return "%";
    default:
      return undefined;
  }
}

const renderDate = (format: string, date: Date): string =>
  format.replace(/%(.)/gs, (all, verb: string) => render(verb, date) ?? all);

/** The two functions over a clock that gives seconds since 1970. */
export function timeLibrary(now: () => number): Readonly<Record<"time" | "date", Native>> {
  return {
    time: (L) => {
      if (lua.lua_isnoneornil(L, 1)) {
        lua.lua_pushnumber(L, Math.floor(now()));
        return 1;
      }
      lauxlib.luaL_checktype(L, 1, lua.LUA_TTABLE);
      const milliseconds = Date.UTC(
        field(L, "year"),
        field(L, "month") - 1,
        field(L, "day"),
        field(L, "hour", 12),
        field(L, "min", 0),
        field(L, "sec", 0),
      );
      lua.lua_pushnumber(L, Math.floor(milliseconds / 1000));
      return 1;
    },
    date: (L) => {
      const given = lua.lua_isnoneornil(L, 1) ? "%c" : jsText(lauxlib.luaL_checklstring(L, 1));
      const format = given.startsWith("!") ? given.slice(1) : given;
      const date = new Date((lua.lua_isnoneornil(L, 2) ? now() : lauxlib.luaL_checknumber(L, 2)) * 1000);
      if (Number.isNaN(date.getTime())) raise(L, "time out of bounds");
      if (format.startsWith("*t")) {
        pushFields(L, date);
        return 1;
      }
      if (format.length > 10_000) raise(L, "date format is too long");
      lua.lua_pushstring(L, luaText(renderDate(format, date)));
      return 1;
    },
  };
}

function field(L: LuaState, name: string, fallback?: number): number {
  lua.lua_pushstring(L, luaText(name));
  const isThere = lua.lua_rawget(L, 1) !== lua.LUA_TNIL;
  const value = isThere ? lauxlib.luaL_checknumber(L, -1) : fallback;
  lua.lua_pop(L, 1);
  return value ?? raise(L, `field '${name}' missing in date table`);
}

function pushFields(L: LuaState, date: Date): void {
  const fields = {
    year: date.getUTCFullYear(),
    month: date.getUTCMonth() + 1,
    day: date.getUTCDate(),
    hour: date.getUTCHours(),
    min: date.getUTCMinutes(),
    sec: date.getUTCSeconds(),
    wday: date.getUTCDay() + 1,
    yday: dayOfYear(date),
  };
  lua.lua_createtable(L, 0, 0);
  for (const [name, value] of Object.entries(fields)) {
    lua.lua_pushstring(L, luaText(name));
    lua.lua_pushnumber(L, value);
    lua.lua_rawset(L, -3);
  }
  lua.lua_pushstring(L, luaText("isdst"));
  lua.lua_pushboolean(L, false);
  lua.lua_rawset(L, -3);
}
