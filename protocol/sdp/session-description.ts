/**
 * SDP as data: what a description says, with the attributes that decide where media flows and
 * under which key given a shape of their own (RFC 8866 §5, RFC 3264, 3605, 4568, 5761). Pure.
 */
import type { ProtocolErrorCode } from "../errors.ts";
import type { CryptoAttribute } from "./crypto-attribute.ts";

export type AddressFamily = "IP4" | "IP6";

export interface Origin {
  readonly username: string;
  /** Decimal digits; may exceed 2^53. */
  readonly sessionId: string;
  readonly sessionVersion: string;
  readonly family: AddressFamily;
  /** Address or host name; identifies the session only, never where media goes. */
  readonly address: string;
}

/** A `c=` line: always an address literal, since a firewall opens no names. */
export interface Connection {
  readonly family: AddressFamily;
  readonly address: string;
  /** What may follow an address, meant for multicast: TTL and count, without the first slash. */
  readonly scope?: string;
}

/** An `a=` line without a shape of its own: `a=name` or `a=name:value`. */
export interface Attribute {
  readonly name: string;
  readonly value?: string;
}

/** A line that is passed on as it stands: `i u e p b t r z`. */
export interface PlainLine {
  readonly type: string;
  readonly value: string;
}

export type Direction = "sendrecv" | "sendonly" | "recvonly" | "inactive";

export interface RtpMap {
  readonly payloadType: number;
  /** As written; encoding names compare without regard to case. */
  readonly encoding: string;
  readonly clockHz: number;
  /** Audio channels; 1 if not written. */
  readonly channels: number;
}

/** An `a=crypto` line that was passed over, and why (RFC 4568 §5.1.2: invalid lines are ignored). */
export interface RefusedCrypto {
  readonly code: ProtocolErrorCode;
  readonly reason: string;
}

export interface MediaDescription {
  /** `audio`, `video`, `application`, ... */
  readonly media: string;
  /** 0 rejects the stream, or leaves it to its bundle (RFC 3264 §6, RFC 9143). */
  readonly port: number;
  readonly proto: string;
  /** The formats as written. */
  readonly formats: readonly string[];
  /** The formats as RTP payload types; empty if `proto` is not an RTP profile. */
  readonly payloads: readonly number[];
  readonly connection?: Connection;
  /** `a=rtcp` (RFC 3605). */
  readonly rtcp?: { readonly port: number; readonly connection?: Connection };
  readonly rtcpMux: boolean;
  /** In force here: the stream's own, else the session's, else `sendrecv`. */
  readonly direction: Direction;
  readonly rtpmap: readonly RtpMap[];
  readonly crypto: readonly CryptoAttribute[];
  /** Filled by the parser, never written. */
  readonly refusedCrypto: readonly RefusedCrypto[];
  /** All other attributes, in order. */
  readonly attributes: readonly Attribute[];
  readonly plainLines: readonly PlainLine[];
}

export interface SessionDescription {
  readonly origin: Origin;
  readonly sessionName: string;
  readonly connection?: Connection;
  /** Session attributes in order, without the direction, which each stream carries. */
  readonly attributes: readonly Attribute[];
  readonly plainLines: readonly PlainLine[];
  readonly media: readonly MediaDescription[];
}

const RTP_PROFILE = /(?:^|\/)RTP\/S?AVPF?$/;

/** True for RTP/AVP and its relatives, so that the formats are payload types. */
export const isRtpProfile = (proto: string): boolean => RTP_PROFILE.test(proto);
