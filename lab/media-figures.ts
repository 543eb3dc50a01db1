/**
 * One direction's packets from phone to archive: each figure from whoever counted it. Pure.
 *
 * Test packets went through the same pinholes. Each of them was seen to arrive, so they are taken
 * off what the kernel and the recorder counted, and stated beside it.
 */
import type { CallReport } from "./call.ts";
import { packetsToward } from "./kernel-counters.ts";
import { countPassed } from "./pinhole-matrix.ts";
import type { Recorded } from "./recording.ts";
import type { PhoneName } from "./site.ts";
import { MEDIA_PORTS } from "./site-config.ts";
import { LEAVES } from "./topology.ts";

export interface MediaFigures {
  /** RTP packets, as the phone says. */
  readonly sent: number;
  /** As the kernel's counters say, read by the lab. */
  readonly admitted: number;
  /** As the recording says, this and the next two. */
  readonly captured: number;
  readonly authenticated: number;
  readonly stored: number;
  /** Test packets that the pinhole let through as well. */
  readonly probes: number;
  /** What the recorder kept apart, the test packets among it. */
  readonly keptApart: number;
}

/** The packets that this phone sent. */
export function mediaFigures(call: CallReport, recorded: Recorded, from: PhoneName): MediaFigures {
  const toward = from === "alice" ? "bob" : "alice";
  const stream = recorded.streams[from === "alice" ? "caller" : "callee"];
  const phases = call.pinholes;
  const early = phases === undefined ? 0 : countPassed(phases.afterInvite, toward, "rtp");
  const late = phases === undefined ? 0 : countPassed(phases.afterAnswer, toward, "rtp");
  const probes = early + late;
  const { address } = LEAVES[toward];
  const counted = (counts: CallReport["kernel"]["beforeBye"]): number =>
    packetsToward(counts, address, MEDIA_PORTS[toward]);
  return {
    sent: Number(call.mediaEnded[from]["sent"]),
    admitted: counted(call.kernel.beforeAnswer) + counted(call.kernel.beforeBye) - probes,
    captured: stream.captured - probes,
    authenticated: stream.authenticated,
    stored: stream.stored,
    probes,
    keptApart: stream.keptApart,
  };
}

/** Nothing was lost, and nothing that the phone did not send was taken for its media. */
export function isComplete(figures: MediaFigures): boolean {
  const { sent, admitted, captured, authenticated, stored, probes, keptApart } = figures;
  const all = [admitted, captured, authenticated, stored];
  return sent > 0 && all.every((count) => count === sent) && keptApart === probes;
}
