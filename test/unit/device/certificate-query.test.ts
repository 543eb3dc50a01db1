import assert from "node:assert/strict";
import { test } from "node:test";
import type { VerifiedCertificates } from "../../../device/core/certificate-answer.ts";
import {
  CertificateQuery,
  type QueryEffect,
  type QueryInput,
  type QueryOutcome,
  type QuerySetting,
} from "../../../device/core/certificate-query.ts";
import type { SipfragRows } from "../../../protocol/body/sipfrag.ts";
import { createResponse } from "../../../protocol/sip/create-response.ts";
import { serializeSipDate } from "../../../protocol/sip/date.ts";
import { headerValue, headerValues, type SipRequest } from "../../../protocol/sip/message.ts";
import { clientKey } from "../../../protocol/sip/transaction-key.ts";
import {
  ALICE,
  CHALLENGE,
  certificateAt,
  challengeFor,
  passwordOf,
  SIGNED_TYPE,
  START,
} from "./registration-fixture.ts";

const BOB = "sip:bob@biloxi.example.com";

class AskingWorld {
  now = START;
  readonly sent: SipRequest[] = [];
  readonly signed: { startLine: string; rows: SipfragRows }[] = [];
  outcome: QueryOutcome | undefined;
  readonly #query: CertificateQuery;
  #answer: VerifiedCertificates | string = "nothing to verify";
  readonly #canSign: boolean;

