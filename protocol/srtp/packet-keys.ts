/**
 * The two operations on packets of one kind under one master key: AES counter mode and the
 * HMAC-SHA1 tag (RFC 3711 §4.1, §4.2). Pure.
 */
import { createHmac, createSecretKey, type KeyObject, timingSafeEqual } from "node:crypto";
import { isSupportedSuite, SRTP_SUITES, type SrtpSuite } from "../rtp/srtp-suite.ts";
import type { Secret } from "../secret.ts";
import { AesCounterMode } from "./aes-counter-mode.ts";
import { deriveSessionKeys } from "./session-keys.ts";

/** One master key as SDES carries it. */
export interface MasterKey {
  readonly suite: SrtpSuite;
  /** Master key, then master salt. */
  readonly masterKeySalt: Secret;
  /** Identifier that stands before each tag; absent: none (§3.1). */
  readonly mki?: Uint8Array;
  /** Packets it may protect, RTP and RTCP each; absent: the suite's limit. */
  readonly lifetimePackets?: number;
}

export class PacketKeys {
  readonly cipher: AesCounterMode;
  readonly tagBytes: number;
  readonly mki: Buffer;
  readonly #authenticationKey: KeyObject;

  /** @throws RangeError for a suite without support, or key octets of another length. */
  constructor(master: MasterKey, kind: "rtp" | "rtcp") {
    const { suite, masterKeySalt, mki = Buffer.alloc(0) } = master;
    if (!isSupportedSuite(suite)) throw new RangeError(`${suite} is not supported`);
    const { encryptionKey, authenticationKey, salt } = deriveSessionKeys(
      suite,
      masterKeySalt,
      kind,
    );
    const { srtpTagBytes, srtcpTagBytes } = SRTP_SUITES[suite];
    this.cipher = new AesCounterMode(encryptionKey, salt);
    this.tagBytes = kind === "rtp" ? srtpTagBytes : srtcpTagBytes;
    this.mki = Buffer.from(mki);
    this.#authenticationKey = createSecretKey(authenticationKey.expose());
    encryptionKey.wipe();
    authenticationKey.wipe();
  }

  /** Octets that this kind adds behind what is authenticated: MKI and tag. */
  get trailerBytes(): number {
    return this.mki.length + this.tagBytes;
  }

  /** MKI and tag over the octets, and over the rollover counter where the packet lacks it. */
  trailer(authenticated: Uint8Array, rolloverCounter?: number): Buffer {
    return Buffer.concat([this.mki, this.#tag(authenticated, rolloverCounter)]);
  }

  /** True if the octets end in this key's MKI and the right tag; constant time. */
  isAuthentic(packet: Uint8Array, rolloverCounter?: number): boolean {
    const end = packet.length - this.trailerBytes;
    const trailer = this.trailer(packet.subarray(0, end), rolloverCounter);
    return timingSafeEqual(trailer, packet.subarray(end));
  }

  #tag(authenticated: Uint8Array, rolloverCounter: number | undefined): Buffer {
    const hmac = createHmac("sha1", this.#authenticationKey).update(authenticated);
    if (rolloverCounter !== undefined) {
      const counter = Buffer.alloc(4);
      counter.writeUInt32BE(rolloverCounter);
      hmac.update(counter);
    }
    return hmac.digest().subarray(0, this.tagBytes);
  }
}
