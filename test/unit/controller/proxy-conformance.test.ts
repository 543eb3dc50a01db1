/**
 * The controller as any proxy, judged from the wire: RFC 3261 §16.3 to §16.11 item by item, and
 * what RFC 3263, 3327, 5393, 5626, 5658, 6026 and 4028 add.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { canonicalName } from "../../../protocol/sip/header-name.ts";
import {
  firstValue,
  headerRows,
  headerValue,
  headerValues,
  type SipRequest,
  withHeader,
} from "../../../protocol/sip/message.ts";
import {
  answer,
  atPhone,
  branchOf,
  FROM_CAROL,
  FROM_CARRIER,
  FROM_PBX,
  flowOf,
  onlyRequest,
  onlyResponse,
  POLICY,
  phone,
  request,
  type Sent,
  type Sketch,
  Wire,
  words,
} from "./wire-fixture.ts";

const TO_PBX = FROM_PBX.flow;
const A = flowOf("a");
const B = flowOf("b");
const C = flowOf("c");
const T1_64 = 32_000;

/** One INVITE for bob's phones, and what went to each. */
function ring(wire: Wire, sketch: Sketch = {}) {
  const invite = request("INVITE", sketch);
  const sent = wire.receive(invite, FROM_PBX);
  const toPhone = (name: string): SipRequest => {
    const found = sent.find(({ to, message }) => to === flowOf(name) && message.kind === "request");
    assert.ok(found?.message.kind === "request", `an INVITE for ${name} among ${words(sent)}`);
    return found.message;
  };
  return { invite, sent, toPhone };
}

/** To a request of a method, from the trunk to bob's only phone: what leaves. */
function forwarded(method: string, sketch: Sketch = {}): SipRequest {
  const wire = new Wire([phone("a")]);
  return onlyRequest(wire.receive(request(method, sketch), FROM_PBX), method);
}

// §16.3 Request validation

const REFUSED: readonly (readonly [
  what: string,
  method: string,
  sketch: Sketch,
  status: number,
])[] = [
  ["3: no hops left", "INVITE", { maxForwards: "0" }, 483],
  ["2: a scheme nobody knows", "INVITE", { uri: "nobody:knows" }, 416],
  ["5: an extension nobody knows", "INVITE", { rows: ["Proxy-Require: teleport"] }, 420],
  ["16.5: nobody of ours", "INVITE", { uri: "sip:nobody@example.com" }, 404],
  ["16.5: no domain of ours", "INVITE", { uri: "sip:carol@elsewhere.example" }, 404],
  ["no breadth left (RFC 5393 5.3)", "INVITE", { rows: ["Max-Breadth: 0"] }, 440],
];

for (const [what, method, sketch, status] of REFUSED)
  test(`16.3 item ${what}: ${status}`, () => {
    const wire = new Wire([phone("a")]);
    const refusal = onlyResponse(wire.receive(request(method, sketch), FROM_PBX));
    assert.equal(refusal.status, status);
    assert.match(headerValue(refusal, "To") ?? "", /;tag=/);
  });

test("16.3 item 5: what is not supported is named", () => {
  const wire = new Wire([phone("a")]);
  const invite = request("INVITE", { rows: ["Proxy-Require: teleport, warp"] });
  const refusal = onlyResponse(wire.receive(invite, FROM_PBX));
  assert.deepEqual(headerValues(refusal, "Unsupported"), ["teleport", "warp"]);
});

test("16.5: a user without phones is not there: 480", () => {
  const refusal = onlyResponse(new Wire().receive(request("INVITE"), FROM_PBX));
  assert.equal(refusal.status, 480);
});

test("16.3 item 4: a request that comes back unchanged has looped: 482", () => {
  const policy = { uri: "sip:x@carrier.example" };
  const wire = new Wire();
  const left = onlyRequest(wire.receive(request("MESSAGE", policy), FROM_PBX), "MESSAGE");
  const via = "SIP/2.0/UDP 10.0.0.20:5060;branch=z9hG4bKround";
  const back = { ...left, headers: [{ name: "Via", value: via }, ...left.headers] };
  assert.equal(onlyResponse(wire.receive(back, FROM_PBX)).status, 482);
});

// §16.4 Route information

test("16.4: our own Route comes off, others stay", () => {
  const wire = new Wire();
  const rows = ["Route: <sip:10.0.0.1;lr>, <sip:192.0.2.20;lr>", "Route: <sip:far.example;lr>"];
  const sent = wire.receive(request("MESSAGE", { uri: "sip:x@far.example", rows }), FROM_PBX);
  assert.equal(words(sent), "MESSAGE>udp 192.0.2.20:5060");
  const routes = headerValues(onlyRequest(sent, "MESSAGE"), "Route");
  assert.deepEqual(routes, ["<sip:192.0.2.20;lr>", "<sip:far.example;lr>"]);
});

test("16.4, RFC 5658: both Routes of a double Record-Route come off", () => {
  const rows = [
    "Route: <sip:10.0.0.1:5060;transport=tcp;lr>",
    "Route: <sip:10.0.0.1:5060;transport=udp;lr>",
  ];
  const left = forwarded("MESSAGE", { rows });
  assert.deepEqual(headerValues(left, "Route"), []);
});

