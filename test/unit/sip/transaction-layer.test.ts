import assert from "node:assert/strict";
import { test } from "node:test";
import type { Peer, Target } from "../../../protocol/sip/flow.ts";
import {
  headerValue,
  prependHeader,
  type SipMessage,
  type SipRequest,
  withHeader,
  withoutHeader,
} from "../../../protocol/sip/message.ts";
import { messageTag } from "../../../protocol/sip/name-addr.ts";
import { DEFAULT_SIP_TIMERS, hopAck, hopCancel } from "../../../protocol/sip/transaction.ts";
import type {
  TransactionEffect,
  TransactionInput,
} from "../../../protocol/sip/transaction-events.ts";
import { TransactionLayer } from "../../../protocol/sip/transaction-layer.ts";
import { reply, sampleRequest, words } from "./sample.ts";

const alice: Peer = {
  transport: "tls",
  address: "10.10.0.2",
  port: 40122,
  identities: ["sip:alice@atlanta.example.com"],
};
const mallory: Peer = { ...alice, address: "10.10.0.66", identities: [] };
const biloxi: Target = { transport: "tcp", address: "10.30.0.2", port: 5060 };
const invite = sampleRequest("INVITE", { body: Buffer.from("sealed") });
const VIA = "SIP/2.0/TCP ss1.atlanta.example.com;branch=z9hG4bKss1";

function layer(maxTransactions = 100) {
  const made = new TransactionLayer({
    timers: DEFAULT_SIP_TIMERS,
    random: (size) => Buffer.alloc(size, 7),
    maxTransactions,
  });
  const receive = (message: SipMessage, peer = alice, now = 0): readonly TransactionEffect[] =>
    made.handle({ kind: "received", message, flow: `flow-${peer.address}`, peer }, now);
  const say = (input: TransactionInput, now = 0) => made.handle(input, now);
  return { made, receive, say };
}

/** The key of the first request delivered. */
const keyOf = (effects: readonly TransactionEffect[]): string => {
  const [effect] = effects.filter(({ kind }) => kind === "deliver-request");
  assert.ok(effect?.kind === "deliver-request");
  return effect.key;
};
const first = (effects: readonly TransactionEffect[]) => {
  const [effect] = effects;
  assert.ok(effect);
  return effect;
};
const forwarded = (request: SipRequest) => prependHeader(request, "Via", VIA);

test("a request is delivered once, with its flow and its stamped Via; the answer takes that flow", () => {
  const { receive, say } = layer();
  const effects = receive(invite);
  const effect = first(effects);
  assert.ok(effect.kind === "deliver-request");
  assert.equal(effect.flow, "flow-10.10.0.2");
  assert.equal(effect.peer, alice);
  assert.equal(effect.request.body, invite.body);
  assert.match(headerValue(effect.request, "Via") ?? "", /;received=10\.10\.0\.2$/);
  assert.deepEqual(words(receive(invite)), []);
  const [sent] = say({ kind: "respond", key: effect.key, response: reply(effect.request, 180) });
  assert.ok(sent?.kind === "send");
  assert.equal(sent.to, "flow-10.10.0.2");
  assert.deepEqual(words(receive(invite)), ["send 180"]);
});

test("rport is filled with the port the request came from", () => {
  const asking = withHeader(invite, "Via", "SIP/2.0/TLS 10.10.0.2:5061;rport;branch=z9hG4bK1");
  const effect = first(layer().receive(asking));
  assert.ok(effect.kind === "deliver-request");
  assert.equal(
    headerValue(effect.request, "Via"),
    "SIP/2.0/TLS 10.10.0.2:5061;rport=40122;branch=z9hG4bK1;received=10.10.0.2",
  );
  const plain = withHeader(invite, "Via", "SIP/2.0/TLS 10.10.0.2:5061;branch=z9hG4bK1");
  const untouched = first(layer().receive(plain));
  assert.ok(untouched.kind === "deliver-request" && untouched.request === plain);
});

test("an INVITE gets 100 from the layer when nobody answers in 200 ms", () => {
  const { made, receive, say } = layer();
  receive(invite);
  assert.equal(made.deadline(), 200);
  assert.deepEqual(words(say({ kind: "tick" }, 200)), ["send 100"]);
  assert.equal(made.deadline(), undefined);
});

test("the ACK of a refusal is absorbed, the ACK of a 2xx delivered", () => {
  const { made, receive, say } = layer();
  const key = keyOf(receive(invite));
  const refusal = reply(invite, 488);
  assert.deepEqual(words(say({ kind: "respond", key, response: refusal })), ["send 488"]);
  assert.deepEqual(receive(hopAck(invite, refusal)), []);
  assert.equal(made.size, 0);
  const own = withHeader(sampleRequest("ACK"), "Via", "SIP/2.0/TLS a;branch=z9hG4bKack");
  assert.deepEqual(words(receive(own)), ["deliver-ack"]);
  assert.equal(made.size, 0);
});

