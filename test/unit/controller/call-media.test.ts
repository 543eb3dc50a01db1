import assert from "node:assert/strict";
import { test } from "node:test";
import type { CallSetting } from "../../../controller/core/call-port.ts";
import { MAX_COUNTED } from "../../../controller/core/leg-session.ts";
import { ACK_TIMEOUT_MS, GRACE_MS } from "../../../controller/core/negotiation.ts";
import { CallDriver, holes, INSIDE, invite, OUTSIDE, SDP_TYPE } from "./call-fixture.ts";

/** A description of streams, each `media port`, with an address of its own if need be. */
function clear(address: string, ...streams: string[]): string {
  const media = streams.flatMap((stream) => {
    const [kind = "audio", port = "0", ...rows] = stream.split(" ");
    const line = kind === "image" ? `m=image ${port} udptl t38` : `m=${kind} ${port} RTP/AVP 0`;
    return [line, ...rows.map((row) => `a=${row}`)];
  });
  return [
    "v=0",
    "o=- 1 1 IN IP4 0.0.0.0",
    "s=-",
    `c=IN IP4 ${address}`,
    "t=0 0",
    ...media,
    "",
  ].join("\r\n");
}

const A = "10.10.0.2";
const B = "10.20.0.2";
const ALICE = clear(A, "audio 20000");
const BOB = clear(B, "audio 30000");
const BOTH = `${B}>${A}:20000 ${B}>${A}:20001 ${A}>${B}:30000 ${A}>${B}:30001`;

/** A call in clear as far as its INVITE has gone on. */
function placed(setting: Partial<CallSetting> = {}, offer = ALICE): CallDriver {
  const call = new CallDriver({ invite: invite(offer, SDP_TYPE), ...setting });
  const [first] = call.feed({ kind: "start" });
  if (first?.startsWith("put") === true) assert.equal(call.applied().at(-1), "forward INVITE");
  else assert.equal(first, "forward INVITE");
  return call;
}

/** And as far as its ACK. */
function talking(setting: Partial<CallSetting> = {}): CallDriver {
  const call = placed(setting);
  call.respond(200, { body: BOB, type: SDP_TYPE });
  assert.equal(call.applied().at(-1), "forward 200 b1");
  assert.deepEqual(call.ack(), ["info call-confirmed"]);
  return call;
}

/** What is open by what was asked for last. */
const open = (call: CallDriver): string => {
  const put = call.puts.at(-1);
  return put === undefined ? "" : holes(put);
};

test("a clear offer opens and is recorded by the same rules as a sealed one, without a round trip", () => {
  const call = new CallDriver({ invite: invite(ALICE, SDP_TYPE) });
  assert.deepEqual(call.feed({ kind: "start" }), [`put s1 1 any>${A}:20000 any>${A}:20001`]);
  assert.deepEqual(call.puts[0]?.streams[0]?.protection, { kind: "rtp" });
  assert.deepEqual(call.applied(), ["info call-opened s1", "forward INVITE"]);
  assert.deepEqual(call.respond(200, { body: BOB, type: SDP_TYPE }), [`put s1 2 ${BOTH}`]);
  assert.deepEqual(call.applied(), ["info answer-applied s1", "forward 200 b1"]);
});

test("a description in a multipart counts, two of them do not", () => {
  const part = (body: string) => `--x\r\nContent-Type: application/sdp\r\n\r\n${body}\r\n`;
  const isup = "--x\r\nContent-Type: application/isup\r\n\r\nabc\r\n";
  const mixed = "multipart/mixed;boundary=x";
  const started = (body: string) =>
    new CallDriver({ invite: invite(`${body}--x--\r\n`, mixed) }).feed({ kind: "start" });
  assert.match(started(isup + part(ALICE))[0] ?? "", /^put s1 1 any/);
  assert.deepEqual(started(isup), ["forward INVITE"]);
  assert.deepEqual(started(part(ALICE) + part(BOB)), ["warn call-refused sdp", "refuse 488"]);
});

