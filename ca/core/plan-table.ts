/**
 * The table that says what was written and for whom. Pure.
 */
import type { PlannedItem } from "./authority-plan.ts";
import { formatColumns } from "./columns.ts";

/** One line for each file, in columns. */
export function formatPlanTable(items: readonly PlannedItem[]): string {
  const rows = items.flatMap((item) => {
    const publicKind = item.kind === "certificate" ? "certificate" : "public key";
    return [
      [item.publicFile, "0644", publicKind, item.purpose, "everyone"],
      [item.privateFile, "0600", "private key", item.purpose, item.holder],
    ];
  });
  return formatColumns([["file", "mode", "what", "what for", "who needs it"], ...rows], "  ");
}
