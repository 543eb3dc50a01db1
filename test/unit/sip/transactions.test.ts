/** The four machines of RFC 3261 §17, each against its figure. T1 is 500 ms, so 64*T1 is 32 s. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Machine } from "../../../protocol/machine.ts";
import { InviteClient, type InviteClientInput } from "../../../protocol/sip/invite-client.ts";
import { InviteServer } from "../../../protocol/sip/invite-server.ts";
import { headerValue, prependHeader } from "../../../protocol/sip/message.ts";
import { NonInviteClient } from "../../../protocol/sip/non-invite-client.ts";
import { NonInviteServer } from "../../../protocol/sip/non-invite-server.ts";
import {
  hopAck,
  hopCancel,
  type ServerInput,
  DEFAULT_SIP_TIMERS as timers,
} from "../../../protocol/sip/transaction.ts";
import { reply, sampleRequest, words } from "./sample.ts";

const invite = sampleRequest("INVITE");
const options = sampleRequest("OPTIONS");
const stream = { timers, reliable: true, timerC: false };
const datagram = { timers, reliable: false, timerC: false };
const proxy = { ...stream, timerC: true };

/** At which time, which input, which effects, and the deadline afterwards. */
type Step<I> = readonly [atMs: number, input: I, effects: readonly string[], deadline?: number];
const tick = { kind: "tick" } as const;
const start = { kind: "start" } as const;
const cancel = { kind: "cancel" } as const;
const broken = { kind: "transport-failed" } as const;
const answer = (status: number) => ({ kind: "response", response: reply(invite, status) }) as const;
const respond = (status: number) => ({ kind: "respond", response: reply(invite, status) }) as const;
const again = { kind: "request", request: invite } as const;
const ack = { kind: "request", request: hopAck(invite, reply(invite, 486)) } as const;

function run<I>(machine: Machine<I, { kind: string }>, steps: readonly Step<I>[]): void {
  for (const [index, [atMs, input, effects, deadline]] of steps.entries()) {
    assert.deepEqual(words(machine.handle(input, atMs)), effects, `effects of step ${index}`);
    assert.equal(machine.deadline(), deadline, `deadline of step ${index}`);
  }
}

type Case<I> = readonly [what: string, setting: typeof stream, steps: readonly Step<I>[]];

const INVITE_CLIENT: readonly Case<InviteClientInput>[] = [
  [
    "2xx: accepted for Timer M, each copy delivered",
    stream,
    [
      [0, start, ["send INVITE"], 32_000],
      [10, answer(100), ["deliver 100"]],
      [20, answer(180), ["deliver 180"]],
      [30, answer(200), ["deliver 200"], 32_030],
      [40, answer(200), ["deliver 200"], 32_030],
      [50, answer(486), [], 32_030],
      [32_030, tick, ["ended"]],
      [32_040, answer(200), []],
      [32_050, tick, []],
    ],
  ],
  [
    "refusal: ACK, delivered, and over",
    stream,
    [
      [0, start, ["send INVITE"], 32_000],
      [10, answer(486), ["send ACK", "deliver 486", "ended"]],
    ],
  ],
  [
    "no answer: Timer B",
    stream,
    [
      [0, start, ["send INVITE"], 32_000],
      [31_999, tick, [], 32_000],
      [32_000, tick, ["failed timeout", "ended"]],
    ],
  ],
  [
    "datagrams: Timer A doubles, Timer D keeps the ACK",
    datagram,
    [
      [0, start, ["send INVITE"], 500],
      [500, tick, ["send INVITE"], 1_500],
      [1_500, tick, ["send INVITE"], 3_500],
      [2_000, answer(300), ["send ACK", "deliver 300"], 34_000],
      [2_100, answer(300), ["send ACK"], 34_000],
      [2_200, answer(200), [], 34_000],
      [34_000, tick, ["ended"]],
    ],
  ],
  [
    "CANCEL waits for a provisional response",
    stream,
    [
      [0, start, ["send INVITE"], 32_000],
      [10, cancel, [], 32_000],
      [20, answer(100), ["deliver 100", "send-cancel"], 32_020],
      [30, cancel, [], 32_020],
      [40, answer(487), ["send ACK", "deliver 487", "ended"]],
    ],
  ],
  [
    "CANCEL unanswered: given up after 64*T1",
    stream,
    [
      [0, start, ["send INVITE"], 32_000],
      [10, answer(180), ["deliver 180"]],
      [20, cancel, ["send-cancel"], 32_020],
      [30, answer(183), ["deliver 183"], 32_020],
      [32_020, tick, ["failed timeout", "ended"]],
    ],
  ],
  [
    "a proxy's Timer C: renewed by ringing, not by 100; then CANCEL",
    proxy,
    [
      [0, start, ["send INVITE"], 32_000],
      [0, answer(100), ["deliver 100"], 200_000],
      [1_000, answer(100), ["deliver 100"], 200_000],
      [2_000, answer(180), ["deliver 180"], 202_000],
      [202_000, tick, ["send-cancel"], 234_000],
      [202_100, answer(200), ["deliver 200"], 234_100],
    ],
  ],
  [
    "transport broken while ringing",
    stream,
    [
      [0, start, ["send INVITE"], 32_000],
      [10, answer(180), ["deliver 180"]],
      [20, broken, ["failed transport", "ended"]],
      [30, broken, []],
      [40, cancel, []],
    ],
  ],
  [
    "transport broken after the answer ends it quietly",
    stream,
    [
      [0, start, ["send INVITE"], 32_000],
      [10, answer(200), ["deliver 200"], 32_010],
      [20, broken, ["ended"]],
    ],
  ],
  [
    "nothing happens before the start",
    stream,
    [
      [0, tick, []],
      [0, answer(200), []],
    ],
  ],
];

