/**
 * One SIP connection over TCP or TLS: frames what comes in, answers keep-alives and what cannot
 * be read, holds back what goes out until the peer is verified. Touches one socket and one timer.
 */
import type { Socket } from "node:net";
import type { Peer } from "../protocol/sip/flow.ts";
import type { Malformed } from "../protocol/sip/malformed.ts";
import type { SipMessage } from "../protocol/sip/message.ts";
import { serializeMessage } from "../protocol/sip/serialize-message.ts";
import { StreamFramer } from "../protocol/sip/stream-framer.ts";

export interface ConnectionLimits {
  /** From the first octet of a message to its last. */
  readonly messageTimeoutMs: number;
  /** From the beginning of a connection that a peer opened to the end of its first message. */
  readonly firstMessageTimeoutMs: number;
  /** Without any octet either way. */
  readonly idleTimeoutMs: number;
  /** Octets waiting for a peer that does not read. */
  readonly sendQueueBytes: number;
}

export interface ConnectionEvents {
  readonly onMessage: (message: SipMessage) => void;
  readonly onMalformed: (malformed: Malformed) => void;
  readonly onKeepAlive: () => void;
  /** So many items were read at once; returns how long to read no more, in milliseconds. */
  readonly onRead: (items: number) => number;
  /** Once, at once, however it ended. */
  readonly onClosed: (reason: string) => void;
}

interface Outgoing {
  readonly octets: Buffer;
  readonly settle: (error?: Error) => void;
}

const PONG = Buffer.from("\r\n"); // RFC 5626 §3.5.1
const KEEP_ALIVE_PROBE_MS = 60_000;
/** How long a peer may take to read our last words. */
const CLOSE_GRACE_MS = 1_000;

export class SipConnection {
  readonly #socket: Socket;
  readonly #limits: ConnectionLimits;
  readonly #events: ConnectionEvents;
  readonly #framer = new StreamFramer();
  #waiting: Outgoing[] = [];
  #waitingBytes = 0;
  #peer: Peer | undefined;
  #closeReason: string | undefined;
  #messageTimer: NodeJS.Timeout | undefined;
  #firstMessageTimer: NodeJS.Timeout | undefined;
  #restTimer: NodeJS.Timeout | undefined;

  constructor(socket: Socket, limits: ConnectionLimits, events: ConnectionEvents) {
    this.#socket = socket;
    this.#limits = limits;
    this.#events = events;
    socket.on("data", (chunk: Buffer) => this.#read(chunk));
    socket.on("error", (error: NodeJS.ErrnoException) => this.close(error.code ?? error.message));
    socket.on("end", () => this.close("closed by peer"));
    socket.on("close", () => this.close("closed"));
    socket.setTimeout(limits.idleTimeoutMs, () => this.close("idle"));
  }

  /** Who is at the other end, once known. */
  get peer(): Peer | undefined {
    return this.#peer;
  }

  /** The peer is who he should be: from here on messages flow. */
  open(peer: Peer): void {
    if (this.#closeReason !== undefined) return;
    this.#peer = peer;
    this.#socket.setNoDelay(true);
    this.#socket.setKeepAlive(true, KEEP_ALIVE_PROBE_MS);
    const waiting = this.#waiting;
    this.#waiting = [];
    this.#waitingBytes = 0;
    for (const outgoing of waiting) this.#write(outgoing);
  }

  /** The other side opened it: it has to say something soon. */
  expectMessage(): void {
    const giveUp = (): void => this.close("never said anything");
    this.#firstMessageTimer = setTimeout(giveUp, this.#limits.firstMessageTimeoutMs);
  }

  /** Settles when the octets are with the kernel, or will never be. */
  send(message: SipMessage, settle: (error?: Error) => void): void {
    if (this.#closeReason !== undefined) settle(this.#failure());
    else this.#enqueue({ octets: serializeMessage(message), settle });
  }

  /** Takes and gives nothing more, save what is already on its way out. */
  close(reason: string): void {
    if (this.#closeReason !== undefined) return;
    this.#closeReason = reason;
    for (const timer of [this.#messageTimer, this.#firstMessageTimer, this.#restTimer])
      clearTimeout(timer);
    const grace = setTimeout(() => this.#socket.destroy(), CLOSE_GRACE_MS);
    this.#socket.once("close", () => clearTimeout(grace));
    this.#socket.destroySoon();
    for (const { settle } of this.#waiting.splice(0)) settle(this.#failure());
    this.#events.onClosed(reason);
  }

  #enqueue(outgoing: Outgoing): void {
    this.#waitingBytes += outgoing.octets.length;
    const queued = this.#peer === undefined ? this.#waitingBytes : this.#socket.writableLength;
    if (queued > this.#limits.sendQueueBytes) this.close("peer does not read");
    if (this.#closeReason !== undefined) outgoing.settle(this.#failure());
    else if (this.#peer === undefined) this.#waiting.push(outgoing);
    else this.#write(outgoing);
  }

  #write({ octets, settle }: Outgoing): void {
    this.#socket.write(octets, (error) => settle(error == null ? undefined : this.#failure(error)));
  }

  #read(chunk: Buffer): void {
    if (this.#closeReason !== undefined) return;
    const items = this.#framer.push(chunk);
    this.#watchMessage(items.length > 0);
    if (items.length > 0) clearTimeout(this.#firstMessageTimer);
    for (const item of items) {
      if (item.kind === "keepalive") this.#answerPing();
      else if (item.kind === "malformed") this.#refuse(item);
      else this.#events.onMessage(item);
      if (this.#closeReason !== undefined) return;
    }
    const restMs = this.#events.onRead(items.length);
    if (restMs > 0) this.#rest(restMs);
  }

  #answerPing(): void {
    this.#events.onKeepAlive();
    this.#enqueue({ octets: PONG, settle: () => undefined });
  }

  /**
   * Lets the peer's own queue fill for a while; the kernel then holds it back. A message begun
   * has its whole time again afterwards: the pause is ours.
   */
  #rest(restMs: number): void {
    this.#socket.pause();
    this.#stopMessageTimer();
    clearTimeout(this.#restTimer);
    this.#restTimer = setTimeout(() => {
      this.#watchMessage(false);
      this.#socket.resume();
    }, restMs);
  }

  #refuse(malformed: Malformed): void {
    this.#events.onMalformed(malformed);
    if (malformed.answer !== undefined)
      this.#enqueue({ octets: serializeMessage(malformed.answer), settle: () => undefined });
    if (malformed.fatal) this.close(malformed.error.code);
  }

  /** Who begins a message must end it soon; further octets of it do not buy time. */
  #watchMessage(completed: boolean): void {
    if (completed || !this.#framer.midMessage) this.#stopMessageTimer();
    if (this.#framer.midMessage)
      this.#messageTimer ??= setTimeout(
        () => this.close("message takes too long"),
        this.#limits.messageTimeoutMs,
      );
  }

  #stopMessageTimer(): void {
    clearTimeout(this.#messageTimer);
    this.#messageTimer = undefined;
  }

  #failure(cause?: Error): Error {
    const reason = this.#closeReason ?? "write failed";
    return new Error(`SIP connection: ${reason}`, cause === undefined ? undefined : { cause });
  }
}