test("CANCEL is answered 200 and delivered with the key of its INVITE", () => {
  const { receive, say } = layer();
  const key = keyOf(receive(invite));
  const effects = receive(hopCancel(invite));
  assert.deepEqual(words(effects), ["send 200", "deliver-cancel"]);
  assert.ok(effects[1]?.kind === "deliver-cancel" && effects[1].key === key);
  say({ kind: "respond", key, response: reply(invite, 487) });
  const late = withHeader(hopCancel(invite), "CSeq", "1 CANCEL");
  assert.deepEqual(words(receive(late)), ["send 200"]);
});

test("a CANCEL from another host cancels nothing", () => {
  const { receive } = layer();
  receive(invite);
  assert.deepEqual(words(receive(hopCancel(invite), mallory)), ["deliver-request"]);
});

test("RFC 2543 peers are told apart without a branch", () => {
  const { receive, say } = layer();
  const old = withHeader(invite, "Via", "SIP/2.0/TCP old.example.com");
  const key = keyOf(receive(old));
  assert.deepEqual(words(receive(old)), []);
  const refusal = reply(old, 404);
  say({ kind: "respond", key, response: refusal });
  assert.deepEqual(receive(hopAck(old, refusal)), []);
  const other = withHeader(old, "Call-ID", "another@old");
  assert.notEqual(keyOf(receive(other)), key);
});

test("a client transaction: sent, answered, its ACK on the same flow", () => {
  const { made, receive, say } = layer();
  const request = forwarded(invite);
  const [sent] = say({ kind: "request", request, to: biloxi });
  assert.ok(sent?.kind === "send" && sent.key !== undefined);
  assert.equal(sent.to, biloxi);
  assert.equal(sent.message.body, invite.body);
  say({ kind: "sent", key: sent.key, flow: "flow-b" });
  assert.deepEqual(words(receive(reply(request, 180))), ["deliver-response 180"]);
  const [ack, delivered] = receive(reply(request, 486));
  assert.ok(ack?.kind === "send" && ack.message.kind === "request");
  assert.equal(ack.to, "flow-b");
  assert.equal(ack.message.method, "ACK");
  assert.equal(ack.message.body.length, 0);
  assert.ok(delivered?.kind === "deliver-response" && delivered.key === sent.key);
  assert.equal(made.size, 0);
});

test("responses that answer nothing of ours are dropped", () => {
  const { receive } = layer();
  assert.deepEqual(words(receive(reply(forwarded(invite), 200))), ["dropped stray-response"]);
  assert.deepEqual(words(receive(reply(withHeader(invite, "Via", "SIP/2.0/TCP x"), 200))), [
    "dropped stray-response",
  ]);
});

test("cancelling sends CANCEL after a provisional response and keeps its answer to itself", () => {
  const { made, receive, say } = layer();
  const request = forwarded(invite);
  const [sent] = say({ kind: "request", request, to: "flow-b" });
  assert.ok(sent?.kind === "send" && sent.key !== undefined);
  assert.deepEqual(say({ kind: "cancel", key: sent.key }), []);
  assert.deepEqual(words(receive(reply(request, 100))), ["deliver-response 100", "send CANCEL"]);
  assert.deepEqual(receive(reply(hopCancel(request), 200)), []);
  assert.deepEqual(words(receive(reply(request, 487))), ["send ACK", "deliver-response 487"]);
  assert.equal(made.size, 0);
  assert.deepEqual(say({ kind: "cancel", key: sent.key }), []);
});

test("a closed flow fails what was pending on it at once, and nothing else", () => {
  const { made, receive, say } = layer();
  const key = keyOf(receive(invite));
  const [sent] = say({ kind: "request", request: forwarded(invite), to: biloxi });
  assert.ok(sent?.kind === "send" && sent.key !== undefined);
  say({ kind: "sent", key: sent.key, flow: "flow-b" });
  assert.deepEqual(say({ kind: "flow-closed", flow: "flow-other" }), []);
  assert.deepEqual(say({ kind: "flow-closed", flow: "flow-b" }), [
    { kind: "failed", side: "client", key: sent.key, reason: "transport" },
  ]);
  assert.deepEqual(say({ kind: "flow-closed", flow: "flow-10.10.0.2" }), [
    { kind: "failed", side: "server", key, reason: "transport" },
  ]);
  assert.equal(made.size, 0);
});

