/** Certificate queries: signed OPTIONS, answered from what is in service at that moment. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  MAX_PENDING_QUERIES,
  QUERY_TIMEOUT_MS,
} from "../../../controller/core/certificate-queries.ts";
import type {
  ControllerEffect,
  ControllerRules,
} from "../../../controller/core/controller-port.ts";
import { QUERY_MAX_CERTIFICATES } from "../../../protocol/body/certificate-query.ts";
import type { ProtocolErrorCode } from "../../../protocol/errors.ts";
import { serializeSipDate } from "../../../protocol/sip/date.ts";
import { headerValue, type SipRequest } from "../../../protocol/sip/message.ts";
import type { Arrival } from "../../../protocol/sip/transaction-events.ts";
import { ALICE, NOW } from "./call-fixture.ts";
import {
  asked,
  authority,
  CertificateDriver,
  innerRows,
  PHONE_CONTACT,
  requestClaim,
  sealedRegister,
} from "./certificate-fixture.ts";
import {
  CERTIFICATE,
  DAVE,
  FROM_ALICE,
  FROM_BILOXI,
  FROM_NOBODY,
  peerWith,
  type RequestSketch,
  request,
  requestsOf,
  responsesOf,
  SIP,
  statusOf,
  trunk,
} from "./proxy-fixture.ts";

const BOB = "sip:bob@biloxi.example.com";
const SIGNED = 'Content-Type: multipart/signed;protocol="application/pkcs7-signature"';
const ACCEPT = "Accept: multipart/signed, application/pkix-cert;q=0.9";
const FROM_DAVE = peerWith(FROM_ALICE, { identities: [DAVE] }, "flow-dave");

/** Bob of biloxi asks for alice's certificates, unless said otherwise. */
const query = (sketch: RequestSketch = {}): SipRequest =>
  request({
    method: "OPTIONS",
    uri: ALICE,
    from: `<${BOB}>;tag=q1`,
    to: `<${ALICE}>`,
    rows: [ACCEPT, SIGNED],
    body: "signed question",
    ...sketch,
  });

/** Without an authority. */
const RULES: ControllerRules = {
  sip: SIP,
  applyTimeoutMs: 500,
  recordingRequired: false,
  bodyCertificate: CERTIFICATE,
};

const daves: RequestSketch = { from: `<${DAVE}>;tag=q1` };

interface Asking {
  readonly uris?: readonly string[];
  readonly startLine?: string;
  readonly inner?: Readonly<Record<string, string | undefined>>;
}

/** A query as far as its asker is judged. */
function judge(
  driver: CertificateDriver,
  sent: SipRequest,
  asking: Asking = {},
  arrival: Arrival = FROM_BILOXI,
): readonly ControllerEffect[] {
  const { ref } = asked(driver.receive(sent, arrival), "verify-asker");
  const { uris = [BOB], startLine = `OPTIONS ${sent.uri} SIP/2.0`, inner } = asking;
  const rows = innerRows(sent, driver.now, {
    Date: "Sun, 22 Nov 2026 12:00:00 GMT",
    ...inner,
  });
  const outcome = { kind: "asker", uris, startLine, rows } as const;
  return driver.feed({ kind: "asker-verified", ref, outcome });
}

function sign(driver: CertificateDriver, { ref }: { readonly ref: string }) {
  const outcome = {
    kind: "done",
    body: Buffer.from("signed answer"),
    contentType: "multipart/signed",
  } as const;
  return driver.feed({ kind: "answer-signed", ref, outcome });
}

const registered = (sketch = {}): CertificateDriver => {
  const driver = new CertificateDriver(sketch);
  driver.register(sealedRegister({ expires: 600 }));
  return driver;
};

