/**
 * Two phones' user agents joined by a wire that a test can look at and change, with a clock of its
 * own and envelopes of glass: "sealed" bodies here are JSON.
 */
import type { CallEffect, SealingResult, SealingTask } from "../../../device/core/call.ts";
import type { CallVerb } from "../../../device/core/call-command.ts";
import type { CallEvent } from "../../../device/core/call-event.ts";
import type { CalleeSetting } from "../../../device/core/callee-call.ts";
import {
  UserAgent,
  type UserAgentEffect,
  type UserAgentInput,
} from "../../../device/core/user-agent.ts";
import { Secret } from "../../../protocol/secret.ts";
import type { DigestClient } from "../../../protocol/sip/digest-client.ts";
import type { Peer } from "../../../protocol/sip/flow.ts";
import type { SipMessage } from "../../../protocol/sip/message.ts";
import { serializeMessage } from "../../../protocol/sip/serialize-message.ts";
import { StreamFramer } from "../../../protocol/sip/stream-framer.ts";

export const ALICE = "sip:alice@atlanta.example.com";
export const BOB = "sip:bob@biloxi.example.com";
export const START = Date.parse("Fri, 20 Jun 2003 13:02:03 GMT");
export const SEALED_TYPE = "application/pkcs7-mime;smime-type=authEnveloped-data;name=smime.p7m";

export type Name = "alice" | "bob";
/** Returns what goes on in its place: nothing, the same, or others. */
export type Tamper = (message: SipMessage, from: Name) => readonly SipMessage[];
export type TamperResult = (result: SealingResult, at: Name) => SealingResult;

const FIRST_KEY = { cek: new Secret(Buffer.alloc(32, 1)), cipher: "aes-256-gcm" } as const;
const AORS = { alice: ALICE, bob: BOB } as const;

export interface WorldOptions {
  readonly callee?: CalleeSetting;
  readonly tamper?: Tamper;
  readonly tamperResult?: TamperResult;
  /** Alice's answer to who asks for a password. */
  readonly digest?: DigestClient;
  /** False: sealing tasks wait until `sealNow`. */
  readonly sealAtOnce?: boolean;
}

interface Waiting {
  readonly at: Name;
  readonly input: UserAgentInput;
}

export class World {
  now = START;
  readonly events: Record<Name, CallEvent[]> = { alice: [], bob: [] };
  /** Every other effect: media and the end. */
  readonly done: Record<Name, string[]> = { alice: [], bob: [] };
  /** What went over the wire, before it was tampered with. */
  readonly wire: { readonly from: Name; readonly message: SipMessage }[] = [];
  readonly agents: Record<Name, UserAgent>;
  readonly #options: WorldOptions;
  #queue: Waiting[] = [];
  #unsealed: Waiting[] = [];
  #octet = 0;

  constructor(options: WorldOptions = {}) {
    this.#options = options;
    this.agents = {
      alice: this.#agent("alice", 40_000),
      bob: this.#agent("bob", 50_000, options.callee ?? { sealedRequired: true }),
    };
  }

  /** Alice calls bob. */
  dial(sealedFor: readonly string[] | undefined = ["ss1.atlanta.example.com"]): void {
    const nextHop = { transport: "tcp", address: "10.0.0.2", port: 5060 } as const;
    const setting = { target: BOB, nextHop, ...(sealedFor && { sealedFor }) };
    this.feed("alice", { kind: "dial", setting });
  }

  dialInClear(): void {
    const nextHop = { transport: "tcp", address: "10.0.0.2", port: 5060 } as const;
    this.feed("alice", { kind: "dial", setting: { target: BOB, nextHop } });
  }

  tell(at: Name, verb: CallVerb): void {
    this.feed(at, { kind: "call", input: { kind: "command", verb } });
  }