test("a user who requires sealing is neither called nor calls in clear, but for help he may", () => {
  const strict = { ...INSIDE, requireSealed: true };
  for (const parties of [
    { caller: strict, callee: OUTSIDE },
    { caller: INSIDE, callee: { ...OUTSIDE, requireSealed: true } },
  ]) {
    const call = new CallDriver({ invite: invite(ALICE, SDP_TYPE), parties });
    assert.deepEqual(call.feed({ kind: "start" }), [
      "warn call-refused sealing-required",
      "refuse 488",
    ]);
  }
  const help = new CallDriver({
    invite: invite(ALICE, SDP_TYPE),
    parties: { caller: strict, callee: OUTSIDE },
    emergency: true,
  });
  assert.match(help.feed({ kind: "start" })[0] ?? "", /^put s1 1/);
});

test("a call for help goes on without gateway, recorder or a good offer", () => {
  const refused = { kind: "applied", recording: { refused: "full" } } as const;
  const call = placed({ emergency: true, mustRecord: true });
  assert.deepEqual(call.puts[0]?.required, false);
  call.respond(200, { body: BOB, type: SDP_TYPE });
  assert.deepEqual(call.applied(refused), ["info answer-applied s1", "forward 200 b1"]);
  const alone = new CallDriver({ invite: invite(ALICE, SDP_TYPE), emergency: true });
  alone.feed({ kind: "start" });
  assert.deepEqual(alone.applied({ kind: "failed", verdict: "gateway-gone" }), [
    "error offer-unopened gateway-gone",
    "close s1 (gateway-gone)",
    "forward INVITE",
  ]);
  const bad = new CallDriver({
    invite: invite(clear("10.10.0.9", "audio 20000"), SDP_TYPE),
    emergency: true,
  });
  assert.deepEqual(bad.feed({ kind: "start" }), [
    "error offer-unopened media-address",
    "forward INVITE",
  ]);
  assert.deepEqual(bad.respond(200, { body: BOB, type: SDP_TYPE }), ["forward 200 b1"]);
});

test("a call from outside opens from where the callee may be, then both ways", () => {
  const call = placed({ parties: { caller: OUTSIDE, callee: INSIDE } }, BOB);
  assert.equal(open(call), `${A}>${B}:30000 ${A}>${B}:30001`);
  call.respond(200, { body: ALICE, type: SDP_TYPE });
  assert.equal(call.applied().at(-1), "forward 200 b1");
  assert.equal(open(call), `${A}>${B}:30000 ${A}>${B}:30001 ${B}>${A}:20000 ${B}>${A}:20001`);
});

test("a call between two who are outside never troubles the gateway", () => {
  const call = placed({ parties: { caller: OUTSIDE, callee: OUTSIDE } }, BOB);
  const other = clear("10.20.0.3", "audio 40000");
  assert.deepEqual(call.respond(200, { body: other, type: SDP_TYPE }), ["forward 200 b1"]);
  assert.deepEqual(call.ack(), ["info call-confirmed"]);
  assert.deepEqual(call.ask("BYE", "caller"), ["info call-ended BYE", "forward q1"]);
  assert.deepEqual(call.puts, []);
});

test("a call between two who are inside has holes both ways", () => {
  const callee = { ...INSIDE, addresses: ["10.10.0.3"] };
  const call = placed({ parties: { caller: INSIDE, callee } });
  call.respond(200, { body: clear("10.10.0.3", "audio 40000"), type: SDP_TYPE });
  assert.match(open(call), /^10\.10\.0\.3>10\.10\.0\.2:20000 /);
});

test("a session refresh with the same description puts nothing, in either direction", () => {
  const call = talking();
  for (const [side, offer, answer] of [
    ["caller", ALICE, BOB],
    ["callee", BOB, ALICE],
  ] as const) {
    const [forwarded] = call.ask("INVITE", side, { body: offer });
    assert.match(forwarded ?? "", /^forward q\d$/);
    assert.match(call.replied(200, { body: answer })[0] ?? "", /^forward 200 of q\d$/);
    assert.deepEqual(call.ack(side), []);
  }
  assert.equal(call.puts.length, 2);
  assert.deepEqual(call.wait(GRACE_MS), []);
});