test("16.4: what a strict router did is undone", () => {
  const rows = ["Route: <sip:bob@example.com>"];
  const left = forwarded("MESSAGE", { uri: "sip:10.0.0.1:5060;lr", rows });
  assert.equal(left.uri, phone("a").contact);
  assert.deepEqual(headerValues(left, "Route"), []);
});

test("16.4: maddr that is us comes off, and what it was needed for", () => {
  const uri = "sip:bob@example.com:5060;maddr=10.0.0.1;transport=udp";
  const wire = new Wire([phone("a")]);
  assert.equal(words(wire.receive(request("MESSAGE", { uri }), FROM_PBX)), `MESSAGE>${A}`);
});

// §16.6 Request forwarding

test("16.6 item 1: body, header fields and their order stay as they came", () => {
  const rows = [
    "Content-Type: application/sdp",
    "X-Unknown:  spaced   out ",
    "Subject: first",
    "x-unknown: again",
    "s: second",
    "Supported: timer, 100rel",
  ];
  const body = "v=0\r\no=- 1 1 IN IP4 10.0.0.20\r\ns=\u0000-\r\n";
  const sketch = { rows, body };
  const came = request("MESSAGE", sketch);
  const left = onlyRequest(new Wire([phone("a")]).receive(came, FROM_PBX), "MESSAGE");
  assert.deepEqual(left.body, came.body);
  const added = new Set(["via", "max-forwards", "max-breadth"]);
  const kept = ({ headers }: SipRequest) =>
    headers.filter(({ name }) => !added.has(canonicalName(name)));
  assert.deepEqual(kept(left), kept(came));
});

test("16.6 item 2: the contact becomes the Request-URI", () => {
  assert.equal(forwarded("MESSAGE").uri, phone("a").contact);
});

for (const [came, leaves] of [
  ["70", "69"],
  ["1", "0"],
  [undefined, "70"],
] as const)
  test(`16.6 item 3: Max-Forwards ${came} becomes ${leaves}`, () =>
    assert.equal(headerValue(forwarded("MESSAGE", { maxForwards: came }), "Max-Forwards"), leaves));

const RECORDED = ["INVITE", "SUBSCRIBE", "REFER", "NEWMETHOD"];
for (const method of RECORDED)
  test(`16.6 item 4: ${method} is recorded with lr, before other Record-Routes`, () => {
    const left = forwarded(method, { rows: ["Record-Route: <sip:pbx.example;lr>"] });
    assert.deepEqual(headerValues(left, "Record-Route"), [
      "<sip:10.0.0.1:5060;transport=udp;lr>",
      "<sip:pbx.example;lr>",
    ]);
  });

for (const method of ["MESSAGE", "OPTIONS", "PUBLISH"])
  test(`16.6 item 4: ${method} makes no dialog and is not recorded`, () =>
    assert.deepEqual(headerValues(forwarded(method), "Record-Route"), []));

test("RFC 5658: between two networks both sides are recorded, where it leaves on top", () => {
  const sent = new Wire().receive(request("INVITE", { uri: "sip:1@carrier.example" }), FROM_PBX);
  assert.deepEqual(headerValues(onlyRequest(sent, "INVITE"), "Record-Route"), [
    "<sip:192.0.2.1:5060;transport=udp;lr>",
    "<sip:10.0.0.1:5060;transport=udp;lr>",
  ]);
});

/** Bob's phone reached over TLS by what its contact says. */
function overTls(contact: string) {
  const { flow: _, ...rest } = phone("a", { contact });
  return { ...rest, received: { transport: "tls", address: "10.0.0.99", port: 5061 } } as const;
}

for (const [what, uri, contact] of [
  ["came", "sips:bob@example.com", "sips:bob@10.0.0.99:5061"],
  ["came in capitals", "SIPS:bob@example.com", "sips:bob@10.0.0.99:5061"],
  ["leaves", "sip:bob@example.com", "sips:bob@10.0.0.99:5061"],
] as const)
  test(`16.6 item 4: a SIPS Request-URI that ${what} makes a SIPS Record-Route`, () => {
    const sent = new Wire([overTls(contact)]).receive(request("INVITE", { uri }), FROM_PBX);
    const routes = headerValues(onlyRequest(sent, "INVITE"), "Record-Route");
    assert.match(routes[0] ?? "", /^<sips:/);
  });

test("16.6 item 6: a next hop that routes strictly gets itself as Request-URI", () => {
  const wire = new Wire();
  const uri = "sip:x@far.example";
  const rows = ["Route: <sip:192.0.2.20>, <sip:far.example;lr>"];
  const left = onlyRequest(wire.receive(request("MESSAGE", { uri, rows }), FROM_PBX), "MESSAGE");
  assert.equal(left.uri, "sip:192.0.2.20");
  assert.deepEqual(headerValues(left, "Route"), ["<sip:far.example;lr>", `<${uri}>`]);
});

test("RFC 3327 5.3: the Path of a contact is its Route", () => {
  const path = ["<sip:10.0.0.98;lr>", "<sip:10.0.0.97;lr>"];
  const { flow: _, ...rest } = phone("a", { path, direct: false });
  const sent = new Wire([rest]).receive(request("MESSAGE"), FROM_PBX);
  assert.equal(words(sent), "MESSAGE>udp 10.0.0.98:5060");
  assert.deepEqual(headerValues(onlyRequest(sent, "MESSAGE"), "Route"), path);
});

