/** This program's version; `package.json` says the same. */
export const VERSION = "0.1.0";

interface Build {
  /** Full hash of the commit. */
  readonly commit: string;
  /** `clean` or `dirty`. */
  readonly treeState: string;
  /** Of the commit, so that building twice gives the same. */
  readonly date: string;
}

/** Put in by the bundler. */
declare const FLOTILLA_BUILD: Build | undefined;

/** What this program was built from; `unknown` where it runs from its sources or was built outside their repository. */
export const BUILD: Build =
  typeof FLOTILLA_BUILD === "undefined" ? { commit: "unknown", treeState: "unknown", date: "unknown" } : FLOTILLA_BUILD;
