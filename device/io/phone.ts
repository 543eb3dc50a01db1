/**
 * One phone for one call: joins signalling, sealing and media, and stores what was asked for.
 * Touches everything below it, and the files named in its options.
 */
import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { decodeMuLaw } from "../../protocol/audio/g711.ts";
import { encodeWav } from "../../protocol/audio/wav.ts";
import type { Target } from "../../protocol/sip/flow.ts";
import type { SipRequest } from "../../protocol/sip/message.ts";
import { addressOfRecord } from "../../protocol/sip/uri.ts";
import type { SipListener } from "../../runtime/sip-transport.ts";
import type { DeviceConfig } from "../config.ts";
import type { CallOutcome, CallParty, SealingTask } from "../core/call.ts";
import type { CallVerb } from "../core/call-command.ts";
import type { QueryOutcome } from "../core/certificate-query.ts";
import type { PhoneEvent } from "../core/phone-event.ts";
import type { OwnContact } from "../core/registration-port.ts";
import type { UserAgentEffect } from "../core/user-agent.ts";
import { CertificateQuestions } from "./certificate-questions.ts";
import { tellOutcome } from "./certificate-run.ts";
import type { Credentials } from "./credentials.ts";
import { OwnLocation } from "./own-location.ts";
import { digestOf, type RegistrarSecrets } from "./registrar-secrets.ts";
import { RegistrationSession, type SessionOptions } from "./registration-session.ts";
import { performSealing } from "./sealing-desk.ts";
import { Signalling } from "./signalling.ts";
import { VoicePorts } from "./voice-ports.ts";

export type PhoneMode =
  | {
      readonly kind: "call";
      readonly target: string;
      readonly sealed: boolean;
    }
  | {
      readonly kind: "answer";
      readonly sealedRequired: boolean;
      readonly autoAnswerAfterMs?: number;
      /** Ends after the first call, also if that was refused. */
      readonly once: boolean;
    };

export interface PhoneOptions {
  readonly config: DeviceConfig;
  readonly rtpPort: number;
  readonly credentials: Credentials;
  /** What they are by now: a registration may have been refreshed meanwhile. */
  readonly currentCredentials: () => Credentials;
  /** Absent: whether we are registered is somebody else's business. */
  readonly registration?: Omit<SessionOptions, "config" | "credentials" | "report" | "once">;
  /** What our controller may ask us for. */
  readonly secrets?: RegistrarSecrets;
  readonly mode: PhoneMode;
  /** What we say, mu-law. */
  readonly speech: Buffer;
  /** Hang up when both sides have said all they had to say. */
  readonly hangUpAfterPlay: boolean;
  readonly report: (event: PhoneEvent) => void;
  readonly heardFile?: string;
  readonly wireFile?: string;
  readonly bodyFile?: string;
}

/** For packets that lie in a socket when the signalling ends the call. */
const DRAIN_MS = 50;
/** Of a callee's phones so many can be sealed for, beside the controllers. */
const MAX_PHONES = 12;
const SAMPLE_RATE_HZ = 8000;
const HUNG_UP: QueryOutcome = {
  kind: "failed",
  failure: { reason: "hung up before the answer came" },
};

export class Phone {
  readonly #options: PhoneOptions;
  readonly #ports: VoicePorts;
  readonly #signalling: Signalling;
  /** DER certificates by address of record, that were asked for. */
  readonly #learnt = new Map<string, readonly Buffer[]>();
  #questions: CertificateQuestions | undefined;
  /** There is no call yet that could be told to hang up. */
  readonly #hungUp = Promise.withResolvers<QueryOutcome>();
  #session: RegistrationSession | undefined;
  #last: Promise<void> = Promise.resolve();
  #finish: (outcome: CallOutcome) => void = () => undefined;
  /** How the phone's one call ended. */
  readonly outcome: Promise<CallOutcome>;

  private constructor(options: PhoneOptions, ports: VoicePorts, signalling: Signalling) {
    this.#options = options;
    this.#ports = ports;
    this.#signalling = signalling;
    this.outcome = new Promise((resolve) => {
      this.#finish = resolve;
    });
  }