test("16.6 item 8: a Via of ours on top, each branch of a fork with its own", () => {
  const { sent } = ring(new Wire([phone("a"), phone("b")]));
  const vias = sent.map(({ message }) => firstValue(message, "Via") ?? "");
  assert.equal(vias.length, 2);
  for (const via of vias) assert.match(via, /^SIP\/2\.0\/UDP 10\.0\.0\.1:5060;branch=z9hG4bK/);
  assert.equal(new Set(sent.map(({ message }) => branchOf(message))).size, 2);
});

test("RFC 5393 5.3: breadth is shared among the branches, and added where it is missing", () => {
  const breadths = (rows: readonly string[]) =>
    ring(new Wire([phone("a"), phone("b")]), { rows }).sent.map(({ message }) =>
      headerValue(message, "Max-Breadth"),
    );
  assert.deepEqual(breadths(["Max-Breadth: 5"]), ["3", "2"]);
  assert.deepEqual(breadths([]), ["30", "30"]);
});

test("RFC 5393 5.3: too little breadth for all branches: 440", () => {
  const { sent } = ring(new Wire([phone("a"), phone("b")]), { rows: ["Max-Breadth: 1"] });
  assert.equal(onlyResponse(sent).status, 440);
});

// §16.7 Response processing

test("16.7 items 3 and 5: 100 stays here; 1xx and 2xx pass at once without our Via", () => {
  const wire = new Wire([phone("a")]);
  const { invite, toPhone } = ring(wire);
  assert.equal(words(wire.receive(answer(toPhone("a"), 100), atPhone("a"))), "");
  for (const status of [180, 183, 199]) {
    const passed = onlyResponse(wire.receive(answer(toPhone("a"), status), atPhone("a")));
    assert.equal(passed.status, status);
    assert.deepEqual(headerValues(passed, "Via").length, headerRows(invite, "Via").length);
  }
  const passed = onlyResponse(wire.receive(answer(toPhone("a"), 200), atPhone("a")));
  assert.match(headerValue(passed, "To") ?? "", /;tag=bob$/);
});

test("16.7 items 5 and 10: the first 2xx cancels the others; theirs, if late, pass all the same", () => {
  const wire = new Wire([phone("a"), phone("b"), phone("c")]);
  const { toPhone } = ring(wire);
  for (const name of ["a", "b"]) wire.receive(answer(toPhone(name), 180, [], name), atPhone(name));
  const answered = wire.receive(answer(toPhone("a"), 200, [], "a"), atPhone("a"));
  assert.equal(words(answered), `200>${TO_PBX}, CANCEL>${B}`);
  assert.equal(reasonOf(answered), 'SIP ;cause=200 ;text="Call completed elsewhere"');
  assert.equal(
    words(wire.receive(answer(toPhone("c"), 180, [], "c"), atPhone("c"))),
    `CANCEL>${C}`,
  );
  const late = wire.receive(answer(toPhone("b"), 200, [], "b"), atPhone("b"));
  assert.equal(words(late), `200>${TO_PBX}`);
  const cancelled = wire.receive(answer(toPhone("c"), 487, [], "c"), atPhone("c"));
  assert.equal(words(cancelled), `ACK>${C}`);
});

/** Both phones answer; what comes upstream. */
function bothAnswer(first: number, second: number, rows: readonly string[] = []) {
  const wire = new Wire([phone("a"), phone("b")]);
  const { toPhone } = ring(wire);
  const before = wire.receive(answer(toPhone("a"), first, rows, "a"), atPhone("a"));
  assert.equal(words(before), `ACK>${A}`);
  return onlyResponse(wire.receive(answer(toPhone("b"), second, rows, "b"), atPhone("b")));
}

for (const [first, second, best] of [
  [486, 404, 486],
  [404, 500, 404],
  [480, 302, 302],
  [486, 407, 407],
  [486, 484, 484],
  [503, 486, 486],
  [503, 503, 500],
] as const)
  test(`16.7 item 6: of ${first} and ${second}, ${best} goes up`, () =>
    assert.equal(bothAnswer(first, second).status, best));

test("16.7 item 7: all challenges go up together", () => {
  const both = bothAnswer(407, 401, [
    'Proxy-Authenticate: Digest realm="p"',
    'WWW-Authenticate: Digest realm="w"',
  ]);
  assert.equal(both.status, 407);
  assert.equal(headerValues(both, "Proxy-Authenticate").length, 2);
  assert.equal(headerValues(both, "WWW-Authenticate").length, 2);
});

test("16.7 item 5: 6xx cancels the others and wins once they have ended", () => {
  const wire = new Wire([phone("a"), phone("b")]);
  const { toPhone } = ring(wire);
  wire.receive(answer(toPhone("b"), 180, [], "b"), atPhone("b"));
  const declined = wire.receive(answer(toPhone("a"), 603, [], "a"), atPhone("a"));
  assert.equal(words(declined), `ACK>${A}, CANCEL>${B}`);
  assert.equal(reasonOf(declined), 'SIP ;cause=603 ;text="Declined"');
  const ended = wire.receive(answer(toPhone("b"), 487, [], "b"), atPhone("b"));
  assert.equal(words(ended), `ACK>${B}, 603>${TO_PBX}`);
});

test("16.7 item 6: nobody answers: 408 after Timer B", () => {
  const wire = new Wire([phone("a")]);
  ring(wire);
  const sent = wire.pass(T1_64 + 1);
  const finals = sent.filter(({ message }) => message.kind === "response" && message.status >= 200);
  assert.equal(words(finals).split(",")[0], `408>${TO_PBX}`);
});

