import assert from "node:assert/strict";
import { test } from "node:test";
import { LINGER_MS } from "../../../controller/core/call.ts";
import { ACCEPTED_MS } from "../../../controller/core/controller.ts";
import { Secret } from "../../../protocol/secret.ts";
import { headerValue, headerValues } from "../../../protocol/sip/message.ts";
import { ALICE, APPLIED, BOB, NOW, opened, sdp } from "./call-fixture.ts";
import {
  CERTIFICATE,
  FROM_ALICE,
  FROM_BILOXI,
  FROM_NOBODY,
  fromBob,
  inDialog,
  ProxyDriver,
  peerWith,
  request,
  requestsOf,
  responsesOf,
  SIP,
  statusOf,
} from "./proxy-fixture.ts";

const LABEL = 'Proxy-Inspect-Body: ss1.atlanta.example.com;cid="1@atlanta.example.com"';
const kinds = (effects: readonly { readonly kind: string }[]) => effects.map(({ kind }) => kind);

test("a plain call passes untouched to its route and opens nothing", () => {
  const proxy = new ProxyDriver();
  const received = request({ body: "whatever", rows: ["Content-Type: text/plain"] });
  const effects = proxy.receive(received);
  const [sent] = requestsOf(effects);
  assert.deepEqual(sent?.to, { transport: "tcp", address: "10.30.0.2", port: 5060 });
  assert.equal(sent?.request.body, received.body);
  assert.equal(headerValue(sent?.request ?? received, "Max-Forwards"), "69");
  assert.ok(!kinds(effects).includes("put"));
});

test("it records both its routes, the outgoing one on top, and answers by its nearest listener", () => {
  const proxy = new ProxyDriver();
  const [sent] = requestsOf(proxy.receive(request()));
  assert.deepEqual(headerValues(sent?.request ?? request(), "Record-Route"), [
    "<sip:10.30.0.1:5060;transport=tcp;lr>",
    "<sip:10.10.0.1:5061;transport=tls;lr>",
  ]);
  assert.match(
    headerValue(sent?.request ?? request(), "Via") ?? "",
    /^SIP\/2.0\/TCP 10\.30\.0\.1:5060;branch=z9hG4bK/,
  );
});

test("a sealed call waits for inspection and gateway, then leaves with the same body object", () => {
  const proxy = new ProxyDriver();
  const received = request({ body: "sealed offer" });
  const sent = proxy.placeSealed(received);
  assert.equal(sent.body, received.body);
  assert.deepEqual(kinds(proxy.receive(request({ body: "sealed offer" }))), [
    "turned-away",
    "transaction",
  ]);
});

