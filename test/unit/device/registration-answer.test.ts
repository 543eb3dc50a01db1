import assert from "node:assert/strict";
import { test } from "node:test";
import type { OpenedAnswer } from "../../../device/core/registration-answer.ts";
import { MAX_ANSWER_SKEW_MS } from "../../../device/core/signed-answer.ts";
import type { SipfragRows } from "../../../protocol/body/sipfrag.ts";
import { serializeSipDate } from "../../../protocol/sip/date.ts";
import {
  CONTACT,
  certificateAt,
  type Grant,
  RegistrarWorld,
  refreshing,
  SIGNED_TYPE,
  START,
} from "./registration-fixture.ts";

const replace =
  (name: string, value: string | undefined) =>
  (rows: SipfragRows): SipfragRows =>
    rows.flatMap((row) =>
      row[0] !== name ? [row] : value === undefined ? [] : [[name, value] as const],
    );
const twice =
  (name: string) =>
  (rows: SipfragRows): SipfragRows => [...rows, ...rows.filter(([each]) => each === name)];
const changed =
  (more: Partial<OpenedAnswer>) =>
  (answer: OpenedAnswer): OpenedAnswer => ({ ...answer, ...more });
const certified = (more: Parameters<typeof certificateAt>[1]) =>
  changed({ certificate: certificateAt(START, more) });
const signedBy = (uris: readonly string[], dnsNames: readonly string[]) =>
  changed({ signer: { uris, dnsNames } });
const dated = (ms: number): Grant => ({
  rows: replace("Date", serializeSipDate(ms)),
  headers: [["Date", serializeSipDate(ms)]],
});
const other = "sip:alice@192.0.2.66:40122;transport=tls";

const REFUSED: readonly (readonly [name: string, grant: Grant, reason: RegExp])[] = [
  ["not signed", { contentType: "application/pkcs7-mime" }, /not signed/],
  ["signed in name only", { contentType: SIGNED_TYPE.replace("signed", "signedx") }, /not signed/],
  ["signed by another domain", { answer: signedBy(["sip:biloxi.example.com"], []) }, /another ser/],
  ["signed by a user", { answer: signedBy(["sip:bob@atlanta.example.com"], []) }, /another ser/],
  [
    "signed by a host of the domain",
    { answer: signedBy([], ["x.atlanta.example.com"]) },
    /another/,
  ],
  ["signed by nobody", { answer: signedBy([], []) }, /another server/],
  ["of another Call-ID", { rows: replace("Call-ID", "other") }, /Call-ID/],
  ["without Call-ID", { rows: replace("Call-ID", undefined) }, /Call-ID/],
  ["with two Call-IDs", { rows: twice("Call-ID") }, /Call-ID/],
  ["of another CSeq", { rows: replace("CSeq", "7 REGISTER") }, /CSeq/],
  ["of another method", { rows: replace("CSeq", "1 OPTIONS") }, /CSeq/],
  ["of no CSeq", { rows: replace("CSeq", "first") }, /CSeq/],
  ["without Date", { rows: replace("Date", undefined) }, /no Date/],
  ["with two Dates", { rows: twice("Date") }, /no Date/],
  ["of another Date", { rows: replace("Date", serializeSipDate(START + 1000)) }, /Date/],
  ["of an hour ago", dated(START - 3_600_000), /five minutes/],
  ["of the future", dated(START + MAX_ANSWER_SKEW_MS + 1000), /five minutes/],
  ["without our location", { rows: replace("Contact", undefined) }, /our location/],
  ["with another location", { rows: replace("Contact", `<${other}>;expires=60`) }, /our location/],
  ["with no time", { rows: replace("Contact", `<${CONTACT.uri}>;expires=0`) }, /our location/],
  ["with a time of words", { rows: replace("Contact", `<${CONTACT.uri}>;expires=an`) }, /locat/],
  ["with an unreadable location", { rows: replace("Contact", "<sip:") }, /our location/],
  ["without certificate", { answer: ({ certificate: _, ...rest }) => rest }, /no certificate/],
  ["with another's key", { answer: certified({ keyId: "00" }) }, /not for our key/],
  ["with another's name", { answer: certified({ uris: ["sip:bob@x"] }) }, /somebody else/],
  ["with no name", { answer: certified({ uris: [] }) }, /somebody else/],
  ["with a name that is none", { answer: certified({ uris: ["mailto:alice"] }) }, /somebody else/],
  ["with an old certificate", { answer: certified({ notAfter: START - 3_600_000 }) }, /not valid/],
  ["with one not yet valid", { answer: certified({ notBefore: START + 3_600_000 }) }, /not valid/],
];

for (const [name, grant, reason] of REFUSED) {
  test(`an answer ${name} is refused, once: nothing is kept`, () => {
    const world = new RegistrarWorld({ once: true }).register();
    world.grant(grant);
    assert.match(world.failure.reason, reason);
    assert.match(world.failure.reason, /^the answer is refused: /);
    assert.deepEqual(world.stored, []);
    assert.equal(world.outcome, "failed");
  });

  test(`a refresh answered ${name} changes nothing that stands`, () => {
    const world = refreshing(180);
    world.grant(grant);
    assert.equal(world.stored.length, 1);
    assert.equal(world.failure.status, 200);
    assert.ok((world.failure.retryAt ?? 0) > world.now);
  });
}

const TAKEN: readonly (readonly [name: string, grant: Grant, expiresAt: number])[] = [
  ["by the domain itself", { answer: signedBy(["SIP:Atlanta.Example.com"], []) }, 3600],
  ["by the domain's DNS name", { answer: signedBy([], ["ATLANTA.example.com"]) }, 3600],
  ["by the controller we name", { answer: signedBy([], ["SS1.atlanta.example.com"]) }, 3600],
  ["at five minutes' distance", dated(START - MAX_ANSWER_SKEW_MS), 3300],
  [
    "with more locations than ours",
    { rows: (rows) => [["Contact", `<${other}>;expires=9`], ...rows] },
    3600,
  ],
  ["with the time in Expires", { rows: replace("Contact", `<${CONTACT.uri}>`) }, 3600],
  ["with header names in short", { rows: (rows) => rows.map(short) }, 3600],
];

function short([name, value]: readonly [string, string]): readonly [string, string] {
  return name === "Call-ID" ? ["i", value] : name === "Contact" ? ["m", value] : [name, value];
}

for (const [name, grant, expiresS] of TAKEN)
  test(`an answer ${name} is taken`, () => {
    const world = new RegistrarWorld().register();
    world.grant(grant);
    assert.equal(world.stored[0]?.expiresAt, START + expiresS * 1000);
  });

test("what stands outside the signature grants nothing", () => {
  const world = new RegistrarWorld().register();
  world.grant({ headers: [["Contact", `<${CONTACT.uri}>;expires=999999`]] });
  assert.equal(world.stored[0]?.expiresAt, START + 3_600_000);
});
