import assert from "node:assert/strict";
import { test } from "node:test";
import { Call, LINGER_MS, MAX_CALL_MS } from "../../../controller/core/call.ts";
import { MAX_DIALOGS } from "../../../controller/core/call-dialogs.ts";
import { MAX_HELD_MESSAGES } from "../../../controller/core/held-messages.ts";
import { MAX_KNOWN_BODIES } from "../../../controller/core/known-answers.ts";
import { ANSWER_TIMEOUT_MS, INSPECTION_TIMEOUT_MS } from "../../../controller/core/leg-port.ts";
import { ACK_TIMEOUT_MS } from "../../../controller/core/negotiation.ts";
import { SeenBodies } from "../../../controller/core/seen-bodies.ts";
import type { GatewayVerdict } from "../../../controller/core/verdict.ts";
import { RETRY_AFTER_S, refusalOf } from "../../../controller/core/verdict.ts";
import type { ProtocolErrorCode } from "../../../protocol/errors.ts";
import { withHeader } from "../../../protocol/sip/message.ts";
import {
  ALICE,
  APPLIED,
  APPLY_TIMEOUT_MS,
  BOB,
  bobAnswers,
  CallDriver,
  INSIDE,
  invite,
  KEYS,
  NOW,
  OUTSIDE,
  opened,
  response,
  SDP_TYPE,
  sdp,
} from "./call-fixture.ts";

const CAROL = "sip:carol@biloxi.example.com";
const OFFER_HOLES = "any>10.10.0.2:20000 any>10.10.0.2:20001";
const CALL_HOLES =
  "10.20.0.2>10.10.0.2:20000 10.20.0.2>10.10.0.2:20001 10.10.0.2>10.20.0.2:30000 10.10.0.2>10.20.0.2:30001";

test("the INVITE goes on only when its holes are applied", () => {
  const call = new CallDriver();
  assert.deepEqual(call.feed({ kind: "start" }), ["inspect offer"]);
  assert.deepEqual(call.inspected(), [`put s1 1 ${OFFER_HOLES}`]);
  assert.deepEqual(call.settle("s1", 1), ["info call-opened s1", "forward INVITE"]);
});

test("the 200 goes on only when the holes are narrowed to the two parties", () => {
  const call = new CallDriver().placed();
  assert.deepEqual(call.respond(180), ["forward 180 b1"]);
  assert.deepEqual(call.respond(200, { body: "sealed answer" }), ["inspect answer b1"]);
  assert.deepEqual(call.answer(), [`put s1 2 ${CALL_HOLES}`]);
  assert.deepEqual(call.settle("s1", 2), ["info answer-applied s1", "forward 200 b1"]);
  assert.deepEqual(call.ack(), ["info call-confirmed"]);
  assert.deepEqual(call.ack(), []);
});

test("the orders name the streams by destination, the second one with both keys", () => {
  const call = new CallDriver().answered();
  const described = call.puts.map(({ recording, streams }) => [
    recording,
    ...streams.map(
      ({ label, destination, protection }) =>
        `${label} ${destination.address} ${
          protection.kind === "srtp"
            ? protection.crypto.masterKeySalt.expose().toString("base64")
            : protection.kind
        }`,
    ),
  ]);
  assert.deepEqual(described, [
    ["r1", "callee 10.10.0.2 pending"],
    ["r1", `callee 10.10.0.2 ${KEYS.bob}`, `caller 10.20.0.2 ${KEYS.alice}`],
  ]);
});

test("the same answer again, in octets or in meaning, is passed on and puts nothing", () => {
  const call = new CallDriver().placed();
  call.respond(183, { body: "sealed answer" });
  call.answer();
  assert.deepEqual(call.settle("s1", 2), ["info answer-applied s1", "forward 183 b1"]);
  assert.deepEqual(call.respond(200, { body: "sealed answer" }), ["forward 200 b1"]);
  assert.deepEqual(call.respond(200, { body: "sealed answer" }), ["forward 200 b1"]);

  const resealed = new CallDriver().placed();
  resealed.respond(183, { body: "sealed answer" });
  resealed.answer();
  resealed.settle("s1", 2);
  assert.deepEqual(resealed.respond(200, { body: "sealed anew" }), ["inspect answer b1"]);
  assert.deepEqual(resealed.answer(), ["forward 200 b1"]);
  assert.deepEqual(resealed.respond(200, { body: "sealed anew" }), ["forward 200 b1"]);
  assert.equal(resealed.puts.length, 2);
});

