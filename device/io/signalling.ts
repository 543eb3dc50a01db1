/**
 * The phone's signalling with real time and real connections: runs the user agent over a SIP
 * transport. Touches sockets, the clock and one timer.
 */
import { randomBytes } from "node:crypto";
import type { FlowId, Target } from "../../protocol/sip/flow.ts";
import type { SipMessage, SipRequest, SipResponse } from "../../protocol/sip/message.ts";
import { type Drive, drive } from "../../runtime/drive.ts";
import {
  createSipTransport,
  type SipArrival,
  type SipListener,
  type SipTransportHandle,
} from "../../runtime/sip-transport.ts";
import type { SipTlsSetting } from "../../runtime/sip-transport-tls.ts";
import { answersProbe, createProbe, type OwnEnd, readOwnEnd } from "../core/own-end.ts";
import type { RegistrationInput } from "../core/registration-port.ts";
import {
  UserAgent,
  type UserAgentEffect,
  type UserAgentInput,
  type UserAgentSetting,
} from "../core/user-agent.ts";

export interface SignallingSetting {
  readonly listeners: readonly SipListener[];
  readonly tls: SipTlsSetting;
  /** Everything the user agent asks for but the sending. */
  readonly perform: (effect: Exclude<UserAgentEffect, { kind: "send" }>) => void;
  /** An INVITE as it goes out or comes in. */
  readonly onInvite: (invite: SipRequest) => void;
}

/** How long the next hop may take to tell us our own end. */
const PROBE_TIMEOUT_MS = 10_000;
/** How long our last words may take at the end. */
const FLUSH_TIMEOUT_MS = 2_000;

export class Signalling {
  readonly #setting: SignallingSetting;
  readonly #transport: SipTransportHandle;
  readonly #sending = new Set<Promise<unknown>>();
  #agent: UserAgent | undefined;
  #drive: Drive<UserAgentInput> | undefined;
  #onProbed: ((message: SipMessage) => void) | undefined;
  #giveUpProbe: () => void = () => undefined;

  private constructor(setting: SignallingSetting, transport: SipTransportHandle) {
    this.#setting = setting;
    this.#transport = transport;
  }

  /** Rejects if a listener cannot be opened. */
  static async open(setting: SignallingSetting): Promise<Signalling> {
    let opened: Signalling | undefined;
    const transport = await createSipTransport({
      listeners: setting.listeners,
      tls: setting.tls,
      onMessage: (arrival) => {
        if (opened !== undefined) opened.#receive(arrival);
      },
      onClosed: (flow) =>
        opened?.feed({ kind: "signalling", input: { kind: "flow-closed", flow } }),
    });
    opened = new Signalling(setting, transport);
    return opened;
  }

  get listening(): readonly SipListener[] {
    return this.#transport.listening;
  }

  get isIdle(): boolean {
    return this.#agent?.isIdle ?? true;
  }

  /** Asks the next hop how it sees us. Rejects if it cannot be reached or does not tell. */
  async ownEnd(aor: string, address: string, target: Target): Promise<OwnEnd> {
    const probe = createProbe(aor, address, target, randomBytes);
    const answered = Promise.withResolvers<SipResponse>();
    const giveUp = (): void => answered.reject(new Error("the next hop does not answer"));
    const timer = setTimeout(giveUp, PROBE_TIMEOUT_MS);
    this.#giveUpProbe = giveUp;
    this.#onProbed = (message) => {
      if (message.kind === "response" && answersProbe(probe, message)) answered.resolve(message);
    };
    try {
      const sent = this.#transport.send(probe, target);
      const [response] = await Promise.all([answered.promise, sent]);
      return readOwnEnd(response);
    } finally {
      clearTimeout(timer);
      this.#onProbed = undefined;
    }
  }

  /** From here on messages reach the user agent. */
  start(setting: UserAgentSetting): void {
    this.#agent = new UserAgent(setting);
    this.#drive = drive(this.#agent, (effect: UserAgentEffect) =>
      effect.kind === "send" ? this.#send(effect) : this.#setting.perform(effect),
    );
  }

  feed(input: UserAgentInput): void {
    this.#drive?.feed(input);
  }

  feedRegistration(input: RegistrationInput): void {
    this.feed({ kind: "registration", input });
  }

  /** Other credentials for new connections. */
  setTls(tls: SipTlsSetting): void {
    this.#transport.setTls(tls);
  }

  /** Waits for what is still being sent, then closes every connection. */
  async close(): Promise<void> {
    this.#giveUpProbe();
    const sent = Promise.allSettled(this.#sending);
    await Promise.race([sent, new Promise((done) => setTimeout(done, FLUSH_TIMEOUT_MS).unref())]);
    this.#drive?.stop();
    await this.#transport.close();
  }

  #receive(arrival: SipArrival): void {
    const { message } = arrival;
    this.#onProbed?.(message);
    if (message.kind === "request" && message.method === "INVITE") this.#setting.onInvite(message);
    this.feed({ kind: "signalling", input: { kind: "received", ...arrival } });
  }

  #send({ message, to, key }: UserAgentEffect & { kind: "send" }): void {
    if (message.kind === "request" && message.method === "INVITE") this.#setting.onInvite(message);
    const sending = this.#transport.send(message, to).then(
      (flow) => this.#reportSent(key, flow),
      () => this.#reportFailed(key),
    );
    this.#sending.add(sending);
    void sending.finally(() => this.#sending.delete(sending));
  }

  #reportSent(key: string | undefined, flow: FlowId): void {
    if (key !== undefined) this.feed({ kind: "signalling", input: { kind: "sent", key, flow } });
  }

  #reportFailed(key: string | undefined): void {
    if (key === undefined) return;
    this.feed({ kind: "signalling", input: { kind: "transport-failed", key } });
  }
}
