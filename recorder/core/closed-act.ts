/** What the ledger is told of a recording that has ended. Pure. */

import type { LedgerAct } from "../../protocol/ledger/ledger-entry.ts";
import type { Completeness } from "./completeness.ts";

/** @param file The sealed file as it was closed. */
export function closedAct(
  { recording, verdict, reason }: Completeness,
  file: { readonly bytes: number; readonly sha256: string },
  durationMs: number,
): LedgerAct {
  return {
    kind: "recording.closed",
    recording,
    ...file,
    durationMs: Math.max(0, Math.round(durationMs)),
    verdict: verdict.kind,
    reason,
  };
}
