/** What counts as a loop (RFC 5393 §4.2), field by field, and how wide a fork may be (§5). */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { isProtocolError } from "../../../protocol/errors.ts";
import { isLoop, proxyBranch } from "../../../protocol/sip/loop.ts";
import {
  DEFAULT_MAX_BREADTH,
  maxBreadth,
  shareBreadth,
} from "../../../protocol/sip/max-breadth.ts";
import {
  appendHeader,
  prependHeader,
  type SipRequest,
  withHeader,
} from "../../../protocol/sip/message.ts";
import type { Via } from "../../../protocol/sip/via.ts";
import { sampleRequest } from "./sample.ts";

const invite = sampleRequest("INVITE");
let drawn = 0;
const random = (size: number): Buffer => {
  drawn += 1;
  return Buffer.alloc(size, drawn);
};
const isOwn = ({ host }: Via): boolean => host === "proxy.example.com";

/** The request as it comes back: through us, then through a stranger. */
function comeBack(request: SipRequest): SipRequest {
  const branch = proxyBranch(request, random);
  const ours = prependHeader(request, "Via", `SIP/2.0/UDP proxy.example.com;branch=${branch}`);
  return prependHeader(ours, "Via", `SIP/2.0/UDP other.example.net;branch=z9hG4bKother${drawn}`);
}

type Change = (request: SipRequest) => SipRequest;
const CHANGES: readonly (readonly [what: string, change: Change, looped: boolean])[] = [
  ["nothing changed", (request) => request, true],
  ["fewer hops left", (request) => withHeader(request, "Max-Forwards", "3"), true],
  ["more breadth", (request) => withHeader(request, "Max-Breadth", "3"), true],
  ["another body", (request) => ({ ...request, body: Buffer.from("x") }), true],
  [
    "a Record-Route",
    (request) => prependHeader(request, "Record-Route", "<sip:o.example;lr>"),
    true,
  ],
  [
    "the method: CANCEL follows its INVITE",
    (request) => ({ ...withHeader(request, "CSeq", "1 CANCEL"), method: "CANCEL" }),
    true,
  ],
  [
    "Request-URI: a spiral",
    (request) => ({ ...request, uri: "sip:carol@biloxi.example.com" }),
    false,
  ],
  ["To tag", (request) => withHeader(request, "To", "<sip:bob@biloxi.example.com>;tag=1"), false],
  ["From tag", (request) => withHeader(request, "From", "<sip:a@b>;tag=other"), false],
  ["Call-ID", (request) => withHeader(request, "Call-ID", "other"), false],
  ["CSeq number", (request) => withHeader(request, "CSeq", "2 INVITE"), false],
  ["Route", (request) => appendHeader(request, "Route", "<sip:o.example;lr>"), false],
  ["Proxy-Require", (request) => appendHeader(request, "Proxy-Require", "x"), false],
  [
    "Proxy-Authorization",
    (request) => appendHeader(request, "Proxy-Authorization", "Digest realm=x"),
    false,
  ],
];

for (const [what, change, looped] of CHANGES)
  test(`${looped ? "loop" : "no loop"}: ${what}`, () =>
    assert.equal(isLoop(change(comeBack(invite)), isOwn), looped));

test("a loop is seen however often it went round in between, and only where it is ours", () => {
  const twice = comeBack(comeBack(invite));
  assert.ok(isLoop(twice, isOwn));
  assert.ok(!isLoop(twice, () => false));
  assert.ok(!isLoop(invite, isOwn));
});

test("each branch of a fork has a branch parameter of its own (RFC 3261 16.6 item 8)", () => {
  const branches = Array.from({ length: 100 }, () => proxyBranch(invite, random));
  assert.equal(new Set(branches).size, branches.length);
});

const breadthOf = (value: string) => maxBreadth(withHeader(invite, "Max-Breadth", value));

test("Max-Breadth: absent is 60, more is cut, less stays", () => {
  assert.equal(maxBreadth(invite), DEFAULT_MAX_BREADTH);
  assert.equal(breadthOf("4294967296"), DEFAULT_MAX_BREADTH);
  assert.equal(breadthOf("7"), 7);
  assert.equal(breadthOf("0"), 0);
});

for (const value of ["", "-1", "1.5", "many", "1, 2", "99999999999"])
  test(`Max-Breadth "${value}" is none`, () =>
    assert.throws(
      () => breadthOf(value),
      (error) => isProtocolError(error, "ERR_SIP_SYNTAX"),
    ));

test("breadth is shared as evenly as can be, and refused when it does not suffice", () => {
  assert.deepEqual(shareBreadth(60, 1), [60]);
  assert.deepEqual(shareBreadth(7, 3), [3, 2, 2]);
  assert.deepEqual(shareBreadth(3, 3), [1, 1, 1]);
  assert.equal(shareBreadth(2, 3), undefined);
  assert.equal(shareBreadth(0, 1), undefined);
  assert.equal(shareBreadth(60, 0), undefined);
});

test("shares: never more in all than came, never none", () => {
  fc.assert(
    fc.property(fc.nat(60), fc.integer({ min: 1, max: 80 }), (breadth, branches) => {
      const shares = shareBreadth(breadth, branches);
      if (shares === undefined) return breadth < branches;
      const sum = shares.reduce((left, right) => left + right, 0);
      return shares.length === branches && sum === breadth && Math.min(...shares) >= 1;
    }),
  );
});
