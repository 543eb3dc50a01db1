/**
 * Opens the packets of one stream under one key, or takes them as they are where nothing is
 * encrypted. Pure.
 */

import type { OrderProtection } from "../../protocol/ingest/order.ts";
import { isRtcp } from "../../protocol/rtp/is-rtcp.ts";
import { rtpHeaderBytes } from "../../protocol/rtp/rtp-packet.ts";
import {
  isSrtpSuite,
  isSupportedSuite,
  masterKeySaltBytes,
} from "../../protocol/rtp/srtp-suite.ts";
import { Secret } from "../../protocol/secret.ts";
import { estimateIndex } from "../../protocol/srtp/packet-index.ts";
import { ReplayWindow } from "../../protocol/srtp/replay-window.ts";
import {
  type EarlierIndices,
  FIRST_ROLLOVER_COUNTER_MAX,
  SrtpReceiver,
  type UnprotectResult,
} from "../../protocol/srtp/srtp-receiver.ts";

export interface MediaReceiver {
  /** True if what it opens is proven to come from a holder of the key. */
  readonly isAuthenticating: boolean;
  unprotectBatch(packets: readonly Uint8Array[]): readonly UnprotectResult[];
  unprotectRtcpBatch(packets: readonly Uint8Array[]): readonly UnprotectResult[];
}

export type ReceiverChoice =
  | { readonly kind: "ready"; readonly receiver: MediaReceiver }
  /** There will be no decryption; why, in words for the report. */
  | { readonly kind: "impossible"; readonly because: string };

export interface SrtpHistory {
  /** The stream may have been going on for hours: its rollover counter is to be found. */
  readonly isJoined?: boolean;
  /** What the SSRCs were at under earlier keys and at earlier destinations. */
  readonly earlierIndices?: EarlierIndices;
}

/** Sources without a key that one stream remembers: they prove nothing of themselves. */
export const MAX_CLEAR_SSRCS = 64;

/** The receiver for a key. */
export function chooseReceiver(
  { suite, masterKeySalt: base64 }: Extract<OrderProtection, { kind: "srtp" }>,
  { isJoined = false, earlierIndices }: SrtpHistory = {},
): ReceiverChoice {
  if (!isSrtpSuite(suite) || !isSupportedSuite(suite))
    return { kind: "impossible", because: `crypto suite ${suite} is not supported` };
  const masterKeySalt = new Secret(Buffer.from(base64, "base64"));
  if (masterKeySalt.length !== masterKeySaltBytes(suite))
    return { kind: "impossible", because: `the key does not fit ${suite}` };
  const srtp = new SrtpReceiver(
    { suite, masterKeySalt },
    {
      ...(isJoined && { firstRolloverCounterMax: FIRST_ROLLOVER_COUNTER_MAX }),
      ...(earlierIndices && { earlierIndices }),
    },
  );
  masterKeySalt.wipe();
  return {
    kind: "ready",
    receiver: {
      isAuthenticating: true,
      unprotectBatch: (packets) => srtp.unprotectBatch(packets),
      unprotectRtcpBatch: (packets) => srtp.unprotectRtcpBatch(packets),
    },
  };
}

/** Plain RTP and RTCP: checks syntax and finds duplicates, proves nothing. */
export class ClearReceiver implements MediaReceiver {
  readonly isAuthenticating = false;
  readonly #windows = new Map<number, ReplayWindow>();

  unprotectBatch(packets: readonly Uint8Array[]): readonly UnprotectResult[] {
    return packets.map((octets) => this.#take(octets));
  }

  unprotectRtcpBatch(packets: readonly Uint8Array[]): readonly UnprotectResult[] {
    return packets.map((octets) =>
      isRtcp(octets)
        ? { kind: "ok", packet: Buffer.from(octets), index: 0 }
        : { kind: "rejected", reason: "syntax" },
    );
  }

  /** True if the packet names a source that it took RTP from. */
  isKnownSource(octets: Buffer): boolean {
    const at = isRtcp(octets) ? 4 : 8;
    return octets.length >= at + 4 && this.#windows.has(octets.readUInt32BE(at));
  }

  #take(octets: Uint8Array): UnprotectResult {
    if (rtpHeaderBytes(octets) === undefined) return { kind: "rejected", reason: "syntax" };
    const packet = Buffer.from(octets);
    const [sequenceNumber, ssrc] = [packet.readUInt16BE(2), packet.readUInt32BE(8)];
    let window = this.#windows.get(ssrc);
    if (window === undefined) {
      if (this.#windows.size === MAX_CLEAR_SSRCS) return { kind: "rejected", reason: "limit" };
      window = new ReplayWindow();
      this.#windows.set(ssrc, window);
    }
    const index =
      window.highest < 0 ? sequenceNumber : estimateIndex(window.highest, sequenceNumber);
    if (!window.isFresh(index)) return { kind: "rejected", reason: "replay" };
    window.mark(index);
    return { kind: "ok", packet, index };
  }
}