  /** Puts an input in, and lets everything run that follows from it. */
  feed(at: Name, input: UserAgentInput): void {
    this.#queue.push({ at, input });
    for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
      const effects = this.agents[next.at].handle(next.input, this.now);
      for (const effect of effects) this.#perform(next.at, effect);
    }
  }

  /** Hands a message to one side as if it had come over the wire. */
  deliver(at: Name, message: SipMessage, flow = "flow-1"): void {
    const [parsed] = new StreamFramer().push(serializeMessage(message));
    if (parsed?.kind !== "request" && parsed?.kind !== "response") throw new Error("unreadable");
    const input = { kind: "received", message: parsed, flow, peer: PEER } as const;
    this.feed(at, { kind: "signalling", input });
  }

  sealNow(): void {
    const unsealed = this.#unsealed.splice(0);
    for (const { at, input } of unsealed) this.feed(at, input);
  }

  /** Lets time pass, waking each side when it asked to be. */
  advance(ms: number): void {
    const end = this.now + ms;
    for (;;) {
      const due = (["alice", "bob"] as const)
        .map((at) => ({ at, deadline: this.agents[at].deadline() ?? Number.POSITIVE_INFINITY }))
        .filter(({ deadline }) => deadline <= end)
        .toSorted((a, b) => a.deadline - b.deadline)[0];
      if (due === undefined) break;
      this.now = Math.max(this.now, due.deadline);
      this.feed(due.at, { kind: "tick" });
    }
    this.now = end;
  }

  /** Names of the events of one side. */
  told(at: Name): string[] {
    return this.events[at].map(({ event }) => event);
  }

  last(at: Name): CallEvent | undefined {
    return this.events[at].at(-1);
  }

  /** `INVITE`, `200`, ... as they went over the wire. */
  sent(from?: Name): string[] {
    return this.wire
      .filter((each) => from === undefined || each.from === from)
      .map(({ message }) => (message.kind === "request" ? message.method : String(message.status)));
  }

  message(what: string, from?: Name): SipMessage {
    const found = this.wire.find(
      (each, at) => this.sent()[at] === what && (from === undefined || each.from === from),
    );
    if (found === undefined) throw new Error(`no ${what} went over the wire`);
    return found.message;
  }

  #agent(name: Name, rtpPort: number, callee?: CalleeSetting): UserAgent {
    const host = name === "alice" ? "10.0.0.1" : "10.0.0.2";
    const party = {
      ...{ aor: AORS[name], transport: "tcp" as const, host, port: 5060 },
      ...{ endpoint: { address: host, rtpPort } },
      random: (size: number) => Buffer.alloc(size, this.#octet++),
      ...(name === "alice" && this.#options.digest && { digest: this.#options.digest }),
    };
    return new UserAgent({ party, ...(callee && { callee }) });
  }

  #perform(at: Name, effect: UserAgentEffect): void {
    switch (effect.kind) {
      case "send":
        this.#send(at, effect);
        break;
      case "sealing": {
        const result = this.#seal(at, effect.task);
        const waiting = { at, input: { kind: "call", input: result } } as const;
        (this.#options.sealAtOnce === false ? this.#unsealed : this.#queue).push(waiting);
        break;
      }
      case "event":
        this.events[at].push(effect.event);
        break;
      case "registration":
      case "query":
        throw new Error(`no phone here asks for ${effect.effect.kind}`);
      default:
        this.done[at].push(describe(effect));
    }
  }

  #send(from: Name, { message, key }: UserAgentEffect & { kind: "send" }): void {
    this.wire.push({ from, message });
    if (key !== undefined)
      this.#queue.push({
        at: from,
        input: { kind: "signalling", input: { kind: "sent", key, flow: "flow-1" } },
      });
    const to = from === "alice" ? "bob" : "alice";
    for (const each of this.#options.tamper?.(message, from) ?? [message]) {
      const [parsed] = new StreamFramer().push(serializeMessage(each));
      if (parsed?.kind !== "request" && parsed?.kind !== "response") throw new Error("unreadable");
      const input = { kind: "received", message: parsed, flow: "flow-1", peer: PEER } as const;
      this.#queue.push({ at: to, input: { kind: "signalling", input } });
    }
  }

  #seal(at: Name, task: SealingTask): SealingResult {
    const result = sealInGlass(AORS[at], task);
    return this.#options.tamperResult?.(result, at) ?? result;
  }
}

const PEER: Peer = { transport: "tcp", address: "10.0.0.9", port: 4711, identities: [] };

const describe = (effect: Exclude<CallEffect, { kind: "transaction" | "sealing" | "event" }>) =>
  effect.kind === "over" ? `over: ${effect.outcome}` : effect.kind;

function sealInGlass(signer: string, task: SealingTask): SealingResult {
  switch (task.kind) {
    case "seal-offer":
    case "seal-answer": {
      const content = { signer, sipfrag: task.sipfrag, sdp: task.sdp.toString("base64") };
      const sealed = { body: Buffer.from(JSON.stringify(content)), contentType: SEALED_TYPE };
      return task.kind === "seal-offer"
        ? { kind: "offer-sealed", ...sealed, firstKey: FIRST_KEY }
        : { kind: "answer-sealed", ...sealed };
    }
    case "open-offer":
      return { kind: "offer-opened", verified: openGlass(task.body), firstKey: FIRST_KEY };
    case "open-answer":
      return { kind: "answer-opened", verified: openGlass(task.body) };
  }
}

function openGlass(body: Buffer) {
  const { signer, sipfrag, sdp } = JSON.parse(body.toString());
  const certificate = Buffer.alloc(0);
  return { signer: { certificate, uris: [signer] }, sipfrag, sdp: Buffer.from(sdp, "base64") };
}
