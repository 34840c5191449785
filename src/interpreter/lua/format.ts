/** `string.format` with C's verbs. Numbers given to `%d` lose their fraction. */
export function formatText(format: string, next: (verb: string) => string | number): string {
  return format.replace(
    /%([-+ #0]*)(\d*)(?:\.(\d*))?(.?)/gs,
    (_all, flags: string, width: string, places: string | undefined, verb: string) => {
      if (verb === "%") return "%";
      if (width.length > 2 || (places?.length ?? 0) > 2)
        throw new Error("invalid format (width or precision too long)");
      const body = render(verb, places === undefined ? undefined : Number(places || "0"), flags, next);
      return pad(body, Number(width || "0"), flags, verb);
    },
  );
}

function render(
  verb: string,
  places: number | undefined,
  flags: string,
  next: (verb: string) => string | number,
): string {
  const signed = (value: number, digits: string) =>
    value < 0 || Object.is(value, -0)
      ? `-${digits}`
      : flags.includes("+")
        ? `+${digits}`
        : flags.includes(" ")
          ? ` ${digits}`
          : digits;
  switch (verb) {
    case "d":
    case "i": {
      const value = Math.trunc(Number(next(verb))) + 0;
      return signed(value, whole(value).padStart(places ?? 0, "0"));
    }
    case "u":
      return whole(Math.trunc(Number(next(verb))));
    case "c":
      return String.fromCharCode(Number(next(verb)));
    case "x":
    case "X":
    case "o": {
      const value = BigInt.asUintN(64, BigInt(Math.trunc(Number(next(verb)))));
      const digits = value.toString(verb === "o" ? 8 : 16).padStart(places ?? 0, "0");
      const prefix = flags.includes("#") ? (verb === "o" ? "0" : `0${verb}`) : "";
      return verb === "X" ? prefix + digits.toUpperCase() : prefix + digits;
    }
    case "f":
    case "F":
    case "e":
    case "E":
    case "g":
    case "G": {
      const value = Number(next(verb));
      if (!Number.isFinite(value)) return signed(value, Number.isNaN(value) ? "NaN" : "Inf");
      const text = signed(value, floating(Math.abs(value), verb.toLowerCase(), places ?? 6, flags.includes("#")));
      return verb === verb.toUpperCase() ? text.toUpperCase() : text;
    }
    case "s": {
      const text = String(next(verb));
      return places === undefined ? text : text.slice(0, places);
    }
    case "q":
      return `"${String(next(verb))
        .replace(/["\\\n]/g, "\\$&")
        .replaceAll("\r", "\\r")
        .replaceAll("\0", "\\0")}"`;
    default:
      throw new Error(`invalid option '%${verb}' to 'format'`);
  }
}

const whole = (value: number) => (Number.isFinite(value) ? BigInt(Math.abs(value)).toString() : "0");
const exponent = (text: string) => text.replace(/e([+-])(\d)$/, "e$10$2");

function floating(value: number, verb: string, places: number, keepsZeros: boolean): string {
  if (verb === "f")
    return value >= 1e21 ? `${whole(value)}${places > 0 ? `.${"0".repeat(places)}` : ""}` : value.toFixed(places);
  if (verb === "e") return exponent(value.toExponential(places));
  const precision = places === 0 ? 1 : places;
  if (value === 0) return "0";
  const power = Number(value.toExponential(precision - 1).split("e")[1]);
  const text =
    power < -4 || power >= precision ? value.toExponential(precision - 1) : value.toFixed(precision - 1 - power);
  return exponent(keepsZeros ? text : text.replace(/(\.\d*?)0+(?=e|$)/, "$1").replace(/\.(?=e|$)/, ""));
}

function pad(body: string, width: number, flags: string, verb: string): string {
  if (body.length >= width) return body;
  if (flags.includes("-")) return body.padEnd(width);
  if (!flags.includes("0") || verb === "s" || verb === "c") return body.padStart(width);
  const sign = /^[+\- ]/.exec(body)?.[0] ?? "";
  return sign + body.slice(sign.length).padStart(width - sign.length, "0");
}