test("RFC 3261 16.6 item 11, 16.8: Timer C cancels a phone that rings on", () => {
  const wire = new Wire([phone("a")]);
  const { toPhone } = ring(wire);
  wire.receive(answer(toPhone("a"), 180), atPhone("a"));
  assert.equal(words(wire.pass(180_000)), "");
  assert.match(words(wire.pass(30_000)), /^CANCEL>/);
});

test("RFC 6026 8.7: a response that answers nothing of ours goes nowhere", () => {
  const wire = new Wire([phone("a")]);
  const stranger = request("INVITE", { via: "SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKnever" });
  assert.equal(words(wire.receive(answer(stranger, 200), atPhone("a"))), "");
});

test("RFC 6026 7: the 2xx comes again and passes again; the INVITE again is swallowed", () => {
  const wire = new Wire([phone("a")]);
  const { invite, toPhone } = ring(wire);
  const ok = answer(toPhone("a"), 200);
  for (let time = 0; time < 3; time += 1)
    assert.equal(words(wire.receive(ok, atPhone("a"))), `200>${TO_PBX}`);
  assert.equal(words(wire.receive(invite, FROM_PBX)), "");
});

test("16.7: what is no INVITE forks as well; the first 2xx is the last word", () => {
  const wire = new Wire([phone("a"), phone("b")]);
  const message = request("MESSAGE");
  const sent = wire.receive(message, FROM_PBX);
  assert.equal(words(sent), `MESSAGE>${A}, MESSAGE>${B}`);
  const [first, second] = sent.map(({ message: each }) => each);
  assert.ok(first?.kind === "request" && second?.kind === "request");
  assert.equal(words(wire.receive(answer(first, 200), atPhone("a"))), `200>${TO_PBX}`);
  assert.equal(words(wire.receive(answer(second, 200), atPhone("b"))), "");
});

// §16.6 items 5 to 7, §16.9: order, failover

test("16.6: contacts of lower q are asked when those of higher q have refused", () => {
  const wire = new Wire([phone("b", { q: 0.5 }), phone("a"), phone("c", { q: 0.1 })]);
  const { sent, toPhone } = ring(wire);
  assert.equal(words(sent), `INVITE>${A}`);
  assert.equal(
    words(wire.receive(answer(toPhone("a"), 486), atPhone("a"))),
    `ACK>${A}, INVITE>${B}`,
  );
});

const NAMED = "sip:sip.named.example;transport=udp";
const server = (address: string) => ({ transport: "udp", address, port: 5060 }) as const;
const DNS = { [NAMED]: [server("192.0.2.31"), server("192.0.2.32")] };

function callNamed(wire: Wire): Sent {
  const [sent] = wire.receive(request("INVITE", { uri: "sip:1@named.example" }), FROM_PBX);
  assert.ok(sent !== undefined);
  return sent;
}

test("RFC 3263 4.3: the next server is asked when one cannot be reached, says 503 or nothing", () => {
  const unreachable = new Wire([], { dns: DNS });
  const first = callNamed(unreachable);
  assert.equal(words([first]), "INVITE>udp 192.0.2.31:5060");
  assert.equal(words(unreachable.fail(first)), "INVITE>udp 192.0.2.32:5060");

  const tired = new Wire([], { dns: DNS });
  const asked = callNamed(tired).message;
  assert.ok(asked.kind === "request");
  assert.match(
    words(tired.receive(answer(asked, 503), FROM_CARRIER)),
    /INVITE>udp 192\.0\.2\.32:5060$/,
  );

  const silent = new Wire([], { dns: DNS });
  callNamed(silent);
  assert.match(words(silent.pass(T1_64 + 1)), /INVITE>udp 192\.0\.2\.32:5060/);
});

test("RFC 3263 4.3: the branch at the next server is another", () => {
  const wire = new Wire([], { dns: DNS });
  const first = callNamed(wire);
  const [second] = wire.fail(first);
  assert.ok(second !== undefined);
  assert.notEqual(branchOf(first.message), branchOf(second.message));
});

test("RFC 3263 4.3: a server known to be dead is not asked first again", () => {
  const wire = new Wire([], { dns: DNS });
  wire.fail(callNamed(wire));
  assert.equal(words([callNamed(wire)]), "INVITE>udp 192.0.2.32:5060");
});

test("16.9: no server can be reached: 500", () => {
  const wire = new Wire([], { dns: DNS });
  const [second] = wire.fail(callNamed(wire));
  assert.ok(second !== undefined);
  assert.equal(onlyResponse(wire.fail(second)).status, 500);
});

test("a name that DNS does not know: an answer at once", () => {
  const sent = new Wire().receive(request("INVITE", { uri: "sip:1@named.example" }), FROM_PBX);
  assert.ok(onlyResponse(sent).status >= 400);
});

test("RFC 5626 7: one phone with two flows is rung once; the other flow is for when the first is dead", () => {
  const outbound = { instance: "urn:uuid:1" };
  const wire = new Wire([
    phone("a", { ...outbound, regId: 1, updatedAt: 2 }),
    phone("b", { ...outbound, regId: 2, updatedAt: 1 }),
  ]);
  const { sent, toPhone } = ring(wire);
  assert.equal(words(sent), `INVITE>${A}`);
  const failed = wire.receive(answer(toPhone("a"), 430), atPhone("a"));
  assert.equal(words(failed), `ACK>${A}, INVITE>${B}`);
});