test("a 200 without a body after an applied 183 goes on at once", () => {
  const call = new CallDriver().placed();
  call.respond(183, { body: "sealed answer" });
  call.answer();
  call.settle("s1", 2);
  assert.deepEqual(call.respond(200), ["forward 200 b1"]);
});

test("a 200 that changes what the 183 said is applied before it goes on", () => {
  const call = new CallDriver().placed();
  call.respond(183, { body: "early" });
  call.answer();
  call.settle("s1", 2);
  call.respond(200, { body: "late" });
  const [put] = call.answer(bobAnswers({ port: 30_010 }));
  assert.match(put ?? "", /^put s1 3 .*10\.20\.0\.2:30010/);
  assert.equal(call.settle("s1", 3).at(-1), "forward 200 b1");
});

test("responses leave in the order they came, and a 200 sent again meanwhile is one", () => {
  const call = new CallDriver().placed();
  assert.deepEqual(call.respond(183, { body: "early" }), ["inspect answer b1"]);
  assert.deepEqual(call.respond(180), []);
  assert.deepEqual(call.respond(200), []);
  assert.deepEqual(call.respond(200), []);
  call.answer();
  assert.deepEqual(call.settle("s1", 2), [
    "info answer-applied s1",
    "forward 183 b1",
    "forward 180 b1",
    "forward 200 b1",
  ]);
});

test("a 200 sent again while it is being opened is not queued behind itself", () => {
  const call = new CallDriver().placed();
  call.respond(200, { body: "sealed answer" });
  assert.deepEqual(call.respond(200, { body: "sealed answer" }), []);
  call.answer();
  assert.deepEqual(call.settle("s1", 2), ["info answer-applied s1", "forward 200 b1"]);
});

test("only so many provisional responses wait", () => {
  const call = new CallDriver().placed();
  call.respond(183, { body: "early" });
  for (let held = 0; held < MAX_HELD_MESSAGES + 3; held += 1) call.respond(180);
  call.answer();
  const effects = call.settle("s1", 2);
  assert.equal(effects.filter((effect) => effect === "forward 180 b1").length, MAX_HELD_MESSAGES);
});

test("a body that is not for us passes unopened and opens nothing", () => {
  const call = new CallDriver();
  call.feed({ kind: "start" });
  const inspection = { kind: "failed", code: "ERR_CMS_NO_RECIPIENT" } as const;
  assert.deepEqual(call.inspect("invite", inspection), ["info call-plain", "forward INVITE"]);
  assert.deepEqual(call.respond(200, { body: "sealed answer" }), ["forward 200 b1"]);
  assert.deepEqual(call.feed({ kind: "dialog-ended", tag: "b1", reason: "BYE" }), [
    "info call-ended BYE",
  ]);
  assert.deepEqual(call.puts, []);
});

test("where there is no gateway nothing is opened, but what must be sealed is", () => {
  for (const setting of [{ invite: invite("") }, {}, { invite: invite("v=0", SDP_TYPE) }]) {
    const { policy: _, ...rules } = new CallDriver(setting).rules;
    const call = new Call({ ...rules, labelled: false, invite: setting.invite ?? invite() });
    assert.deepEqual(call.handle({ kind: "start" }, NOW), [{ kind: "forward-invite" }]);
    const parties = { caller: { ...INSIDE, requireSealed: true }, callee: OUTSIDE };
    const strict = new Call({
      ...rules,
      parties,
      labelled: false,
      invite: setting.invite ?? invite(),
    });
    const [first, second] = strict.handle({ kind: "start" }, NOW);
    const isClear = setting.invite?.body.length === 3;
    assert.equal(first?.kind, isClear ? "report" : "forward-invite");
    assert.equal(second?.kind === "refuse" && second.refusal.status, isClear && 488);
  }
});

