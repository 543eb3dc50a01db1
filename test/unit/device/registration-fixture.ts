/**
 * A registration with a clock of its own, a registrar that says what a test wants, and a desk whose
 * envelopes are of glass: "sealed" bodies here are JSON.
 */

import { Registration } from "../../../device/core/registration.ts";
import type { GrantedCertificate, OpenedAnswer } from "../../../device/core/registration-answer.ts";
import type { RegistrationEvent } from "../../../device/core/registration-event.ts";
import type {
  ClaimSummary,
  GrantedRegistration,
  OwnContact,
  RegistrationEffect,
  RegistrationInput,
  RegistrationResult,
  RegistrationSetting,
} from "../../../device/core/registration-port.ts";
import { refreshAfter } from "../../../device/core/registration-retry.ts";
import type { SipfragRows } from "../../../protocol/body/sipfrag.ts";
import type { FirstKey } from "../../../protocol/cms/first-key.ts";
import { Secret } from "../../../protocol/secret.ts";
import { createResponse } from "../../../protocol/sip/create-response.ts";
import { serializeSipDate } from "../../../protocol/sip/date.ts";
import { DigestClient } from "../../../protocol/sip/digest-client.ts";
import { headerValue, type SipRequest, type SipResponse } from "../../../protocol/sip/message.ts";
import { clientKey } from "../../../protocol/sip/transaction-key.ts";

export const ALICE = "sip:alice@atlanta.example.com";
export const START = Date.parse("Fri, 20 Jun 2003 13:02:03 GMT");
export const FLOW = "flow-1";
export const CONTACT: OwnContact = {
  uri: "sip:alice@192.0.2.101:40122;transport=tls",
  host: "192.0.2.101",
  port: 40_122,
  isFlow: true,
};
export const KEY_ID = "ab".repeat(32);
export const CLAIM: ClaimSummary = {
  der: Buffer.from("request"),
  keyId: KEY_ID,
  isReplaceable: false,
};
export const SIGNED_TYPE = 'multipart/signed;protocol="application/pkcs7-signature";boundary=b';
export const CHALLENGE =
  'Digest realm="atlanta.example.com", nonce="n1", qop="auth,auth-int", algorithm=SHA-256';

export const SETTING: RegistrationSetting = {
  aor: ALICE,
  instance: "urn:uuid:00000000-0000-1000-8000-aabbccddeeff",
  nextHop: { transport: "tls", address: "192.0.2.10", port: 5061 },
  transport: "tls",
  profile: "open",
  expiresS: 3600,
  controllerHost: "ss1.atlanta.example.com",
  once: false,
  random: counting(),
};

export const passwordOf = (): DigestClient =>
  new DigestClient({
    username: "alice",
    password: new Secret(Buffer.from("secret")),
    random: counting(),
  });

export function certificateAt(now: number, more: Partial<GrantedCertificate> = {}) {
  const certificate: GrantedCertificate = {
    encoded: Buffer.from("certificate"),
    keyId: KEY_ID,
    serial: "01ab",
    fingerprint: "cd".repeat(32),
    uris: [ALICE],
    notBefore: now - 300_000,
    notAfter: now + 3_600_000,
    ...more,
  };
  return certificate;
}

/** What a test changes of what the desk answers; a text is the reason why it cannot. */
export interface DeskFaults {
  contact?: OwnContact | string;
  claim?: ClaimSummary | string;
  seal?: string;
  open?: string;
  store?: string;
}

export interface Grant {
  readonly expiresS?: number;
  readonly rows?: (rows: SipfragRows) => SipfragRows;
  readonly headers?: readonly (readonly [string, string])[];
  readonly answer?: (answer: OpenedAnswer) => OpenedAnswer;
  readonly contentType?: string;
}

export class RegistrarWorld {
  now = START;
  readonly desk: DeskFaults = {};
  readonly events: RegistrationEvent[] = [];
  readonly sent: SipRequest[] = [];
  /** Rows of each body that was sealed. */
  readonly sealed: SipfragRows[] = [];
  readonly firstKeys: FirstKey[] = [];
  readonly claims: boolean[] = [];
  readonly stored: (GrantedRegistration | undefined)[] = [];
  outcome: "well" | "failed" | undefined;
  readonly machine: Registration;
  /** False: what the desk is asked for waits in `pending`. */
  deskIsOpen = true;
  readonly pending: RegistrationResult[] = [];
  #answer: OpenedAnswer | undefined;

  constructor(setting: Partial<RegistrationSetting> = {}) {
    this.machine = new Registration({ ...SETTING, ...setting });
  }

  feed(input: RegistrationInput): void {
    const queue: RegistrationInput[] = [input];
    for (let next = queue.shift(); next !== undefined; next = queue.shift())
      for (const effect of this.machine.handle(next, this.now)) {
        const result = this.#perform(effect);
        if (result !== undefined) (this.deskIsOpen ? queue : this.pending).push(result);
      }
  }

  register(): this {
    this.feed({ kind: "register" });
    return this;
  }

  /** The last REGISTER. */
  get last(): SipRequest {
    const request = this.sent.at(-1);
    if (request === undefined) throw new Error("nothing was sent");
    return request;
  }

  respond(status: number, headers: readonly (readonly [string, string])[] = [], flow = FLOW): void {
    this.receive(createResponse(this.last, status, { toTag: "registrar", headers }), flow);
  }

