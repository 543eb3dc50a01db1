/** The core with a certificate authority, and a desk that says whatever a test wants it to say. */
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import type { AuthorityPolicy } from "../../../controller/core/authority-policy.ts";
import type {
  CertificateEffect,
  CertifiedKey,
  Claim,
  RegistrationOutcome,
} from "../../../controller/core/certificate-port.ts";
import type {
  ControllerEffect,
  ControllerRules,
} from "../../../controller/core/controller-port.ts";
import { serializeSipDate } from "../../../protocol/sip/date.ts";
import {
  headerValue,
  headerValues,
  type SipRequest,
  type SipResponse,
} from "../../../protocol/sip/message.ts";
import { parseMessage } from "../../../protocol/sip/parse-message.ts";
import type { Arrival } from "../../../protocol/sip/transaction-events.ts";
import { ALICE, NOW } from "./call-fixture.ts";
import { CERTIFICATE, FROM_ALICE, ProxyDriver, responsesOf, SIP } from "./proxy-fixture.ts";

export const DOMAIN = "sip:atlanta.example.com";
export const PHONE_CONTACT = "<sip:alice@10.10.0.2:40000;transport=tls>";
export const KEYS = {
  p256: generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey,
  p384: generateKeyPairSync("ec", { namedCurve: "P-384" }).publicKey,
  rsa1024: generateKeyPairSync("rsa", { modulusLength: 1024 }).publicKey,
  rsa2048: generateKeyPairSync("rsa", { modulusLength: 2048 }).publicKey,
} as const;

export type Rows = readonly (readonly [name: string, value: string])[];

/** What is written down in the authority's database. */
export class Book {
  readonly owners = new Map<string, string>();
  readonly revoked = new Set<string>();
  /** Fingerprints. */
  readonly issued = new Set<string>();
  ownerOf(keyId: string): string | undefined {
    return this.owners.get(keyId);
  }
  isRevoked({ keyId, fingerprint }: { keyId: string; fingerprint?: string }): boolean {
    return this.revoked.has(keyId) || this.revoked.has(fingerprint ?? "");
  }
  hasIssued(fingerprint: string): boolean {
    return this.issued.has(fingerprint);
  }
}

export const authority = (sketch: Partial<AuthorityPolicy> = {}): AuthorityPolicy => ({
  directory: new Book(),
  skewMs: 300_000,
  keyTypes: ["p256", "rsa2048"],
  perMinute: { registrations: 60, queries: 60 },
  locationTo: "nobody",
  ...sketch,
});

export const requestClaim = (
  sketch: Partial<Claim & { kind: "request" }> = {},
): Claim & { kind: "request" } => ({
  kind: "request",
  der: Buffer.from("PKCS#10"),
  keyId: "key-1",
  publicKey: KEYS.p256,
  uris: [ALICE],
  ...sketch,
});

export const certificateClaim = (
  sketch: Partial<Claim & { kind: "certificate" }> = {},
): Claim & { kind: "certificate" } => ({
  kind: "certificate",
  der: Buffer.from("own certificate"),
  keyId: "key-own",
  publicKey: KEYS.p256,
  fingerprint: "fingerprint-own",
  uris: [ALICE],
  notAfter: NOW + 86_400_000,
  ...sketch,
});

export interface RegisterSketch {
  readonly user?: string;
  readonly from?: string;
  /** Outer; without any the location is sealed as well. */
  readonly contacts?: readonly string[];
  readonly callId?: string;
  readonly cseq?: number;
  readonly expires?: number | undefined;
  readonly rows?: readonly string[];
  readonly body?: string | null;
  readonly contentType?: string;
}

let branches = 0;

/** A sealed REGISTER of alice's, unless said otherwise. */
export function sealedRegister(sketch: RegisterSketch = {}): SipRequest {
  branches += 1;
  const { user = ALICE, callId = "reg@phone", cseq = branches, rows = [] } = sketch;
  const { contacts = [PHONE_CONTACT], expires, body = `sealed ${branches}` } = sketch;
  const vias = rows.some((row) => row.startsWith("Via:"));
  const lines = [
    `REGISTER ${DOMAIN} SIP/2.0`,
    ...(vias ? [] : [`Via: SIP/2.0/TLS 10.10.0.2:40000;branch=z9hG4bKreg${branches}`]),
    "Max-Forwards: 70",
    `From: ${sketch.from ?? `<${user}>;tag=r1`}`,
    `To: <${user}>`,
    `Call-ID: ${callId}`,
    `CSeq: ${cseq} REGISTER`,
    ...contacts.map((value) => `Contact: ${value}`),
    ...(expires === undefined ? [] : [`Expires: ${expires}`]),
    ...(body === null ? [] : [`Content-Type: ${sketch.contentType ?? "application/pkcs7-mime"}`]),
    ...rows,
    `Content-Length: ${body?.length ?? 0}`,
    "",
    body ?? "",
  ];
  const message = parseMessage(Buffer.from(lines.join("\r\n")));
  assert.equal(message.kind, "request");
  return message as SipRequest;
}

/** What a phone repeats inside, with changes and additions; `undefined` leaves a row out. */
export function innerRows(
  request: SipRequest,
  now: number,
  changed: Readonly<Record<string, string | undefined>> = {},
): Rows {
  const own = ["From", "To", "Call-ID", "CSeq"].map(
    (name) => [name, headerValue(request, name)] as const,
  );
  const all = { ...Object.fromEntries(own), Date: serializeSipDate(now), ...changed };
  return Object.entries(all).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, value] as const],
  );
}