const REFUSED: readonly [code: ProtocolErrorCode, labelled: boolean, status: number][] = [
  ["ERR_CMS_NO_RECIPIENT", true, 496],
  ["ERR_CMS_DECRYPT", false, 488],
  ["ERR_CMS_SYNTAX", false, 488],
  ["ERR_CMS_LIMIT", true, 488],
  ["ERR_DER_SYNTAX", true, 488],
  ["ERR_MIME_SYNTAX", true, 488],
  ["ERR_BODY", true, 488],
  ["ERR_SIGNATURE", true, 488],
  ["ERR_SIGNATURE_MISSING", true, 488],
  ["ERR_CERTIFICATE", true, 488],
];

for (const [code, labelled, status] of REFUSED)
  test(`a body that fails with ${code} gets ${status}, no hole and a line in the log`, () => {
    const call = new CallDriver({ labelled });
    call.feed({ kind: "start" });
    const [logged, ...rest] = call.inspect("invite", { kind: "failed", code });
    assert.match(logged ?? "", /^warn call-refused /);
    assert.deepEqual(rest, [`refuse ${status}`]);
    assert.deepEqual(call.puts, []);
  });

test("what goes wrong before a signature has verified is answered in one and the same way", () => {
  const verdicts = [
    "body-unopened",
    "body-syntax",
    "signature-missing",
    "signature",
    "certificate",
  ] as const;
  assert.equal(new Set(verdicts.map((verdict) => JSON.stringify(refusalOf(verdict)))).size, 1);
});

const BAD_OFFERS: readonly [name: string, description: Buffer, status: number][] = [
  ["SDP that is none", Buffer.from("hello"), 488],
  ["a port below 1024", sdp({ port: 1022 }), 488],
  ["a loopback address", sdp({ address: "127.0.0.1" }), 488],
  ["a multicast address", sdp({ address: "224.2.1.1/127" }), 488],
  ["an address that is not the caller's", sdp({ address: "10.10.0.3" }), 488],
  ["no usable key", sdp({ key: "AAAA" }), 488],
];

for (const [name, description, status] of BAD_OFFERS)
  test(`an offer with ${name} gets ${status} and opens nothing`, () => {
    const call = new CallDriver();
    call.feed({ kind: "start" });
    const effects = call.inspected(description);
    assert.equal(effects.at(-1), `refuse ${status}`);
    assert.match(effects[0] ?? "", /^warn call-refused (sdp|media-)/);
    assert.deepEqual(call.puts, []);
    assert.throws(() => call.firstKey.cek.expose(), RangeError);
  });

test("a body signed by another than the sender gets 403", () => {
  const call = new CallDriver();
  call.feed({ kind: "start" });
  assert.deepEqual(call.inspected(sdp({}), BOB), ["warn call-refused signer", "refuse 403"]);
});

test("a signed fragment of another call gets 403", () => {
  const call = new CallDriver();
  call.feed({ kind: "start" });
  const body = opened(call.request, ALICE, sdp({}));
  const sipfrag = body.sipfrag.map(([name, value]) =>
    name === "Call-ID" ? ([name, "other@atlanta"] as const) : ([name, value] as const),
  );
  const inspection = {
    kind: "opened",
    body: { ...body, sipfrag },
    firstKey: call.firstKey,
  } as const;
  assert.deepEqual(call.inspect("invite", inspection), [
    "warn call-refused headers-differ",
    "refuse 403",
  ]);
});

test("a sealed body opens one call only; one that failed to authenticate is not remembered", () => {
  const seen = new SeenBodies();
  const place = (signer: string): string | undefined => {
    const call = new CallDriver({ seen });
    call.feed({ kind: "start" });
    return call.inspected(sdp({}), signer).at(-1);
  };
  assert.equal(place(BOB), "refuse 403");
  assert.equal(place(ALICE), `put s1 1 ${OFFER_HOLES}`);
  assert.equal(place(ALICE), "refuse 403");
});

const GATEWAY: readonly GatewayVerdict[] = ["gateway-gone", "gateway-slow", "gateway-refused"];

