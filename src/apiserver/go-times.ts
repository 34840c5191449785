/** Texts that are no times, in the words in which Go refuses them. */

/** Go's layout of times with six digits behind the seconds, part by part, and what each part matches. */
export const MICRO_TIME: readonly (readonly [string, RegExp])[] = [
  ["2006", /^\d{4}/],
  ["-", /^-/],
  ["01", /^(?:0[1-9]|1[0-2])/],
  ["-", /^-/],
  ["02", /^(?:0[1-9]|[12]\d|3[01])/],
  ["T", /^T/],
  ["15", /^(?:[01]\d|2[0-3])/],
  [":", /^:/],
  ["04", /^[0-5]\d/],
  [":", /^:/],
  ["05", /^[0-5]\d/],
  [".000000", /^[.,]\d{6}/],
  ["Z07:00", /^(?:Z|[+-]\d\d:\d\d)/],
];

/** The layout of times in whole seconds. */
export const SECONDS = MICRO_TIME.filter(([part]) => part !== ".000000");

/** Why a text is no time of a layout, in Go's words. */
export function timeMistake(text: string, layout: readonly (readonly [string, RegExp])[]): string | undefined {
  const whole = layout.map(([part]) => part).join("");
  let rest = text;
  for (const [part, form] of layout) {
    const found = form.exec(rest)?.[0];
    if (found === undefined)
      return `parsing time ${JSON.stringify(text)} as ${JSON.stringify(whole)}: cannot parse ${JSON.stringify(rest)} as ${JSON.stringify(part)}`;
    rest = rest.slice(found.length);
  }
  return rest === "" ? undefined : `parsing time ${JSON.stringify(text)}: extra text: ${JSON.stringify(rest)}`;
}
