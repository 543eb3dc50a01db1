/**
 * What of a call outlives a restart of the controller: its confirmed dialogs, their sessions and
 * where their media goes. JSON-able, and without a key. Pure.
 */
import type { Millis } from "../../protocol/machine.ts";
import type { Side } from "./party.ts";

/** Where one party takes the media of one stream, in a snapshot. */
export interface SavedEnd {
  readonly address: string;
  readonly rtpPort: number;
  readonly rtcpPort: number;
}

export interface SavedStream {
  /** Place of its `m=` line, from 0. */
  readonly index: number;
  readonly media: string;
  readonly caller: SavedEnd | null;
  readonly callee: SavedEnd | null;
  /** RTCP goes to the RTP port. */
  readonly mux: boolean;
}

export interface SavedDialog {
  /** The callee's tag. */
  readonly tag: string;
  readonly session: {
    readonly session: string;
    readonly recording: string;
    readonly revision: number;
    /** Ids of what was asked for last, by opening. */
    readonly ids: readonly (readonly [opening: string, id: string])[];
  } | null;
  readonly agreed: {
    readonly by: Side;
    readonly sealed: boolean;
    readonly streams: readonly SavedStream[];
  } | null;
}

export interface CallSnapshot {
  readonly version: 1;
  /** When the call ends at the latest. */
  readonly endsAt: Millis;
  /** Addresses of record of the two parties, by the INVITE. */
  readonly names: Readonly<Record<Side, string | null>>;
  readonly dialogs: readonly SavedDialog[];
}
