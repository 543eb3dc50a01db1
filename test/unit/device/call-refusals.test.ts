import assert from "node:assert/strict";
import { test } from "node:test";
import type { SealingResult } from "../../../device/core/call.ts";
import type { ProtocolErrorCode } from "../../../protocol/errors.ts";
import { createResponse } from "../../../protocol/sip/create-response.ts";
import {
  appendHeader,
  headerValue,
  type SipMessage,
  type SipRequest,
  withBody,
  withHeader,
  withoutHeader,
} from "../../../protocol/sip/message.ts";
import { ALICE, BOB, START, type Tamper, World, type WorldOptions } from "./call-fixture.ts";

const PLAIN_SDP = Buffer.from("v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\ns=-\r\nt=0 0\r\n");

const isInvite = (message: SipMessage): message is SipRequest =>
  message.kind === "request" && message.method === "INVITE";
const isAnswer = (message: SipMessage): boolean =>
  message.kind === "response" &&
  message.status === 200 &&
  (headerValue(message, "CSeq") ?? "").endsWith("INVITE");

const onInvite =
  (change: (invite: SipMessage) => SipMessage): Tamper =>
  (message) => [isInvite(message) ? change(message) : message];
const onAnswer =
  (change: (answer: SipMessage) => SipMessage): Tamper =>
  (message) => [isAnswer(message) ? change(message) : message];

/** What bob's desk says in place of what it found. */
const found =
  (change: (result: SealingResult & { kind: "offer-opened" }) => SealingResult) =>
  (result: SealingResult): SealingResult =>
    result.kind === "offer-opened" ? change(result) : result;
const fault = (stage: "open" | "verify", code: ProtocolErrorCode): WorldOptions => ({
  tamperResult: found(() => ({ kind: "not-opened", stage, code })),
});
const withSdp = (change: (sdp: string) => string): WorldOptions => ({
  tamperResult: found((result) => {
    const sdp = Buffer.from(change(result.verified.sdp.toString()));
    return { ...result, verified: { ...result.verified, sdp } };
  }),
});

const OFFERS: readonly (readonly [name: string, options: WorldOptions, status: number])[] = [
  ["an envelope that is not for us", fault("open", "ERR_CMS_NO_RECIPIENT"), 493],
  ["an envelope that was tampered with", fault("open", "ERR_CMS_DECRYPT"), 493],
  ["content without a signature", fault("verify", "ERR_SIGNATURE_MISSING"), 495],
  ["a signature that is not good", fault("verify", "ERR_SIGNATURE"), 403],
  ["a signer of no authority that we trust", fault("verify", "ERR_CERTIFICATE"), 403],
  [
    "a signer who is not the caller",
    {
      tamperResult: found((result) => ({
        ...result,
        verified: {
          ...result.verified,
          signer: { ...result.verified.signer, uris: ["sip:mallory@example.com", "https://a/"] },
        },
      })),
    },
    403,
  ],
  [
    "another caller than was signed",
    { tamper: onInvite((m) => withHeader(m, "From", "<sip:mallory@example.com>;tag=x")) },
    403,
  ],
  ["another call than was signed", { tamper: onInvite((m) => withHeader(m, "Call-ID", "x")) }, 403],
  [
    "another contact than was signed",
    { tamper: onInvite((m) => withHeader(m, "Contact", "<sip:mallory@10.6.6.6>")) },
    403,
  ],
  [
    "a plain description where a sealed one is required",
    {
      tamper: onInvite((m) =>
        withBody(withHeader(m, "Content-Type", "application/sdp"), PLAIN_SDP),
      ),
    },
    488,
  ],
  ["no body at all", { tamper: onInvite((m) => withBody(m, Buffer.alloc(0))) }, 488],
  [
    "a body of a type unknown",
    { tamper: onInvite((m) => withHeader(m, "Content-Type", "text/plain")) },
    415,
  ],
  ["a coded body", { tamper: onInvite((m) => appendHeader(m, "Content-Encoding", "gzip")) }, 415],
  ["an extension we lack", { tamper: onInvite((m) => appendHeader(m, "Require", "100rel")) }, 420],
  ["a description that is none", withSdp(() => "hello"), 488],
  ["plain RTP inside the envelope", withSdp((sdp) => sdp.replace("RTP/SAVP", "RTP/AVP")), 488],
  ["a description without a key", withSdp((sdp) => sdp.replace(/^a=crypto.*\r\n/m, "")), 488],
];

