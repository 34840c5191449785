/** Rows under headings, aligned as kubectl does. */
export function formatTable(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = headings.map((heading, at) => Math.max(heading.length, ...rows.map((row) => (row[at] ?? "").length)));
  const line = (cells: readonly string[]) =>
    cells.map((cell, at) => (at === cells.length - 1 ? cell : cell.padEnd((widths[at] ?? 0) + 3))).join("");
  return `${[headings, ...rows].map((row) => line(row).trimEnd()).join("\n")}\n`;
}
