/** Everything that opens, narrows or closes a hole, one row each, by what is open after it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { CallInput, CallSetting } from "../../../controller/core/call-port.ts";
import { ANSWER_TIMEOUT_MS, INSPECTION_TIMEOUT_MS } from "../../../controller/core/leg-port.ts";
import { ACK_TIMEOUT_MS, GRACE_MS } from "../../../controller/core/negotiation.ts";
import { CallDriver, INSIDE, invite, OUTSIDE, SDP_TYPE, SEALED_TYPE, sdp } from "./call-fixture.ts";

const A = "10.10.0.2";
const B = "10.20.0.2";

const clear = (address: string, port: number, ...rows: string[]): string =>
  [
    "v=0",
    "o=- 1 1 IN IP4 0.0.0.0",
    "s=-",
    `c=IN IP4 ${address}`,
    "t=0 0",
    `m=audio ${port} RTP/AVP 0`,
    ...rows.map((row) => `a=${row}`),
    "",
  ].join("\r\n");

/** A gateway that does as it is told, and knows what is open. RTP alone is shown. */
class Gateway extends CallDriver {
  readonly #open = new Map<string, string>();

  override feed(input: CallInput): string[] {
    const lines = super.feed(input);
    for (const line of lines) {
      const [word = "", session = ""] = line.split(" ");
      if (word === "put" || word === "narrow") this.#open.set(session, rtpOf(line));
      if (word === "close") this.#open.delete(session);
    }
    return lines;
  }

  /** Applies whatever is asked for, if anything is. */
  yes(): void {
    if (this.puts.length > 0) this.applied();
  }

