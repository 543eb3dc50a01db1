/** What the machines of RFC 3261 §17 share; their figures are tested one by one beside this. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { InviteClient } from "../../../protocol/sip/invite-client.ts";
import { InviteServer } from "../../../protocol/sip/invite-server.ts";
import { headerValue, prependHeader } from "../../../protocol/sip/message.ts";
import { NonInviteClient } from "../../../protocol/sip/non-invite-client.ts";
import { NonInviteServer } from "../../../protocol/sip/non-invite-server.ts";
import {
  hopAck,
  hopCancel,
  DEFAULT_SIP_TIMERS as timers,
} from "../../../protocol/sip/transaction.ts";
import { reply } from "./sample.ts";
import { ack, answer, invite, options, respond, run, start, tick } from "./transaction-arrows.ts";

test("every timer follows from T1, T2 and T4", () => {
  const slow = { ...timers, t1Ms: 1_000, t2Ms: 2_000, t4Ms: 3_000, tryingMs: 50 };
  const setting = { timers: slow, reliable: false, timerC: false };
  run(new InviteClient(invite, setting), [
    [0, start, ["send INVITE"], 1_000],
    [64_000, tick, ["failed timeout", "ended"]],
  ]);
  run(new NonInviteClient(options, setting), [
    [0, start, ["send OPTIONS"], 1_000],
    [1_000, tick, ["send OPTIONS"], 3_000],
    [3_000, tick, ["send OPTIONS"], 5_000],
    [4_000, answer(200), ["deliver 200"], 7_000],
  ]);
  run(new InviteServer(invite, setting, 0), [
    [50, tick, ["send 100"]],
    [100, respond(486), ["send 486"], 1_100],
    [200, ack, [], 3_200],
  ]);
  run(new NonInviteServer(setting), [[0, respond(200), ["send 200"], 64_000]]);
});

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
