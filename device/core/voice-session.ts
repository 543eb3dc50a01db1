/**
 * The media of one voice call: G.711 out in packets of 20 ms on a clock that never drifts, sender
 * reports with it, and what comes in authenticated before anything else is done with it
 * (RFC 3550, 3551 §4.5.14, 3711). Pure: packets in, packets out, time an argument.
 *
 * ```text
 * idle ──play──▶ playing ──last packet──▶ played
 *                   └──leave──▶ left                     any ──stop──▶ stopped
 * ```
 */
import { assertNever, isProtocolError } from "../../protocol/errors.ts";
import type { Machine, Millis } from "../../protocol/machine.ts";
import { decodeRtcp } from "../../protocol/rtp/rtcp-packet.ts";
import { decodeRtp } from "../../protocol/rtp/rtp-packet.ts";
import type { MasterKey } from "../../protocol/srtp/packet-keys.ts";
import { SrtpReceiver, type UnprotectResult } from "../../protocol/srtp/srtp-receiver.ts";
import type { MediaCounts } from "./call-event.ts";
import { HeardTrack } from "./heard-track.ts";
import { VoiceSource } from "./voice-source.ts";

export type VoiceInput =
  /** The other side's key is known: what was held is opened, what comes is opened at once. */
  | { readonly kind: "expect"; readonly key: MasterKey }
  | { readonly kind: "play" }
  | { readonly kind: "rtp"; readonly packet: Buffer }
  | { readonly kind: "rtcp"; readonly packet: Buffer }
  /** Say no more, and say goodbye if that was not said yet; go on listening. */
  | { readonly kind: "leave" }
  | { readonly kind: "stop" }
  | { readonly kind: "tick" };

export type VoiceEffect =
  | { readonly kind: "send"; readonly component: "rtp" | "rtcp"; readonly packet: Buffer }
  | { readonly kind: "started" }
  /** All of our sound is out. */
  | { readonly kind: "played"; readonly sent: number }
  /** The other side has said goodbye too, or has been quiet for `QUIET_MS`. Comes once. */
  | { readonly kind: "both-played" };

export interface VoiceSetting {
  /** What we say, mu-law at 8000 Hz. */
  readonly speech: Buffer;
  readonly key: MasterKey;
  readonly random: (size: number) => Buffer;
}

/** Packets kept until the other side's key is known: some three seconds of speech. */
export const MAX_HELD_PACKETS = 150;
/** After this long without a packet the other side is taken to have ended. */
export const QUIET_MS = 1000;

type State =
  | { readonly kind: "idle" }
  | { readonly kind: "playing" }
  | { readonly kind: "played"; readonly at: Millis; readonly bothReported: boolean }
  | { readonly kind: "left" }
  | { readonly kind: "stopped" };

interface Held {
  readonly component: "rtp" | "rtcp";
  readonly packet: Buffer;
}

export class VoiceSession implements Machine<VoiceInput, VoiceEffect> {
  readonly #source: VoiceSource;
  readonly #heard = new HeardTrack();
  #state: State = { kind: "idle" };
  #receiver: SrtpReceiver | undefined;
  #held: Held[] = [];
  #received = 0;
  #authenticated = 0;
  #rejected = 0;
  #lastHeardAt: Millis = 0;
  #peerLeft = false;

  constructor({ speech, key, random }: VoiceSetting) {
    this.#source = new VoiceSource(speech, key, random);
  }