  get open(): string {
    return [...this.#open.values()].filter((each) => each !== "").join(" ");
  }
}

/** The openings of even ports, shortened to who may send where. */
const rtpOf = (line: string): string =>
  line
    .split(" ")
    .slice(3)
    .filter((hole) => Number(hole.split(":").at(-1)) % 2 === 0)
    .map((hole) => hole.replaceAll(A, "A").replaceAll(B, "B").replaceAll("10.20.0.3", "C"))
    .toSorted()
    .join(" ");

const OFFERED = "any>A:20000";
const AGREED = "A>B:30000 B>A:20000";
const CLOSED = "";

function placed(setting: Partial<CallSetting> = {}): Gateway {
  const call = new Gateway({ invite: invite(clear(A, 20_000), SDP_TYPE), ...setting });
  call.feed({ kind: "start" });
  call.yes();
  return call;
}

function talking(): Gateway {
  const call = placed();
  call.respond(200, { body: clear(B, 30_000), type: SDP_TYPE });
  call.yes();
  call.ack();
  return call;
}

const offer = (call: Gateway, method: string, side: "caller" | "callee", body: string): void => {
  call.ask(method, side, { body });
  call.yes();
};
const answer = (call: Gateway, body: string, status = 200): void => {
  call.replied(status, { body });
  call.yes();
};
const said = (call: Gateway, status: number, tag: string, body = ""): void => {
  call.respond(status, { tag, body, type: SDP_TYPE });
  if (body !== "") call.yes();
};

const PLACED: readonly [name: string, drive: (call: Gateway) => unknown, open: string][] = [
  ["an offer", () => [], OFFERED],
  ["180", (call) => said(call, 180, "b1"), OFFERED],
  ["183 with an answer", (call) => said(call, 183, "b1", clear(B, 30_000)), AGREED],
  [
    "another one",
    (call) => [said(call, 183, "b1", clear(B, 30_000)), said(call, 183, "b1", clear(B, 32_000))],
    "A>B:32000 B>A:20000",
  ],
  [
    "a second phone's 183",
    (call) => [
      said(call, 183, "b1", clear(B, 30_000)),
      said(call, 183, "b2", clear("10.20.0.3", 30_000)),
    ],
    `${AGREED} A>C:30000 C>A:20000`,
  ],
  [
    "the first 200 of two phones",
    (call) => [
      said(call, 183, "b1", clear(B, 30_000)),
      said(call, 183, "b2", clear("10.20.0.3", 30_000)),
      said(call, 200, "b2", clear("10.20.0.3", 30_000)),
    ],
    "A>C:30000 C>A:20000",
  ],
  [
    "199 of one of two phones",
    (call) => [
      said(call, 183, "b1", clear(B, 30_000)),
      said(call, 183, "b2", clear("10.20.0.3", 30_000)),
      said(call, 199, "b1"),
    ],
    "A>C:30000 C>A:20000",
  ],
  ["200 with an answer", (call) => said(call, 200, "b1", clear(B, 30_000)), AGREED],
  ["200 that rejects the stream", (call) => said(call, 200, "b1", clear(B, 0)), CLOSED],
  ["200 without an answer", (call) => said(call, 200, "b1"), CLOSED],
  [
    "200 with an answer that breaks a rule",
    (call) => said(call, 200, "b1", clear("10.10.0.9", 30_000)),
    CLOSED,
  ],
  [
    "200 whose holes are not applied in time",
    (call) => [
      call.respond(200, { body: clear(B, 30_000), type: SDP_TYPE }),
      call.wait(ANSWER_TIMEOUT_MS),
    ],
    CLOSED,
  ],
  [
    "200 that nobody acknowledges",
    (call) => [said(call, 200, "b1", clear(B, 30_000)), call.wait(ACK_TIMEOUT_MS)],
    CLOSED,
  ],
  [
    "200 sealed for others",
    (call) => [
      call.respond(200, { body: "x", type: SEALED_TYPE }),
      call.answer({ kind: "failed", code: "ERR_CMS_NO_RECIPIENT" }),
    ],
    CLOSED,
  ],
  ["CANCEL", (call) => call.feed({ kind: "cancel" }), OFFERED],
  ["CANCEL and its 487", (call) => [call.feed({ kind: "cancel" }), said(call, 487, "b1")], CLOSED],
  ["a final error", (call) => said(call, 486, "b1"), CLOSED],
  [
    "a session that the gateway lost",
    (call) => call.feed({ kind: "session-lost", session: "s1" }),
    CLOSED,
  ],
  [
    "a recorder that refuses later",
    (call) => call.feed({ kind: "recording-refused", session: "s1" }),
    CLOSED,
  ],
];

for (const [name, drive, open] of PLACED)
  test(`after ${name}: ${open || "nothing"}`, () => {
    const call = placed();
    drive(call);
    assert.equal(call.open, open);
  });

const moved = clear(A, 22_000);
const BOTH_PLACES = `${AGREED} any>A:22000`;
const CHANGED = "A>B:30000 B>A:22000";

const TALKING: readonly [name: string, drive: (call: Gateway) => unknown, open: string][] = [
  ["ACK", () => [], AGREED],
  ["a re-INVITE to another port", (call) => offer(call, "INVITE", "caller", moved), BOTH_PLACES],
  [
    "its 200",
    (call) => [offer(call, "INVITE", "caller", moved), answer(call, clear(B, 30_000))],
    "A>B:30000 B>A:20000 B>A:22000",
  ],
  [
    "its ACK and a moment",
    (call) => [
      offer(call, "INVITE", "caller", moved),
      answer(call, clear(B, 30_000)),
      call.ack(),
      call.wait(GRACE_MS),
    ],
    CHANGED,
  ],
  [
    "no ACK for long",
    (call) => [
      offer(call, "INVITE", "caller", moved),
      answer(call, clear(B, 30_000)),
      call.wait(ACK_TIMEOUT_MS),
    ],
    CHANGED,
  ],
  ["its 491", (call) => [offer(call, "INVITE", "caller", moved), call.replied(491)], AGREED],
  [
    "its CANCEL before it went on",
    (call) => [
      call.ask("INVITE", "caller", { body: moved }),
      call.feed({ kind: "request-cancelled", ref: "q1", tag: "b1" }),
    ],
    AGREED,
  ],
  [
    "a re-INVITE that is not applied in time",
    (call) => [call.ask("INVITE", "caller", { body: moved }), call.wait(2_000)],
    AGREED,
  ],
  [
    "a re-INVITE that is not opened in time",
    (call) => [
      call.ask("INVITE", "caller", { body: "x", type: SEALED_TYPE }),
      call.wait(INSPECTION_TIMEOUT_MS),
    ],
    AGREED,
  ],
  [
    "a re-INVITE that breaks a rule",
    (call) => offer(call, "INVITE", "callee", clear("10.10.0.9", 30_000)),
    AGREED,
  ],
  [
    "a re-INVITE by the callee",
    (call) => [
      offer(call, "INVITE", "callee", clear("10.20.0.3", 30_000)),
      answer(call, clear(A, 20_000)),
      call.ack("callee"),
      call.wait(GRACE_MS),
    ],
    "A>C:30000 C>A:20000",
  ],
  [
    "UPDATE and its 200",
    (call) => [
      offer(call, "UPDATE", "caller", moved),
      call.replied(200, { body: clear(B, 30_000), cseq: "2 UPDATE" }),
      call.yes(),
      call.wait(GRACE_MS),
    ],
    CHANGED,
  ],
  [
    "hold",
    (call) => [
      offer(call, "INVITE", "caller", clear("0.0.0.0", 20_000)),
      answer(call, clear(B, 30_000, "inactive")),
      call.ack(),
      call.wait(GRACE_MS),
    ],
    AGREED,
  ],
  [
    "a stream removed",
    (call) => [
      offer(call, "INVITE", "caller", clear(A, 0)),
      answer(call, clear(B, 0)),
      call.ack(),
      call.wait(GRACE_MS),
    ],
    CLOSED,
  ],
  [
    "rtcp-mux",
    (call) => [
      offer(call, "INVITE", "caller", clear(A, 20_000, "rtcp-mux")),
      answer(call, clear(B, 30_000, "rtcp-mux")),
      call.ack(),
      call.wait(GRACE_MS),
    ],
    AGREED,
  ],
  ["BYE", (call) => call.ask("BYE", "callee"), CLOSED],
  ["BYE with other tags", (call) => call.ask("BYE", "callee", { tag: "b7" }), AGREED],
  ["481 to an INFO", (call) => [call.ask("INFO", "caller"), call.replied(481)], CLOSED],
  ["408 to an INFO", (call) => [call.ask("INFO", "caller"), call.replied(408)], CLOSED],
  ["486 to an INFO", (call) => [call.ask("INFO", "caller"), call.replied(486)], AGREED],
  [
    "a session timer that runs out",
    (call) => call.feed({ kind: "dialog-ended", tag: "b1", reason: "session expired" }),
    CLOSED,
  ],
  ["a restart", (call) => call.restart(), AGREED],
  [
    "a restart while an offer was open",
    (call) => [offer(call, "INVITE", "caller", moved), call.restart(), call.wait(1)],
    AGREED,
  ],
];

for (const [name, drive, open] of TALKING)
  test(`in a running call, after ${name}: ${open || "nothing"}`, () => {
    const call = talking();
    drive(call);
    assert.equal(call.open, open);
  });

test("a sealed call does not begin on hold, one in clear does and opens nothing", () => {
  const held = clear("0.0.0.0", 20_000);
  const call = new Gateway({ invite: invite(held, SDP_TYPE) });
  assert.deepEqual(call.feed({ kind: "start" }), ["forward INVITE"]);
  const sealed = new Gateway();
  sealed.feed({ kind: "start" });
  assert.deepEqual(sealed.inspected(sdp({ address: "0.0.0.0" })).at(-1), "refuse 488");
});

test("a running call for help is changed whatever the gateway says, and keeps what it has", () => {
  const call = placed({ emergency: true, parties: { caller: INSIDE, callee: OUTSIDE } });
  said(call, 200, "b1", clear(B, 30_000));
  call.ack();
  call.ask("INVITE", "caller", { body: moved });
  assert.deepEqual(call.applied({ kind: "failed", verdict: "gateway-gone" }), [
    "error offer-unopened gateway-gone",
    "forward q1",
    `narrow s1 4 ${B}>${A}:20000 ${B}>${A}:20001 ${A}>${B}:30000 ${A}>${B}:30001`,
  ]);
  assert.deepEqual(call.replied(200, { body: clear(B, 30_000) }), ["forward 200 of q1"]);
  assert.equal(call.open, AGREED);
});

test("a dialog names its recording while it has one", () => {
  const call = talking();
  assert.equal(call.call.recordingOf("b1"), "r1");
  assert.equal(call.call.recordingOf("b2"), undefined);
  call.ask("BYE", "caller");
  assert.equal(call.call.recordingOf("b1"), undefined);
});
