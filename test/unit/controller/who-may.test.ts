/** Who may send what to whom, how many calls there may be, and who is told who somebody is. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { MAX_WAITING_ACKS } from "../../../controller/core/relays.ts";
import type { SipPolicy } from "../../../controller/core/sip-policy.ts";
import type { User } from "../../../controller/core/users.ts";
import { Secret } from "../../../protocol/secret.ts";
import { answerChallenge } from "../../../protocol/sip/digest-client.ts";
import type { Peer } from "../../../protocol/sip/flow.ts";
import { appendHeader, headerValue, headerValues } from "../../../protocol/sip/message.ts";
import { ALICE } from "./call-fixture.ts";
import {
  answerTo,
  DAVE,
  directory,
  FROM_ALICE,
  FROM_BILOXI,
  FROM_NOBODY,
  fromBob,
  inDialog,
  ProxyDriver,
  peerWith,
  type RequestSketch,
  request,
  requestsOf,
  responsesOf,
  SIP,
  statusOf,
  trunk,
  user,
} from "./proxy-fixture.ts";

const BILOXI = trunk("biloxi.example.com", "10.30.0.2");
const CHICAGO = trunk("chicago.example.com", "10.30.0.3");
const FROM_DAVE = peerWith(FROM_ALICE, { identities: [DAVE], address: "10.10.0.77" }, "flow-dave");
const BY_DAVE: RequestSketch = { from: `<${DAVE}>;tag=d1`, callId: "d@atlanta.example.com" };
const BY_BOB: RequestSketch = {
  from: "<sip:bob@biloxi.example.com>;tag=b1",
  callId: "b@biloxi.example.com",
};

const policy = (sketch: Partial<SipPolicy>): { sip: SipPolicy } => ({ sip: { ...SIP, ...sketch } });
const usersWith = (alice: Partial<User>) =>
  policy({ users: directory(user(ALICE, alice), user(DAVE)) });

/** Dave's phone registers down his connection. */
function register(proxy: ProxyDriver, rows: readonly string[] = [], cseq = 1): void {
  const sketch = { cseq, method: "REGISTER", uri: "sip:atlanta.example.com", ...BY_DAVE };
  const received = request({ ...sketch, to: `<${DAVE}>`, rows });
  const effects = proxy.receive(received, FROM_DAVE);
  assert.equal(statusOf(effects), 200);
  const kinds = effects.map(({ kind }) => kind);
  assert.deepEqual(kinds, ["store-bindings", "transaction"], "stored before it is answered");
}

const toDave: RequestSketch = { uri: DAVE, to: `<${DAVE}>` };

test("a call to a user goes down the connection that he registered by, to his contact", () => {
  const proxy = new ProxyDriver();
  register(proxy);
  const [sent] = requestsOf(proxy.receive(request(toDave)));
  assert.equal(sent?.to, "flow-dave");
  assert.match(sent.request.uri, /^sip:alice@10\.10\.0\.2/);
  assert.equal(requestsOf(proxy.receive(request({ ...toDave, ...BY_BOB }), FROM_BILOXI)).length, 1);
});

test("whose connection is gone is not there any more; so is whoever takes himself away", () => {
  const proxy = new ProxyDriver();
  register(proxy);
  proxy.feed({ kind: "flow-closed", flow: "flow-dave" });
  assert.equal(statusOf(proxy.receive(request(toDave))), 480);
  const again = new ProxyDriver();
  register(again);
  register(again, ["Expires: 0"], 2);
  assert.equal(statusOf(again.receive(request(toDave))), 480);
});

