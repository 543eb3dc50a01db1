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
  readonly rtcpPort: number | null;
}

export interface SavedStream {
  /** Place of its `m=` line, from 0. */
  readonly index: number;
  readonly media: string;
  readonly caller: SavedEnd | null;
  readonly callee: SavedEnd | null;
}

export interface SavedDialog {
  /** The callee's tag. */
  readonly tag: string;
  readonly session: {
    readonly session: string;
    readonly recording: string;
    readonly revision: number;
    /** More is open than the streams say: an offer was on its way. */
    readonly wider: boolean;
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
  readonly dialogs: readonly SavedDialog[];
}