  /** Takes its ports and starts to call or to listen. Rejects if that cannot be. */
  static async start(options: PhoneOptions): Promise<Phone> {
    const { config, rtpPort, credentials, mode } = options;
    let phone: Phone | undefined;
    let signalling: Signalling | undefined;
    const endpoint = { address: config.address, rtpPort };
    const ports = await VoicePorts.open(endpoint, (report) => {
      if (phone !== undefined) phone.#onMedia(report);
    });
    try {
      signalling = await Signalling.open({
        listeners: mode.kind === "answer" ? listenersOf(config) : [],
        tls: credentials.tls,
        perform: (effect) => {
          if (phone !== undefined) phone.#perform(effect);
        },
        onInvite: (invite) => {
          if (phone !== undefined) phone.#storeBody(invite);
        },
      });
      phone = new Phone(options, ports, signalling);
      await (mode.kind === "call" ? phone.#call(mode) : phone.#listen(mode));
      return phone;
    } catch (error) {
      await signalling?.close();
      ports.close();
      throw error;
    }
  }

  /** No call is being made, coming or up. */
  get isIdle(): boolean {
    return this.#signalling.isIdle;
  }

  tell(verb: CallVerb): void {
    if (verb === "hangup") this.#hungUp.resolve(HUNG_UP);
    this.#signalling.feed({ kind: "call", input: { kind: "command", verb } });
  }

  /** After `outcome`, or to give up: lets go of everything. */
  async close(): Promise<void> {
    await this.#last;
    await this.#session?.end();
    await this.#signalling.close();
    this.#ports.close();
  }

  async #call({ target, sealed }: PhoneMode & { kind: "call" }): Promise<void> {
    const { config, credentials, secrets } = this.#options;
    const { outbound, aor } = config;
    if (outbound === undefined) throw new TypeError("a call needs an outbound hop");
    const { serverName, ...hop } = outbound;
    const nextHop = { ...hop, ...(serverName !== undefined && { serverName }) };
    const own = await this.#endOf(nextHop);
    this.#signalling.start({ party: this.#party({ transport: hop.transport, ...own }) });
    const hosts = credentials.controllers.map(({ host }) => host);
    const setting = { target, nextHop, ...(sealed && { sealedFor: hosts }) };
    const dial = (): void => this.#signalling.feed({ kind: "dial", setting });
    if (!sealed || credentials.contacts.has(addressOfRecord(target))) return dial();
    const feed = this.#signalling.feed.bind(this.#signalling);
    this.#questions = new CertificateQuestions({ aor, nextHop, credentials, secrets, feed });
    void this.#learn(target, own, this.#questions).then((isKnown) => isKnown && dial());
  }