type Asked<Kind extends CertificateEffect["kind"]> = Extract<CertificateEffect, { kind: Kind }>;

/** The one effect of a kind, of which there must be one. */
export function asked<Kind extends ControllerEffect["kind"]>(
  effects: readonly ControllerEffect[],
  kind: Kind,
): Extract<ControllerEffect, { kind: Kind }> {
  const found = effects.filter((effect) => effect.kind === kind);
  assert.equal(found.length, 1, `${kind}: ${effects.map((effect) => effect.kind).join()}`);
  return found[0] as Extract<ControllerEffect, { kind: Kind }>;
}

export interface Opening {
  readonly claim?: Claim;
  /** Rows inside; what the request says, if absent. */
  readonly rows?: Rows;
  readonly holder?: "certificate" | "kek" | "password";
}

/** Drives the core and plays the desk. */
export class CertificateDriver extends ProxyDriver {
  readonly book: Book;
  wiped = 0;
  #certificates = 0;

  constructor(sketch: Partial<AuthorityPolicy> = {}, setting: object = {}) {
    const book = new Book();
    super({ authority: authority({ directory: book, ...sketch }), ...setting });
    this.book = book;
  }

  readonly answerKey = {
    wipe: () => {
      this.wiped += 1;
    },
  };

  /** The desk's word on a body: opened, with the claim given. */
  opened(request: SipRequest, opening: Opening = {}): RegistrationOutcome {
    const { claim = requestClaim(), holder = "certificate" } = opening;
    const rows = opening.rows ?? innerRows(request, this.now);
    return { kind: "opened", rows, claim, holder, reply: this.answerKey };
  }

  /** A sealed REGISTER as far as it is judged. */
  judge(
    request: SipRequest,
    opening: Opening = {},
    arrival: Arrival = FROM_ALICE,
  ): readonly ControllerEffect[] {
    const { ref } = asked(this.receive(request, arrival), "open-registration");
    const outcome = this.opened(request, opening);
    return this.feed({ kind: "registration-opened", ref, outcome });
  }

  /** Certified as the core asked. */
  certify({ ref, claim, notAfter }: Asked<"certify">): readonly ControllerEffect[] {
    const certificate = claim.kind === "none" ? undefined : this.#keyFor(claim, notAfter);
    return this.feed({
      kind: "certified",
      ref,
      outcome: {
        kind: "done",
        ...(certificate === undefined ? {} : { certificate }),
        body: Buffer.from("sealed answer"),
        contentType: "multipart/signed",
      },
    });
  }

  /** A sealed REGISTER that goes well. */
  register(
    request: SipRequest = sealedRegister({ expires: 60 }),
    opening: Opening = {},
    arrival: Arrival = FROM_ALICE,
  ): SipResponse {
    const effects = this.certify(asked(this.judge(request, opening, arrival), "certify"));
    const response = responsesOf(effects)[0]?.response;
    assert.equal(response?.status, 200);
    return response as SipResponse;
  }

  /** What a plain REGISTER without Contact is told. */
  contacts(arrival: Arrival = FROM_ALICE, user = ALICE): readonly string[] {
    const fetch = sealedRegister({ user, contacts: [], body: null });
    const response = responsesOf(this.receive(fetch, arrival))[0]?.response;
    assert.equal(response?.status, 200);
    return headerValues(response as SipResponse, "Contact");
  }

  #keyFor(claim: Exclude<Claim, { kind: "none" }>, notAfter: number): CertifiedKey {
    this.#certificates += 1;
    const { keyId } = claim;
    this.book.owners.set(keyId, claim.uris[0] ?? "");
    return claim.kind === "certificate"
      ? { der: claim.der, keyId, notAfter: claim.notAfter, issued: false }
      : { der: Buffer.from(`certificate ${this.#certificates}`), keyId, notAfter, issued: true };
  }
}

/** Bindings that were stored. */
export const storedBy = (effects: readonly ControllerEffect[]) =>
  effects.flatMap((effect) => (effect.kind === "store-bindings" ? effect.changes : []));

/** Alice is registered with a certificate, and nothing may change that. */
export function standing(): CertificateDriver {
  const driver = new CertificateDriver();
  driver.register(sealedRegister({ expires: 600, callId: "before", cseq: 10 }));
  return driver;
}

/** Turned away so, and alice has what she had. */
export function assertRefused(
  driver: CertificateDriver,
  effects: readonly ControllerEffect[],
  status: number,
  warning?: RegExp,
): void {
  const [response] = responsesOf(effects);
  assert.equal(response?.response.status, status);
  assert.deepEqual(storedBy(effects), []);
  assert.equal(driver.contacts().length, 1);
  assert.ok(effects.some(({ kind }) => kind === "turned-away"));
  if (warning !== undefined && response !== undefined)
    assert.match(headerValue(response.response, "Warning") ?? "", warning);
}

/** Rules without an authority. */
export function ruleless(): ControllerRules {
  return {
    sip: SIP,
    applyTimeoutMs: 500,
    recordingRequired: false,
    bodyCertificate: CERTIFICATE,
  };
}
