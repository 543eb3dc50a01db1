/**
 * Rows of text in columns. Pure.
 */

/** One line for each row, each column as wide as its longest cell; `indent` before every line. */
export function formatColumns(rows: readonly (readonly string[])[], indent = ""): string {
  const lengths = (column: number) => rows.map((row) => row[column]?.length ?? 0);
  const widths = (rows[0] ?? []).slice(0, -1).map((_, column) => Math.max(...lengths(column)));
  return rows
    .map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  "))
    .map((line) => `${indent}${line}\n`)
    .join("");
}