  async #endOf(nextHop: Target): Promise<OwnContact> {
    const { listen: _unused, ...config } = this.#options.config;
    const findOwnEnd = this.#signalling.ownEnd.bind(this.#signalling);
    return new OwnLocation(config, nextHop, findOwnEnd).find();
  }

  /** False, and the call is over, if there is nobody to seal for: nothing ever goes in clear then. */
  async #learn(target: string, own: OwnContact, questions: CertificateQuestions): Promise<boolean> {
    const outcome = await Promise.race([questions.ask(target, own), this.#hungUp.promise]);
    tellOutcome(outcome, target, (event) => this.#report(event));
    if (outcome.kind === "found") {
      const certificates = outcome.certificates.map(({ encoded }) => encoded);
      this.#learnt.set(addressOfRecord(target), certificates.slice(0, MAX_PHONES));
      return true;
    }
    this.#report({ event: "failed", reason: "nothing can be sealed for the callee" });
    this.#over("failed");
    return false;
  }

  async #listen(mode: PhoneMode & { kind: "answer" }): Promise<void> {
    const [listening] = this.#signalling.listening;
    if (listening === undefined) throw new TypeError("a phone that answers listens");
    const { transport, address, port } = listening;
    const { sealedRequired, autoAnswerAfterMs } = mode;
    const { config, credentials, registration } = this.#options;
    if (registration !== undefined) {
      const report = this.#report.bind(this);
      const options = { ...registration, config, credentials, report, once: false };
      this.#session = new RegistrationSession(options, this.#signalling);
    }
    this.#signalling.start({
      ...(this.#session && { registration: this.#session.setting }),
      party: this.#party({ transport, host: address, port }),
      callee: { sealedRequired, ...(autoAnswerAfterMs !== undefined && { autoAnswerAfterMs }) },
    });
    this.#report({ event: "listening", transport, address, port });
    this.#session?.begin();
  }

  #party(end: Pick<CallParty, "transport" | "host" | "port">): CallParty {
    const { config, rtpPort, secrets } = this.#options;
    const { aor, address } = config;
    const { transport, host, port } = end;
    const digest = digestOf(secrets);
    return {
      ...{ aor, transport, host, port, random: randomBytes },
      endpoint: { address, rtpPort },
      ...(digest && { digest }),
    };
  }

  #perform(effect: Exclude<UserAgentEffect, { kind: "send" }>): void {
    switch (effect.kind) {
      case "sealing":
        void this.#seal(effect.task);
        break;
      case "media-ready":
        this.#ports.begin(effect.local, this.#options.speech);
        break;
      case "media-expect":
        this.#ports.expect(effect.remote);
        break;
      case "media-play":
        this.#ports.feed({ kind: "play" });
        break;
      case "media-leave":
        this.#ports.feed({ kind: "leave" });
        break;
      case "media-stop":
        this.#then(() => this.#stopMedia());
        break;
      case "event":
        this.#report(effect.event);
        break;
      case "query":
        this.#questions?.perform(effect.effect);
        break;
      case "registration":
        this.#session?.perform(effect);
        break;
      case "over":
        this.#over(effect.outcome);
        break;
    }
  }

  async #seal(task: SealingTask): Promise<void> {
    const { config, currentCredentials } = this.#options;
    const current = currentCredentials();
    const contacts = new Map([...current.contacts, ...this.#learnt]);
    const credentials = { ...current, contacts };
    const input = await performSealing(task, credentials, config.sealing.form, Date.now());
    this.#signalling.feed({ kind: "call", input });
  }

  #onMedia(report: Parameters<Parameters<typeof VoicePorts.open>[1]>[0]): void {
    switch (report.kind) {
      case "started":
        this.#report({ event: "media-started" });
        break;
      case "played":
        this.#report({ event: "played", sent: report.sent });
        break;
      case "both-played":
        if (this.#options.hangUpAfterPlay) this.tell("hangup");
        break;
    }
  }

  async #stopMedia(): Promise<void> {
    const { heardFile, wireFile, report } = this.#options;
    if (this.#ports.counts === undefined) return;
    await delay(DRAIN_MS);
    this.#ports.feed({ kind: "stop" });
    if (wireFile !== undefined) writeFileSync(wireFile, this.#ports.said);
    if (heardFile !== undefined) {
      const channels = [decodeMuLaw(this.#ports.heard)];
      writeFileSync(heardFile, encodeWav({ sampleRateHz: SAMPLE_RATE_HZ, channels }));
    }
    report({ event: "media-ended", ...this.#ports.counts });
  }

  #over(outcome: CallOutcome): void {
    const { mode } = this.#options;
    if (outcome === "refused" && mode.kind === "answer" && !mode.once) return;
    this.#then(async () => this.#finish(outcome));
  }

  #storeBody({ body }: SipRequest): void {
    if (this.#options.bodyFile !== undefined) writeFileSync(this.#options.bodyFile, body);
  }

  /** Events keep their order, also behind what takes its time. */
  #report(event: PhoneEvent): void {
    this.#then(async () => this.#options.report(event));
  }

  #then(step: () => Promise<void>): void {
    this.#last = this.#last.then(step);
  }
}

function listenersOf({ address, listen }: DeviceConfig): readonly SipListener[] {
  return listen === undefined ? [] : [{ ...listen, address }];
}
