/** The library scripts get by `require("kube")`. */
import { addQuantities, formatQuantity, parseQuantity, type Quantity, zeroQuantity } from "#machinery";
import { dependenciesOf, requirementsOf } from "../native/pod-template.ts";
import { pushJson, readJson, settleEmpties, typeName } from "./convert.ts";
import { charge, jsText, lua, type LuaState, luaText, type Native, raise } from "./fengari.ts";

function quantityAt(L: LuaState, index: number): Quantity | undefined {
  switch (lua.lua_type(L, index)) {
    case lua.LUA_TNIL:
      return undefined;
    case lua.LUA_TSTRING: {
      const text = jsText(lua.lua_tolstring(L, index) as Uint8Array);
      const quantity = parseQuantity(text);
      if (quantity !== undefined) return quantity;
      return raise(
        L,
        `cannot parse '${text}': quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'`,
      );
    }
    default:
      return raise(L, `expect a quantity as string or nil but got ${typeName(L, index)}`);
  }
}

/** A table argument as plain JSON; its members that are empty tables do not matter to pod templates. */
function objectAt(L: LuaState, index: number, called: string): unknown {
  if (lua.lua_type(L, index) !== lua.LUA_TTABLE)
    raise(L, `${called} expects a pod template but got ${typeName(L, index)}`);
  charge(L, 256);
  try {
    return settleEmpties(readJson(L, index), []) ?? {};
  } catch (error) {
    return raise(L, error instanceof Error ? error.message : String(error));
  }
}

export const kubeLibrary: Readonly<Record<string, Native>> = {
  resourceAdd: (L) => {
    let sum: Quantity | undefined;
    for (let at = 1; at <= lua.lua_gettop(L); at++) {
      const quantity = quantityAt(L, at);
      if (quantity !== undefined) sum = addQuantities(sum ?? { ...zeroQuantity, format: quantity.format }, quantity);
    }
    lua.lua_pushstring(L, luaText(formatQuantity(sum ?? zeroQuantity)));
    return 1;
  },
  getResourceQuantity: (L) => {
    if (lua.lua_gettop(L) !== 1) raise(L, "getResourceQuantity only accepts one argument");
    const quantity = quantityAt(L, 1);
    const value = quantity === undefined ? 0 : Number(quantity.nano) / 1e9;
    if (value < 0) raise(L, `int approximation unexpectedly returned a negative value: ${value}`);
    if (!Number.isFinite(value)) raise(L, "int approximation unexpectedly returned an infinite value");
    lua.lua_pushnumber(L, value);
    return 1;
  },
  accuratePodRequirements: (L) => {
    if (lua.lua_gettop(L) !== 1) raise(L, "accuratePodRequirements only accepts one argument");
    pushJson(L, requirementsOf(objectAt(L, 1, "accuratePodRequirements")));
    return 1;
  },
  getPodDependencies: (L) => {
    if (lua.lua_gettop(L) !== 2) raise(L, "getPodDependencies only accepts two argument");
    const namespace =
      lua.lua_type(L, 2) === lua.LUA_TSTRING ? jsText(lua.lua_tolstring(L, 2) as Uint8Array) : "default";
    if (lua.lua_type(L, 2) !== lua.LUA_TSTRING && lua.lua_type(L, 2) !== lua.LUA_TNIL)
      raise(L, `getPodDependencies expects a namespace but got ${typeName(L, 2)}`);
    const found = dependenciesOf(objectAt(L, 1, "getPodDependencies"), namespace);
    pushJson(L, found.length === 0 ? undefined : found);
    return 1;
  },
};