test("a re-INVITE to another port opens the new before it goes on, and closes the old after the ACK", () => {
  const call = talking();
  const moved = clear(A, "audio 22000");
  const anywhere = `any>${A}:22000 any>${A}:22001`;
  assert.deepEqual(call.ask("INVITE", "caller", { body: moved }), [`put s1 3 ${BOTH} ${anywhere}`]);
  assert.deepEqual(call.applied(), ["info offer-applied s1", "forward q1"]);
  const now = `${B}>${A}:22000 ${B}>${A}:22001 ${A}>${B}:30000 ${A}>${B}:30001`;
  assert.deepEqual(call.replied(200, { body: BOB }), [
    `put s1 4 ${now} ${B}>${A}:20000 ${B}>${A}:20001`,
  ]);
  assert.deepEqual(call.applied(), ["info answer-applied s1", "forward 200 of q1"]);
  assert.deepEqual(call.ack(), []);
  assert.deepEqual(call.wait(GRACE_MS - 1), []);
  assert.deepEqual(call.wait(1), [`narrow s1 5 ${now}`]);
  assert.equal(call.call.deadline() ?? 0, call.snapshot?.endsAt);
});

test("a stream that moves has another id while both are open, and one that stays keeps its own", () => {
  const call = talking();
  call.ask("INVITE", "caller", { body: clear(A, "audio 22000") });
  call.applied();
  call.replied(200, { body: BOB });
  assert.deepEqual(
    call.puts.at(-1)?.pinholes.map(({ id }) => id),
    [
      "caller.0.rtp.2",
      "caller.0.rtcp.2",
      "callee.0.rtp",
      "callee.0.rtcp",
      "caller.0.rtp",
      "caller.0.rtcp",
    ],
  );
});

for (const status of [408, 481, 487, 488, 491, 500, 603])
  test(`a re-INVITE that gets ${status} leaves everything as it was`, () => {
    const call = talking();
    call.ask("INVITE", "callee", { body: clear("10.20.0.3", "audio 40000") });
    assert.match(open(call), /10\.10\.0\.2>10\.20\.0\.3:40000/);
    call.applied();
    const effects = call.replied(status);
    if (status === 408 || status === 481) {
      assert.deepEqual(effects, [
        `close s1 (${status})`,
        `info call-ended ${status}`,
        `forward ${status} of q1`,
      ]);
      return;
    }
    assert.deepEqual(effects, [`forward ${status} of q1`, `narrow s1 4 ${BOTH}`]);
  });

test("an offer that the gateway does not apply is refused, and nothing was", () => {
  const call = talking();
  const moved = clear(A, "audio 22000");
  call.ask("UPDATE", "caller", { body: moved });
  assert.deepEqual(call.applied({ kind: "failed", verdict: "gateway-refused" }), [
    "warn offer-refused gateway-refused",
    "refuse q1 500",
    `narrow s1 4 ${BOTH}`,
  ]);
  call.ask("INVITE", "caller", { body: moved });
  assert.deepEqual(call.wait(2_000), [
    "warn offer-refused gateway-slow",
    "refuse q2 500",
    `narrow s1 6 ${BOTH}`,
  ]);
});

test("an offer that breaks a rule is refused, and nothing was", () => {
  const call = talking();
  for (const [side, body] of [
    ["caller", clear("10.10.0.3", "audio 20000")],
    ["callee", clear("10.10.0.3", "audio 20000")],
    ["callee", clear(B, "audio 1000")],
    ["caller", "v=0"],
  ] as const)
    assert.match(
      call.ask("INVITE", side, { body }).join(),
      /^warn offer-refused .*,refuse q\d 488$/,
    );
  assert.equal(call.puts.length, 2);
  assert.match(call.ask("INVITE", "caller", { body: ALICE })[0] ?? "", /^forward/);
});

test("an UPDATE changes media without an ACK", () => {
  const call = talking();
  call.ask("UPDATE", "callee", { body: clear(B, "audio 32000") });
  assert.equal(call.applied().at(-1), "forward q1");
  call.replied(200, { body: ALICE, cseq: "2 UPDATE" });
  assert.equal(call.applied().at(-1), "forward 200 of q1");
  assert.match(call.wait(GRACE_MS)[0] ?? "", /^narrow s1 5 .*:32000/);
  assert.doesNotMatch(open(call), /:3000\d/);
});

