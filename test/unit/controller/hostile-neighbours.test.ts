/** What neighbours of ill will try at the proxy: strangers, the next hop, other users. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { headerValue, type SipRequest } from "../../../protocol/sip/message.ts";
import { DEFAULT_SIP_TIMERS } from "../../../protocol/sip/transaction.ts";
import type { Arrival, TransactionEffect } from "../../../protocol/sip/transaction-events.ts";
import { TransactionLayer } from "../../../protocol/sip/transaction-layer.ts";
import { NOW } from "./call-fixture.ts";
import {
  FROM_ALICE,
  FROM_BILOXI,
  FROM_NOBODY,
  fromBob,
  inDialog,
  ProxyDriver,
  type RequestSketch,
  request,
  requestsOf,
  responsesOf,
  statusOf,
} from "./proxy-fixture.ts";

test("a stranger's requests leave no transaction behind, so that none is missing for alice", () => {
  const proxy = new ProxyDriver();
  const layer = new TransactionLayer({
    timers: DEFAULT_SIP_TIMERS,
    random: (size) => Buffer.alloc(size, 7),
    maxTransactions: 4,
  });
  const receive = (received: SipRequest, arrival: Arrival): readonly TransactionEffect[] =>
    layer
      .handle({ kind: "received", message: received, ...arrival }, NOW)
      .flatMap((effect) => (effect.kind === "send" ? [] : proxy.feed(effect)))
      .flatMap((effect) => (effect.kind === "transaction" ? layer.handle(effect.input, NOW) : []));
  const strangers: readonly [sketch: RequestSketch, arrival: Arrival][] = [
    [{}, FROM_NOBODY],
    [{ from: "<sip:zoe@biloxi.example.com>;tag=z" }, FROM_BILOXI],
    [{ to: "<sip:bob@biloxi.example.com>;tag=b1" }, FROM_NOBODY],
    [{ rows: ["Max-Forwards: 0"] }, FROM_NOBODY],
    [{ from: "<sip:dave@atlanta.example.com>;tag=d" }, FROM_ALICE],
    [{ method: "CANCEL" }, FROM_NOBODY],
  ];
  for (const [sketch, arrival] of strangers) {
    assert.equal(receive(request(sketch), arrival).length, 1);
    assert.equal(layer.size, 0);
  }
  receive(request(), FROM_ALICE);
  assert.equal(layer.size, 2);
});

test("a CANCEL that found no INVITE gets 481", () => {
  for (const arrival of [FROM_ALICE, FROM_BILOXI, FROM_NOBODY])
    assert.equal(statusOf(new ProxyDriver().receive(request({ method: "CANCEL" }), arrival)), 481);
});

for (const status of [486, 200])
  test(`a final ${status} without the caller's Via still ends the call, at both ends`, () => {
    const proxy = new ProxyDriver();
    const sent = proxy.placeSealed();
    const own = { ...sent, headers: sent.headers.filter(firstViaOnly()) };
    const effects = proxy.reply(own, status);
    assert.equal(effects[0]?.kind, "close");
    const [answer] = responsesOf(effects);
    assert.equal(answer?.response.status, 500);
    assert.match(headerValue(answer.response, "Via") ?? "", /10\.10\.0\.2:40000/);
  });

test("a provisional response without the caller's Via is dropped; so is no final one of a relay", () => {
  const proxy = new ProxyDriver();
  const [sent] = requestsOf(proxy.receive(request({ method: "MESSAGE" })));
  assert.ok(sent !== undefined);
  const own = { ...sent.request, headers: sent.request.headers.filter(firstViaOnly()) };
  assert.deepEqual(proxy.reply(own, 180), []);
  assert.equal(statusOf(proxy.reply(own, 200)), 500);
});

/** Keeps the first Via alone. */
function firstViaOnly(): (row: { readonly name: string }) => boolean {
  let vias = 0;
  return ({ name }) => {
    if (name !== "Via") return true;
    vias += 1;
    return vias === 1;
  };
}