const INVITE_SERVER: readonly Case<ServerInput>[] = [
  [
    "100 after 200 ms, unless somebody was faster",
    stream,
    [
      [100, tick, [], 200],
      [200, tick, ["send 100"]],
      [210, again, ["send 100"]],
      [300, respond(180), ["send 180"]],
      [310, again, ["send 180"]],
    ],
  ],
  [
    "2xx: accepted for Timer L, INVITE swallowed, ACK is the user's",
    stream,
    [
      [10, respond(200), ["send 200"], 32_010],
      [20, again, [], 32_010],
      [30, respond(200), ["send 200"], 32_010],
      [40, respond(486), [], 32_010],
      [50, ack, ["deliver-ack"], 32_010],
      [32_010, tick, ["ended"]],
      [32_020, ack, []],
      [32_030, again, []],
      [32_040, tick, []],
    ],
  ],
  [
    "refusal waits for its ACK",
    stream,
    [
      [10, respond(486), ["send 486"], 32_010],
      [20, again, ["send 486"], 32_010],
      [25, respond(200), [], 32_010],
      [30, ack, ["ended"]],
    ],
  ],
  [
    "refusal never acknowledged: Timer H",
    stream,
    [
      [10, respond(486), ["send 486"], 32_010],
      [20, tick, [], 32_010],
      [32_010, tick, ["failed timeout", "ended"]],
    ],
  ],
  [
    "datagrams: Timer G doubles up to T2, Timer I absorbs ACKs",
    datagram,
    [
      [0, respond(486), ["send 486"], 500],
      [500, tick, ["send 486"], 1_500],
      [1_500, tick, ["send 486"], 3_500],
      [3_500, tick, ["send 486"], 7_500],
      [7_500, tick, ["send 486"], 11_500],
      [8_000, ack, [], 13_000],
      [8_100, ack, [], 13_000],
      [13_000, tick, ["ended"]],
    ],
  ],
  [
    "transport broken while pending is a failure, afterwards not",
    stream,
    [
      [0, broken, ["failed transport", "ended"]],
      [1, broken, []],
    ],
  ],
  [
    "transport broken after the answer",
    stream,
    [
      [0, respond(200), ["send 200"], 32_000],
      [1, broken, ["ended"]],
    ],
  ],
  ["an ACK before any answer is nobody's", stream, [[0, ack, [], 200]]],
];

const NON_INVITE_CLIENT: readonly Case<
  InviteClientInput & { kind: "start" | "response" | "tick" | "transport-failed" }