test("an offer while another one is open is glare, and the first one stands", () => {
  const call = talking();
  call.ask("INVITE", "caller", { body: clear(A, "audio 22000") });
  call.applied();
  assert.deepEqual(call.ask("INVITE", "callee", { body: BOB }), ["refuse q2 491"]);
  assert.deepEqual(call.ask("UPDATE", "caller", { body: ALICE }), ["refuse q3 491"]);
  assert.deepEqual(call.ask("INVITE", "callee"), ["refuse q4 491"]);
  assert.match(call.replied(200, { body: BOB }, "q1")[0] ?? "", /^put s1 4/);
});

test("what brings no offer passes at once, also while one is being opened", () => {
  const call = talking();
  call.ask("INVITE", "caller", { body: clear(A, "audio 22000") });
  for (const method of ["INFO", "MESSAGE", "REFER", "UPDATE", "NOTIFY"])
    assert.match(call.ask(method, "callee")[0] ?? "", /^forward q\d$/);
  assert.deepEqual(
    call.ask("INFO", "callee", { body: "Signal=1", type: "application/dtmf-relay" }),
    ["forward q7"],
  );
  assert.deepEqual(call.replied(200, { cseq: "2 INFO" }, "q2"), ["forward 200 of q2"]);
});

test("an INVITE without an offer: the callee makes it in the 200, the ACK answers", () => {
  const call = new CallDriver({ invite: invite("") });
  assert.deepEqual(call.feed({ kind: "start" }), ["forward INVITE"]);
  const toBob = `${A}>${B}:30000 ${A}>${B}:30001`;
  assert.deepEqual(call.respond(200, { body: BOB, type: SDP_TYPE }), [`put s1 1 ${toBob}`]);
  assert.deepEqual(call.applied(), ["info offer-applied s1", "forward 200 b1"]);
  assert.deepEqual(call.ack("caller", { body: ALICE, cseq: 1 }), [
    "info call-confirmed",
    `put s1 2 ${BOTH}`,
  ]);
  assert.deepEqual(call.applied(), ["info answer-applied s1"]);
});

test("a re-INVITE without an offer: the other side makes it, the ACK answers", () => {
  const call = talking();
  assert.deepEqual(call.ask("INVITE", "caller"), ["forward q1"]);
  const moved = clear(B, "audio 32000");
  assert.match(call.replied(200, { body: moved })[0] ?? "", /^put s1 3 .*10\.10\.0\.2>.*:32000/);
  assert.deepEqual(call.applied(), ["info offer-applied s1", "forward 200 of q1"]);
  assert.match(call.ack("caller", { body: ALICE })[0] ?? "", /^put s1 4/);
  assert.deepEqual(call.applied(), ["info answer-applied s1"]);
  assert.match(call.wait(GRACE_MS)[0] ?? "", /^narrow s1 5/);
  assert.doesNotMatch(open(call), /:3000\d/);
});

test("an ACK without the answer that is due shuts the dialog's holes", () => {
  const call = talking();
  call.ask("INVITE", "caller");
  call.replied(200, { body: clear(B, "audio 32000") });
  call.applied();
  assert.deepEqual(call.ack(), ["close s1 (answer-absent)", "error answer-shut answer-absent"]);
});

test("an offer in a 2xx that nobody acknowledges is off, and the next one is no glare", () => {
  const call = talking();
  call.ask("INVITE", "caller");
  call.replied(200, { body: clear(B, "audio 32000") });
  call.applied();
  assert.deepEqual(call.wait(ACK_TIMEOUT_MS), [`narrow s1 4 ${BOTH}`]);
  assert.deepEqual(call.ask("INVITE", "callee", { body: BOB }), ["forward q2"]);
});

test("an offer in a 2xx that breaks a rule goes on, and what is open is shut", () => {
  const call = talking();
  call.ask("INVITE", "caller");
  assert.deepEqual(call.replied(200, { body: clear("10.10.0.9", "audio 32000") }), [
    "close s1 (media-address)",
    "error answer-shut media-address",
    "forward 200 of q1",
  ]);
});

test("after a bad answer a good offer and answer open anew, under another session", () => {
  const call = talking();
  call.ask("INVITE", "caller", { body: clear(A, "audio 22000") });
  call.applied();
  assert.deepEqual(call.replied(200, { body: clear(B, "audio 80") }), [
    "close s1 (media-port)",
    "error answer-shut media-port",
    "forward 200 of q1",
  ]);
  call.ack();
  assert.deepEqual(call.ask("INVITE", "callee", { body: BOB }), [
    `put s2 1 ${A}>${B}:30000 ${A}>${B}:30001`,
  ]);
  call.applied();
  call.replied(200, { body: ALICE });
  assert.deepEqual(call.applied(), ["info answer-applied s2", "forward 200 of q2"]);
  assert.equal(open(call), `${B}>${A}:20000 ${B}>${A}:20001 ${A}>${B}:30000 ${A}>${B}:30001`);
});

