/** Runs before every test file: objects that are shared are frozen, so that whoever changes one fails. */
import { freezeObjects } from "#base";

freezeObjects();
