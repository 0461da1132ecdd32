import { stripVTControlCharacters } from "node:util";
import { getBorderCharacters, table } from "table";

/** Rows under a header, columns as wide as they need to be within the given width. */
export function renderTable(
  header: readonly string[],
  rows: readonly (readonly string[])[],
  width: number = process.stdout.columns ?? 120,
): string {
  const cells = [header, ...rows].map((row) =>
    row.map((cell) => cell.replaceAll(/\s+/g, " ").trim()),
  );
  const widths = fitWidths(
    header.map((_, column) => Math.max(...cells.map((row) => visible(row[column] ?? "")))),
    width - 2 * header.length,
  );
  return table(cells, {
    border: { ...getBorderCharacters("void"), joinBody: "─" },
    columnDefault: { paddingLeft: 0, paddingRight: 2, wrapWord: true },
    columns: widths.map((one) => ({ width: one, truncate: 10 * one })),
    drawHorizontalLine: (line) => line === 1,
  });
}

/** Narrows the widest columns until all fit. */
function fitWidths(wanted: readonly number[], room: number): number[] {
  const widths = wanted.map((one) => Math.max(one, 1));
  const total = () => widths.reduce((sum, one) => sum + one, 0);
  while (total() > room) {
    const widest = Math.max(...widths);
    if (widest <= 8) break;
    widths[widths.indexOf(widest)] = widest - 1;
  }
  return widths;
}

function visible(text: string): number {
  return stripVTControlCharacters(text).length;
}
