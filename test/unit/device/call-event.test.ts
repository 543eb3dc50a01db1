import assert from "node:assert/strict";
import { test } from "node:test";
import { type CallEvent, describeEvent } from "../../../device/core/call-event.ts";

const SENTENCES: readonly (readonly [event: CallEvent, sentence: string])[] = [
  [
    { event: "listening", transport: "tcp", address: "10.0.0.1", port: 5060 },
    "Waiting for a call on tcp 10.0.0.1 port 5060.",
  ],
  [{ event: "calling", callId: "c", sealed: true, bodySha256: "" }, "Calling, sealed."],
  [
    { event: "incoming", callId: "c", from: "sip:a@example.com", sealed: false, bodySha256: "" },
    "sip:a@example.com is calling, not sealed.",
  ],
  [
    { event: "refused", status: 493, reason: "Undecipherable", bodySha256: "" },
    "A call was refused with 493: Undecipherable.",
  ],
  [{ event: "ringing" }, "It rings."],
  [{ event: "answered", sealed: true }, "Answered, sealed."],
  [{ event: "media-started" }, "Sound is on its way."],
  [{ event: "played", sent: 3 }, "All was played: 3 packets."],
  [
    { event: "media-ended", sent: 3, sentRtcp: 1, received: 5, authenticated: 4, rejected: 1 },
    "Sound ended: 3 packets sent, 5 received, 4 of them genuine.",
  ],
  [{ event: "ended", reason: "hung-up", status: 200 }, "We hung up."],
  [{ event: "ended", reason: "peer-hung-up", status: 200 }, "The other side hung up."],
  [
    { event: "failed", reason: "Busy Here", status: 486, warning: "399 x" },
    "The call failed with 486: Busy Here (399 x).",
  ],
  [{ event: "failed", reason: "no answer" }, "The call failed: no answer."],
  [{ event: "command-refused", reason: "no call" }, "Not done: no call."],
];

for (const [event, sentence] of SENTENCES)
  test(`said of ${event.event}: ${sentence}`, () => {
    assert.equal(describeEvent(event), sentence);
  });

test("an event of no known kind is our own fault", () => {
  assert.throws(() => describeEvent({ event: "other" } as unknown as CallEvent), TypeError);
});