test("an unreliable 183 is a preview that the 200 may change, a reliable one is the answer", () => {
  const later = clear(B, "audio 32000");
  for (const reliable of [false, true]) {
    const call = placed();
    call.respond(183, { body: BOB, type: SDP_TYPE, reliable });
    assert.deepEqual(call.applied(), ["info answer-applied s1", "forward 183 b1"]);
    const effects = call.respond(200, { body: later, type: SDP_TYPE });
    if (reliable) assert.deepEqual(effects, ["forward 200 b1"]);
    else assert.match(effects[0] ?? "", /^put s1 3 .*:32000/);
    assert.equal(open(call).includes(":30000"), reliable);
  }
});

test("an offer in a reliable 183 is answered by the PRACK", () => {
  const call = new CallDriver({ invite: invite("") });
  call.feed({ kind: "start" });
  assert.match(
    call.respond(183, { body: BOB, type: SDP_TYPE, reliable: true })[0] ?? "",
    /^put s1 1/,
  );
  assert.equal(call.applied().at(-1), "forward 183 b1");
  assert.deepEqual(call.ask("PRACK", "caller", { body: ALICE }), [`put s1 2 ${BOTH}`]);
  assert.deepEqual(call.applied(), ["info answer-applied s1", "forward q1"]);
  assert.deepEqual(call.replied(200, { cseq: "2 PRACK" }), ["forward 200 of q1"]);
  assert.deepEqual(call.respond(200, { body: BOB, type: SDP_TYPE }), ["forward 200 b1"]);
  assert.deepEqual(call.ack(), ["info call-confirmed"]);
});

test("an answer in a PRACK is never refused: a bad one goes on and is shut out", () => {
  const call = new CallDriver({ invite: invite("") });
  call.feed({ kind: "start" });
  call.respond(183, { body: BOB, type: SDP_TYPE, reliable: true });
  call.applied();
  assert.deepEqual(call.ask("PRACK", "caller", { body: clear("10.10.0.3", "audio 20000") }), [
    "close s1 (media-address)",
    "error answer-shut media-address",
    "forward q1",
  ]);
});

test("a PRACK may bring a further offer, its 200 the answer; UPDATE does so early as well", () => {
  for (const method of ["PRACK", "UPDATE"]) {
    const call = placed();
    call.respond(183, { body: BOB, type: SDP_TYPE, reliable: true });
    call.applied();
    call.ask(method, "caller", { body: clear(A, "audio 22000") });
    assert.match(open(call), /any>10\.10\.0\.2:22000/);
    assert.equal(call.applied().at(-1), "forward q1");
    call.replied(200, { body: BOB, cseq: `2 ${method}` });
    assert.equal(call.applied().at(-1), "forward 200 of q1");
    assert.deepEqual(call.respond(200, { body: BOB, type: SDP_TYPE }), ["forward 200 b1"]);
    call.wait(GRACE_MS);
    assert.doesNotMatch(open(call), /:2000\d/);
  }
});

test("an UPDATE before there is any answer is glare", () => {
  const call = placed();
  call.respond(180);
  assert.deepEqual(call.ask("UPDATE", "callee", { body: BOB }), ["refuse q1 491"]);
});

test("a re-INVITE whose reliable 183 was answered and that fails goes back to what was", () => {
  const call = talking();
  call.ask("INVITE", "caller", { body: clear(A, "audio 22000") });
  call.applied();
  call.replied(183, { body: clear(B, "audio 32000"), reliable: true });
  call.applied();
  assert.match(open(call), /:32000 .*:20000/);
  assert.deepEqual(call.replied(486), ["forward 486 of q1", `narrow s1 5 ${BOTH}`]);
});