for (const verdict of GATEWAY)
  test(`a call whose gateway fails (${verdict}) gets 500 with Retry-After and is closed there`, () => {
    const call = new CallDriver();
    call.feed({ kind: "start" });
    call.inspected();
    assert.deepEqual(call.settle("s1", 1, { kind: "failed", verdict }), [
      `warn call-refused ${verdict}`,
      `close s1 (${verdict})`,
      "refuse 500",
    ]);
    assert.equal(refusalOf(verdict).retryAfterS, RETRY_AFTER_S);
  });

test("a recorder that refuses ends the call before it begins, unless recording is optional", () => {
  const refused = { kind: "applied", recording: { refused: "full" } } as const;
  const strict = new CallDriver();
  strict.feed({ kind: "start" });
  strict.inspected();
  assert.deepEqual(strict.settle("s1", 1, refused).at(-1), "refuse 500");
  const silent = new CallDriver();
  silent.feed({ kind: "start" });
  silent.inspected();
  assert.deepEqual(silent.settle("s1", 1, { kind: "applied" }).at(-1), "refuse 500");
  const lax = new CallDriver({ mustRecord: false });
  lax.feed({ kind: "start" });
  lax.inspected();
  assert.deepEqual(lax.settle("s1", 1, refused).at(-1), "forward INVITE");
});

test("an offer that is not opened in time is refused; its late result is thrown away", () => {
  const call = new CallDriver();
  call.feed({ kind: "start" });
  assert.equal(call.call.deadline(), NOW + INSPECTION_TIMEOUT_MS);
  call.now += INSPECTION_TIMEOUT_MS;
  assert.deepEqual(call.feed({ kind: "tick" }), ["warn call-refused body-slow", "refuse 500"]);
  assert.deepEqual(call.inspected(), []);
  assert.throws(() => call.firstKey.cek.expose(), RangeError);
});

test("an offer that is not applied in time is refused, whatever the agent client says later", () => {
  const call = new CallDriver();
  call.feed({ kind: "start" });
  call.inspected();
  assert.equal(call.call.deadline(), NOW + APPLY_TIMEOUT_MS);
  assert.deepEqual(call.respond(180), []);
  call.now += APPLY_TIMEOUT_MS;
  assert.deepEqual(call.feed({ kind: "tick" }), [
    "warn call-refused gateway-slow",
    "close s1 (gateway-slow)",
    "refuse 500",
  ]);
  assert.deepEqual(call.settle("s1", 1), []);
});

const BAD_ANSWERS: readonly [
  name: string,
  drive: (call: CallDriver) => string[],
  verdict: string,
][] = [
  [
    "cannot be opened",
    (call) => {
      call.respond(200, { body: "sealed answer" });
      return call.answer({ kind: "failed", code: "ERR_CMS_DECRYPT" });
    },
    "body-unopened",
  ],
  [
    "is signed by another",
    (call) => {
      call.respond(200, { body: "sealed answer" });
      const body = opened(response(200), ALICE, sdp({ address: "10.20.0.2", key: KEYS.bob }));
      return call.answer({ kind: "opened", body });
    },
    "signer",
  ],
  [
    "is signed by another who also wrote himself into To",
    (call) => {
      const answer = withHeader(response(200, { body: "x" }), "To", `<${CAROL}>;tag=b1`);
      call.feed({ kind: "response", response: answer });
      const description = sdp({ address: "10.20.0.2", port: 30_000, key: KEYS.bob });
      return call.answer({ kind: "opened", body: opened(answer, CAROL, description) });
    },
    "signer",
  ],
  [
    "was signed for another dialog",
    (call) => {
      call.respond(200, { body: "sealed answer" });
      return call.answer(bobAnswers({}, response(200, { tag: "b9" })));
    },
    "headers-differ",
  ],
  [
    "names an address inside",
    (call) => {
      call.respond(200, { body: "sealed answer" });
      return call.answer(bobAnswers({ address: "10.10.0.9" }));
    },
    "media-address",
  ],
  [
    "names a service port",
    (call) => {
      call.respond(200, { body: "sealed answer" });
      return call.answer(bobAnswers({ port: 1022 }));
    },
    "media-port",
  ],
  [
    "holds no SDP",
    (call) => {
      call.respond(200, { body: "sealed answer" });
      return call.answer({ kind: "opened", body: opened(response(200), BOB, Buffer.from("hi")) });
    },
    "sdp",
  ],
  [
    "comes in clear",
    (call) => call.respond(200, { body: "v=0", type: "application/sdp" }),
    "answer-in-clear",
  ],
  ["is absent", (call) => call.respond(200), "answer-absent"],
  [
    "has a body of another kind",
    (call) => call.respond(200, { body: "x", type: "text/plain" }),
    "answer-absent",
  ],
];