for (const from of [
  "<sip:alice@atlanta.example.com>;tag=x",
  "<sip:alice@ATLANTA.example.com>;tag=x",
  "<sip:alice@atlanta.example.com.>;tag=x",
  "<sip:%61lice@atlanta.example.com:5060;transport=tcp>;tag=x",
  '"Bob" <sips:alice@atlanta.example.com>;tag=x',
])
  test(`the next hop cannot speak for our domain, whatever the spelling: ${from}`, () => {
    const options = { method: "OPTIONS", uri: "sip:atlanta.example.com", from };
    assert.equal(statusOf(new ProxyDriver().receive(request(options), FROM_BILOXI)), 403);
  });

test("a request of a dialog goes to none of the gateway's own addresses", () => {
  const proxy = new ProxyDriver();
  proxy.placePlain();
  const uri = "sip:bob@10.20.0.1:22;transport=tcp";
  assert.equal(statusOf(proxy.receive(inDialog("INFO", { uri }))), 480);
});

test("an INVITE that comes twice by different ways is one call; a full table takes no more", () => {
  const proxy = new ProxyDriver({ maxCalls: 1 });
  proxy.receive(request());
  assert.equal(statusOf(proxy.receive(request())), 482);
  const effects = proxy.receive(request({ callId: "c2@atlanta.example.com" }));
  const [answer] = responsesOf(effects);
  assert.equal(answer?.response.status, 503);
  assert.match(headerValue(answer.response, "Retry-After") ?? "", /^\d+$/);
  assert.equal(proxy.core.callCount, 1);
});

test("an ACK of bob's is passed on and confirms nothing that alice has to confirm", () => {
  const proxy = new ProxyDriver();
  const [sent] = requestsOf(proxy.receive(request()));
  proxy.reply(sent?.request ?? request(), 200);
  const effects = proxy.receive(inDialog("ACK", fromBob), FROM_BILOXI);
  assert.equal(requestsOf(effects)[0]?.to, "flow-alice");
  assert.ok(!effects.some(({ kind }) => kind === "report"));
  const report = proxy.receive(inDialog("ACK")).find(({ kind }) => kind === "report");
  assert.ok(report?.kind === "report" && report.event === "call-confirmed");
});

test("a flood of ACKs opens nothing, keeps nothing and is answered by nothing", () => {
  const proxy = new ProxyDriver();
  proxy.answerSealed();
  const deadline = proxy.core.deadline();
  for (const arrival of [FROM_ALICE, FROM_NOBODY, FROM_BILOXI])
    for (const tag of ["b1", "b2"]) {
      const ack = inDialog("ACK", { to: `<sip:bob@biloxi.example.com>;tag=${tag}` });
      const effects = proxy.receive(ack, arrival);
      assert.deepEqual(responsesOf(effects), []);
      assert.equal(requestsOf(effects).length, arrival === FROM_ALICE && tag === "b1" ? 1 : 0);
    }
  assert.equal(proxy.core.deadline(), deadline);
});

test("a dialog's request whose way back is gone is answered for it, and the loss of its own is not", () => {
  const proxy = new ProxyDriver();
  proxy.placePlain();
  const [sent] = requestsOf(proxy.receive(inDialog("INFO"), FROM_ALICE, "key-info"));
  assert.deepEqual(
    proxy.feed({ kind: "failed", side: "server", key: "key-info", reason: "transport" }),
    [],
  );
  const branch = /branch=([^;]+)/.exec(headerValue(sent?.request ?? request(), "Via") ?? "")?.[1];
  const lost = { kind: "failed", side: "client", key: `c|${branch}|INFO` } as const;
  assert.equal(statusOf(proxy.feed({ ...lost, reason: "transport" })), 500);
  assert.deepEqual(proxy.feed({ ...lost, reason: "transport" }), []);
});

test("credentials for our realm stay here, however they are written; those for others pass", () => {
  const realms = ['realm="atlanta.example.com"', 'REALM = "atlanta.example.com"'];
  for (const realm of realms) {
    const rows = [`Proxy-Authorization: Digest username="alice", ${realm}, nonce="n"`];
    const [sent] = requestsOf(new ProxyDriver().receive(request({ rows })));
    assert.equal(headerValue(sent?.request ?? request(), "Proxy-Authorization"), undefined, realm);
  }
  const rows = ['Proxy-Authorization: Digest username="alice", realm="biloxi.example.com"'];
  const [sent] = requestsOf(new ProxyDriver().receive(request({ rows })));
  assert.match(headerValue(sent?.request ?? request(), "Proxy-Authorization") ?? "", /biloxi/);
});