test("a re-INVITE cancelled before it has gone on is refused here, and its holes are closed", () => {
  const call = talking();
  call.ask("INVITE", "caller", { body: clear(A, "audio 22000") });
  assert.deepEqual(call.feed({ kind: "request-cancelled", ref: "q1", tag: "b1" }), [
    "refuse q1 487",
    `narrow s1 4 ${BOTH}`,
  ]);
  assert.deepEqual(call.settle("s1", 3), []);
  assert.deepEqual(call.feed({ kind: "request-cancelled", ref: "q1", tag: "b1" }), []);
});

test("hold keeps the holes, in every spelling", () => {
  const call = talking();
  const holds = [
    ALICE.replace("m=audio", "a=inactive\r\nm=audio"),
    `${ALICE}a=sendonly\r\n`,
    ALICE.replace(`c=IN IP4 ${A}`, "c=IN IP4 0.0.0.0"),
    ALICE,
  ];
  for (const [at, body] of holds.entries()) {
    assert.deepEqual(call.ask("INVITE", "caller", { body }), [`forward q${at + 1}`]);
    assert.deepEqual(call.replied(200, { body: BOB }), [`forward 200 of q${at + 1}`]);
    call.ack();
  }
  assert.equal(call.puts.length, 2);
});

test("port 0 in an answer rejects a stream, in an offer it removes one; video may be added", () => {
  const two = clear(A, "audio 20000", "video 22000");
  const call = placed({}, two);
  assert.equal(call.puts[0]?.pinholes.length, 4);
  call.respond(200, { body: clear(B, "audio 30000", "video 0"), type: SDP_TYPE });
  call.applied();
  assert.equal(open(call), BOTH);
  call.ack();
  call.ask("INVITE", "callee", { body: clear(B, "audio 30000", "video 32000") });
  assert.equal(call.puts.at(-1)?.pinholes.length, 6);
  call.applied();
  call.replied(200, { body: two });
  call.applied();
  assert.equal(call.puts.at(-1)?.pinholes.length, 8);
  assert.equal(call.puts.at(-1)?.streams.length, 4);
  call.ack("callee");
  call.wait(GRACE_MS);
  call.ask("INVITE", "caller", { body: clear(A, "audio 20000", "video 0") });
  call.replied(200, { body: clear(B, "audio 30000", "video 0") });
  call.applied();
  call.ack();
  call.wait(GRACE_MS);
  assert.equal(open(call), BOTH);
});

test("a call that turns to fax has one hole a side, its audio closes after the ACK", () => {
  const call = talking();
  call.ask("INVITE", "callee", { body: clear(B, "audio 0", "image 40000") });
  assert.equal(call.applied().at(-1), "forward q1");
  call.replied(200, { body: clear(A, "audio 0", "image 24000") });
  call.applied();
  call.ack("callee");
  call.wait(GRACE_MS);
  assert.equal(open(call), `${B}>${A}:24000 ${A}>${B}:40000`);
});

test("199 closes one early dialog, a failed branch as well, and the call goes on", () => {
  const call = placed();
  call.respond(183, { body: BOB, type: SDP_TYPE, tag: "b1" });
  call.applied();
  call.respond(183, { body: clear("10.20.0.3", "audio 40000"), type: SDP_TYPE, tag: "b2" });
  call.applied();
  assert.deepEqual(call.respond(199, { tag: "b1" }), ["close s1 (199)", "forward 199 b1"]);
  assert.deepEqual(call.feed({ kind: "dialog-ended", tag: "b2", reason: "486" }), [
    "close s2 (486)",
  ]);
  assert.equal(call.call.isOver, false);
  assert.deepEqual(call.respond(486, { tag: "b2" }), ["info call-ended 486", "forward 486 b2"]);
});

test("BYE of another dialog changes nothing; that of a dialog that is over passes", () => {
  const call = talking();
  assert.deepEqual(call.ask("BYE", "caller", { tag: "b9" }), ["refuse q1 481"]);
  assert.deepEqual(call.ask("BYE", "callee"), [
    "close s1 (BYE)",
    "info call-ended BYE",
    "forward q2",
  ]);
  assert.deepEqual(call.ask("BYE", "caller"), ["forward q3"]);
  assert.deepEqual(call.ask("INVITE", "caller", { body: ALICE }), ["refuse q4 481"]);
  assert.equal(call.puts.length, 2);
});

