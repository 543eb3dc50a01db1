import assert from "node:assert/strict";
import { test } from "node:test";
import type { FlowId, Peer, Target } from "../../../protocol/sip/flow.ts";
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
import {
  MAX_SETTLED_SHARE,
  TransactionLayer,
  type TransactionLayerSetting,
} from "../../../protocol/sip/transaction-layer.ts";
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

function layer(maxTransactions = 100, setting: Partial<TransactionLayerSetting> = {}) {
  const made = new TransactionLayer({
    ...setting,
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

test("a closed flow fails what was asked on it at once, and nothing else", () => {
  const { made, say } = layer();
  const [sent] = say({ kind: "request", request: forwarded(invite), to: biloxi });
  assert.ok(sent?.kind === "send" && sent.key !== undefined);
  say({ kind: "sent", key: sent.key, flow: "flow-b" });
  assert.deepEqual(say({ kind: "flow-closed", flow: "flow-other" }), []);
  assert.deepEqual(say({ kind: "flow-closed", flow: "flow-b" }), [
    { kind: "failed", side: "client", key: sent.key, reason: "transport" },
  ]);
  assert.equal(made.size, 0);
  assert.deepEqual(say({ kind: "flow-closed", flow: "flow-b" }), []);
});

test("RFC 3261 18.2.2: the response to a request whose connection is gone goes to its sent-by", () => {
  const peer = { ...alice, localAddress: "10.10.0.1" };
  const ways = [
    ["SIP/2.0/TLS a.example.com:5071;branch=z9hG4bK1", "tls", 5071],
    ["SIP/2.0/TLS a.example.com;branch=z9hG4bK2;rport", "tls", 5061],
    ["SIP/2.0/TCP a.example.com;branch=z9hG4bK3", "tcp", 5060],
  ] as const;
  for (const [via, transport, port] of ways) {
    const { receive, say } = layer();
    const key = keyOf(receive(withHeader(invite, "Via", via), { ...peer, transport }));
    assert.deepEqual(say({ kind: "flow-closed", flow: "flow-10.10.0.2" }), []);
    const [sent] = say({ kind: "respond", key, response: reply(invite, 200) });
    assert.ok(sent?.kind === "send");
    assert.deepEqual(sent.to, {
      ...{ transport, address: "10.10.0.2", port, localAddress: "10.10.0.1" },
      ...(transport === "tls" ? { serverName: "a.example.com" } : {}),
    });
    assert.deepEqual(say({ kind: "transport-failed", key }), []);
  }
});

test("a phone abandons a request whose connection is gone", () => {
  const { made, receive, say } = layer(100, { abandonLostFlows: true });
  const key = keyOf(receive(invite));
  assert.deepEqual(say({ kind: "flow-closed", flow: "flow-10.10.0.2" }), [
    { kind: "failed", side: "server", key, reason: "transport" },
  ]);
  assert.equal(made.size, 0);
});

test("RFC 3581: over UDP the answer goes to the source port only if rport asks for it", () => {
  const peer: Peer = {
    ...{ transport: "udp", address: "10.10.0.2", port: 40122, identities: [] },
    ...{ localAddress: "10.10.0.1", localPort: 5060 },
  };
  const flow = "udp/0/40122/10.10.0.2";
  const ours = { localAddress: "10.10.0.1", localPort: 5060 };
  const back = { transport: "udp", address: "10.10.0.2", ...ours } as const;
  const ways: readonly (readonly [via: string, to: FlowId | Target])[] = [
    ["SIP/2.0/UDP a.example.com:5070;rport;branch=z9hG4bK1", flow],
    ["SIP/2.0/UDP a.example.com:40122;branch=z9hG4bK2", flow],
    ["SIP/2.0/UDP a.example.com:5070;branch=z9hG4bK3", { ...back, port: 5070 }],
    ["SIP/2.0/UDP a.example.com;branch=z9hG4bK4", { ...back, port: 5060 }],
    ["SIP/2.0/UDP [2001:db8::9]:5070;rport;branch=z9hG4bK5", flow],
    ["SIP/2.0/UDP a.example.com:5070;maddr=192.0.2.66;branch=z9hG4bK6", { ...back, port: 5070 }],
  ];
  for (const [via, to] of ways) {
    const { say } = layer();
    const request = withHeader(invite, "Via", via);
    const key = keyOf(say({ kind: "received", message: request, flow, peer }));
    const [sent] = say({ kind: "respond", key, response: reply(request, 486) });
    assert.ok(sent?.kind === "send", via);
    assert.deepEqual(sent.to, to, via);
    const malformed = withHeader(request, "CSeq", "1 BYE");
    const [refused] = say({ kind: "received", message: malformed, flow, peer });
    assert.ok(refused?.kind === "send", via);
    assert.deepEqual(refused.to, to, via);
  }
});

test("RFC 3581: the stamp, for IPv6 too", () => {
  const peer: Peer = { transport: "udp", address: "2001:db8::2", port: 40122, identities: [] };
  const via = "SIP/2.0/UDP [2001:db8::9]:5070;rport;branch=z9hG4bK5";
  const { say } = layer();
  const message = withHeader(invite, "Via", via);
  const [effect] = say({ kind: "received", message, flow: "udp/1/40122/2001:db8::2", peer });
  assert.ok(effect?.kind === "deliver-request");
  assert.equal(
    headerValue(effect.request, "Via"),
    "SIP/2.0/UDP [2001:db8::9]:5070;rport=40122;branch=z9hG4bK5;received=2001:db8::2",
  );
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

const branched = (request: SipRequest, branch: string): SipRequest =>
  withHeader(request, "Via", `SIP/2.0/TLS 10.10.0.2:5061;branch=z9hG4bK${branch}`);
const inDialog = (method: string): SipRequest =>
  withHeader(sampleRequest(method), "To", "<sip:bob@biloxi.example.com>;tag=b0b");
const OVERLOADED = ["send 503", "dropped overload"];

test("a fifth of all places is kept for dialogs, CANCEL and emergency calls", () => {
  const isUrgent = ({ uri }: SipRequest): boolean => uri === "urn:service:sos";
  const { receive } = layer(10, { isUrgent });
  for (let call = 0; call < 8; call += 1)
    assert.deepEqual(words(receive(branched(invite, `i${call}`))), ["deliver-request"]);
  assert.deepEqual(words(receive(branched(invite, "late"))), OVERLOADED);
  const sos = { ...invite, uri: "urn:service:sos" };
  assert.deepEqual(words(receive(branched(sos, "sos"))), ["deliver-request"]);
  assert.deepEqual(words(receive(branched(inDialog("BYE"), "bye"))), ["deliver-request"]);
  assert.deepEqual(words(receive(branched(inDialog("BYE"), "bye2"))), OVERLOADED);
});

test("answered transactions take no place, but there may not be more than ten for each", () => {
  const { made, receive, say } = layer(1);
  const settled = 1 + MAX_SETTLED_SHARE;
  for (let call = 0; call < settled; call += 1) {
    const key = keyOf(receive(branched(invite, `i${call}`)));
    say({ kind: "respond", key, response: reply(invite, 200) });
  }
  assert.equal(made.size, settled);
  assert.deepEqual(words(receive(branched(invite, "more"))), OVERLOADED);
  assert.deepEqual(words(receive(branched(inDialog("BYE"), "bye"))), OVERLOADED);
  say({ kind: "tick" }, 32_000);
  assert.equal(made.size, 0);
  const request = forwarded(invite);
  const [sent] = say({ kind: "request", request, to: biloxi }, 32_000);
  assert.ok(sent?.kind === "send" && sent.key !== undefined);
  assert.deepEqual(words(receive(branched(invite, "beside"))), OVERLOADED);
  say({ kind: "transport-failed", key: sent.key }, 32_000);
  assert.deepEqual(words(receive(branched(invite, "alone"))), ["deliver-request"]);
});

test("an overload that the user declares shuts out new calls and nothing else", () => {
  const isUrgent = ({ uri }: SipRequest): boolean => uri === "urn:service:sos";
  const { receive, say } = layer(10, { isUrgent });
  receive(branched(invite, "running"));
  assert.deepEqual(say({ kind: "overload", isOn: true }), []);
  assert.deepEqual(words(receive(branched(invite, "new"))), OVERLOADED);
  const sos = { ...invite, uri: "urn:service:sos" };
  assert.deepEqual(words(receive(branched(sos, "sos"))), ["deliver-request"]);
  assert.deepEqual(words(receive(branched(inDialog("INVITE"), "hold"))), ["deliver-request"]);
  assert.deepEqual(words(receive(hopCancel(branched(invite, "running")))), [
    "send 200",
    "deliver-cancel",
  ]);
  say({ kind: "overload", isOn: false });
  assert.deepEqual(words(receive(branched(invite, "again"))), ["deliver-request"]);
});

test("RFC 3261 8.2.2.2: a user agent refuses a merged request, a proxy takes it for another", () => {
  const agent = layer(100, { refuseMerged: true });
  assert.deepEqual(words(agent.receive(branched(invite, "a"))), ["deliver-request"]);
  assert.deepEqual(words(agent.receive(branched(invite, "a"))), []);
  assert.deepEqual(words(agent.receive(branched(invite, "b"))), ["send 482", "dropped merged"]);
  assert.deepEqual(words(agent.receive(hopAck(branched(invite, "b"), reply(invite, 482)))), [
    "deliver-ack",
  ]);
  const next = withHeader(branched(invite, "c"), "CSeq", "2 INVITE");
  assert.deepEqual(words(agent.receive(next)), ["deliver-request"]);
  assert.deepEqual(words(agent.receive(branched(inDialog("BYE"), "d"))), ["deliver-request"]);
  assert.deepEqual(words(agent.receive(branched(inDialog("BYE"), "e"))), ["deliver-request"]);
  const proxy = layer();
  for (const branch of ["a", "b"])
    assert.deepEqual(words(proxy.receive(branched(invite, branch))), ["deliver-request"]);
});

test("a request is merged only while its first copy is alive", () => {
  const agent = layer(100, { refuseMerged: true });
  for (let call = 0; call < 1_000; call += 1) {
    const message = withHeader(sampleRequest("OPTIONS"), "Call-ID", `${call % 500}@a`);
    const key = keyOf(agent.receive(branched(message, String(call))));
    agent.say({ kind: "respond", key, response: reply(message, 200) });
  }
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
