/**
 * SIP messages out of a byte stream, by Content-Length octets (RFC 3261 §7.5, §18.3) with the
 * CRLF keep-alive of RFC 5626 §3.5.1. Pure. What comes out does not depend on how the stream was
 * cut, and memory is bounded by one message.
 */
import { isProtocolError, ProtocolError } from "../errors.ts";
import { type Malformed, malformed } from "./malformed.ts";
import type { SipMessage } from "./message.ts";
import {
  assembleMessage,
  contentLength,
  MAX_HEAD_BYTES,
  MAX_MESSAGE_BYTES,
  type MessageHead,
  parseHead,
} from "./parse-message.ts";

/** `keepalive` is CRLF CRLF between messages: to be answered with CRLF. */
export type StreamItem = SipMessage | { readonly kind: "keepalive" } | Malformed;

const HEAD_END = Buffer.from("\r\n\r\n");
const [CR, LF] = [0x0d, 0x0a];
const START_BYTES = 4096;

export class StreamFramer {
  #buffer = Buffer.alloc(START_BYTES);
  #start = 0;
  #end = 0;
  /** Octets from `#start` already searched for the end of the head. */
  #searched = 0;
  #waiting: { head: MessageHead; bodyBytes: number } | undefined;
  #oddCrlf = false;
  #lost = false;

  /** Takes the next octets; returns what they complete, in order. */
  push(chunk: Uint8Array): readonly StreamItem[] {
    const items: StreamItem[] = [];
    for (let from = 0; from < chunk.length && !this.#lost; from += MAX_MESSAGE_BYTES) {
      this.#append(chunk.subarray(from, from + MAX_MESSAGE_BYTES));
      let item = this.#take();
      while (item !== undefined) {
        items.push(item);
        item = this.#lost ? undefined : this.#take();
      }
    }
    return items;
  }

  /** True while part of a message waits for its rest: the moment to be impatient. */
  get midMessage(): boolean {
    return this.#waiting !== undefined || this.#end > this.#start;
  }

  #append(part: Uint8Array): void {
    const kept = this.#end - this.#start;
    const needed = kept + part.length;
    const target = needed > this.#buffer.length ? Buffer.alloc(needed * 2) : this.#buffer;
    this.#buffer.copy(target, 0, this.#start, this.#end);
    target.set(part, kept);
    this.#buffer = target;
    this.#start = 0;
    this.#end = needed;
  }

  #take(): StreamItem | undefined {
    if (this.#waiting === undefined) {
      if (this.#takeCrlf()) return { kind: "keepalive" };
      const failure = this.#takeHead();
      if (failure !== undefined) return failure;
    }
    return this.#takeBody();
  }

  /** Eats CRLFs between messages; true at each second one in a row. */
  #takeCrlf(): boolean {
    while (this.#buffer[this.#start] === CR && this.#buffer[this.#start + 1] === LF) {
      if (this.#end - this.#start < 2) return false;
      this.#consume(2);
      this.#oddCrlf = !this.#oddCrlf;
      if (!this.#oddCrlf) return true;
    }
    return false;
  }

  #takeHead(): Malformed | undefined {
    const octets = this.#buffer.subarray(this.#start, this.#end);
    const end = octets.indexOf(HEAD_END, Math.max(0, this.#searched - HEAD_END.length));
    this.#searched = octets.length;
    if ((end < 0 ? octets.length - HEAD_END.length : end) > MAX_HEAD_BYTES)
      return this.#lose(new ProtocolError("ERR_SIP_LIMIT", "header section"));
    if (end < 0) return undefined;
    const head = attempt(() => parseHead(octets.subarray(0, end)));
    if (head instanceof ProtocolError) return this.#lose(head);
    const bodyBytes = attempt(() => contentLength(head));
    if (bodyBytes instanceof ProtocolError) return this.#lose(bodyBytes, head);
    if (bodyBytes === undefined)
      return this.#lose(new ProtocolError("ERR_SIP_SYNTAX", "stream without Content-Length"), head);
    this.#consume(end + HEAD_END.length);
    this.#oddCrlf = false;
    this.#waiting = { head, bodyBytes };
    return undefined;
  }

  #takeBody(): StreamItem | undefined {
    if (this.#waiting === undefined || this.#end - this.#start < this.#waiting.bodyBytes)
      return undefined;
    const { head, bodyBytes } = this.#waiting;
    const body = this.#buffer.subarray(this.#start, this.#start + bodyBytes);
    const message = attempt(() => assembleMessage(head, body));
    this.#consume(bodyBytes);
    this.#waiting = undefined;
    return message instanceof ProtocolError ? malformed(message, head, false) : message;
  }

  /** Where one message ends is no longer known: nothing after it can be trusted. */
  #lose(error: ProtocolError, head?: MessageHead): Malformed {
    this.#lost = true;
    this.#buffer = Buffer.alloc(0);
    this.#start = 0;
    this.#end = 0;
    return malformed(error, head, true);
  }

  #consume(bytes: number): void {
    this.#start += bytes;
    this.#searched = 0;
  }
}

function attempt<T>(read: () => T): T | ProtocolError {
  try {
    return read();
  } catch (error) {
    if (isProtocolError(error)) return error;
    throw error;
  }
}