for (const [name, drive, verdict] of BAD_ANSWERS)
  test(`an answer that ${name} goes on, its holes are closed and an alarm is written`, () => {
    const call = new CallDriver().placed();
    assert.deepEqual(drive(call), [
      `close s1 (${verdict})`,
      `error answer-shut ${verdict}`,
      "forward 200 b1",
    ]);
    assert.deepEqual(call.puts.length, 1);
    assert.deepEqual(call.respond(200, { body: "sealed answer" }), ["forward 200 b1"]);
  });

test("an answer not applied within its time goes on, with its holes closed", () => {
  for (const inspect of [true, false]) {
    const call = new CallDriver().placed();
    call.respond(200, { body: "sealed answer" });
    if (inspect) call.answer();
    call.now += ANSWER_TIMEOUT_MS - 1;
    assert.deepEqual(call.feed({ kind: "tick" }), []);
    assert.equal(call.call.deadline(), NOW + ANSWER_TIMEOUT_MS);
    call.now += 1;
    const verdict = inspect ? "gateway-slow" : "body-slow";
    assert.deepEqual(call.feed({ kind: "tick" }), [
      `close s1 (${verdict})`,
      `error answer-shut ${verdict}`,
      "forward 200 b1",
    ]);
    assert.deepEqual(call.settle("s1", 2), []);
    assert.deepEqual(call.answer(), []);
  }
});

test("the gateway gets no longer than is left of the answer's time", () => {
  const call = new CallDriver().placed();
  call.respond(200, { body: "sealed answer" });
  call.now += 200;
  call.answer();
  assert.equal(call.puts.at(-1)?.timeoutMs, ANSWER_TIMEOUT_MS - 200);
});

test("an answer that the gateway or the recorder refuses goes on, with its holes closed", () => {
  for (const result of [
    { kind: "failed", verdict: "gateway-refused" },
    { kind: "applied", recording: { refused: "full" } },
  ] as const) {
    const call = new CallDriver().placed();
    call.respond(200, { body: "sealed answer" });
    call.answer();
    const effects = call.settle("s1", 2, result);
    assert.match(effects[0] ?? "", /^close s1/);
    assert.equal(effects.at(-1), "forward 200 b1");
  }
});

test("CANCEL before the INVITE has gone on ends the call here, and closes what it asked for", () => {
  const early = new CallDriver();
  early.feed({ kind: "start" });
  assert.deepEqual(early.feed({ kind: "cancel" }), ["refuse 487"]);
  const opening = new CallDriver();
  opening.feed({ kind: "start" });
  opening.inspected();
  assert.deepEqual(opening.feed({ kind: "cancel" }), ["close s1 (cancelled)", "refuse 487"]);
  assert.deepEqual(opening.settle("s1", 1), []);
});

test("CANCEL after that closes nothing; the final response does", () => {
  const call = new CallDriver().placed();
  call.respond(180);
  assert.deepEqual(call.feed({ kind: "cancel" }), ["cancel INVITE"]);
  assert.deepEqual(call.respond(487), ["close s1 (487)", "info call-ended 487", "forward 487 b1"]);
  assert.deepEqual(call.feed({ kind: "cancel" }), []);
});

test("a 200 that crosses the CANCEL still answers the call", () => {
  const call = new CallDriver().placed();
  call.feed({ kind: "cancel" });
  call.respond(200, { body: "sealed answer" });
  call.answer();
  assert.deepEqual(call.settle("s1", 2), ["info answer-applied s1", "forward 200 b1"]);
  assert.deepEqual(call.feed({ kind: "cancel" }), []);
});