for (const [name, options, status] of OFFERS)
  test(`an offer is refused with ${status}, unseen and unheard: ${name}`, () => {
    const world = new World(options);
    world.dial();
    assert.deepEqual(world.sent(), ["INVITE", String(status), "ACK"]);
    assert.deepEqual(world.told("bob"), ["refused"]);
    assert.deepEqual(world.done.bob, ["over: refused"]);
    const failed = world.last("alice");
    assert.equal(failed?.event === "failed" && failed.status, status);
    assert.deepEqual(world.done.alice, ["media-ready", "media-stop", "over: failed"]);
  });

test("an offer made for somebody else, and sent on to us, is refused", () => {
  const carol = "sip:carol@biloxi.example.com";
  const world = new World({ tamper: onInvite((m) => ({ ...m, uri: BOB }) as SipMessage) });
  const nextHop = { transport: "tcp", address: "10.0.0.2", port: 5060 } as const;
  world.feed("alice", { kind: "dial", setting: { target: carol, nextHop, sealedFor: [] } });
  assert.deepEqual(world.sent(), ["INVITE", "403", "ACK"]);
});

test("an offer an hour old is refused", () => {
  const world: World = new World({
    tamper: (message) => {
      if (isInvite(message)) world.now = START + 3_600_000;
      return [message];
    },
  });
  world.dial();
  assert.deepEqual(world.sent().slice(0, 2), ["INVITE", "403"]);
});

test("a refused phone takes the next call", () => {
  let isFirst = true;
  const world = new World({
    tamperResult: (result) => {
      if (result.kind !== "offer-opened" || !isFirst) return result;
      isFirst = false;
      return { kind: "not-opened", stage: "open", code: "ERR_CMS_DECRYPT" };
    },
  });
  world.dial();
  world.dial();
  world.tell("bob", "answer");
  assert.deepEqual(world.last("alice"), { event: "answered", sealed: true });
});

test("a first key that cannot be used again is refused before it is answered", () => {
  const world = new World({
    tamperResult: (result) =>
      result.kind === "answer-sealed"
        ? { kind: "not-opened", stage: "open", code: "ERR_CMS_UNSUPPORTED" }
        : result,
  });
  world.dial();
  world.tell("bob", "answer");
  assert.equal(world.sent("bob").at(-1), "488");
});

test("an offer that cannot be sealed is not sent", () => {
  const world = new World({
    tamperResult: () => ({ kind: "not-opened", stage: "open", code: "ERR_CERTIFICATE" }),
  });
  world.dial();
  assert.deepEqual(world.wire, []);
  assert.deepEqual(world.last("alice"), {
    ...{ event: "failed", reason: "the offer cannot be sealed (ERR_CERTIFICATE)" },
  });
});

const opened =
  (change: (result: SealingResult & { kind: "answer-opened" }) => SealingResult) =>
  (result: SealingResult): SealingResult =>
    result.kind === "answer-opened" ? change(result) : result;