test("the order carries the call's own names", () => {
  const proxy = new ProxyDriver();
  const [inspect] = proxy.receive(request({ body: "sealed offer" }));
  assert.ok(inspect?.kind === "inspect");
  const body = opened(inspect.message, ALICE, sdp({}));
  const firstKey = { cek: new Secret(Buffer.alloc(32)), cipher: "aes-256-gcm" } as const;
  const inspection = { kind: "opened", body, firstKey } as const;
  const [put] = proxy.feed({ kind: "inspected", call: inspect.call, ref: inspect.ref, inspection });
  assert.ok(put?.kind === "put");
  assert.deepEqual(put.order, {
    callId: "c1@atlanta.example.com",
    from: ALICE,
    to: BOB,
    startedAt: NOW,
  });
  assert.match(
    put.put.recording,
    /^[\da-f]{8}-[\da-f]{4}-4[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/,
  );
});

test("an INVITE of a call that is being placed is a loop", () => {
  const proxy = new ProxyDriver();
  proxy.receive(request({ body: "sealed offer" }));
  assert.equal(statusOf(proxy.receive(request({ body: "sealed offer" }))), 482);
});

test("no more calls than the limit", () => {
  const proxy = new ProxyDriver({ maxCalls: 1 });
  proxy.receive(request());
  const effects = proxy.receive(request({ callId: "c2@atlanta.example.com" }));
  const [answer] = responsesOf(effects);
  assert.equal(answer?.response.status, 503);
  assert.match(headerValue(answer?.response ?? request(), "Retry-After") ?? "", /^\d+$/);
});

const LABELLED: readonly [
  name: string,
  rows: readonly string[],
  body: string,
  status: number | "inspected",
][] = [
  ["and a sealed body", [LABEL], "sealed", "inspected"],
  [
    "and a sealed body of the same Content-ID",
    [LABEL, "Content-ID: <1@atlanta.example.com>"],
    "sealed",
    "inspected",
  ],
  [
    "for another Content-ID than the body's",
    [LABEL, "Content-ID: <2@atlanta.example.com>"],
    "sealed",
    403,
  ],
  ["and no body", [LABEL], "", 403],
  ["and SDP in clear", [LABEL, "Content-Type: application/sdp"], "v=0", 403],
  ["and a body of another kind", [LABEL, "Content-Type: multipart/mixed;boundary=x"], "--x--", 496],
  ["that is malformed", ["Proxy-Inspect-Body: ss1.atlanta.example.com"], "sealed", 400],
  [
    "for another proxy",
    [LABEL.replace("ss1", "ss2"), "Content-Type: text/plain"],
    "whatever",
    "inspected",
  ],
];

for (const [name, rows, body, expected] of LABELLED)
  test(`a label ${name}: ${expected}`, () => {
    const effects = new ProxyDriver().receive(request({ rows, body }));
    if (expected === "inspected") assert.equal(statusOf(effects), undefined);
    else assert.equal(statusOf(effects), expected);
  });

test("a labelled body that is not for us gets 496, our certificate and warn-code 380", () => {
  const proxy = new ProxyDriver();
  const [inspect] = proxy.receive(request({ rows: [LABEL], body: "sealed" }));
  assert.ok(inspect?.kind === "inspect");
  const inspection = { kind: "failed", code: "ERR_CMS_NO_RECIPIENT" } as const;
  const effects = proxy.feed({
    kind: "inspected",
    call: inspect.call,
    ref: inspect.ref,
    inspection,
  });
  const [answer] = responsesOf(effects);
  assert.equal(answer?.response.status, 496);
  assert.equal(headerValue(answer.response, "Content-Type"), "application/pkix-cert");
  assert.deepEqual(answer.response.body, CERTIFICATE);
  assert.equal(
    headerValue(answer.response, "Warning"),
    `380 ss1.atlanta.example.com "Required to View Content-Type 'application/sdp'"`,
  );
});

test("the result for a call that is forgotten is thrown away, its key wiped", () => {
  const proxy = new ProxyDriver();
  const firstKey = { cek: new Secret(Buffer.alloc(32)), cipher: "aes-256-gcm" } as const;
  const body = { signer: [], sipfrag: [], sdp: Buffer.alloc(0) };
  const inspection = { kind: "opened", body, firstKey } as const;
  assert.deepEqual(proxy.feed({ kind: "inspected", call: "gone", ref: "invite", inspection }), []);
  assert.throws(() => firstKey.cek.expose(), RangeError);
});

test("provisional and final responses go back without our Via; 100 stays here", () => {
  const proxy = new ProxyDriver();
  const [sent] = requestsOf(proxy.receive(request(), FROM_ALICE, "key-1"));
  const invite = sent?.request ?? request();
  assert.deepEqual(proxy.reply(invite, 100), []);
  const [ringing] = responsesOf(proxy.reply(invite, 180));
  assert.equal(ringing?.key, "key-1");
  assert.equal(headerValues(ringing.response, "Via").length, 1);
  const [final] = responsesOf(proxy.reply(invite, 503));
  assert.equal(final?.response.status, 500);
});

test("a next hop that cannot be reached answers 500, one that says nothing 408", () => {
  for (const [reason, status] of [
    ["transport", 500],
    ["timeout", 408],
  ] as const) {
    const proxy = new ProxyDriver();
    const [sent] = requestsOf(proxy.receive(request()));
    const branch = /branch=([^;]+)/.exec(headerValue(sent?.request ?? request(), "Via") ?? "")?.[1];
    const key = `c|${branch}|INVITE`;
    assert.equal(statusOf(proxy.feed({ kind: "failed", side: "client", key, reason })), status);
    assert.deepEqual(proxy.feed({ kind: "failed", side: "client", key: "c|x|INVITE", reason }), []);
  }
});

test("CANCEL reaches the INVITE that went on; so does the loss of the caller's connection", () => {
  for (const input of [
    { kind: "deliver-cancel", key: "key-1", request: request({ method: "CANCEL" }), ...FROM_ALICE },
    { kind: "failed", side: "server", key: "key-1", reason: "transport" },
  ] as const) {
    const proxy = new ProxyDriver();
    proxy.receive(request(), FROM_ALICE, "key-1");
    const [effect] = proxy.feed(input);
    assert.ok(effect?.kind === "transaction" && effect.input.kind === "cancel");
    assert.deepEqual(proxy.feed({ ...input, key: "key-9" }), []);
  }
});

test("the ACK of a 2xx goes the way its route says, the body untouched", () => {
  const proxy = new ProxyDriver();
  const [sent] = requestsOf(proxy.receive(request()));
  proxy.reply(sent?.request ?? request(), 200);
  const rows = [
    "Route: <sip:10.10.0.1:5061;transport=tls;lr>, <sip:10.30.0.1:5060;transport=tcp;lr>",
    "Route: <sip:10.30.0.2:5060;transport=tcp;lr>",
  ];
  const effects = proxy.receive(inDialog("ACK", { rows }));
  const [ack] = requestsOf(effects);
  assert.deepEqual(ack?.to, { transport: "tcp", address: "10.30.0.2", port: 5060 });
  assert.deepEqual(headerValues(ack.request, "Route"), ["<sip:10.30.0.2:5060;transport=tcp;lr>"]);
  assert.ok(
    effects.some((effect) => effect.kind === "report" && effect.event === "call-confirmed"),
  );
});

test("a request of a dialog without further route goes straight to the callee's contact", () => {
  const proxy = new ProxyDriver();
  proxy.placePlain();
  const [sent] = requestsOf(proxy.receive(inDialog("BYE")));
  assert.deepEqual(sent?.to, { transport: "tcp", address: "10.20.0.2", port: 5060 });
});

const BAD_TARGETS = [
  "sip:bob@10.10.0.9:5060;transport=tcp",
  "sip:bob@10.30.0.1:5060;transport=tcp",
  "sip:bob@127.0.0.1:5060;transport=tcp",
  "sip:bob@10.20.0.2;transport=udp",
];
for (const uri of BAD_TARGETS)
  test(`a request of a dialog goes nowhere inside, to ourselves or by a transport of nobody: ${uri}`, () => {
    const proxy = new ProxyDriver();
    proxy.placePlain();
    assert.equal(statusOf(proxy.receive(inDialog("INFO", { uri }))), 480);
    assert.deepEqual(proxy.receive(inDialog("ACK", { uri })), []);
  });

test("a name in a dialog is not looked up: it goes down the connection that bob answered by", () => {
  const proxy = new ProxyDriver();
  proxy.placePlain();
  const uri = "sip:bob@somewhere.example.com";
  assert.equal(requestsOf(proxy.receive(inDialog("INFO", { uri })))[0]?.to, "flow-biloxi");
  assert.equal(requestsOf(proxy.receive(inDialog("ACK", { uri })))[0]?.to, "flow-biloxi");
});

test("bob's requests go down alice's own connection", () => {
  const proxy = new ProxyDriver();
  proxy.placePlain();
  const [sent] = requestsOf(proxy.receive(inDialog("INFO", fromBob), FROM_BILOXI));
  assert.equal(sent?.to, "flow-alice");
  assert.match(headerValue(sent.request, "Via") ?? "", /^SIP\/2.0\/TLS 10\.10\.0\.1:5061/);
});

test("alice may come back on another connection, and is found there", () => {
  const proxy = new ProxyDriver();
  proxy.placePlain();
  proxy.receive(inDialog("INFO"), peerWith(FROM_ALICE, { port: 40_001 }, "flow-again"));
  const [sent] = requestsOf(proxy.receive(inDialog("INFO", fromBob), FROM_BILOXI));
  assert.equal(sent?.to, "flow-again");
});

for (const side of ["alice", "bob"] as const)
  test(`BYE from ${side} closes the session before it goes on`, () => {
    const proxy = new ProxyDriver();
    proxy.answerSealed();
    const effects =
      side === "alice"
        ? proxy.receive(inDialog("BYE"))
        : proxy.receive(inDialog("BYE", fromBob), FROM_BILOXI);
    assert.deepEqual(kinds(effects), ["close", "report", "transaction", "forget-call"]);
    assert.equal(requestsOf(effects)[0]?.request.method, "BYE");
  });

test("bob's own connection serves as well as his proxy's, once his Contact named its address", () => {
  const direct = peerWith(FROM_BILOXI, { address: "10.20.0.2" }, "flow-bob");
  const proxy = new ProxyDriver();
  proxy.placePlain();
  assert.equal(requestsOf(proxy.receive(inDialog("BYE", fromBob), direct)).length, 1);
  const other = new ProxyDriver();
  const [sent] = requestsOf(other.receive(request()));
  other.reply(sent?.request ?? request(), 200, ["Contact: <tel:+1234>"]);
  assert.equal(statusOf(other.receive(inDialog("BYE", fromBob), direct)), 403);
});

test("BYE with other tags, or from somebody else, closes nothing and goes nowhere", () => {
  const strangers: readonly [
    name: string,
    effects: (proxy: ProxyDriver) => number | undefined,
    status: number,
  ][] = [
    [
      "unknown To tag",
      (p) => statusOf(p.receive(inDialog("BYE", { to: "<sip:bob@biloxi.example.com>;tag=b2" }))),
      481,
    ],
    [
      "unknown From tag",
      (p) =>
        statusOf(p.receive(inDialog("BYE", { from: "<sip:alice@atlanta.example.com>;tag=a2" }))),
      481,
    ],
    [
      "other Call-ID",
      (p) => statusOf(p.receive(inDialog("BYE", { callId: "c9@atlanta.example.com" }))),
      481,
    ],
    ["alice's from biloxi", (p) => statusOf(p.receive(inDialog("BYE"), FROM_BILOXI)), 403],
    ["bob's from alice", (p) => statusOf(p.receive(inDialog("BYE", fromBob))), 403],
    ["bob's from nobody", (p) => statusOf(p.receive(inDialog("BYE", fromBob), FROM_NOBODY)), 403],
    ["alice's from nobody", (p) => statusOf(p.receive(inDialog("BYE"), FROM_NOBODY)), 407],
    [
      "alice's by another user",
      (p) =>
        statusOf(
          p.receive(
            inDialog("BYE"),
            peerWith(FROM_ALICE, { identities: ["sip:eve@atlanta.example.com"] }, "flow-eve"),
          ),
        ),
      403,
    ],
    [
      "alice's by no SIP identity",
      (p) =>
        statusOf(
          p.receive(inDialog("BYE"), peerWith(FROM_ALICE, { identities: ["urn:x"] }, "flow-eve")),
        ),
      403,
    ],
  ];
  for (const [name, drive, status] of strangers) {
    const proxy = new ProxyDriver();
    proxy.answerSealed();
    assert.equal(drive(proxy), status, name);
    assert.deepEqual(
      kinds(proxy.receive(inDialog("BYE"))),
      ["close", "report", "transaction", "forget-call"],
      name,
    );
  }
});

test("a stray ACK is dropped", () => {
  const proxy = new ProxyDriver();
  assert.deepEqual(proxy.receive(request({ method: "ACK" })), []);
  assert.deepEqual(proxy.receive(inDialog("ACK")), []);
  proxy.placePlain();
  assert.deepEqual(proxy.receive(inDialog("ACK"), FROM_NOBODY), []);
});

test("a plain call may be changed, and the CANCEL of that finds its way", () => {
  const proxy = new ProxyDriver();
  proxy.placePlain();
  const [sent] = requestsOf(proxy.receive(inDialog("INVITE"), FROM_ALICE, "key-2"));
  const again = sent?.request ?? request();
  const cancel = request({ method: "CANCEL" });
  const [effect] = proxy.feed({
    kind: "deliver-cancel",
    key: "key-2",
    request: cancel,
    ...FROM_ALICE,
  });
  assert.ok(effect?.kind === "transaction" && effect.input.kind === "cancel");
  assert.equal(statusOf(proxy.reply(again, 180)), 180);
  assert.equal(statusOf(proxy.reply(again, 200)), 200);
  assert.equal(statusOf(proxy.reply(again, 200)), 200);
  proxy.now += ACCEPTED_MS;
  proxy.feed({ kind: "tick" });
  assert.deepEqual(proxy.reply(again, 200), []);
});

for (const status of [481, 408])
  test(`a ${status} to a request of a dialog ends it`, () => {
    const proxy = new ProxyDriver();
    proxy.answerSealed();
    const [sent] = requestsOf(proxy.receive(inDialog("INFO")));
    const effects = proxy.reply(sent?.request ?? request(), status);
    assert.deepEqual(kinds(effects), ["close", "report", "transaction", "forget-call"]);
    assert.equal(statusOf(effects), status);
  });

test("a 500 to a request of a dialog does not", () => {
  const proxy = new ProxyDriver();
  proxy.answerSealed();
  const [sent] = requestsOf(proxy.receive(inDialog("INFO")));
  assert.deepEqual(kinds(proxy.reply(sent?.request ?? request(), 500)), ["transaction"]);
});

test("MESSAGE outside a dialog goes to its route and is forgotten with its final response", () => {
  const proxy = new ProxyDriver();
  const [sent] = requestsOf(proxy.receive(request({ method: "MESSAGE", body: "sealed" })));
  assert.deepEqual(sent?.to, { transport: "tcp", address: "10.30.0.2", port: 5060 });
  assert.deepEqual(headerValues(sent.request, "Record-Route"), []);
  assert.equal(statusOf(proxy.reply(sent.request, 200)), 200);
  assert.deepEqual(proxy.reply(sent.request, 200), []);
});

const TURNED_AWAY: readonly [
  name: string,
  received: Parameters<typeof request>[0],
  status: number,
][] = [
  ["Max-Forwards 0", { rows: ["Max-Forwards: 0"] }, 483],
  ["an unknown Proxy-Require", { rows: ["Proxy-Require: magic"] }, 420],
  ["a tel URI", { uri: "tel:+1234" }, 416],
  ["a domain without route", { uri: "sip:bob@chicago.example.com" }, 404],
  ["an address without route", { uri: "sip:bob@10.20.0.2" }, 404],
  ["one of our users, known", { uri: "sip:dave@atlanta.example.com" }, 480],
  ["one of our users, unknown", { uri: "sip:zoe@atlanta.example.com" }, 404],
  ["MESSAGE to nobody but us", { method: "MESSAGE", uri: "sip:atlanta.example.com" }, 405],
  ["a dialog that is none", { method: "BYE", to: "<sip:bob@biloxi.example.com>;tag=b1" }, 481],
  ["no From tag", { from: "<sip:alice@atlanta.example.com>" }, 400],
];

for (const [name, received, status] of TURNED_AWAY)
  test(`${name}: ${status}, in the log by the digest of its Call-ID alone`, () => {
    const effects = new ProxyDriver().receive(request(received));
    assert.equal(statusOf(effects), status);
    assert.deepEqual(requestsOf(effects), []);
    const [told] = effects;
    assert.ok(told?.kind === "turned-away" && /^[0-9a-f]{12}$/.test(told.call));
  });

test("OPTIONS to the proxy itself is answered, by name, domain and address", () => {
  for (const uri of [
    "sip:ss1.atlanta.example.com",
    "sip:atlanta.example.com",
    "sip:10.10.0.1:5061;transport=tls",
  ]) {
    const [answer] = responsesOf(new ProxyDriver().receive(request({ method: "OPTIONS", uri })));
    assert.equal(answer?.response.status, 200, uri);
    assert.match(headerValue(answer.response, "Allow") ?? "", /INVITE/);
  }
});

test("what comes back by a loop is refused", () => {
  const proxy = new ProxyDriver();
  const [sent] = requestsOf(proxy.receive(request({ method: "MESSAGE" })));
  const back = { ...(sent?.request ?? request()) };
  assert.equal(statusOf(proxy.receive(back)), 482);
});

test("sessions find their call: lost ones, and recordings refused late", () => {
  const proxy = new ProxyDriver();
  const [inspect] = proxy.receive(request());
  assert.ok(inspect?.kind === "transaction");
  assert.deepEqual(proxy.feed({ kind: "session-lost", session: "s" }), []);
  assert.deepEqual(proxy.feed({ kind: "recording-refused", session: "s" }), []);
  assert.deepEqual(
    proxy.feed({ kind: "put-result", session: "s", revision: 1, result: APPLIED }),
    [],
  );
});

test("a call is forgotten a while after its end, and a new one may use its Call-ID before", () => {
  const proxy = new ProxyDriver();
  proxy.answerSealed();
  proxy.receive(inDialog("BYE"));
  assert.equal(proxy.core.callCount, 1);
  assert.equal(statusOf(proxy.receive(request({ cseq: 9 }))), undefined);
  assert.equal(proxy.core.callCount, 2);
  assert.equal(proxy.core.deadline(), NOW + LINGER_MS);
  proxy.now += LINGER_MS;
  proxy.feed({ kind: "tick" });
  assert.equal(proxy.core.callCount, 1);
});

test("an unanswered inspection is refused at its time", () => {
  const proxy = new ProxyDriver();
  proxy.receive(request({ body: "sealed offer" }));
  proxy.now = proxy.core.deadline() ?? 0;
  assert.equal(statusOf(proxy.feed({ kind: "tick" })), 500);
});

test("what the transaction layer dropped is counted by its reason", () => {
  const [effect] = new ProxyDriver().feed({ kind: "dropped", reason: "stray-response" });
  assert.deepEqual(effect, { kind: "dropped", reason: "stray-response" });
});

test("a route whose transport nobody listens on any more answers 500", () => {
  const proxy = new ProxyDriver({ sip: { ...SIP, listeners: SIP.listeners.slice(0, 1) } });
  assert.equal(statusOf(proxy.receive(request())), 500);
  assert.equal(statusOf(proxy.receive(request({ method: "MESSAGE" }))), 500);
});