  constructor(more: Partial<QuerySetting> = {}, canSign = true) {
    this.#canSign = canSign;
    this.#query = new CertificateQuery({
      ...{ aor: ALICE, target: BOB, contact: "sip:alice@192.0.2.101:40122;transport=tls" },
      nextHop: { transport: "tls", address: "192.0.2.10", port: 5061 },
      end: { host: "192.0.2.101", port: 40_122 },
      random: counting(),
      ...more,
    });
    this.#perform(this.#query.start(this.now));
  }

  get last(): SipRequest {
    return this.sent.at(-1) ?? assert.fail("nothing was sent");
  }

  feed(input: QueryInput): void {
    this.#perform(this.#query.handle(input, this.now));
  }

  respond(status: number, headers: readonly (readonly [string, string])[] = []): void {
    const response = createResponse(this.last, status, { toTag: "ss2", headers });
    this.feed({ kind: "response", key: clientKey(this.last) ?? "", response });
  }

  answer(change: (answer: VerifiedCertificates) => VerifiedCertificates | string = same): void {
    const date = serializeSipDate(this.now);
    this.#answer = change({
      rows: [
        ["To", `<${BOB}>;tag=ss2`],
        ["Call-ID", headerValue(this.last, "Call-ID") ?? ""],
        ["CSeq", headerValue(this.last, "CSeq") ?? ""],
        ["Date", date],
        ["Expires", "1234"],
      ],
      signer: { uris: ["sip:biloxi.example.com"], dnsNames: ["ss2.biloxi.example.com"] },
      certificates: [certificateAt(this.now, { uris: [BOB] })],
    });
    this.respond(200, [
      ["Date", date],
      ["Content-Type", SIGNED_TYPE],
    ]);
  }

  get reason(): string {
    return this.outcome?.kind === "failed" ? this.outcome.failure.reason : assert.fail("found");
  }

  #perform(effects: readonly QueryEffect[]): void {
    for (const effect of effects)
      switch (effect.kind) {
        case "transaction":
          if (effect.input.kind === "request") this.sent.push(effect.input.request);
          break;
        case "sign":
          this.signed.push(effect);
          if (!this.#canSign) this.feed({ kind: "not-done", reason: "no certificate" });
          else this.feed({ kind: "signed", body: Buffer.from("signed"), contentType: SIGNED_TYPE });
          break;
        case "verify":
          assert.equal(effect.target, this.last.uri);
          if (typeof this.#answer === "string")
            this.feed({ kind: "not-done", reason: this.#answer });
          else this.feed({ kind: "verified", answer: this.#answer });
          break;
        case "over":
          this.outcome = effect.outcome;
      }
  }
}

test("asked: a signed OPTIONS for the user, that only a controller answers", () => {
  const { last, signed } = new AskingWorld();
  assert.equal(last.method, "OPTIONS");
  assert.equal(last.uri, BOB);
  assert.ok(headerValues(last, "Accept").includes("application/pkix-cert"));
  assert.equal(signed[0]?.startLine, `OPTIONS ${BOB} SIP/2.0`);
  const names = signed[0]?.rows.map(([name]) => name);
  assert.deepEqual(names, ["From", "To", "Call-ID", "CSeq", "Date", "Contact"]);
  for (const [name, value] of signed[0]?.rows ?? []) assert.equal(headerValue(last, name), value);
});

test("found: the certificates, and when they go out of service", () => {
  const world = new AskingWorld();
  world.answer();
  assert.ok(world.outcome?.kind === "found");
  const [found] = world.outcome.certificates;
  assert.equal(found?.expiresAt, START + 1_234_000);
});

test("a user with several phones has several certificates, each with its own end", () => {
  const world = new AskingWorld();
  world.answer((answer) => ({
    ...answer,
    rows: [...answer.rows, ["Expires", "99"], ["Expires", "soon"]],
    certificates: ["01", "02", "03"].map((serial) =>
      certificateAt(START, { uris: [BOB], serial, notAfter: START + 2_000_000 }),
    ),
  }));
  assert.ok(world.outcome?.kind === "found");
  const ends = world.outcome.certificates.map(({ expiresAt }) => expiresAt - START);
  assert.deepEqual(ends, [1_234_000, 99_000, 2_000_000]);
});

test("what is not the user's, or not valid now, is left out", () => {
  const world = new AskingWorld();
  const good = certificateAt(START, { uris: [BOB], serial: "05" });
  world.answer((answer) => ({
    ...answer,
    certificates: [
      certificateAt(START),
      certificateAt(START, { uris: [BOB], notAfter: START - 1 }),
      certificateAt(START, { uris: [BOB], notBefore: START + 1 }),
      good,
    ],
  }));
  assert.ok(world.outcome?.kind === "found");
  assert.deepEqual(
    world.outcome.certificates.map(({ serial }) => serial),
    ["05"],
  );
});

type Change = (answer: VerifiedCertificates) => VerifiedCertificates | string;
const row =
  (name: string, value: string): Change =>
  (answer) => ({
    ...answer,
    rows: answer.rows.map((each) => (each[0] === name ? [name, value] : each)),
  });
const signer =
  (uris: readonly string[], dnsNames: readonly string[]): Change =>
  (answer) => ({ ...answer, signer: { uris, dnsNames } });

const REFUSED: readonly (readonly [name: string, change: Change, reason: RegExp])[] = [
  ["whose signature is wrong", () => "the answer is refused: signature", /signature/],
  ["by our own domain", signer(["sip:atlanta.example.com"], []), /another server/],
  ["by our own controller", signer([], ["ss1.atlanta.example.com"]), /another server/],
  ["by the user himself", signer([BOB], []), /another server/],
  ["by a host of that domain", signer([], ["x.biloxi.example.com"]), /another server/],
  ["of another Call-ID", row("Call-ID", "x"), /Call-ID/],
  ["of another CSeq", row("CSeq", "9 OPTIONS"), /CSeq/],
  ["of another Date", row("Date", serializeSipDate(START + 1000)), /Date/],
  ["about another user", row("To", "<sip:eve@biloxi.example.com>;tag=1"), /somebody else/],
  ["about nobody", row("To", "<bob"), /somebody else/],
  ["without a certificate", (answer) => ({ ...answer, certificates: [] }), /no certificate/],
  [
    "with others' certificates",
    (answer) => ({ ...answer, certificates: [certificateAt(START)] }),
    /no certificate/,
  ],
];

for (const [name, change, reason] of REFUSED)
  test(`an answer ${name} is refused`, () => {
    const world = new AskingWorld({ controllerHost: "ss1.atlanta.example.com" });
    world.answer(change);
    assert.match(world.reason, reason);
    assert.match(world.reason, /^the answer is refused/);
  });

test("our own controller may answer for our own domain", () => {
  const target = "sip:carol@atlanta.example.com";
  const world = new AskingWorld({ target, controllerHost: "ss1.atlanta.example.com" });
  world.answer((answer) => ({
    ...answer,
    rows: answer.rows.map((each) => (each[0] === "To" ? ["To", `<${target}>`] : each)),
    signer: { uris: [], dnsNames: ["ss1.atlanta.example.com"] },
    certificates: [certificateAt(START, { uris: [target] })],
  }));
  assert.equal(world.outcome?.kind, "found");
});

for (const status of [403, 404, 408, 480, 483, 500, 503])
  test(`${status} is passed on, with its warning`, () => {
    const world = new AskingWorld();
    world.respond(status, [["Warning", '399 ss2 "why"']]);
    assert.ok(world.outcome?.kind === "failed");
    assert.equal(world.outcome.failure.status, status);
    assert.equal(world.outcome.failure.warning, '399 ss2 "why"');
  });

test("a 200 that is not signed is refused, whatever it brings", () => {
  const world = new AskingWorld();
  world.respond(200, [["Content-Type", "application/pkix-cert"]]);
  assert.match(world.reason, /not signed/);
});

test("a challenge is answered: signed anew, with the next CSeq", () => {
  const world = new AskingWorld({ digest: passwordOf() });
  world.respond(407, challengeFor(407));
  assert.equal(world.signed.length, 2);
  assert.equal(headerValue(world.last, "CSeq"), "2 OPTIONS");
  assert.match(headerValue(world.last, "Proxy-Authorization") ?? "", /qop=auth-int/);
  world.answer();
  assert.equal(world.outcome?.kind, "found");
});

test("a challenge that cannot be met ends it", () => {
  const none = new AskingWorld();
  none.respond(407, challengeFor(407));
  assert.match(none.reason, /none is configured/);
  const wrong = new AskingWorld({ digest: passwordOf() });
  wrong.respond(407, challengeFor(407));
  wrong.respond(407, challengeFor(407, CHALLENGE.replace("n1", "n2")));
  assert.match(wrong.reason, /not accepted/);
});

test("without an answer, or a certificate of our own, it ends", () => {
  const silent = new AskingWorld();
  silent.feed({ kind: "transaction-failed", key: "c|other|OPTIONS" });
  silent.respond(100);
  assert.equal(silent.outcome, undefined);
  silent.feed({ kind: "transaction-failed", key: clientKey(silent.last) ?? "" });
  assert.match(silent.reason, /no answer/);
  silent.answer();
  assert.match(silent.reason, /no answer/);
  assert.match(new AskingWorld({}, false).reason, /no certificate/);
});

const same = (answer: VerifiedCertificates): VerifiedCertificates => answer;

function counting(): (size: number) => Buffer {
  let count = 0;
  return (size) => {
    count += 1;
    return Buffer.alloc(size, count);
  };
}