const ANSWERS: readonly (readonly [name: string, options: WorldOptions, reason: RegExp])[] = [
  [
    "a plain description",
    {
      tamper: onAnswer((m) =>
        withBody(withHeader(m, "Content-Type", "application/sdp"), PLAIN_SDP),
      ),
    },
    /not sealed/,
  ],
  ["no body", { tamper: onAnswer((m) => withBody(m, Buffer.alloc(0))) }, /not sealed/],
  [
    "an envelope that does not open",
    {
      tamperResult: opened(() => ({ kind: "not-opened", stage: "open", code: "ERR_CMS_DECRYPT" })),
    },
    /ERR_CMS_DECRYPT/,
  ],
  [
    "a signature that is not good",
    {
      tamperResult: opened(() => ({ kind: "not-opened", stage: "verify", code: "ERR_SIGNATURE" })),
    },
    /ERR_SIGNATURE/,
  ],
  [
    "a signer who is not the callee",
    {
      tamperResult: opened((result) => ({
        ...result,
        verified: { ...result.verified, signer: { ...result.verified.signer, uris: [ALICE] } },
      })),
    },
    /signed by somebody else/,
  ],
  [
    "another recipient who writes himself into To",
    {
      tamper: onAnswer((m) => withHeader(m, "To", "<sip:mallory@example.com>;tag=h")),
      tamperResult: opened((result) => ({
        ...result,
        verified: {
          ...result.verified,
          signer: { ...result.verified.signer, uris: ["sip:mallory@example.com"] },
          sipfrag: result.verified.sipfrag.map(([name, value]) =>
            name === "To" ? [name, "<sip:mallory@example.com>;tag=h"] : [name, value],
          ),
        },
      })),
    },
    /signed by somebody else/,
  ],
  [
    "another contact than was signed",
    { tamper: onAnswer((m) => withHeader(m, "Contact", "<sip:bob@10.6.6.6>")) },
    /not those that were signed/,
  ],
  [
    "a Date from tomorrow",
    {
      tamperResult: opened((result) => result),
      tamper: onAnswer((m) => withHeader(m, "Date", "Sat, 21 Jun 2003 13:02:03 GMT")),
    },
    /not those that were signed/,
  ],
  [
    "a key that cannot be used",
    {
      tamperResult: opened((result) => {
        const sdp = result.verified.sdp.toString().replace(/inline:\S+/, "inline:AAAA");
        return { ...result, verified: { ...result.verified, sdp: Buffer.from(sdp) } };
      }),
    },
    /ERR_SDP_UNACCEPTABLE/,
  ],
];

for (const [name, options, reason] of ANSWERS)
  test(`an answer is acknowledged and the call ended, without a sound: ${name}`, () => {
    const world = new World(options);
    world.dial();
    world.tell("bob", "answer");
    assert.deepEqual(world.sent("alice"), ["INVITE", "ACK", "BYE"]);
    const failed = world.last("alice");
    assert.ok(failed?.event === "failed");
    assert.match(failed.reason, reason);
    assert.ok(!world.done.alice.includes("media-play"));
    assert.equal(world.done.alice.at(-1), "over: failed");
  });

test("an answer in clear that holds no description ends a call in clear", () => {
  const world = new World({
    callee: { sealedRequired: false },
    tamper: onAnswer((m) => withHeader(m, "Content-Type", "text/plain")),
  });
  world.dialInClear();
  world.tell("bob", "answer");
  assert.deepEqual(world.sent("alice"), ["INVITE", "ACK", "BYE"]);
});

test("an answer that makes no dialog fails the call", () => {
  const world = new World({ tamper: onAnswer((m) => withoutHeader(m, "Contact")) });
  world.dial();
  world.tell("bob", "answer");
  assert.deepEqual(world.last("alice"), {
    ...{ event: "failed", reason: "the answer makes no dialog" },
  });
});

for (const status of [302, 401, 403, 407, 415, 480, 488, 493, 495, 496, 500, 503, 600])
  test(`${status} ends the call: nothing is tried again, sealed or in clear`, () => {
    const world: World = new World({
      tamper: (message) => {
        if (!isInvite(message)) return [];
        const response = createResponse(message, status, {
          toTag: "ss1",
          headers: [
            ["Warning", '399 ss1.example.com "no"'],
            ["Content-Type", "application/pkix-cert"],
          ],
          body: Buffer.from("a certificate that is not believed"),
        });
        queueMicrotask(() => world.deliver("alice", response));
        return [];
      },
    });
    world.dial();
    return Promise.resolve().then(() => {
      assert.deepEqual(world.sent(), ["INVITE", "ACK"]);
      const failed = world.last("alice");
      assert.ok(failed?.event === "failed");
      assert.equal(failed.status, status);
      assert.equal(failed.warning, '399 ss1.example.com "no"');
      world.advance(120_000);
      assert.deepEqual(world.sent(), ["INVITE", "ACK"]);
    });
  });

test("a caller without a SIP address is shown as he wrote himself", () => {
  const world = new World({
    callee: { sealedRequired: false },
    tamper: onInvite((m) => withHeader(m, "From", "<tel:+15551234>;tag=t")),
  });
  world.dialInClear();
  const [incoming] = world.events.bob;
  assert.equal(incoming?.event === "incoming" && incoming.from, "tel:+15551234");
});
