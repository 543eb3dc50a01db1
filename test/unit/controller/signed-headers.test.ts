import assert from "node:assert/strict";
import { test } from "node:test";
import { SEEN_BODY_LIFETIME_MS, SeenBodies } from "../../../controller/core/seen-bodies.ts";
import {
  MAX_DATE_SKEW_MS,
  type SipFragment,
  signedHeadersFault,
} from "../../../controller/core/signed-headers.ts";
import type { SipRequest } from "../../../protocol/sip/message.ts";

const NOW = Date.UTC(2003, 5, 20, 13, 2, 3);
const ROWS = [
  ["From", '"Alice" <sip:alice@atlanta.example.com>;tag=9fxced76sl'],
  ["To", "<sip:bob@biloxi.example.com>"],
  ["Call-ID", "3848276298220188511@atlanta.example.com"],
  ["CSeq", "1 INVITE"],
  ["Date", "Fri, 20 Jun 2003 13:02:03 GMT"],
] as const;

const invite = (rows: SipFragment = ROWS): SipRequest => ({
  kind: "request",
  method: "INVITE",
  uri: "sip:bob@biloxi.example.com",
  headers: rows.map(([name, value]) => ({ name, value })),
  body: Buffer.alloc(0),
});

const changed = (name: string, value: string | undefined): SipFragment =>
  ROWS.flatMap(([key, old]) =>
    key === name ? (value === undefined ? [] : [[key, value]]) : [[key, old]],
  );

test("a fragment that says what the headers say is believed", () => {
  assert.equal(signedHeadersFault(invite(), ROWS, NOW), undefined);
});

test("display names, spacing and compact forms may differ", () => {
  const signed = [
    ["f", "sip:alice@ATLANTA.example.com;tag=9fxced76sl"],
    ["t", "Bob <sip:bob@biloxi.example.com>"],
    ["i", ROWS[2][1]],
    ["CSeq", "1  INVITE"],
    ["Date", ROWS[4][1]],
    ["Subject", "a  b"],
  ] as const;
  assert.equal(signedHeadersFault(invite([...ROWS, ["Subject", "a b"]]), signed, NOW), undefined);
});

const DIFFERENT: readonly [name: string, value: string | undefined][] = [
  ["From", "<sip:mallory@atlanta.example.com>;tag=9fxced76sl"],
  ["From", "<sip:alice@atlanta.example.com>;tag=other"],
  ["From", "not an address <"],
  ["From", undefined],
  ["To", "<sip:carol@biloxi.example.com>"],
  ["To", "<sip:bob@biloxi.example.com>;tag=early"],
  ["To", undefined],
  ["Call-ID", "another@atlanta.example.com"],
  ["Call-ID", undefined],
  ["CSeq", "2 INVITE"],
  ["CSeq", "1 MESSAGE"],
  ["CSeq", "one"],
  ["CSeq", undefined],
  ["Date", "Fri, 20 Jun 2003 13:02:04 GMT"],
  ["Date", undefined],
];

for (const [name, value] of DIFFERENT)
  test(`a fragment with ${value === undefined ? "no" : "another"} ${name} is refused: ${value}`, () => {
    assert.equal(signedHeadersFault(invite(), changed(name, value), NOW), "headers-differ");
  });

test("a field that stands twice in the fragment is refused", () => {
  const twice = [...ROWS, ["From", ROWS[0][1]] as const];
  assert.equal(signedHeadersFault(invite(), twice, NOW), "headers-differ");
});

test("a signed field that the message lacks is refused, Date aside", () => {
  const signed = [...ROWS, ["Subject", "lunch"] as const];
  assert.equal(signedHeadersFault(invite(), signed, NOW), "headers-differ");
  assert.equal(signedHeadersFault(invite(ROWS.slice(0, 4)), ROWS, NOW), undefined);
});

test("what proxies change is not compared", () => {
  const signed = [...ROWS, ["Max-Forwards", "70"] as const, ["Route", "<sip:ss1;lr>"] as const];
  assert.equal(
    signedHeadersFault(invite([...ROWS, ["Max-Forwards", "69"]]), signed, NOW),
    undefined,
  );
});

test("a Date an hour off, either way, or unreadable is refused", () => {
  for (const skew of [-MAX_DATE_SKEW_MS, MAX_DATE_SKEW_MS])
    assert.equal(signedHeadersFault(invite(), ROWS, NOW + skew), "date");
  for (const skew of [1 - MAX_DATE_SKEW_MS, MAX_DATE_SKEW_MS - 1])
    assert.equal(signedHeadersFault(invite(), ROWS, NOW + skew), undefined);
  const rows = changed("Date", "yesterday");
  assert.equal(signedHeadersFault(invite(rows), rows, NOW), "date");
});

test("a body is new once, until its date has aged it out of use", () => {
  const seen = new SeenBodies();
  const body = Buffer.from("sealed");
  assert.equal(seen.claim(body, NOW), true);
  assert.equal(seen.claim(Buffer.from(body), NOW + 1), false);
  assert.equal(seen.claim(body, NOW + SEEN_BODY_LIFETIME_MS - 1), false);
  assert.equal(seen.claim(body, NOW + SEEN_BODY_LIFETIME_MS), true);
});

test("the memory of bodies is bounded; the oldest goes first", () => {
  const seen = new SeenBodies(2);
  for (const text of ["a", "b", "c"]) assert.equal(seen.claim(Buffer.from(text), NOW), true);
  assert.equal(seen.claim(Buffer.from("c"), NOW), false);
  assert.equal(seen.claim(Buffer.from("a"), NOW), true);
});