  get counts(): MediaCounts {
    const { sentRtp, sentRtcp } = this.#source;
    return {
      ...{ sent: sentRtp, sentRtcp, received: this.#received },
      ...{ authenticated: this.#authenticated, rejected: this.#rejected },
    };
  }

  /** What was heard so far, mu-law. */
  get heard(): Buffer {
    return this.#heard.octets;
  }

  /** What was said so far, mu-law, in the order sent. */
  get said(): Buffer {
    return this.#source.said;
  }

  handle(input: VoiceInput, now: Millis): readonly VoiceEffect[] {
    if (this.#state.kind === "stopped") return [];
    switch (input.kind) {
      case "expect":
        return this.#expect(input.key, now);
      case "play":
        return this.#play(now);
      case "rtp":
      case "rtcp":
        return this.#receive({ component: input.kind, packet: input.packet }, now);
      case "leave":
        return this.#leave(now);
      case "stop":
        return this.#stop();
      case "tick":
        return this.#tick(now);
      default:
        return assertNever(input);
    }
  }

  deadline(): Millis | undefined {
    const state = this.#state;
    switch (state.kind) {
      case "playing":
        return this.#source.deadline();
      case "played":
        return state.bothReported ? undefined : this.#quietAt(state.at);
      case "idle":
      case "left":
      case "stopped":
        return undefined;
      default:
        return assertNever(state);
    }
  }

  #expect(key: MasterKey, now: Millis): readonly VoiceEffect[] {
    this.#receiver = new SrtpReceiver(key);
    const held = this.#held;
    this.#held = [];
    for (const each of held) this.#open(each, this.#receiver, now);
    return this.#reportBoth(now);
  }

  #play(now: Millis): readonly VoiceEffect[] {
    if (this.#state.kind !== "idle") return [];
    this.#state = { kind: "playing" };
    this.#source.start(now);
    return [{ kind: "started" }, ...this.#tick(now)];
  }

  #receive(held: Held, now: Millis): readonly VoiceEffect[] {
    this.#received += 1;
    if (this.#receiver !== undefined) this.#open(held, this.#receiver, now);
    else if (this.#held.length < MAX_HELD_PACKETS) this.#held.push(held);
    else this.#rejected += 1;
    return this.#reportBoth(now);
  }

  #open({ component, packet }: Held, receiver: SrtpReceiver, now: Millis): void {
    const [result] =
      component === "rtp"
        ? receiver.unprotectBatch([packet])
        : receiver.unprotectRtcpBatch([packet]);
    if (result?.kind !== "ok") {
      this.#rejected += 1;
      return;
    }
    this.#authenticated += 1;
    this.#lastHeardAt = now;
    if (component === "rtp") this.#listen(result);
    else this.#peerLeft ||= saysGoodbye(result);
  }

  #listen({ packet }: UnprotectResult & { kind: "ok" }): void {
    const rtp = readOrIgnore(() => decodeRtp(packet));
    if (rtp?.payloadType === 0) this.#heard.add(rtp);
  }

  #leave(now: Millis): readonly VoiceEffect[] {
    if (this.#state.kind !== "playing") return [];
    this.#state = { kind: "left" };
    return this.#source.leave(now).map(sendEffect);
  }

  #stop(): readonly VoiceEffect[] {
    this.#state = { kind: "stopped" };
    this.#rejected += this.#held.length;
    this.#held = [];
    return [];
  }

  #tick(now: Millis): readonly VoiceEffect[] {
    if (this.#state.kind !== "playing") return this.#reportBoth(now);
    const effects: VoiceEffect[] = this.#source.takeDue(now).map(sendEffect);
    if (!this.#source.isOver(now)) return effects;
    effects.push(...this.#source.leave(now).map(sendEffect));
    effects.push({ kind: "played", sent: this.#source.sentRtp });
    this.#state = { kind: "played", at: now, bothReported: false };
    return [...effects, ...this.#reportBoth(now)];
  }

  #reportBoth(now: Millis): readonly VoiceEffect[] {
    const state = this.#state;
    if (state.kind !== "played" || state.bothReported) return [];
    if (!this.#peerLeft && now < this.#quietAt(state.at)) return [];
    this.#state = { ...state, bothReported: true };
    return [{ kind: "both-played" }];
  }

  #quietAt(playedAt: Millis): Millis {
    return Math.max(playedAt, this.#lastHeardAt) + QUIET_MS;
  }
}

const sendEffect = (sent: Held): VoiceEffect => ({ kind: "send", ...sent });

function saysGoodbye({ packet }: UnprotectResult & { kind: "ok" }): boolean {
  const packets = readOrIgnore(() => decodeRtcp(packet)) ?? [];
  return packets.some(({ kind }) => kind === "goodbye");
}

/** A packet whose tag is good may still be nonsense: its sender's fault, and no harm to us. */
function readOrIgnore<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (!isProtocolError(error)) throw error;
    return undefined;
  }
}