for (const status of [302, 415, 486, 488, 493, 496, 500, 603])
  test(`a final ${status} closes the call and goes on as it came`, () => {
    const call = new CallDriver().placed();
    assert.deepEqual(call.respond(status), [
      `close s1 (${status})`,
      `info call-ended ${status}`,
      `forward ${status} b1`,
    ]);
    assert.throws(() => call.firstKey.cek.expose(), RangeError);
  });

test("a final error drops the early answer that is still being opened", () => {
  const call = new CallDriver().placed();
  call.respond(183, { body: "early" });
  assert.deepEqual(call.respond(486), ["close s1 (486)", "info call-ended 486", "forward 486 b1"]);
  assert.deepEqual(call.answer(), []);
});

test("the end of the dialog closes its session, wipes the keys and is over after a while", () => {
  const call = new CallDriver().answered();
  call.ack();
  const keys = call.puts.flatMap(({ streams }) =>
    streams.flatMap(({ protection }) =>
      protection.kind === "srtp" ? [protection.crypto.masterKeySalt] : [],
    ),
  );
  assert.equal(keys.length, 2);
  assert.deepEqual(call.feed({ kind: "dialog-ended", tag: "b1", reason: "BYE" }), [
    "close s1 (BYE)",
    "info call-ended BYE",
  ]);
  for (const key of [...keys, call.firstKey.cek]) assert.throws(() => key.expose(), RangeError);
  assert.equal(call.call.isOver, true);
  assert.equal(call.call.forgetAt, NOW + LINGER_MS);
  assert.deepEqual(call.feed({ kind: "dialog-ended", tag: "b1", reason: "BYE" }), []);
});

test("the end of a dialog that is not this call's closes nothing", () => {
  const call = new CallDriver().answered();
  assert.equal(call.call.hasDialog("b1"), true);
  assert.equal(call.call.hasDialog("b2"), false);
  assert.deepEqual(call.feed({ kind: "dialog-ended", tag: "b2", reason: "BYE" }), []);
  assert.equal(call.call.isOver, false);
});

test("an answered call without ACK is closed, and one that never ends as well", () => {
  const call = new CallDriver().answered();
  call.now += ACK_TIMEOUT_MS;
  assert.deepEqual(call.feed({ kind: "tick" }), ["close s1 (no ACK)", "info call-ended no ACK"]);
  const endless = new CallDriver().answered();
  endless.ack();
  assert.equal(endless.call.deadline(), NOW + MAX_CALL_MS);
  endless.now += MAX_CALL_MS;
  assert.equal(endless.feed({ kind: "tick" })[0], "close s1 (too long)");
});

test("two phones that ring for one offer have each their session, recording and key", () => {
  const call = new CallDriver().placed();
  call.respond(183, { body: "one", tag: "b1" });
  call.answer(bobAnswers({}, response(183, { tag: "b1" })), "b1");
  call.settle("s1", 2);
  call.respond(183, { body: "two", tag: "b2" });
  const second = { address: "10.20.0.3", key: KEYS.bob2 };
  const [put] = call.answer(bobAnswers(second, response(183, { tag: "b2" })), "b2");
  assert.match(put ?? "", /^put s2 1 10\.20\.0\.3>/);
  assert.equal(call.settle("s2", 1).at(-1), "forward 183 b2");
  const keysOf = (session: string) =>
    call.puts
      .filter((each) => each.session === session)
      .flatMap(({ streams }) => streams)
      .flatMap(({ label, protection }) =>
        label === "callee" && protection.kind === "srtp"
          ? [protection.crypto.masterKeySalt.expose().toString("base64")]
          : [],
      );
  assert.deepEqual(keysOf("s1"), [KEYS.bob]);
  assert.deepEqual(keysOf("s2"), [KEYS.bob2]);
  assert.deepEqual(call.respond(200, { body: "two", tag: "b2" }), [
    "close s1 (answered elsewhere)",
    "forward 200 b2",
  ]);
  assert.deepEqual(call.feed({ kind: "dialog-ended", tag: "b2", reason: "BYE" }), [
    "close s2 (BYE)",
    "info call-ended BYE",
  ]);
});

