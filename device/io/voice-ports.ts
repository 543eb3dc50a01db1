/**
 * The two UDP ports that a phone's sound goes through, and the machine that decides what does.
 * Touches two sockets, the clock and one timer.
 */
import { randomBytes } from "node:crypto";
import { createSocket, type Socket } from "node:dgram";
import { performance } from "node:perf_hooks";
import { type Drive, drive } from "../../runtime/drive.ts";
import type { MediaCounts } from "../core/call-event.ts";
import type { LocalVoice, RemoteVoice, VoiceEndpoint } from "../core/voice-description.ts";
import { type VoiceEffect, type VoiceInput, VoiceSession } from "../core/voice-session.ts";

type VoiceReport = Exclude<VoiceEffect, { kind: "send" }>;

interface Session {
  readonly machine: VoiceSession;
  readonly drive: Drive<VoiceInput>;
  remote: RemoteVoice | undefined;
}

/** Time that no correction of the wall clock makes jump: packets are paced by it. */
const steadyClock = (): number => performance.timeOrigin + performance.now();

export class VoicePorts {
  readonly #rtp: Socket;
  readonly #rtcp: Socket;
  readonly #report: (report: VoiceReport) => void;
  #session: Session | undefined;
  #unsent = { rtp: 0, rtcp: 0 };

  private constructor(rtp: Socket, rtcp: Socket, report: (report: VoiceReport) => void) {
    this.#rtp = rtp;
    this.#rtcp = rtcp;
    this.#report = report;
    rtp.on("message", (packet) => this.#session?.drive.feed({ kind: "rtp", packet }));
    rtcp.on("message", (packet) => this.#session?.drive.feed({ kind: "rtcp", packet }));
  }

  /** Binds both ports. Rejects, with neither left bound, if one is taken. */
  static async open(
    { address, rtpPort }: VoiceEndpoint,
    report: (report: VoiceReport) => void,
  ): Promise<VoicePorts> {
    const rtp = await bind(address, rtpPort);
    try {
      return new VoicePorts(rtp, await bind(address, rtpPort + 1), report);
    } catch (error) {
      rtp.close();
      throw error;
    }
  }

  /** What comes is kept from now on; `speech` (mu-law) is what `play` will send. */
  begin(local: LocalVoice, speech: Buffer): void {
    const machine = new VoiceSession({ speech, key: local.crypto, random: randomBytes });
    const running = drive(machine, (effect: VoiceEffect) => this.#perform(effect), steadyClock);
    this.#session = { machine, drive: running, remote: undefined };
  }

  expect(remote: RemoteVoice): void {
    if (this.#session === undefined) throw new TypeError("expect before begin");
    this.#session.remote = remote;
    this.#session.drive.feed({ kind: "expect", key: remote.crypto });
  }

  feed(input: VoiceInput & { kind: "play" | "leave" | "stop" }): void {
    this.#session?.drive.feed(input);
  }

  /** Undefined until the other side was known: there was no media then. */
  get counts(): MediaCounts | undefined {
    if (this.#session?.remote === undefined) return undefined;
    const { sent, sentRtcp, ...received } = this.#session.machine.counts;
    const { rtp, rtcp } = this.#unsent;
    return { sent: sent - rtp, sentRtcp: sentRtcp - rtcp, ...received };
  }

  /** mu-law, at 8000 Hz. */
  get heard(): Buffer {
    return this.#session?.machine.heard ?? Buffer.alloc(0);
  }

  /** mu-law, in the order sent. */
  get said(): Buffer {
    return this.#session?.machine.said ?? Buffer.alloc(0);
  }

  close(): void {
    this.#session?.drive.stop();
    this.#rtp.close();
    this.#rtcp.close();
  }

  #perform(effect: VoiceEffect): void {
    if (effect.kind !== "send") {
      this.#report(effect);
      return;
    }
    const { component, packet } = effect;
    const remote = this.#session?.remote;
    if (remote === undefined) return;
    const socket = component === "rtp" ? this.#rtp : this.#rtcp;
    const { address, port } = remote[component];
    // A packet that the network does not take is lost, as packets are; it is not counted as sent.
    socket.send(packet, port, address, (error) => {
      if (error !== null) this.#unsent[component] += 1;
    });
  }
}

function bind(address: string, port: number): Promise<Socket> {
  const socket = createSocket(address.includes(":") ? "udp6" : "udp4");
  return new Promise((resolve, reject) => {
    socket.once("error", (cause) => {
      socket.close();
      reject(new Error(`media port ${port} of ${address} cannot be taken`, { cause }));
    });
    socket.bind({ address, port, exclusive: true }, () => {
      socket.removeAllListeners("error");
      socket.on("error", () => undefined); // late ICMP errors belong to single packets
      resolve(socket);
    });
  });
}