// §16.10 CANCEL

test("16.10: CANCEL is answered at once, the INVITE once its branches have ended", () => {
  const wire = new Wire([phone("a"), phone("b")]);
  const { invite, toPhone } = ring(wire);
  for (const name of ["a", "b"]) wire.receive(answer(toPhone(name), 180, [], name), atPhone(name));
  const via = firstValue(invite, "Via") ?? "";
  const cancel = {
    ...withHeader(invite, "CSeq", "1 CANCEL"),
    method: "CANCEL",
    body: Buffer.alloc(0),
  };
  assert.match(via, /branch/);
  const sent = wire.receive(cancel, FROM_PBX);
  assert.equal(words(sent), `200>${TO_PBX}, CANCEL>${A}, CANCEL>${B}`);
  assert.equal(reasonOf(sent), undefined);
  for (const { message } of sent.slice(1)) {
    assert.ok(message.kind === "request");
    assert.equal(headerValues(message, "Via").length, 1);
  }
  assert.equal(branchOf(onlyRequest(sent.slice(1, 2), "CANCEL")), branchOf(toPhone("a")));
  assert.equal(words(wire.receive(answer(toPhone("a"), 487, [], "a"), atPhone("a"))), `ACK>${A}`);
  const last = wire.receive(answer(toPhone("b"), 487, [], "b"), atPhone("b"));
  assert.equal(words(last), `ACK>${B}, 487>${TO_PBX}`);
});

test("9.1: no CANCEL goes to a phone that said nothing yet", () => {
  const wire = new Wire([phone("a")]);
  const { invite, toPhone } = ring(wire);
  const cancel = { ...withHeader(invite, "CSeq", "1 CANCEL"), method: "CANCEL" };
  assert.equal(words(wire.receive(cancel, FROM_PBX)), `200>${TO_PBX}`);
  assert.equal(words(wire.receive(answer(toPhone("a"), 100), atPhone("a"))), `CANCEL>${A}`);
});

test("9.2: a CANCEL of nothing changes nothing", () => {
  const wire = new Wire([phone("a")]);
  assert.equal(onlyResponse(wire.receive(request("CANCEL"), FROM_PBX)).status, 481);
});

// §13, §17: ACK

test("17.1.1.3: the ACK of a refusal ends here, hop by hop", () => {
  const wire = new Wire([phone("a")]);
  const { invite, toPhone } = ring(wire);
  const refused = wire.receive(answer(toPhone("a"), 486), atPhone("a"));
  assert.equal(words(refused), `ACK>${A}, 486>${TO_PBX}`);
  const acknowledgement = onlyRequest(refused, "ACK");
  assert.equal(branchOf(acknowledgement), branchOf(toPhone("a")));
  const theirs = { ...withHeader(invite, "CSeq", "1 ACK"), method: "ACK" };
  assert.equal(words(wire.receive(theirs, FROM_PBX)), "");
});

/** A call that is up, and how its parties ask within its dialog. */
function establish(wire: Wire, sketch: Sketch = {}, okRows: readonly string[] = []) {
  const { invite, toPhone } = ring(wire, sketch);
  const ok = onlyResponse(wire.receive(answer(toPhone("a"), 200, okRows), atPhone("a")));
  const callId = headerValue(invite, "Call-ID") ?? "";
  const routes = headerValues(ok, "Record-Route");
  const inDialog = (method: string, cseq: number, rows: readonly string[] = []): SipRequest =>
    withHeader(
      request(method, {
        uri: "sip:bob@10.0.0.99:40001",
        to: headerValue(ok, "To") ?? "",
        cseq,
        rows: [...routes.toReversed().map((route) => `Route: ${route}`), ...rows],
      }),
      "Call-ID",
      callId,
    );
  return { invite, ok, inDialog };
}

test("13.2.2.4: the ACK of a 2xx goes on to the phone, in no transaction", () => {
  const wire = new Wire([phone("a")]);
  const { inDialog } = establish(wire);
  const sent = wire.receive(inDialog("ACK", 1), FROM_PBX);
  assert.equal(words(sent), `ACK>${A}`);
  const left = onlyRequest(sent, "ACK");
  assert.deepEqual(headerValues(left, "Route"), []);
  assert.equal(headerValue(left, "Max-Forwards"), "69");
});

test("12.2: a request of the dialog goes to the other party; of no dialog: 481", () => {
  const wire = new Wire([phone("a")]);
  const { inDialog } = establish(wire);
  assert.equal(words(wire.receive(inDialog("BYE", 2), FROM_PBX)), `BYE>${A}`);
  const unknown = request("BYE", { to: "<sip:bob@example.com>;tag=nobody" });
  assert.equal(onlyResponse(wire.receive(unknown, FROM_PBX)).status, 481);
});

for (const address of ["10.0.0.1", "127.0.0.1"])
  test(`a name that a stranger has DNS lead to ${address} leads nowhere`, () => {
    const dns = { "sip:1@far.example": [server(address)] };
    const wire = new Wire([], { dns, policy: { anyDomain: true } });
    const from = "<sip:carol@example.com>;tag=carol";
    const via = "SIP/2.0/TLS 10.0.0.50:5061;branch=z9hG4bK1";
    const sent = wire.receive(
      request("INVITE", { uri: "sip:1@far.example", from, via }),
      FROM_CAROL,
    );
    assert.ok(onlyResponse(sent).status >= 400);
  });