test("who asks is verified, and told what is in service now and for how long, but not where", () => {
  const driver = registered();
  const opening = asked(driver.receive(query(), FROM_BILOXI), "verify-asker");
  assert.equal(opening.source, "10.30.0.2");
  const sent = query({ callId: "q@bob", cseq: 7 });
  driver.now += 60_000;
  const order = asked(judge(driver, sent), "sign-answer");
  assert.deepEqual(order.certificates, [Buffer.from("certificate 1")]);
  assert.match(order.rows[0]?.[1] ?? "", /^<sip:alice@atlanta\.example\.com>;tag=\w+$/);
  assert.deepEqual(order.rows.slice(1), [
    ["Call-ID", "q@bob"],
    ["CSeq", "7 OPTIONS"],
    ["Date", "Sun, 22 Nov 2026 12:01:00 GMT"],
    ["Expires", "540"],
  ]);
  const [answer] = responsesOf(sign(driver, order));
  assert.ok(answer !== undefined);
  const { response } = answer;
  assert.equal(response.status, 200);
  assert.equal(headerValue(response, "To"), order.rows[0]?.[1]);
  assert.equal(headerValue(response, "Date"), "Sun, 22 Nov 2026 12:01:00 GMT");
  assert.equal(headerValue(response, "Content-Type"), "multipart/signed");
  assert.equal(headerValue(response, "Contact"), undefined);
  assert.equal(response.body.toString(), "signed answer");
});

test("every phone's certificate is told, one for each key, the best first", () => {
  const driver = registered();
  const claim = requestClaim({ keyId: "key-2" });
  driver.now += 1000;
  const second = sealedRegister({ contacts: ["<sip:alice@10.10.0.3>"], expires: 60 });
  driver.register(second, { claim });
  const third = sealedRegister({ contacts: ["<sip:alice@10.10.0.4>;q=0.1"], expires: 90 });
  driver.register(third, { claim });
  const order = asked(judge(driver, query()), "sign-answer");
  assert.deepEqual(order.certificates.map(String), ["certificate 3", "certificate 1"]);
  const expires = order.rows.filter(([name]) => name === "Expires").map(([, value]) => value);
  assert.deepEqual(expires, ["90", "599"]);
});

test("the answer has no more certificates than its limit", () => {
  const limits = { registrar: { maxContacts: 40 } };
  const driver = new CertificateDriver({}, limits);
  for (let phone = 0; phone < QUERY_MAX_CERTIFICATES + 3; phone += 1) {
    const contacts = [`<sip:alice@10.10.1.${phone}>`];
    const claim = requestClaim({ keyId: `key-${phone}` });
    driver.register(sealedRegister({ contacts, expires: 60 }), { claim });
  }
  const { certificates } = asked(judge(driver, query()), "sign-answer");
  assert.equal(certificates.length, QUERY_MAX_CERTIFICATES);
});

test("where a phone is is told to our own users, if the policy says so, and if it was not sealed", () => {
  const driver = registered({ locationTo: "users" });
  const private_ = sealedRegister({ contacts: [] });
  const rows = innerRows(private_, NOW, { Contact: "<sip:alice@10.10.0.9>", Expires: "60" });
  driver.register(private_, { rows, claim: requestClaim({ keyId: "key-2" }) });
  const told = asked(judge(driver, query(daves), { uris: [DAVE] }, FROM_DAVE), "sign-answer");
  assert.equal(told.certificates.length, 2);
  assert.deepEqual(
    told.rows.filter(([name]) => name === "Contact").map(([, value]) => value),
    [`${PHONE_CONTACT};expires=600`],
  );
  const stranger = asked(judge(driver, query()), "sign-answer");
  assert.ok(stranger.rows.every(([name]) => name !== "Contact"));
});

test("another OPTIONS goes to the phone as usual", () => {
  const driver = registered();
  for (const rows of [["Accept: application/sdp"], ["Accept: */*"], []]) {
    const sent = requestsOf(driver.receive(query({ body: "", rows }), FROM_BILOXI));
    assert.equal(sent[0]?.request.uri, "sip:alice@10.10.0.2:40000;transport=tls");
  }
  driver.feed({ kind: "reload", rules: RULES });
  assert.equal(requestsOf(driver.receive(query(), FROM_BILOXI)).length, 1);
});

test("a question for another domain goes there unread, and what comes back is passed back", () => {
  const driver = new CertificateDriver();
  const sent = query({ ...daves, uri: BOB, to: `<${BOB}>` });
  const [forwarded] = requestsOf(driver.receive(sent, FROM_DAVE));
  assert.ok(forwarded !== undefined);
  assert.equal(forwarded.request.uri, BOB);
  assert.deepEqual(forwarded.request.body, sent.body);
  const back = driver.reply(forwarded.request, 200, [SIGNED], "signed by biloxi");
  assert.equal(responsesOf(back)[0]?.response.body.toString(), "signed by biloxi");
  for (const status of [404, 480]) {
    const [again] = requestsOf(driver.receive(query({ ...daves, uri: BOB }), FROM_DAVE));
    assert.ok(again !== undefined);
    assert.equal(statusOf(driver.reply(again.request, status)), status);
  }
});