test("a BYE while a re-INVITE is being opened ends both", () => {
  const call = talking();
  call.ask("INVITE", "caller", { body: clear(A, "audio 22000") });
  assert.deepEqual(call.ask("BYE", "callee"), [
    "close s1 (BYE)",
    "refuse q1 487",
    "info call-ended BYE",
    "forward q2",
  ]);
  assert.deepEqual(call.settle("s1", 3), []);
});

test("a session timer that runs out ends the dialog", () => {
  const call = talking();
  assert.deepEqual(call.feed({ kind: "dialog-ended", tag: "b1", reason: "session expired" }), [
    "close s1 (session expired)",
    "info call-ended session expired",
  ]);
});

test("a long call with many re-INVITEs keeps nothing of those that are over", () => {
  const call = talking();
  for (let each = 0; each < 300; each += 1) {
    const port = 20_000 + 2 * (each % 500);
    call.ask("INVITE", "caller", { body: clear(A, `audio ${port}`), cseq: 2 + each });
    if (each > 0) call.applied();
    call.replied(200, { body: BOB });
    if (each > 0) assert.match(call.applied().at(-1) ?? "", /^forward 200 /);
    call.ack();
    call.wait(GRACE_MS);
  }
  assert.equal(call.puts.at(-1)?.pinholes.length, 4);
  assert.ok(call.puts.every(({ pinholes }) => pinholes.every(({ id }) => id.length <= 32)));
  assert.ok(JSON.stringify(call.snapshot).length < 1_500);
  // What the gateway has to count of one session stays within its room.
  const counted = new Map<string, Set<string>>();
  for (const { session, pinholes } of call.puts)
    for (const { id, to } of pinholes)
      counted.set(
        session,
        (counted.get(session) ?? new Set()).add(`${id} ${to.address} ${to.port}`),
      );
  assert.ok(counted.size > 1);
  for (const places of counted.values()) assert.ok(places.size <= MAX_COUNTED + 64);
});

test("a confirmed dialog is saved at each change, without a key, and goes on after a restart", () => {
  const call = talking();
  call.restart();
  assert.deepEqual(call.call.sessions, ["s1"]);
  assert.equal(call.call.hasDialog("b1"), true);
  assert.deepEqual(call.wait(1_000), []);
  call.ask("INVITE", "caller", { body: ALICE });
  assert.deepEqual(call.replied(200, { body: BOB }), [`put s1 19 ${BOTH}`]);
  assert.equal(call.applied().at(-1), "forward 200 of q1");
  assert.deepEqual(call.ask("BYE", "callee"), [
    "close s1 (BYE)",
    "info call-ended BYE",
    "forward q2",
  ]);
});

test("what an offer had opened before a restart is closed after it", () => {
  const call = talking();
  call.ask("INVITE", "caller", { body: clear(A, "audio 22000") });
  call.restart();
  assert.equal(call.call.deadline(), 0);
  assert.deepEqual(call.wait(1), [`narrow s1 20 ${BOTH}`]);
  assert.ok((call.call.deadline() ?? 0) > call.now);
});

test("a call that replaces another names its recording", () => {
  const call = new CallDriver({ invite: invite(""), linked: "r0" });
  assert.deepEqual(call.feed({ kind: "start" }), ["info call-linked r0", "forward INVITE"]);
});

test("a recorder that refuses an answer shuts the dialog where recording is required", () => {
  const refused = { kind: "applied", recording: { refused: "full" } } as const;
  const call = placed();
  call.respond(200, { body: BOB, type: SDP_TYPE });
  assert.deepEqual(call.applied(refused), [
    "close s1 (not-recorded)",
    "error answer-shut not-recorded",
    "forward 200 b1",
  ]);
});

test("what was asked for in a session that is lost is not waited for", () => {
  const call = talking();
  call.ask("INVITE", "caller", { body: clear(A, "audio 22000") });
  assert.deepEqual(call.feed({ kind: "session-lost", session: "s1" }), [
    "error session-lost s1",
    "close s1 (lost)",
    "error answer-shut gateway-refused",
    "warn offer-refused gateway-refused",
    "refuse q1 500",
  ]);
  const answered = placed();
  answered.respond(200, { body: BOB, type: SDP_TYPE });
  assert.equal(answered.feed({ kind: "session-lost", session: "s1" }).at(-1), "forward 200 b1");
});