test("REGISTER asks who it is by 401, and nobody registers for another domain's", () => {
  const proxy = new ProxyDriver();
  const sketch = { method: "REGISTER", uri: "sip:atlanta.example.com", to: `<${ALICE}>` };
  const [asked] = responsesOf(proxy.receive(request(sketch), FROM_NOBODY));
  assert.equal(asked?.response.status, 401);
  assert.match(headerValue(asked.response, "WWW-Authenticate") ?? "", /^Digest realm="atlanta/);
  assert.equal(statusOf(proxy.receive(request({ ...sketch, ...BY_BOB }), FROM_BILOXI)), 403);
  assert.equal(statusOf(proxy.receive(request({ ...sketch, to: `<${DAVE}>` }))), 403);
});

const REACH: readonly [who: string, to: readonly string[], uri: string, allowed: boolean][] = [
  ["a trunk calls a user", ["users"], DAVE, true],
  ["a trunk that may not calls a user", ["chicago.example.com"], DAVE, false],
  ["a trunk calls another domain", ["users"], "sip:c@chicago.example.com", false],
  ["a trunk that may calls another", ["chicago.example.com"], "sip:c@chicago.example.com", true],
  ["a trunk calls any domain", ["users"], "sip:x@dallas.example.com", false],
  ["a trunk that may not calls 112", ["users"], "urn:service:sos", false],
  ["a trunk that may calls 112", ["chicago.example.com"], "urn:service:sos", true],
];
for (const [who, to, uri, allowed] of REACH)
  test(`${who}: ${allowed ? "passes" : "403"}`, () => {
    const trunks = [{ ...BILOXI, to: new Set(to) }, CHICAGO];
    const emergency = { numbers: new Set<string>(), trunk: "chicago.example.com" };
    const proxy = new ProxyDriver(policy({ trunks, emergency, anyDomain: true }));
    register(proxy);
    const effects = proxy.receive(request({ ...BY_BOB, uri }), FROM_BILOXI);
    assert.equal(requestsOf(effects).length, allowed ? 1 : 0);
    assert.equal(statusOf(effects), allowed ? undefined : 403);
  });

const PATTERNS: readonly [mayCall: readonly string[], uri: string, allowed: boolean][] = [
  [["sip:*@biloxi.example.com"], "sip:bob@biloxi.example.com", true],
  [["sip:bob@biloxi.example.com"], "sip:bob@BILOXI.example.com;x=y", true],
  [["sip:bob@biloxi.example.com"], "sip:bobby@biloxi.example.com", false],
  [["sip:b*b@*.example.com"], "sip:bob@biloxi.example.com", true],
  [["sip:b*b*@biloxi.example.com"], "sip:bob@biloxi.example.com", true],
  [["sip:b*x*@biloxi.example.com"], "sip:bob@biloxi.example.com", false],
  [["sip:*bob@biloxi.example.com"], "sip:b@biloxi.example.com", false],
  [["sip:*@atlanta.example.com"], "sip:bob@biloxi.example.com", false],
  [[], "sip:bob@biloxi.example.com", false],
];
for (const [mayCall, uri, allowed] of PATTERNS)
  test(`who may call ${mayCall.join(" ") || "nobody"} ${allowed ? "reaches" : "does not reach"} ${uri}`, () => {
    const effects = new ProxyDriver(usersWith({ mayCall })).receive(request({ uri }));
    assert.equal(statusOf(effects), allowed ? undefined : 403);
  });

test("whoever may call nobody may call for help", () => {
  const emergency = { numbers: new Set(["112"]), trunk: "biloxi.example.com" };
  for (const uri of ["sip:112@atlanta.example.com", "urn:service:sos.police", "tel:112"]) {
    const users = directory(user(ALICE, { mayCall: [], maxCalls: 0, requireSealed: true }));
    const proxy = new ProxyDriver({ ...policy({ emergency, users }), maxCalls: 0 });
    const [sent] = requestsOf(proxy.receive(request({ uri })));
    assert.equal(sent?.request.uri, uri);
  }
});

test("an emergency call waits for no agent and no recorder", () => {
  const emergency = { numbers: new Set<string>(), trunk: "biloxi.example.com" };
  const proxy = new ProxyDriver(policy({ emergency }));
  const sdp =
    "v=0\r\no=- 1 1 IN IP4 10.10.0.2\r\ns=-\r\nc=IN IP4 10.10.0.2\r\nt=0 0\r\nm=audio 20000 RTP/AVP 0\r\n";
  const rows = ["Content-Type: application/sdp"];
  const effects = proxy.receive(request({ uri: "urn:service:sos", body: sdp, rows }));
  const put = effects.find((effect) => effect.kind === "put");
  if (put?.kind === "put") {
    const { session, revision } = put.put;
    const result = { kind: "failed", verdict: "gateway-gone" } as const;
    const after = proxy.feed({ kind: "put-result", session, revision, result });
    assert.equal(requestsOf(after).length + requestsOf(effects).length, 1);
  } else assert.equal(requestsOf(effects).length, 1);
});

test("a user has so many calls at one time: as caller 403, as callee 486", () => {
  const caller = new ProxyDriver(usersWith({ maxCalls: 1 }));
  assert.equal(statusOf(caller.receive(request())), undefined);
  assert.equal(statusOf(caller.receive(request({ callId: "c2" }))), 403);
  const users = directory(user(ALICE), user(DAVE, { maxCalls: 1 }));
  const callee = new ProxyDriver(policy({ users }));
  register(callee);
  const [ringing] = requestsOf(callee.receive(request(toDave)));
  assert.equal(statusOf(callee.receive(request({ ...toDave, callId: "c2" }))), 486);
  assert.ok(ringing !== undefined);
  callee.reply(ringing.request, 486);
  assert.equal(statusOf(callee.receive(request({ ...toDave, callId: "c3" }))), undefined);
});

const NOTIFY: RequestSketch = {
  method: "NOTIFY",
  uri: "sip:alice@10.10.0.2:40000;transport=tls",
  from: "<sip:bob@biloxi.example.com>;tag=n1",
  to: `<${ALICE}>;tag=a1`,
};
const SUBSCRIBE: RequestSketch = { method: "SUBSCRIBE", rows: ["Event: presence", "Expires: 60"] };

test("SUBSCRIBE stays on our path, and its NOTIFY finds the subscriber, even before the answer", () => {
  const proxy = new ProxyDriver();
  const [sent] = requestsOf(proxy.receive(request(SUBSCRIBE)));
  assert.equal(headerValues(sent?.request ?? request(), "Record-Route").length, 2);
  const [notify] = requestsOf(proxy.receive(request(NOTIFY), FROM_BILOXI));
  assert.equal(notify?.to, "flow-alice");
  assert.equal(statusOf(proxy.receive(request(NOTIFY), FROM_NOBODY)), 403);
  assert.equal(statusOf(proxy.receive(request({ ...NOTIFY, callId: "other" }), FROM_BILOXI)), 481);
  const again = inDialog("SUBSCRIBE", {
    to: "<sip:bob@biloxi.example.com>;tag=n1",
    rows: ["Expires: 600"],
  });
  assert.equal(requestsOf(proxy.receive(again)).length, 1);
  proxy.now += 92_000;
  proxy.feed({ kind: "tick" });
  assert.equal(requestsOf(proxy.receive(request(NOTIFY), FROM_BILOXI)).length, 1);
  proxy.now += 600_000;
  proxy.feed({ kind: "tick" });
  assert.equal(statusOf(proxy.receive(request(NOTIFY), FROM_BILOXI)), 481);
});

test("REFER and methods that nobody knows yet stay on our path; PUBLISH need not", () => {
  const routes = (method: string) => {
    const [sent] = requestsOf(new ProxyDriver().receive(request({ method })));
    return headerValues(sent?.request ?? request(), "Record-Route").length;
  };
  assert.deepEqual(["REFER", "NEWTHING", "PUBLISH"].map(routes), [2, 2, 0]);
});

test("by UDP a source address ends what is there; for anything else a password is asked", () => {
  const listeners = [
    ...SIP.listeners,
    { transport: "udp", address: "10.10.0.1", port: 5060 } as const,
  ];
  const proxy = new ProxyDriver(policy({ listeners }));
  const peer: Peer = {
    ...{ transport: "udp", address: "10.10.0.77", port: 5060, localAddress: "10.10.0.1" },
    identities: [],
  };
  const phone = { flow: "udp/0/5060/10.10.0.77", peer };
  const invite = request(BY_DAVE);
  const [asked] = responsesOf(proxy.receive(invite, phone));
  assert.equal(asked?.response.status, 407);
  const password = new Secret(Buffer.from("swordfish"));
  const random = (size: number) => Buffer.alloc(size, 5);
  const proof = answerChallenge(invite, asked.response, { username: "dave", password, random });
  assert.ok(proof !== undefined);
  const [sent] = requestsOf(proxy.receive(appendHeader(invite, ...proof), phone));
  assert.ok(sent !== undefined);
  proxy.reply(sent.request, 200, ["Contact: <sip:bob@10.20.0.2:5060;transport=tcp>"]);
  const within = (method: string, flow = phone.flow) =>
    statusOf(proxy.receive(inDialog(method, BY_DAVE), { ...phone, flow }));
  for (const method of ["INFO", "UPDATE", "INVITE", "MESSAGE", "REFER"])
    assert.equal(within(method), 407, method);
  assert.equal(within("BYE", "udp/0/5060/10.10.0.9"), 407, "from another place");
  assert.equal(requestsOf(proxy.receive(inDialog("ACK", BY_DAVE), phone)).length, 1);
  assert.equal(requestsOf(proxy.receive(inDialog("BYE", BY_DAVE), phone)).length, 1);
});

const IDENTITY: readonly [
  name: string,
  trusted: boolean,
  rows: readonly string[],
  asserted: readonly string[],
][] = [
  ["alice is named to whom we trust", true, [], [`<${ALICE}>`]],
  ["alice is not named to others", false, [], []],
  ["what she asserts herself goes nowhere", false, ["P-Asserted-Identity: <sip:x@y>"], []],
  ["nor to whom we trust", true, ["P-Asserted-Identity: <sip:x@y>"], [`<${ALICE}>`]],
  ["who wants to be hidden is named to whom we trust", true, ["Privacy: id"], [`<${ALICE}>`]],
];
for (const [name, trusted, rows, asserted] of IDENTITY)
  test(`asserted identity: ${name}`, () => {
    const proxy = new ProxyDriver(policy({ trunks: [{ ...BILOXI, trusted }] }));
    const [sent] = requestsOf(proxy.receive(request({ rows })));
    assert.deepEqual(headerValues(sent?.request ?? request(), "P-Asserted-Identity"), asserted);
  });

for (const [rows, passes] of [
  [[], true],
  [["Privacy: id"], false],
] as const)
  test(`what a trusted trunk asserts ${passes ? "reaches" : "is kept from"} a user`, () => {
    const proxy = new ProxyDriver(policy({ trunks: [{ ...BILOXI, trusted: true }] }));
    register(proxy);
    const asserted = "P-Asserted-Identity: <sip:bob@biloxi.example.com>";
    const received = request({ ...toDave, ...BY_BOB, rows: [asserted, ...rows] });
    const [sent] = requestsOf(proxy.receive(received, FROM_BILOXI));
    const told = headerValues(sent?.request ?? request(), "P-Asserted-Identity");
    assert.equal(told.length, passes ? 1 : 0);
  });

test("a response asserts nothing that its sender may not", () => {
  for (const trusted of [true, false]) {
    const proxy = new ProxyDriver(policy({ trunks: [{ ...BILOXI, trusted }] }));
    const [sent] = requestsOf(proxy.receive(request()));
    const rows = ["P-Asserted-Identity: <sip:bob@biloxi.example.com>"];
    const [back] = responsesOf(proxy.reply(sent?.request ?? request(), 200, rows));
    const told = headerValues(back?.response ?? request(), "P-Asserted-Identity");
    assert.equal(told.length, trusted ? 1 : 0);
  }
});

test("privacy that cannot be had is refused, privacy that cannot be read as well", () => {
  const answer = (privacy: string) =>
    statusOf(new ProxyDriver().receive(request({ rows: [`Privacy: ${privacy}`] })));
  assert.equal(answer("header;critical"), 500);
  assert.equal(answer("id;critical"), undefined);
  assert.equal(answer('"'), 400);
});

test("an anonymous From is whom the credentials or the certificate say", () => {
  const anonymous = { from: '"Anonymous" <sip:anonymous@anonymous.invalid>;tag=a1' };
  const proxy = new ProxyDriver();
  assert.equal(requestsOf(proxy.receive(request(anonymous))).length, 1);
  assert.equal(statusOf(proxy.receive(request(anonymous), FROM_NOBODY)), 407);
});

test("a call outlives a restart: its parties find each other, strangers do not", () => {
  const before = new ProxyDriver();
  const sent = requestsOf(before.receive(request()))[0]?.request ?? request();
  const contact = ["Contact: <sip:bob@10.20.0.2:5060;transport=tcp>"];
  const effects = [...before.reply(sent, 200, contact), ...before.receive(inDialog("ACK"))];
  const saved = effects.findLast((effect) => effect.kind === "save-call");
  assert.ok(saved?.kind === "save-call");
  const stored = JSON.parse(JSON.stringify(saved.saved)) as typeof saved.saved;
  const after = new ProxyDriver();
  after.core.restore([], [{ id: saved.call, saved: stored }]);
  assert.equal(after.core.callCount, 1);
  assert.equal(statusOf(after.receive(inDialog("BYE", fromBob), FROM_NOBODY)), 403);
  const again = peerWith(FROM_ALICE, { port: 40_009 }, "flow-new");
  const [info] = requestsOf(after.receive(inDialog("INFO"), again));
  assert.deepEqual(info?.to, { transport: "tcp", address: "10.20.0.2", port: 5060 });
  const ended = after.receive(inDialog("BYE", fromBob), FROM_BILOXI);
  assert.equal(requestsOf(ended)[0]?.to, "flow-new");
  assert.ok(ended.some((effect) => effect.kind === "forget-call" && effect.call === saved.call));
});

test("other rules take effect at once, and running calls go on", () => {
  const proxy = new ProxyDriver();
  proxy.placePlain();
  const sip = { ...SIP, users: directory() };
  const more = { applyTimeoutMs: 1, recordingRequired: false, bodyCertificate: Buffer.alloc(0) };
  proxy.feed({ kind: "reload", rules: { sip, ...more } });
  assert.equal(statusOf(proxy.receive(request({ callId: "new" }))), 403);
  assert.equal(requestsOf(proxy.receive(inDialog("BYE"))).length, 1);
});

test("DNS is asked for a domain without route where that is allowed; nobody there is 480", () => {
  const proxy = new ProxyDriver(policy({ anyDomain: true }));
  const uri = "sip:x@dallas.example.com";
  const [locate] = proxy.receive(request({ uri }), FROM_ALICE, "key-1");
  assert.deepEqual(locate, { kind: "locate", ref: "key-1", uri });
  const targets = [{ transport: "tcp", address: "10.40.0.2", port: 5060 }] as const;
  const [sent] = requestsOf(proxy.feed({ kind: "located", ref: "key-1", targets }));
  assert.deepEqual(sent?.to, targets[0]);
  const other = new ProxyDriver(policy({ anyDomain: true }));
  other.receive(request({ uri }), FROM_ALICE, "key-1");
  assert.equal(statusOf(other.feed({ kind: "located", ref: "key-1", targets: [] })), 480);
  assert.deepEqual(other.feed({ kind: "located", ref: "key-1", targets }), []);
});

const DALLAS = "sip:x@dallas.example.com";
const AT_DALLAS = { transport: "tcp", address: "10.40.0.2", port: 5060 } as const;

/** A call to a domain that DNS knows, answered from there by a name. */
function farCall(): ProxyDriver {
  const proxy = new ProxyDriver(policy({ anyDomain: true }));
  proxy.receive(request({ uri: DALLAS }), FROM_ALICE, "key-1");
  const located = { kind: "located", ref: "key-1", targets: [AT_DALLAS] } as const;
  const [sent] = requestsOf(proxy.feed(located));
  proxy.reply(sent?.request ?? request(), 200, ["Contact: <sip:x@gw.dallas.example.com>"]);
  return proxy;
}

const GATEWAY = "sip:x@gw.dallas.example.com";

test("an ACK that waits for DNS goes on once; one that leads nowhere is dropped", () => {
  const proxy = farCall();
  const [asked] = proxy.receive(inDialog("ACK", { uri: GATEWAY }));
  assert.ok(asked?.kind === "locate" && asked.uri === GATEWAY);
  const located = { kind: "located", ref: asked.ref, targets: [AT_DALLAS] } as const;
  assert.deepEqual(requestsOf(proxy.feed(located))[0]?.to, AT_DALLAS);
  assert.deepEqual(proxy.feed(located), []);
  const [again] = proxy.receive(inDialog("ACK", { uri: GATEWAY }));
  assert.ok(again?.kind === "locate");
  assert.deepEqual(proxy.feed({ kind: "located", ref: again.ref, targets: [] }), []);
});

test("so many ACKs wait for DNS, and no more", () => {
  const proxy = farCall();
  const ack = inDialog("ACK", { uri: GATEWAY });
  const asked = () => proxy.receive(ack).filter(({ kind }) => kind === "locate").length;
  for (let each = 0; each < MAX_WAITING_ACKS; each += 1) assert.equal(asked(), 1);
  assert.equal(asked(), 0);
});

test("an ACK that no listener of ours can carry is dropped", () => {
  const proxy = farCall();
  const [asked] = proxy.receive(inDialog("ACK", { uri: GATEWAY }));
  assert.ok(asked?.kind === "locate");
  const targets = [{ ...AT_DALLAS, transport: "udp" }] as const;
  assert.deepEqual(proxy.feed({ kind: "located", ref: asked.ref, targets }), []);
});

test("a subscription within a running call is that call's, and one to DNS's domains is known", () => {
  const proxy = new ProxyDriver({ ...policy({ anyDomain: true }), maxCalls: 5 });
  proxy.placePlain();
  assert.equal(requestsOf(proxy.receive(inDialog("SUBSCRIBE"))).length, 1);
  proxy.receive(request({ ...SUBSCRIBE, uri: DALLAS, callId: "far" }), FROM_ALICE, "key-2");
  const located = { kind: "located", ref: "key-2", targets: [AT_DALLAS] } as const;
  const [sent] = requestsOf(proxy.feed(located));
  assert.equal(statusOf(proxy.reply(sent?.request ?? request(), 202)), 202);
  const within = { ...SUBSCRIBE, callId: "far", to: "<sip:x@dallas.example.com>;tag=b1" };
  assert.equal(requestsOf(proxy.receive(inDialog("SUBSCRIBE", within))).length, 1);
});

test("a SUBSCRIBE that names a running call's dialog begins none beside it", () => {
  const proxy = new ProxyDriver();
  proxy.receive(request());
  const [sent] = requestsOf(proxy.receive(request(SUBSCRIBE)));
  assert.equal(headerValues(sent?.request ?? request(), "Record-Route").length, 2);
  assert.equal(proxy.core.callCount, 1);
});

test("a party whose connection is gone is found by his new registration, or not at all", () => {
  const proxy = new ProxyDriver();
  register(proxy);
  const [sent] = requestsOf(proxy.receive(request({ ...toDave, ...BY_BOB }), FROM_BILOXI));
  assert.ok(sent !== undefined);
  const contact = sent.request.uri;
  const answer = { ...FROM_DAVE, response: answerTo(sent.request, 200, [`Contact: <${contact}>`]) };
  const branch = /branch=([^;]+)/.exec(headerValue(sent.request, "Via") ?? "")?.[1];
  proxy.feed({ kind: "deliver-response", key: `c|${branch}|INVITE`, ...answer });
  const within = () =>
    proxy.receive(
      request({ ...BY_BOB, method: "INFO", uri: contact, to: `<${DAVE}>;tag=b1`, cseq: 2 }),
      FROM_BILOXI,
    );
  assert.equal(requestsOf(within())[0]?.to, "flow-dave");
  proxy.feed({ kind: "flow-closed", flow: "flow-dave" });
  assert.equal(statusOf(within()), 480);
  const again = peerWith(FROM_DAVE, { port: 40_001 }, "flow-dave-2");
  const sketch = { method: "REGISTER", uri: "sip:atlanta.example.com", ...BY_DAVE, cseq: 2 };
  assert.equal(statusOf(proxy.receive(request({ ...sketch, to: `<${DAVE}>` }), again)), 200);
  assert.equal(requestsOf(within())[0]?.to, "flow-dave-2");
});

test("where nobody reads what is good to know, only what is odd is told", () => {
  for (const tellsInfo of [true, false]) {
    const proxy = new ProxyDriver({ tellsInfo });
    proxy.placePlain();
    const told = proxy.receive(inDialog("BYE")).some(({ kind }) => kind === "report");
    assert.equal(told, tellsInfo);
  }
});