test("a message that could not be sent fails its transaction", () => {
  const { receive, say } = layer();
  const key = keyOf(receive(sampleRequest("OPTIONS")));
  assert.deepEqual(words(say({ kind: "transport-failed", key })), ["failed transport"]);
  const [sent] = say({ kind: "request", request: forwarded(sampleRequest("BYE")), to: biloxi });
  assert.ok(sent?.kind === "send" && sent.key !== undefined);
  assert.deepEqual(words(say({ kind: "transport-failed", key: sent.key })), ["failed transport"]);
  assert.deepEqual(say({ kind: "transport-failed", key: sent.key }), []);
});

test("time: every transaction ends, each by its own timer", () => {
  const { made, receive, say } = layer();
  const bye = forwarded(sampleRequest("BYE"));
  say({ kind: "request", request: bye, to: biloxi }, 0);
  say({ kind: "request", request: forwarded(invite), to: biloxi, timerC: true }, 0);
  receive(reply(forwarded(invite), 180), alice, 10);
  assert.equal(made.deadline(), 32_000);
  assert.deepEqual(words(say({ kind: "tick" }, 32_000)), ["failed timeout"]);
  assert.equal(made.deadline(), 200_010);
  assert.deepEqual(words(say({ kind: "tick" }, 200_010)), ["send CANCEL"]);
  assert.deepEqual(words(say({ kind: "tick" }, 232_010)), ["failed timeout"]);
  assert.equal(made.size, 0);
});

test("malformed: requests get 400 with a tag, ACK and responses silence; nothing is remembered", () => {
  const { made, receive } = layer();
  const bad = withHeader(sampleRequest("OPTIONS"), "CSeq", "1 INVITE");
  const [sent, dropped] = receive(bad);
  assert.ok(sent?.kind === "send" && sent.message.kind === "response");
  assert.equal(sent.message.status, 400);
  assert.equal(messageTag(sent.message, "To"), "0707070707070707");
  assert.deepEqual(dropped, { kind: "dropped", reason: "malformed" });
  assert.deepEqual(words(receive(withoutHeader(sampleRequest("ACK"), "CSeq"))), [
    "dropped malformed",
  ]);
  assert.deepEqual(words(receive(withoutHeader(reply(invite, 200), "To"))), ["dropped malformed"]);
  assert.equal(made.size, 0);
});

test("overload: 503 with Retry-After for new requests; old ones and ACKs go on", () => {
  const { receive } = layer(1);
  receive(invite);
  const [sent, dropped] = receive(sampleRequest("OPTIONS"));
  assert.ok(sent?.kind === "send" && sent.message.kind === "response");
  assert.equal(sent.message.status, 503);
  assert.equal(headerValue(sent.message, "Retry-After"), "5");
  assert.deepEqual(dropped, { kind: "dropped", reason: "overload" });
  assert.deepEqual(receive(invite), []);
  const own = withHeader(sampleRequest("ACK"), "Via", "SIP/2.0/TLS a;branch=z9hG4bKack");
  assert.deepEqual(words(receive(own)), ["deliver-ack"]);
});

test("our own faults: no branch, a branch in use, a transaction for ACK", () => {
  const { say } = layer();
  const request = forwarded(invite);
  say({ kind: "request", request, to: biloxi });
  const wrong = [
    request,
    withHeader(invite, "Via", "SIP/2.0/TCP x"),
    forwarded(sampleRequest("ACK")),
  ];
  for (const each of wrong)
    assert.throws(() => say({ kind: "request", request: each, to: biloxi }), TypeError);
  assert.deepEqual(words(say({ kind: "send", message: sampleRequest("ACK"), to: biloxi })), [
    "send ACK",
  ]);
  assert.deepEqual(say({ kind: "respond", key: "gone", response: reply(invite, 200) }), []);
});

test("a refusal that is to be forgotten leaves nothing behind; its ACK belongs to nothing", () => {
  const { made, receive, say } = layer(1);
  for (const branch of ["z9hG4bKa", "z9hG4bKb", "z9hG4bKc"]) {
    const request = withHeader(invite, "Via", `SIP/2.0/TLS 10.10.0.2:5061;branch=${branch}`);
    const key = keyOf(receive(request, mallory));
    const response = reply(request, 407);
    assert.deepEqual(words(say({ kind: "respond", key, response, forget: true })), ["send 407"]);
    assert.equal(made.size, 0);
    assert.equal(made.deadline(), undefined);
    assert.equal(first(receive(hopAck(request, response), mallory)).kind, "deliver-ack");
  }
});
