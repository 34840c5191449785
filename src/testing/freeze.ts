/**
 * Runs before every test file: objects that are shared are frozen, so that whoever changes one fails, and hardly any stays
 * decoded, so that whoever takes two readings of one for the same object fails as well.
 */
import { freezeObjects } from "#base";
import { keepLittleDecoded } from "#machinery";

freezeObjects();
keepLittleDecoded(16 * 1024);