  receive(response: SipResponse, flow = FLOW): void {
    const key = clientKey(this.last) ?? "";
    this.feed({ kind: "response", key, response, flow });
  }

  /** Answers the last REGISTER as a controller does. */
  grant({ expiresS = 3600, rows = (all) => all, headers = [], ...grant }: Grant = {}): void {
    const date = serializeSipDate(this.now);
    const whole = Math.floor(this.now / 1000) * 1000;
    const listed: SipfragRows =
      expiresS > 0 ? [["Contact", `<${CONTACT.uri}>;expires=${expiresS}`]] : [];
    const answer: OpenedAnswer = {
      rows: rows([
        ["Call-ID", headerValue(this.last, "Call-ID") ?? ""],
        ["CSeq", headerValue(this.last, "CSeq") ?? ""],
        ["Date", date],
        ...listed,
        ["Expires", String(expiresS)],
      ]),
      signer: { uris: ["sip:atlanta.example.com"], dnsNames: ["ss1.atlanta.example.com"] },
      certificate: certificateAt(whole, { notAfter: whole + expiresS * 1000 }),
      chain: [],
      controllers: [],
      trust: [],
    };
    this.#answer = grant.answer?.(answer) ?? answer;
    const type = ["Content-Type", grant.contentType ?? SIGNED_TYPE] as const;
    const dated = headers.some(([name]) => name === "Date") ? [] : [["Date", date] as const];
    this.respond(200, [...dated, ...headers, type]);
  }

  fail(): void {
    this.feed({ kind: "transaction-failed", key: clientKey(this.last) ?? "" });
  }

  /** Lets time pass, waking the machine when it asked to be. */
  advance(ms: number): void {
    const end = this.now + ms;
    for (let at = this.machine.deadline(); at !== undefined && at <= end; ) {
      this.now = Math.max(this.now, at);
      this.feed({ kind: "tick" });
      const next = this.machine.deadline();
      if (next === at) throw new Error("the machine does not move on");
      at = next;
    }
    this.now = end;
  }

  /** Names of the events so far. */
  get told(): readonly string[] {
    return this.events.map(({ event }) => event);
  }

  /** The last failure that was told. */
  get failure(): Extract<RegistrationEvent, { event: "registration-failed" }> {
    const found = this.events.findLast(({ event }) => event === "registration-failed");
    if (found?.event !== "registration-failed") throw new Error("nothing has failed");
    return found;
  }

  #perform(effect: RegistrationEffect): RegistrationResult | undefined {
    switch (effect.kind) {
      case "transaction":
        if (effect.input.kind === "request") this.sent.push(effect.input.request);
        return undefined;
      case "find-contact":
        return done(this.desk.contact, effect.ref, (contact) => ({
          ...{ kind: "contact", ref: effect.ref, contact: contact ?? CONTACT },
        }));
      case "claim":
        this.claims.push(effect.fresh);
        return done(this.desk.claim, effect.ref, (claim) => ({
          kind: "claimed",
          ref: effect.ref,
          claim: effect.fresh ? CLAIM : (claim ?? CLAIM),
        }));
      case "seal":
        return done(this.desk.seal, effect.ref, () => this.#seal(effect));
      case "open":
        return done(this.desk.open, effect.ref, () => ({
          kind: "opened",
          ref: effect.ref,
          answer: this.#opened(),
        }));
      case "store":
        if (this.desk.store === undefined) this.stored.push(effect.granted);
        return done(this.desk.store, effect.ref, () => ({ kind: "stored", ref: effect.ref }));
      case "event":
        this.events.push(effect.event);
        return undefined;
      case "over":
        this.outcome = effect.outcome;
        return undefined;
    }
  }

  #seal({ ref, rows }: Extract<RegistrationEffect, { kind: "seal" }>): RegistrationResult {
    this.sealed.push(rows);
    const firstKey = { cek: new Secret(Buffer.alloc(32, 1)), cipher: "aes-256-gcm" } as const;
    this.firstKeys.push(firstKey);
    const contentType = "application/pkcs7-mime;smime-type=authEnveloped-data;name=smime.p7m";
    return { kind: "sealed", ref, body: Buffer.from(JSON.stringify(rows)), contentType, firstKey };
  }

  #opened(): OpenedAnswer {
    if (this.#answer === undefined) throw new Error("no answer was made");
    return this.#answer;
  }
}

/** One that was granted so long and asks again, at `START`. */
export function refreshing(expiresS: number): RegistrarWorld {
  const world = new RegistrarWorld();
  const afterMs = refreshAfter(expiresS * 1000);
  world.now = START - afterMs;
  world.register().grant({ expiresS });
  world.advance(afterMs);
  if (world.sent.length !== 2) throw new Error("not refreshed");
  return world;
}

/** A registrar's 401 or 407. */
export const challengeFor = (status: 401 | 407, value = CHALLENGE) =>
  [[status === 401 ? "WWW-Authenticate" : "Proxy-Authenticate", value]] as const;

function done<T>(
  wanted: T | string | undefined,
  ref: number,
  result: (wanted: T | undefined) => RegistrationResult,
): RegistrationResult {
  return typeof wanted === "string" ? { kind: "not-done", ref, reason: wanted } : result(wanted);
}

/** Octets that differ from call to call. */
function counting(): (size: number) => Buffer {
  let count = 0;
  return (size) => {
    count += 1;
    return Buffer.alloc(size, count);
  };
}