test("each answered branch of a fork is a dialog of its own, for ACK and for what follows", () => {
  const wire = new Wire([phone("a"), phone("b")]);
  const { invite, toPhone } = ring(wire);
  wire.receive(answer(toPhone("b"), 180, [], "b"), atPhone("b"));
  wire.receive(answer(toPhone("a"), 200, [], "a"), atPhone("a"));
  wire.receive(answer(toPhone("b"), 200, [], "b"), atPhone("b"));
  const callId = headerValue(invite, "Call-ID") ?? "";
  for (const [name, flow] of [
    ["a", A],
    ["b", B],
  ] as const)
    for (const method of ["ACK", "BYE"]) {
      const cseq = method === "ACK" ? 1 : 2;
      const uri = `sip:bob@10.0.0.99:${atPhone(name).peer.port}`;
      const asked = request(method, { uri, to: `<sip:bob@example.com>;tag=${name}`, cseq });
      const sent = wire.receive(withHeader(asked, "Call-ID", callId), FROM_PBX);
      assert.equal(words(sent), `${method}>${flow}`);
    }
});

test("RFC 3262, 3311: PRACK and UPDATE of an early dialog find its phone", () => {
  const wire = new Wire([phone("a"), phone("b")]);
  const { invite, toPhone } = ring(wire);
  for (const name of ["a", "b"]) wire.receive(answer(toPhone(name), 183, [], name), atPhone(name));
  const callId = headerValue(invite, "Call-ID") ?? "";
  for (const [method, name, cseq] of [
    ["PRACK", "b", 2],
    ["UPDATE", "a", 3],
  ] as const) {
    const uri = `sip:bob@10.0.0.99:${atPhone(name).peer.port}`;
    const asked = request(method, { uri, to: `<sip:bob@example.com>;tag=${name}`, cseq });
    const sent = wire.receive(withHeader(asked, "Call-ID", callId), FROM_PBX);
    assert.equal(words(sent), `${method}>${flowOf(name)}`);
  }
});

test("12.2: the callee's requests go to the caller, by his Route", () => {
  const wire = new Wire([phone("a")]);
  const { invite, inDialog } = establish(wire);
  wire.receive(inDialog("ACK", 1), FROM_PBX);
  const bye = request("BYE", {
    uri: "sip:alice@10.0.0.20",
    from: "<sip:bob@example.com>;tag=bob",
    to: "<sip:alice@pbx.example>;tag=alice",
    via: "SIP/2.0/UDP 10.0.0.99:40001;branch=z9hG4bKbye",
    rows: ["Route: <sip:10.0.0.1:5060;transport=udp;lr>"],
  });
  const named = withHeader(bye, "Call-ID", headerValue(invite, "Call-ID") ?? "");
  assert.equal(words(wire.receive(named, atPhone("a"))), "BYE>udp 10.0.0.20:5060");
});

test("RFC 3263 4: within a dialog, ACK included, a name is found by DNS as well", () => {
  const gateway = "sip:1@gw.far.example";
  const at = [server("198.51.100.7")];
  const dns = { "sip:1@far.example": at, [gateway]: [server("198.51.100.8")] };
  const wire = new Wire([], { dns, policy: { anyDomain: true } });
  const carol = "<sip:carol@example.com>;tag=carol";
  const via = "SIP/2.0/TLS 10.0.0.50:5061;branch=z9hG4bK";
  const invite = request("INVITE", { uri: "sip:1@far.example", from: carol, via: `${via}1` });
  const asked = wire.receive(invite, FROM_CAROL);
  assert.equal(words(asked), "INVITE>udp 198.51.100.7:5060");
  const farEnd = { ...FROM_CARRIER, flow: "udp/192.0.2.1/198.51.100.7/5060" };
  const from = { ...farEnd, peer: { ...farEnd.peer, address: "198.51.100.7" } };
  wire.receive(answer(onlyRequest(asked, "INVITE"), 200, [], "far", gateway), from);
  for (const [method, cseq] of [
    ["ACK", 1],
    ["INFO", 2],
  ] as const) {
    const to = "<sip:bob@example.com>;tag=far";
    const next = request(method, { uri: gateway, from: carol, to, cseq, via: `${via}${method}` });
    const named = withHeader(next, "Call-ID", headerValue(invite, "Call-ID") ?? "");
    assert.equal(words(wire.receive(named, FROM_CAROL)), `${method}>udp 198.51.100.8:5060`);
  }
});

test("RFC 5658: between two networks the dialog's requests pass both ways, by both Routes", () => {
  const wire = new Wire();
  const invite = request("INVITE", { uri: "sip:1@carrier.example" });
  const left = onlyRequest(wire.receive(invite, FROM_PBX), "INVITE");
  const gateway = "sip:1@192.0.2.20";
  wire.receive(answer(left, 200, [], "far", gateway), FROM_CARRIER);
  const callId = headerValue(invite, "Call-ID") ?? "";
  const routes = headerValues(left, "Record-Route");
  const rows = (values: readonly string[]) => values.map((value) => `Route: ${value}`);
  const far = "<sip:bob@example.com>;tag=far";
  const ours = request("INFO", { uri: gateway, to: far, cseq: 2, rows: rows(routes.toReversed()) });
  const there = wire.receive(withHeader(ours, "Call-ID", callId), FROM_PBX);
  assert.equal(words(there), "INFO>udp 192.0.2.20:5060");
  const theirs = request("BYE", {
    uri: "sip:alice@10.0.0.20",
    from: far,
    to: "<sip:alice@pbx.example>;tag=alice",
    via: "SIP/2.0/UDP 192.0.2.20:5060;branch=z9hG4bKback",
    rows: rows(routes),
  });
  const back = wire.receive(withHeader(theirs, "Call-ID", callId), FROM_CARRIER);
  assert.equal(words(back), "BYE>udp 10.0.0.20:5060");
  for (const sent of [there, back])
    assert.deepEqual(
      sent.flatMap(({ message }) => headerValues(message, "Route")),
      [],
    );
});