const UNJUDGED: readonly (readonly [string, number, RequestSketch, Arrival])[] = [
  ["for nobody of ours", 404, { uri: "sip:nobody@atlanta.example.com" }, FROM_BILOXI],
  ["for nobody of ours, by a user", 404, { ...daves, uri: "sip:x@atlanta.example.com" }, FROM_DAVE],
  ["not signed", 403, { body: "", rows: [ACCEPT] }, FROM_BILOXI],
  ["sealed, not signed", 403, { rows: [ACCEPT] }, FROM_BILOXI],
  ["of a user without credentials", 407, daves, FROM_NOBODY],
  ["of a trunk in our user's name", 403, daves, FROM_BILOXI],
];

for (const [name, status, sketch, arrival] of UNJUDGED)
  test(`a query ${name}: ${status}`, () => {
    const driver = registered();
    const effects = driver.receive(query(sketch), arrival);
    assert.equal(statusOf(effects), status);
    assert.ok(effects.every(({ kind }) => kind !== "verify-asker"));
  });

const MINUTE_MS = 60_000;
const JUDGED: readonly (readonly [string, Asking])[] = [
  ["of another signer", { uris: ["sip:mallory@biloxi.example.com"] }],
  ["of a signer without a name", { uris: [] }],
  ["for another user", { startLine: "OPTIONS sip:dave@atlanta.example.com SIP/2.0" }],
  ["of another method", { startLine: `INVITE ${ALICE} SIP/2.0` }],
  ["of another Call-ID", { inner: { "Call-ID": "other" } }],
  ["of another CSeq", { inner: { CSeq: "9 OPTIONS" } }],
  ["of another From", { inner: { From: `<${DAVE}>;tag=q1` } }],
  ["of another To", { inner: { To: `<${DAVE}>` } }],
  ["without To", { inner: { To: undefined } }],
  ["of another Date than outside", { inner: { Date: serializeSipDate(NOW + 1000) } }],
  ["without Date", { inner: { Date: undefined } }],
];

for (const [name, asking] of JUDGED)
  test(`a query with a signature ${name}: 403`, () => {
    const driver = registered();
    const effects = judge(driver, query(), asking);
    assert.equal(statusOf(effects), 403);
    assert.ok(effects.every(({ kind }) => kind !== "sign-answer"));
  });

for (const byMs of [-60 * MINUTE_MS, -6 * MINUTE_MS, 6 * MINUTE_MS, 60 * MINUTE_MS])
  test(`a query whose Date is off by ${byMs / MINUTE_MS} minutes: 403 with ours`, () => {
    const driver = registered();
    driver.now -= byMs;
    const [answer] = responsesOf(judge(driver, query()));
    assert.ok(answer !== undefined);
    assert.equal(answer.response.status, 403);
    assert.equal(headerValue(answer.response, "Date"), serializeSipDate(driver.now));
  });

for (const [code, status] of [
  ["ERR_SIGNATURE", 403],
  ["ERR_CERTIFICATE", 403],
  ["ERR_MIME_SYNTAX", 403],
  [undefined, 500],
] as const satisfies readonly (readonly [ProtocolErrorCode | undefined, number])[])
  test(`a signature that the desk refuses as ${code ?? "a fault of ours"}: ${status}`, () => {
    const driver = registered();
    const { ref } = asked(driver.receive(query(), FROM_BILOXI), "verify-asker");
    const outcome = { kind: "failed", ...(code === undefined ? {} : { code }) } as const;
    assert.equal(statusOf(driver.feed({ kind: "asker-verified", ref, outcome })), status);
  });

test("an answer that cannot be signed: 500", () => {
  const driver = registered();
  const { ref } = asked(judge(driver, query()), "sign-answer");
  const failed = driver.feed({ kind: "answer-signed", ref, outcome: { kind: "failed" } });
  assert.equal(statusOf(failed), 500);
});

