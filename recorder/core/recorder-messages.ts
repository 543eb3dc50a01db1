/** What goes into the recorder's machine and what comes out of it. Pure. */

import type { CapturedPacket } from "../../protocol/ingest/frames.ts";
import type { OrderId, RecorderMessage } from "../../protocol/ingest/messages.ts";
import type { RecordingOrder } from "../../protocol/ingest/order.ts";
import type { Millis } from "../../protocol/machine.ts";
import type { PcapngPacket } from "../../protocol/pcapng/encode-pcapng.ts";
import type { Completeness } from "./completeness.ts";
import type { Metadata } from "./metadata.ts";
import type { Counters } from "./recording.ts";

/** Names a connection of an agent. */
export type ConnectionId = number;

export type RecorderInput =
  | { readonly kind: "disconnected"; readonly connection: ConnectionId }
  | {
      readonly kind: "order";
      readonly connection: ConnectionId;
      readonly id: OrderId;
      readonly session: string;
      readonly recording: string;
      /** What was sealed in it, or why it cannot be believed. */
      readonly order: RecordingOrder | { readonly refused: string };
    }
  | {
      readonly kind: "opened";
      readonly recording: string;
      /** The file was there: its recorder had been interrupted then. */
      readonly interruptedSince?: Millis;
    }
  | { readonly kind: "open-failed"; readonly recording: string; readonly reason: string }
  | { readonly kind: "batch"; readonly packets: readonly CapturedPacket[] }
  | {
      readonly kind: "close";
      readonly session: string;
      readonly reason: string;
      readonly counters: Counters;
      /** False: the counts may be low. */
      readonly exact: boolean;
    }
  | {
      readonly kind: "gap";
      readonly reason: string;
      readonly fromMicros: number;
      readonly toMicros: number;
    }
  | { readonly kind: "finished"; readonly recording: string }
  /** What was written last may be lost, and nothing more can be. */
  | { readonly kind: "store-failed"; readonly recording: string; readonly reason: string }
  | { readonly kind: "stop"; readonly reason: string }
  | { readonly kind: "tick" };

export type RecorderEffect =
  | { readonly kind: "reply"; readonly connection: ConnectionId; readonly message: RecorderMessage }
  /** Make the file and its ledger entry durable, then say `opened` or `open-failed`. */
  | { readonly kind: "open"; readonly recording: string; readonly metadata: Metadata }
  | {
      readonly kind: "write-packets";
      readonly recording: string;
      readonly packets: readonly PcapngPacket[];
    }
  | { readonly kind: "write-metadata"; readonly recording: string; readonly metadata: Metadata }
  /** Close file and ledger, then say `finished`. */
  | {
      readonly kind: "finish";
      readonly recording: string;
      readonly metadata: Metadata;
      readonly completeness: Completeness;
    };