// §18

test("18.2.1, RFC 3581: a Via that hides its sender is stamped, the answer goes where it came from", () => {
  const wire = new Wire([phone("a")]);
  const invite = request("INVITE", {
    via: "SIP/2.0/UDP pbx.internal:5099;rport;branch=z9hG4bKnat",
  });
  const left = onlyRequest(wire.receive(invite, FROM_PBX), "INVITE");
  const [, theirs] = headerValues(left, "Via");
  assert.match(theirs ?? "", /;received=10\.0\.0\.20/);
  assert.match(theirs ?? "", /;rport=5060/);
  assert.equal(words(wire.receive(answer(left, 180), atPhone("a"))), `180>${TO_PBX}`);
});

test("18.1.1: what is too long for a datagram goes over TCP, and over UDP after all if that fails", () => {
  const long = request("MESSAGE", { uri: "sip:x@carrier.example", body: "x".repeat(1_400) });
  const tcp = new Wire([], {
    policy: {
      listeners: [...POLICY.listeners, { transport: "tcp", address: "192.0.2.1", port: 5060 }],
    },
  });
  const [sent] = tcp.receive(long, FROM_PBX);
  assert.ok(sent !== undefined);
  assert.equal(words([sent]), "MESSAGE>tcp 192.0.2.20:5060");
  assert.match(firstValue(sent.message, "Via") ?? "", /^SIP\/2\.0\/TCP /);
  const [again] = tcp.fail(sent);
  assert.ok(again !== undefined);
  assert.equal(words([again]), "MESSAGE>udp 192.0.2.20:5060");
  assert.match(firstValue(again.message, "Via") ?? "", /^SIP\/2\.0\/UDP /);
});

test("18.1.1: what was cancelled while TCP was tried does not ring over UDP", () => {
  const listeners = [
    ...POLICY.listeners,
    { transport: "tcp", address: "192.0.2.1", port: 5060 } as const,
  ];
  const wire = new Wire([], { policy: { listeners } });
  const invite = request("INVITE", { uri: "sip:x@carrier.example", body: "x".repeat(1_400) });
  const [sent] = wire.receive(invite, FROM_PBX);
  assert.ok(sent !== undefined);
  const cancel = { ...withHeader(invite, "CSeq", "1 CANCEL"), method: "CANCEL" };
  wire.receive({ ...cancel, body: Buffer.alloc(0) }, FROM_PBX);
  assert.equal(words(wire.fail(sent)), `487>${TO_PBX}`);
});

test("17.2.1: an INVITE again brings the last provisional response again, and rings nobody anew", () => {
  const wire = new Wire([phone("a")]);
  const { invite, toPhone } = ring(wire);
  assert.equal(words(wire.pass(200)), `100>${TO_PBX}`);
  assert.equal(words(wire.receive(invite, FROM_PBX)), `100>${TO_PBX}`);
  wire.receive(answer(toPhone("a"), 180), atPhone("a"));
  assert.equal(words(wire.receive(invite, FROM_PBX)), `180>${TO_PBX}`);
});

test("16.7 item 2: 101 to 199 begin Timer C anew", () => {
  const wire = new Wire([phone("a")]);
  const { toPhone } = ring(wire);
  wire.receive(answer(toPhone("a"), 180), atPhone("a"));
  wire.pass(190_000);
  wire.receive(answer(toPhone("a"), 183), atPhone("a"));
  assert.equal(words(wire.pass(190_000)), "");
});

test("16.7 item 3: a response without a Via behind ours goes nowhere; if final, another is made", () => {
  const wire = new Wire([phone("a")]);
  const { toPhone } = ring(wire);
  const bare = (status: number) => {
    const made = answer(toPhone("a"), status);
    return withHeader(made, "Via", firstValue(made, "Via") ?? "");
  };
  assert.equal(words(wire.receive(bare(180), atPhone("a"))), "");
  assert.equal(words(wire.receive(bare(486), atPhone("a"))), `ACK>${A}, 500>${TO_PBX}`);
});

test("9.2: a stranger's CANCEL cancels nobody's call", () => {
  const wire = new Wire([phone("a")]);
  const { invite, toPhone } = ring(wire);
  wire.receive(answer(toPhone("a"), 180), atPhone("a"));
  const cancel = { ...withHeader(invite, "CSeq", "1 CANCEL"), method: "CANCEL" };
  assert.doesNotMatch(words(wire.receive(cancel, FROM_CARRIER)), /CANCEL/);
});

