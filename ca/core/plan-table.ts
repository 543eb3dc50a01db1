/**
 * The table that says what was written and for whom. Pure.
 */
import type { PlannedItem } from "./authority-plan.ts";

/** One line for each file, in columns. */
export function formatPlanTable(items: readonly PlannedItem[]): string {
  const rows = items.flatMap((item) => {
    const publicKind = item.kind === "certificate" ? "certificate" : "public key";
    return [
      [item.publicFile, "0644", publicKind, item.purpose, "everyone"],
      [item.privateFile, "0600", "private key", item.purpose, item.holder],
    ];
  });
  const table = [["file", "mode", "what", "what for", "who needs it"], ...rows];
  const widths = [0, 1, 2, 3].map((column) =>
    Math.max(...table.map((row) => row[column]?.length ?? 0)),
  );
  return table
    .map((row) => `  ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  ")}\n`)
    .join("");
}
