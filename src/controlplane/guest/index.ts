/**
 * Guest: controllers, scheduler and admission on an API server that is there already. `startGuest` installs Karmada's
 * kinds and webhooks into it and goes to work; `uninstall` takes everything out again and leaves workloads running. The
 * kinds upstream serves by an aggregated server are CRDs here, so that the cluster keeps all data itself.
 */
export { type Guest, type GuestOptions, startGuest } from "./guest.ts";
export { uninstall, type UninstallOptions } from "./uninstall.ts";
