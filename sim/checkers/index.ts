/** Checkers: what must hold, after every step or when everything has come to rest. A new one is a line in this table. */
import type { Checker } from "../world.ts";
import { convergence } from "./convergence.ts";
import { foreignObjects } from "./foreign-objects.ts";
import { noDeletion } from "./no-deletion.ts";
import { statuses } from "./statuses.ts";

export const checkers: readonly Checker[] = [noDeletion, foreignObjects, convergence, statuses];
