/**
 * How long a datagram waits in a socket's queue before it is read: one that we send to ourselves
 * waits there like everybody's. The event loop does not tell, since it goes on turning while the
 * kernel's queue is full. Touches one datagram socket; the clock is an argument.
 */
import { randomBytes } from "node:crypto";
import type { Socket } from "node:dgram";

/** Nobody else knows it, and no message of SIP or STUN begins with octets like its first. */
const TOKEN_BYTES = 16;
const FIRST_OCTET = 0xff;
/** A probe that has not come back by then was dropped. */
export const PROBE_LOST_MS = 8_000;
/** So many datagrams read meanwhile say that it was for a full queue, and not by a packet filter. */
export const BUSY_DATAGRAMS = 100;

export class QueueProbe {
  readonly #socket: Pick<Socket, "address" | "send">;
  readonly #token = Buffer.concat([Buffer.from([FIRST_OCTET]), randomBytes(TOKEN_BYTES)]);
  #out: { readonly sentAt: number; readonly received: number } | undefined;
  #lastMs = 0;
  /** A filter that lets none of them through must not look like a full queue for ever. */
  #hasComeBack = false;

  constructor(socket: Pick<Socket, "address" | "send">) {
    this.#socket = socket;
  }

  /**
   * The longer of the last wait and of the one that still goes on; sends a probe if none is out.
   * `received` counts the datagrams read so far.
   */
  delayMs(nowMs: number, received: number): number {
    const out = this.#out;
    if (out !== undefined) {
      const waitedMs = nowMs - out.sentAt;
      const isBusy = this.#hasComeBack && received - out.received >= BUSY_DATAGRAMS;
      if (waitedMs < PROBE_LOST_MS) return isBusy ? Math.max(this.#lastMs, waitedMs) : this.#lastMs;
      this.#lastMs = isBusy ? PROBE_LOST_MS : 0;
    }
    const { address, port } = this.#socket.address();
    const near = address === "0.0.0.0" ? "127.0.0.1" : address === "::" ? "::1" : address;
    this.#out = { sentAt: nowMs, received };
    this.#socket.send(this.#token, port, near);
    return this.#lastMs;
  }

  /** True for the probe, which is no message then. */
  isBack(octets: Buffer, nowMs: () => number): boolean {
    if (octets[0] !== FIRST_OCTET || !octets.equals(this.#token)) return false;
    if (this.#out !== undefined) this.#lastMs = nowMs() - this.#out.sentAt;
    this.#out = undefined;
    this.#hasComeBack = true;
    return true;
  }
}