test("no certificate in service: 480 before registration, after its end, removal and revocation", () => {
  const before = new CertificateDriver();
  assert.equal(statusOf(judge(before, query())), 480);

  const plain = new CertificateDriver();
  plain.receive(sealedRegister({ expires: 600, body: null }));
  assert.equal(statusOf(judge(plain, query())), 480);

  const removed = registered();
  removed.register(sealedRegister({ expires: 0 }));
  assert.equal(statusOf(judge(removed, query())), 480);

  const revoked = registered();
  revoked.book.revoked.add("key-1");
  assert.equal(statusOf(judge(revoked, query())), 480, "even before it is swept away");

  const over = new CertificateDriver();
  over.register(sealedRegister({ expires: 60 }));
  over.now += 59_999;
  asked(judge(over, query()), "sign-answer");
  over.now += 1;
  assert.equal(statusOf(judge(over, query())), 480, "to the millisecond, and before any tick");
});

test("a user who goes while his asker is verified: 404", () => {
  const driver = registered();
  const sent = query();
  const { ref } = asked(driver.receive(sent, FROM_BILOXI), "verify-asker");
  const sip = { ...SIP, users: { find: () => undefined } };
  driver.feed({ kind: "reload", rules: { ...RULES, sip, authority: authority() } });
  const rows = innerRows(sent, NOW);
  const startLine = `OPTIONS ${ALICE} SIP/2.0`;
  const outcome = { kind: "asker", uris: [BOB], startLine, rows } as const;
  assert.equal(statusOf(driver.feed({ kind: "asker-verified", ref, outcome })), 404);
});

test("queries are limited for each asker", () => {
  const driver = registered({ perMinute: { registrations: 60, queries: 2 } });
  for (const status of [undefined, undefined, 500])
    assert.equal(statusOf(driver.receive(query(), FROM_BILOXI)), status);
  const carols = query({ from: "<sip:carol@biloxi.example.com>;tag=q1" });
  asked(driver.receive(carols, FROM_BILOXI), "verify-asker");
  asked(driver.receive(query(daves), FROM_DAVE), "verify-asker");
});

test("a trunk that asks in the name of another's users uses up nobody's share but its own", () => {
  const identities = ["sip:chicago.example.com"];
  const hostile = trunk("chicago.example.com", "10.40.0.2", { transport: "tls", identities });
  const sip = { ...SIP, trunks: [...SIP.trunks, hostile] };
  const perMinute = { registrations: 60, queries: 1 };
  const driver = new CertificateDriver({ perMinute }, { sip });
  driver.register();
  const fromHostile = peerWith(FROM_BILOXI, { transport: "tls", identities }, "flow-hostile");
  asked(driver.receive(query(), fromHostile), "verify-asker");
  assert.equal(statusOf(driver.receive(query(), fromHostile)), 500);
  asked(driver.receive(query(), FROM_BILOXI), "verify-asker");
});

test("a trunk that invents askers is limited as a whole", () => {
  const driver = registered({ perMinute: { registrations: 60, queries: 1 } });
  let verified = 0;
  for (let count = 0; count < 30; count += 1) {
    const sent = query({ from: `<sip:u${count}@biloxi.example.com>;tag=q1` });
    if (statusOf(driver.receive(sent, FROM_BILOXI)) === undefined) verified += 1;
  }
  assert.equal(verified, 20);
});

test("so many queries wait for the desk, and not for ever", () => {
  const driver = registered({ perMinute: { registrations: 1, queries: 100_000 } });
  for (let count = 0; count < MAX_PENDING_QUERIES; count += 1)
    asked(driver.receive(query(), FROM_BILOXI), "verify-asker");
  assert.equal(statusOf(driver.receive(query(), FROM_BILOXI)), 500);
  driver.now += QUERY_TIMEOUT_MS;
  const late = responsesOf(driver.feed({ kind: "tick" }));
  assert.equal(late.length, MAX_PENDING_QUERIES);
  const order = asked(judge(driver, query(), { inner: {} }), "sign-answer");
  driver.now += QUERY_TIMEOUT_MS;
  assert.equal(statusOf(driver.feed({ kind: "tick" })), 500);
  assert.deepEqual(sign(driver, order), []);
});

test("who is gone is not answered", () => {
  const driver = registered();
  const { ref } = asked(driver.receive(query(), FROM_BILOXI), "verify-asker");
  const order = asked(judge(driver, query()), "sign-answer");
  driver.feed({ kind: "flow-closed", flow: FROM_BILOXI.flow });
  const failed = { kind: "failed" } as const;
  assert.deepEqual(driver.feed({ kind: "asker-verified", ref, outcome: failed }), []);
  assert.deepEqual(sign(driver, order), []);
});
