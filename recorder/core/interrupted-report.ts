/** The report on a recording whose recorder was interrupted and came back too late. Pure. */

import type { Millis } from "../../protocol/machine.ts";
import { type Completeness, judge } from "./completeness.ts";
import { rfc3339 } from "./rfc3339.ts";

/**
 * Its counts are lost with the recorder that kept them; what was stored can be counted in the file.
 * @param lastWrittenAt After this nothing was stored.
 */
export function interruptedReport(
  recording: string,
  openedAt: Millis,
  lastWrittenAt: Millis,
  now: Millis,
  reason = "the recorder was interrupted",
): Completeness {
  const counted = {
    streams: [],
    gaps: [
      {
        reason,
        from: rfc3339(lastWrittenAt),
        to: rfc3339(now),
      },
    ],
    unassigned: { admitted: 0 },
  };
  return {
    version: 1,
    recording,
    verdict: judge(counted),
    reason,
    startedAt: rfc3339(openedAt),
    endedAt: rfc3339(now),
    ...counted,
  };
}