test("16.10: CANCEL after the answer is answered and changes nothing", () => {
  const wire = new Wire([phone("a")]);
  const { invite, toPhone } = ring(wire);
  wire.receive(answer(toPhone("a"), 200), atPhone("a"));
  const cancel = { ...withHeader(invite, "CSeq", "1 CANCEL"), method: "CANCEL" };
  assert.equal(words(wire.receive(cancel, FROM_PBX)), `200>${TO_PBX}`);
});

test("16.10: CANCEL while the servers are still looked for: 487, and nobody is asked", () => {
  const wire = new Wire([], { dns: "silent" });
  const invite = request("INVITE", { uri: "sip:1@named.example" });
  assert.equal(words(wire.receive(invite, FROM_PBX)), "");
  const cancel = { ...withHeader(invite, "CSeq", "1 CANCEL"), method: "CANCEL" };
  assert.equal(words(wire.receive(cancel, FROM_PBX)), `200>${TO_PBX}, 487>${TO_PBX}`);
  assert.equal(words(wire.answerDns(DNS)), "");
});

test("22.3: credentials for our realm end here, others go on", () => {
  const credentials = (realm: string) =>
    `Proxy-Authorization: Digest username="a", realm="${realm}", nonce="n", uri="sip:x", response="0"`;
  const left = forwarded("MESSAGE", {
    rows: [credentials("example.com"), credentials("far.example")],
  });
  assert.deepEqual(
    headerValues(left, "Proxy-Authorization").map((value) => value.includes("far.example")),
    [true],
  );
});

test("a response to MESSAGE that never comes: one final answer, none twice", () => {
  const wire = new Wire([phone("a"), phone("b")]);
  wire.receive(request("MESSAGE"), FROM_PBX);
  const sent = wire.pass(2 * T1_64);
  const finals = sent.filter(({ message }) => message.kind === "response" && message.status >= 200);
  assert.equal(words(finals), `408>${TO_PBX}`);
});

// RFC 4028 §8

const TIMED = { policy: { sessionTimer: { expiresS: 1_800, minSeS: 600 } } };

test("RFC 4028 8.1: too short an interval is refused with our least", () => {
  const wire = new Wire([phone("a")], TIMED);
  const { sent } = ring(wire, { rows: ["Supported: timer", "Session-Expires: 90"] });
  const refusal = onlyResponse(sent);
  assert.deepEqual([refusal.status, headerValue(refusal, "Min-SE")], [422, "600"]);
});

test("RFC 4028 8.1, 8.2: an interval is asked for, and the caller told to refresh alone", () => {
  const wire = new Wire([phone("a")], TIMED);
  const { toPhone } = ring(wire, { rows: ["Supported: timer"] });
  assert.equal(headerValue(toPhone("a"), "Session-Expires"), "1800");
  const passed = onlyResponse(wire.receive(answer(toPhone("a"), 200), atPhone("a")));
  assert.equal(headerValue(passed, "Session-Expires"), "1800;refresher=uac");
  assert.deepEqual(headerValues(passed, "Require"), ["timer"]);
});

test("RFC 4028 8.3: without refresh the dialog is forgotten, with it it goes on; no BYE is made", () => {
  const ok = ["Session-Expires: 600;refresher=uac", "Require: timer"];
  const refreshed = new Wire([phone("a")], TIMED);
  const { inDialog } = establish(refreshed, { rows: ["Supported: timer"] }, ok);
  refreshed.receive(inDialog("ACK", 1), FROM_PBX);
  refreshed.pass(500_000);
  const again = inDialog("UPDATE", 2, ["Supported: timer", "Session-Expires: 600;refresher=uac"]);
  const update = onlyRequest(refreshed.receive(again, FROM_PBX), "UPDATE");
  assert.equal(headerValue(update, "Session-Expires"), "600;refresher=uac");
  refreshed.receive(answer(update, 200, ok), atPhone("a"));
  assert.equal(words(refreshed.pass(500_000)), "");
  assert.equal(words(refreshed.receive(inDialog("INFO", 3), FROM_PBX)), `INFO>${A}`);

  const forgotten = new Wire([phone("a")], TIMED);
  const call = establish(forgotten, { rows: ["Supported: timer"] }, ok);
  forgotten.receive(call.inDialog("ACK", 1), FROM_PBX);
  assert.equal(words(forgotten.pass(700_000)), "");
  assert.equal(onlyResponse(forgotten.receive(call.inDialog("INFO", 2), FROM_PBX)).status, 481);
});

// Memory

test("nothing is remembered of what is over", () => {
  const wire = new Wire([phone("a"), phone("b")]);
  for (const [first, second] of [
    [486, 404],
    [200, 487],
    [603, 487],
    [503, 503],
  ] as const) {
    const { toPhone } = ring(wire);
    wire.receive(answer(toPhone("a"), first, [], "a"), atPhone("a"));
    wire.receive(answer(toPhone("b"), 180, [], "b"), atPhone("b"));
    wire.receive(answer(toPhone("b"), second, [], "b"), atPhone("b"));
  }
  ring(wire);
  wire.receive(request("MESSAGE"), FROM_PBX);
  wire.pass(10 * T1_64);
  assert.equal(wire.size, 0);
});

/** What the first CANCEL says of itself (RFC 3326). */
const reasonOf = (sent: ReturnType<Wire["receive"]>): string | undefined =>
  sent.flatMap(({ message }) =>
    message.kind === "request" && message.method === "CANCEL"
      ? [headerValue(message, "Reason")]
      : [],
  )[0];