test("a fork answers while another early dialog still holds the any > caller hole", () => {
  const call = new CallDriver().placed();
  assert.deepEqual(call.respond(183, { body: "one", tag: "b1" }), ["inspect answer b1"]);
  assert.deepEqual(call.respond(200, { body: "two", tag: "b2" }), ["inspect answer b2"]);
  assert.deepEqual(call.answer(bobAnswers({}, response(183, { tag: "b1" })), "b1"), []);
  const [put] = call.answer(bobAnswers({}, response(200, { tag: "b2" })), "b2");
  assert.match(put ?? "", /^put s1 2 10\.20\.0\.2>/);
  assert.deepEqual(call.settle("s1", 2), ["info answer-applied s1", "forward 200 b2"]);
});

test("the offer's own session stays for the dialog whose 2xx takes it over", () => {
  const call = new CallDriver().placed();
  call.respond(180, { tag: "b1" });
  assert.deepEqual(call.respond(200, { body: "two", tag: "b2" }), ["inspect answer b2"]);
  assert.match(
    call.answer(bobAnswers({}, response(200, { tag: "b2" })), "b2")[0] ?? "",
    /^put s1 2/,
  );
});

test("an early answer that the gateway refuses is tried anew with the final one", () => {
  const call = new CallDriver().placed();
  call.respond(183, { body: "one", tag: "b1" });
  call.answer(bobAnswers({}, response(183, { tag: "b1" })), "b1");
  call.settle("s1", 2);
  call.respond(183, { body: "two", tag: "b2" });
  call.answer(bobAnswers({}, response(183, { tag: "b2" })), "b2");
  assert.deepEqual(call.settle("s2", 1, { kind: "failed", verdict: "gateway-refused" }), [
    "close s2 (gateway-refused)",
    "error answer-shut gateway-refused",
    "forward 183 b2",
  ]);
  assert.deepEqual(call.respond(200, { body: "two", tag: "b2" }), [
    "close s1 (answered elsewhere)",
    "inspect answer b2",
  ]);
  call.answer(bobAnswers({}, response(200, { tag: "b2" })), "b2");
  assert.deepEqual(call.settle("s3", 1), ["info answer-applied s3", "forward 200 b2"]);
});

test("a second answer that nobody acknowledges is closed, and the call goes on", () => {
  const call = new CallDriver().answered();
  call.ack();
  call.respond(200, { body: "two", tag: "b2" });
  const second = { address: "10.20.0.3", key: KEYS.bob2 };
  call.answer(bobAnswers(second, response(200, { tag: "b2" })), "b2");
  assert.equal(call.settle("s2", 1).at(-1), "forward 200 b2");
  assert.equal(call.call.deadline(), NOW + ACK_TIMEOUT_MS);
  call.now += ACK_TIMEOUT_MS;
  assert.deepEqual(call.feed({ kind: "tick" }), ["close s2 (no ACK)"]);
  assert.equal(call.call.isOver, false);
  assert.equal(
    call.feed({ kind: "dialog-ended", tag: "b1", reason: "BYE" }).at(-1),
    "info call-ended BYE",
  );
});

test("an ACK in one dialog is none in the other, and the last unacknowledged one ends the call", () => {
  const call = new CallDriver().answered();
  call.respond(200, { body: "two", tag: "b2" });
  const second = { address: "10.20.0.3", key: KEYS.bob2 };
  call.answer(bobAnswers(second, response(200, { tag: "b2" })), "b2");
  call.settle("s2", 1);
  call.ack("caller", { tag: "b2" });
  call.feed({ kind: "dialog-ended", tag: "b2", reason: "BYE" });
  call.now += ACK_TIMEOUT_MS;
  assert.deepEqual(call.feed({ kind: "tick" }), ["close s1 (no ACK)", "info call-ended no ACK"]);
});

