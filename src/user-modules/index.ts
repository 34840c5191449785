/**
 * User modules: modules that users write, each run in a thread of its own. `startUserModule` loads one and asks it; what it
 * throws fails one question, and when it hangs it is ended and loaded anew. `modulePrelude` is what the programs of all
 * threads begin with. It knows neither schedulers nor interpreters.
 */
export { modulePrelude } from "./prelude.ts";
export { type ModuleLife, startUserModule, type UserModule, type UserModuleOptions } from "./user-module.ts";