>[] = [
  [
    "answered",
    stream,
    [
      [0, start, ["send OPTIONS"], 32_000],
      [10, answer(100), ["deliver 100"], 32_000],
      [20, answer(200), ["deliver 200", "ended"]],
      [30, answer(200), []],
    ],
  ],
  [
    "Timer F",
    stream,
    [
      [0, start, ["send OPTIONS"], 32_000],
      [32_000, tick, ["failed timeout", "ended"]],
      [32_001, tick, []],
    ],
  ],
  [
    "datagrams: Timer E doubles, then T2; Timer K",
    datagram,
    [
      [0, start, ["send OPTIONS"], 500],
      [500, tick, ["send OPTIONS"], 1_500],
      [600, answer(100), ["deliver 100"], 1_500],
      [1_500, tick, ["send OPTIONS"], 5_500],
      [2_000, tick, [], 5_500],
      [2_000, answer(404), ["deliver 404"], 7_000],
      [2_100, answer(404), [], 7_000],
      [7_000, tick, ["ended"]],
    ],
  ],
  [
    "transport broken",
    stream,
    [
      [0, start, ["send OPTIONS"], 32_000],
      [1, broken, ["failed transport", "ended"]],
      [2, broken, []],
    ],
  ],
  [
    "transport broken after the answer",
    datagram,
    [
      [0, start, ["send OPTIONS"], 500],
      [1, answer(200), ["deliver 200"], 5_001],
      [2, broken, ["ended"]],
    ],
  ],
];

const NON_INVITE_SERVER: readonly Case<ServerInput>[] = [
  [
    "answered",
    stream,
    [
      [0, again, []],
      [1, respond(100), ["send 100"]],
      [2, again, ["send 100"]],
      [3, respond(200), ["send 200", "ended"]],
      [4, again, []],
      [5, respond(200), []],
      [6, tick, []],
    ],
  ],
  [
    "datagrams: Timer J repeats the answer",
    datagram,
    [
      [0, respond(200), ["send 200"], 32_000],
      [1, again, ["send 200"], 32_000],
      [2, respond(400), [], 32_000],
      [32_000, tick, ["ended"]],
    ],
  ],
  [
    "transport broken",
    stream,
    [
      [0, broken, ["failed transport", "ended"]],
      [1, broken, []],
    ],
  ],
  [
    "transport broken after the answer",
    datagram,
    [
      [0, respond(200), ["send 200"], 32_000],
      [1, broken, ["ended"]],
    ],
  ],
];

for (const [what, setting, steps] of INVITE_CLIENT)
  test(`INVITE client: ${what}`, () => run(new InviteClient(invite, setting), steps));
for (const [what, setting, steps] of INVITE_SERVER)
  test(`INVITE server: ${what}`, () => run(new InviteServer(invite, setting, 0), steps));
for (const [what, setting, steps] of NON_INVITE_CLIENT)
  test(`non-INVITE client: ${what}`, () => run(new NonInviteClient(options, setting), steps));
for (const [what, setting, steps] of NON_INVITE_SERVER)
  test(`non-INVITE server: ${what}`, () => run(new NonInviteServer(setting), steps));

test("ACK and CANCEL of one hop carry the INVITE's Via, Route and number", () => {
  const routed = prependHeader(
    prependHeader(invite, "Via", "SIP/2.0/TCP p;branch=z9hG4bKp"),
    "Route",
    "<sip:r;lr>",
  );
  const acknowledged = hopAck(routed, reply(routed, 486));
  assert.equal(headerValue(acknowledged, "To"), "Bob <sip:bob@biloxi.example.com>;tag=b0b");
  const cancelled = hopCancel(routed);
  assert.equal(headerValue(cancelled, "To"), "Bob <sip:bob@biloxi.example.com>");
  for (const [message, method] of [
    [acknowledged, "ACK"],
    [cancelled, "CANCEL"],
  ] as const) {
    assert.equal(message.uri, invite.uri);
    assert.equal(headerValue(message, "Via"), "SIP/2.0/TCP p;branch=z9hG4bKp");
    assert.equal(message.headers.filter(({ name }) => name === "Via").length, 1);
    assert.equal(headerValue(message, "Route"), "<sip:r;lr>");
    assert.equal(headerValue(message, "CSeq"), `1 ${method}`);
    assert.equal(headerValue(message, "Contact"), undefined);
  }
});