test("of many sealings of one answer only the last are remembered", () => {
  const call = new CallDriver().placed();
  for (let each = 0; each <= MAX_KNOWN_BODIES; each += 1) {
    call.respond(183, { body: `sealed ${each}` });
    call.answer();
    if (each === 0) call.settle("s1", 2);
  }
  assert.deepEqual(call.respond(183, { body: `sealed ${MAX_KNOWN_BODIES}` }), ["forward 183 b1"]);
  assert.deepEqual(call.respond(183, { body: "sealed 0" }), ["inspect answer b1"]);
});

test("an answer opened for one dialog says nothing about another", () => {
  const call = new CallDriver().placed();
  call.respond(183, { body: "one", tag: "b1" });
  call.respond(183, { body: "two", tag: "b2" });
  const effects = call.answer(bobAnswers({}, response(183, { tag: "b1" })), "b2");
  assert.deepEqual(effects.slice(1), ["error answer-shut headers-differ", "forward 183 b2"]);
});

test("a call with two answers lives until both dialogs are over", () => {
  const call = new CallDriver().answered();
  call.respond(200, { body: "two", tag: "b2" });
  call.answer(
    bobAnswers({ address: "10.20.0.3", key: KEYS.bob2 }, response(200, { tag: "b2" })),
    "b2",
  );
  assert.equal(call.settle("s2", 1).at(-1), "forward 200 b2");
  assert.deepEqual(call.feed({ kind: "dialog-ended", tag: "b1", reason: "BYE" }), [
    "close s1 (BYE)",
  ]);
  assert.equal(call.feed({ kind: "dialog-ended", tag: "b2", reason: "BYE" })[0], "close s2 (BYE)");
});

test("the number of dialogs that open anything is bounded", () => {
  const call = new CallDriver().placed();
  for (let each = 0; each < MAX_DIALOGS; each += 1) call.respond(180, { tag: `b${each}` });
  assert.deepEqual(call.respond(183, { tag: "bx", body: "more" }), ["forward 183 bx"]);
  assert.equal(call.call.hasDialog("bx"), false);
});

test("a session that the gateway lost is an alarm, and its dialog stays shut", () => {
  const call = new CallDriver().answered();
  assert.deepEqual(call.feed({ kind: "session-lost", session: "s1" }), [
    "error session-lost s1",
    "close s1 (lost)",
    "error answer-shut gateway-refused",
  ]);
  assert.deepEqual(call.feed({ kind: "session-lost", session: "s9" }), ["error session-lost s9"]);
});

test("an offer's session that the gateway lost is not asked for again: the answer gets its own", () => {
  const call = new CallDriver().placed();
  assert.deepEqual(call.feed({ kind: "session-lost", session: "s1" }), [
    "error session-lost s1",
    "close s1 (lost)",
  ]);
  call.respond(200, { body: "sealed answer" });
  assert.deepEqual(call.answer(), [`put s2 1 ${CALL_HOLES}`]);
  assert.equal(call.settle("s2", 1).at(-1), "forward 200 b1");
});

test("a recorder that refuses later shuts the holes where recording is required", () => {
  const call = new CallDriver().answered();
  assert.deepEqual(call.feed({ kind: "recording-refused", session: "s1" }), [
    "error not-recorded s1",
    "close s1 (not recorded)",
  ]);
  const early = new CallDriver().placed();
  assert.deepEqual(early.feed({ kind: "recording-refused", session: "s1" }), [
    "error not-recorded s1",
    "close s1 (not recorded)",
  ]);
  const lax = new CallDriver({ mustRecord: false }).answered();
  assert.deepEqual(lax.feed({ kind: "recording-refused", session: "s1" }), [
    "warn not-recorded s1",
  ]);
});

test("an offer's result that comes twice, or for another session, changes nothing", () => {
  const call = new CallDriver().placed();
  assert.deepEqual(call.inspected(), []);
  assert.deepEqual(call.settle("s1", 1), []);
  assert.deepEqual(call.settle("s7", 1, APPLIED), []);
});

test("no report says more than words of our own", () => {
  const call = new CallDriver({ invite: invite("secret body") }).answered();
  const text = JSON.stringify(call.feed({ kind: "dialog-ended", tag: "b1", reason: "BYE" }));
  for (const secret of ["alice", "bob", KEYS.alice, KEYS.bob, "c1@"])
    assert.ok(!text.includes(secret));
});
