import assert from "node:assert/strict";
import { test } from "node:test";
import { DEFAULT_WATCH_LIMITS } from "../../../controller/core/certificate-watch-limits.ts";
import {
  isCertificateSubscribe,
  MAX_EVENT_ID_CHARACTERS,
} from "../../../controller/core/certificate-watch-request.ts";
import { messageFault } from "../../../protocol/sip/check-message.ts";
import { headerValue, headerValues } from "../../../protocol/sip/message.ts";
import { messageTag } from "../../../protocol/sip/name-addr.ts";
import { ALICE, NOW } from "./call-fixture.ts";
import {
  DAVE,
  directory,
  FROM_BILOXI,
  FROM_NOBODY,
  peerWith,
  requestsOf,
  responsesOf,
  SIP,
  trunk,
} from "./proxy-fixture.ts";
import {
  daveIn,
  FROM_DAVE,
  statuses,
  subscribe,
  told,
  usersWithout,
  WatchDriver,
} from "./watch-fixture.ts";

const DAY_S = DEFAULT_WATCH_LIMITS.defaultExpiresS;
const MINUTE_MS = DEFAULT_WATCH_LIMITS.notifyIntervalMs;
const TO_OUR_TAG = (tag: string) => `<${ALICE}>;tag=${tag}`;
const refresh = (tag: string, cseq: number, ...rows: readonly string[]) =>
  subscribe({ to: TO_OUR_TAG(tag), cseq, rows: ["Event: certificate", ...rows] });

test("who subscribes hears 200 and at once the newest certificate (RFC 6072 §6.7)", () => {
  const driver = new WatchDriver();
  const received = subscribe();
  const effects = driver.subscribe(received);
  const [answer] = responsesOf(effects);
  const [sent] = requestsOf(effects);
  assert.ok(answer !== undefined && sent !== undefined);
  const { response } = answer;
  const { request: notify, to } = sent;
  assert.equal(response.status, 200);
  assert.equal(headerValue(response, "Expires"), String(DAY_S));
  assert.equal(headerValue(response, "Contact"), "<sip:10.10.0.1;transport=tls>");
  assert.equal(to, FROM_DAVE.flow);
  assert.equal(messageFault(notify), undefined);
  const row = (name: string) => headerValue(notify, name);
  assert.equal(notify.uri, "sip:dave@10.10.0.3:40003;transport=tls");
  assert.equal(row("From"), headerValue(response, "To"));
  assert.equal(row("To"), headerValue(received, "From"));
  assert.equal(row("Call-ID"), headerValue(received, "Call-ID"));
  assert.equal(row("CSeq"), "1 NOTIFY");
  assert.equal(row("Event"), "certificate");
  assert.equal(row("Content-Type"), "application/pkix-cert");
  assert.equal(row("Content-Disposition"), "signal");
  assert.equal(row("Contact"), "<sip:10.10.0.1;transport=tls>");
  assert.match(row("Via") ?? "", /^SIP\/2\.0\/TLS 10\.10\.0\.1:5061;branch=z9hG4bK/);
  assert.deepEqual(told(effects), [`active;expires=${DAY_S} one`]);
});

test("no certificate in service is an empty body (RFC 6072 §6.4, §6.6)", () => {
  const driver = new WatchDriver();
  driver.served.clear();
  const [sent] = requestsOf(driver.subscribe());
  assert.equal(sent?.request.body.length, 0);
  assert.equal(headerValue(sent.request, "Content-Type"), undefined);
  assert.equal(headerValue(sent.request, "Content-Disposition"), "signal");
});

test("only SUBSCRIBE for the package is for us; its name is compared octet by octet", () => {
  for (const [row, expected] of [
    ["Event: certificate", true],
    ["o: certificate;id=7", true],
    ["Event: certificate ; id=7", true],
    ["Event: Certificate", false],
    ["Event: certificate.winfo", false],
    ["Event: presence", false],
    ["Event: certificate;=", false],
    ["Subject: certificate", false],
  ] as const)
    assert.equal(isCertificateSubscribe(subscribe({ rows: [row] })), expected, row);
  assert.ok(!isCertificateSubscribe({ ...subscribe(), method: "NOTIFY" }));
});

const GOOD = "Event: certificate";
const REFUSED: readonly (readonly [
  what: string,
  rows: readonly string[],
  status: number,
  row?: string,
])[] = [
  ["another package", ["Event: presence"], 489, "Allow-Events: certificate"],
  ["no package", [], 489, "Allow-Events: certificate"],
  ["an extension", [GOOD, "Require: eventlist, x"], 420, "Unsupported: eventlist, x"],
  ["other types", [GOOD, "Accept: application/json"], 406, "Accept: application/pkix-cert"],
  ["no type at all", [GOOD, "Accept: "], 406, "Accept: application/pkix-cert"],
  ["an unreadable time", [GOOD, "Expires: soon"], 400],
  ["a long id", [`${GOOD};id=${"i".repeat(MAX_EVENT_ID_CHARACTERS + 1)}`], 400],
  ["a negative time", [GOOD, "Expires: -1"], 400],
  ["too short a time", [GOOD, "Expires: 59"], 423, "Min-Expires: 60"],
];
for (const [what, rows, status, row] of REFUSED)
  test(`refused: ${what} is ${status}, and nobody watches`, () => {
    const driver = new WatchDriver();
    const effects = driver.subscribe(subscribe({ rows }));
    const [answer] = responsesOf(effects);
    assert.equal(answer?.response.status, status);
    assert.deepEqual(told(effects), []);
    assert.equal(driver.machine.size, 0);
    const [name = "", value] = row?.split(": ") ?? [];
    if (row !== undefined) assert.equal(headerValue(answer.response, name), value);
  });

for (const [what, contact] of [
  ["no Contact", ""],
  ["a Contact that is no SIP URI", "Contact: <mailto:dave@example.com>"],
  ["a Contact that is none", "Contact: *"],
] as const)
  test(`refused: ${what} is 400`, () => {
    const driver = new WatchDriver();
    assert.deepEqual(statuses(driver.subscribe(subscribe({}, contact))), [400]);
    assert.equal(driver.machine.size, 0);
  });

test("refused: without From tag there is no dialog", () => {
  const driver = new WatchDriver();
  assert.deepEqual(statuses(driver.subscribe(subscribe({ from: `<${DAVE}>` }))), [400]);
});

const GRANTED: readonly (readonly [rows: readonly string[], expiresS: number])[] = [
  [["Expires: 60"], 60],
  [["Expires: 3600", "Accept: application/pkix-cert;q=0.5, text/plain"], 3600],
  [["Expires: 3600", "Accept: */*"], 3600],
  [["Expires: 9999999999"], DEFAULT_WATCH_LIMITS.maxExpiresS],
  [[], DAY_S],
];
for (const [rows, expiresS] of GRANTED)
  test(`granted: ${rows.join(", ") || "nothing asked"}`, () => {
    const effects = new WatchDriver().subscribe(subscribe({ rows: [GOOD, ...rows] }));
    assert.equal(headerValue(responsesOf(effects)[0]?.response ?? NONE, "Expires"), `${expiresS}`);
    assert.deepEqual(told(effects), [`active;expires=${expiresS} one`]);
  });
const NONE = { headers: [] };

test("Expires: 0 asks once: one NOTIFY, and nothing is remembered", () => {
  const driver = new WatchDriver();
  const effects = driver.subscribe(subscribe({ rows: [GOOD, "Expires: 0"] }));
  assert.deepEqual(statuses(effects), [200]);
  assert.deepEqual(told(effects), ["terminated;reason=timeout one"]);
  assert.equal(driver.machine.size, 0);
  assert.equal(driver.machine.deadline(), undefined);
  const [sent] = requestsOf(effects);
  assert.deepEqual(driver.answer(sent?.request ?? subscribe(), 481), []);
});

test("the dialog runs through the proxies that asked for it (RFC 3261 §12.1.1)", () => {
  const driver = new WatchDriver();
  const routes = ["<sip:10.10.0.3:5070;transport=tls;lr>", "<sip:p2.example.com;lr>"];
  const rows = [GOOD, ...routes.map((route) => `Record-Route: ${route}`)];
  const effects = driver.subscribe(subscribe({ rows }));
  const [answer] = responsesOf(effects);
  const [sent] = requestsOf(effects);
  assert.deepEqual(headerValues(answer?.response ?? NONE, "Record-Route"), routes);
  assert.deepEqual(headerValues(sent?.request ?? NONE, "Route"), routes);
  assert.deepEqual(sent?.to, {
    ...{ transport: "tls", address: "10.10.0.3", port: 5070 },
    serverName: "10.10.0.3",
  });
});

test("a SIPS subscription has a SIPS Contact and stays on TLS", () => {
  const driver = new WatchDriver();
  const secure = "sips:alice@atlanta.example.com";
  const contact = "Contact: <sips:dave@10.10.0.3:40003>";
  const effects = driver.subscribe(subscribe({ uri: secure }, contact));
  assert.equal(
    headerValue(responsesOf(effects)[0]?.response ?? NONE, "Contact"),
    "<sips:10.10.0.1>",
  );
  assert.equal(told(effects).length, 1);
  const plain = peerWith(FROM_DAVE, { transport: "tcp", identities: [] }, "flow-tcp");
  const [sent] = requestsOf(driver.subscribe(subscribe({ uri: secure }, contact), plain));
  assert.deepEqual(sent?.to, {
    ...{ transport: "tls", address: "10.10.0.3", port: 40_003 },
    serverName: "10.10.0.3",
  });
  const away = "Contact: <sips:dave@127.0.0.1:40003>";
  assert.deepEqual(
    told(driver.subscribe(subscribe({ uri: secure, callId: "w2" }, away), plain)),
    [],
  );
  assert.equal(driver.machine.size, 1);
});

test("a change is told at once when the last NOTIFY is a minute old, else when it is (§6.10)", () => {
  const driver = new WatchDriver();
  driver.watching();
  driver.pass(10_000);
  assert.deepEqual(told(driver.serve("two")), []);
  assert.deepEqual(told(driver.serve("three")), []);
  assert.deepEqual(told(driver.pass(MINUTE_MS - 10_001)), []);
  const late = driver.pass(1);
  assert.deepEqual(told(late), [`active;expires=${DAY_S - 60} three`]);
  driver.answer(requestsOf(late)[0]?.request ?? subscribe());
  driver.pass(MINUTE_MS);
  assert.deepEqual(told(driver.serve("four")), [`active;expires=${DAY_S - 120} four`]);
});

test("a withdrawal is an empty body, and held back by nothing; what follows it is", () => {
  const driver = new WatchDriver();
  driver.watching();
  driver.pass(1_000);
  const effects = driver.serve(undefined);
  assert.deepEqual(told(effects), [`active;expires=${DAY_S - 1}`]);
  driver.answer(requestsOf(effects)[0]?.request ?? never());
  assert.deepEqual(told(driver.serve("two")), []);
  assert.deepEqual(told(driver.serve(undefined)), []);
  assert.deepEqual(told(driver.serve("two")), []);
  assert.deepEqual(told(driver.pass(MINUTE_MS - 1)), []);
  assert.deepEqual(told(driver.pass(1)), [`active;expires=${DAY_S - 61} two`]);
});

test("a NOTIFY whose connection breaks takes no other way once a newer one is there", () => {
  const driver = new WatchDriver();
  const effects = driver.subscribe(subscribe({ rows: [GOOD, "Expires: 60"] }));
  assert.deepEqual(told(driver.pass(60_000)), ["terminated;reason=timeout one"]);
  assert.deepEqual(driver.fail(requestsOf(effects)[0]?.request ?? never(), "transport"), []);
});

test("what changed back meanwhile is not told; nor is what did not change", () => {
  const driver = new WatchDriver();
  driver.watching();
  assert.deepEqual(told(driver.serve("two")), []);
  assert.deepEqual(told(driver.serve("one")), []);
  assert.deepEqual(told(driver.pass(MINUTE_MS * 2)), []);
  assert.deepEqual(told(driver.serve("one")), []);
  assert.deepEqual(driver.machine.changed("sip:nobody@atlanta.example.com", driver.now), []);
});

test("a certificate that ends by its own dates is told without being asked", () => {
  const driver = new WatchDriver();
  driver.serve("one", NOW + 300_000);
  driver.watching();
  assert.deepEqual(told(driver.pass(299_999)), []);
  assert.deepEqual(told(driver.pass(1)), [`active;expires=${DAY_S - 300}`]);
});

test("one that does not end when it said is looked for again, not in a circle", () => {
  const driver = new WatchDriver();
  const { tag } = driver.watching();
  const [sent] = requestsOf(driver.receive(refresh(tag, 2)) ?? []);
  driver.served.set(ALICE, { der: Buffer.from("one"), endsAt: NOW + 5 });
  driver.answer(sent?.request ?? subscribe());
  assert.ok((driver.machine.deadline() ?? 0) >= NOW + 1000);
});

test("one NOTIFY at a time: what changes meanwhile is told after its answer", () => {
  const driver = new WatchDriver();
  const [sent] = requestsOf(driver.subscribe());
  assert.ok(sent !== undefined);
  driver.pass(MINUTE_MS * 2);
  assert.deepEqual(told(driver.serve("two")), []);
  assert.deepEqual(driver.answer(sent.request, 100), []);
  assert.deepEqual(told(driver.answer(sent.request)), [`active;expires=${DAY_S - 120} two`]);
});

test("a refresh prolongs and is told the certificate, whenever it comes", () => {
  const driver = new WatchDriver();
  const { tag } = driver.watching(subscribe({ rows: [GOOD, "Expires: 600"] }));
  driver.pass(5_000);
  const effects = driver.receive(refresh(tag, 2, "Expires: 1200"));
  const [answer] = responsesOf(effects ?? []);
  assert.equal(answer?.response.status, 200);
  assert.equal(headerValue(answer.response, "Expires"), "1200");
  assert.equal(messageTag(answer.response, "To"), tag);
  assert.deepEqual(told(effects), ["active;expires=1200 one"]);
  const [sent] = requestsOf(effects ?? []);
  assert.equal(headerValue(sent?.request ?? NONE, "CSeq"), "2 NOTIFY");
  driver.answer(sent?.request ?? subscribe());
  assert.deepEqual(told(driver.pass(1_199_999)), []);
  assert.deepEqual(told(driver.pass(1)), ["terminated;reason=timeout one"]);
});

test("a refresh while a NOTIFY is on its way gets its own after that", () => {
  const driver = new WatchDriver();
  const effects = driver.subscribe();
  const [sent] = requestsOf(effects);
  const tag = messageTag(responsesOf(effects)[0]?.response ?? never(), "To") ?? "";
  const second = driver.receive(refresh(tag, 2, "Expires: 700"));
  assert.deepEqual(statuses(second), [200]);
  assert.deepEqual(told(second), []);
  assert.deepEqual(told(driver.answer(sent?.request ?? never())), ["active;expires=700 one"]);
});
const never = (): never => assert.fail("nothing was sent");

test("a refresh moves the subscriber: Contact, connection and all", () => {
  const driver = new WatchDriver();
  const { tag } = driver.watching();
  const moved = subscribe(
    { to: TO_OUR_TAG(tag), cseq: 2 },
    "Contact: <sip:dave@10.10.0.4:5061;transport=tls>",
  );
  const elsewhere = peerWith(FROM_DAVE, { address: "10.10.0.4" }, "flow-new");
  const [sent] = requestsOf(driver.receive(moved, elsewhere) ?? []);
  assert.equal(sent?.to, "flow-new");
  assert.equal(sent.request.uri, "sip:dave@10.10.0.4:5061;transport=tls");
  driver.answer(sent.request);
  driver.machine.dropFlow(FROM_DAVE.flow);
  driver.pass(MINUTE_MS);
  const [next] = requestsOf(driver.serve("two"));
  assert.equal(next?.to, "flow-new");
});

test("Expires: 0 ends it with a last NOTIFY; then there is no such dialog", () => {
  const driver = new WatchDriver();
  const { tag } = driver.watching();
  const effects = driver.receive(refresh(tag, 2, "Expires: 0"));
  assert.deepEqual(statuses(effects), [200]);
  assert.deepEqual(told(effects), ["terminated;reason=timeout one"]);
  assert.equal(driver.receive(refresh(tag, 3)), undefined);
  assert.equal(driver.machine.deadline(), undefined);
  assert.deepEqual(told(driver.serve("two")), []);
});

test("what runs out ends with a last NOTIFY", () => {
  const driver = new WatchDriver();
  const { tag } = driver.watching(subscribe({ rows: [GOOD, "Expires: 60"] }));
  assert.deepEqual(told(driver.pass(60_000)), ["terminated;reason=timeout one"]);
  assert.equal(driver.receive(refresh(tag, 2)), undefined);
  assert.equal(driver.machine.size, 0);
});

for (const [what, fate] of [
  ["481", (driver, notify) => driver.answer(notify, 481)],
  ["500", (driver, notify) => driver.answer(notify, 500)],
  ["302", (driver, notify) => driver.answer(notify, 302)],
  ["silence", (driver, notify) => driver.fail(notify, "timeout")],
] as readonly (readonly [
  string,
  (driver: WatchDriver, notify: ReturnType<typeof subscribe>) => unknown,
])[])
  test(`a NOTIFY that is not taken ends it: ${what}`, () => {
    const driver = new WatchDriver();
    const [sent] = requestsOf(driver.subscribe());
    assert.deepEqual(fate(driver, sent?.request ?? never()), []);
    assert.equal(driver.machine.size, 0);
    assert.equal(driver.machine.deadline(), undefined);
    assert.deepEqual(told(driver.serve("two")), []);
  });

test("answers and failures of requests that are not ours are left to others", () => {
  const driver = new WatchDriver();
  assert.equal(driver.answer(subscribe()), undefined);
  assert.equal(driver.fail(subscribe()), undefined);
});

test("a connection that is gone: where the Contact leads, if that is the place he was seen at", () => {
  const driver = new WatchDriver();
  driver.watching();
  driver.machine.dropFlow(FROM_DAVE.flow);
  driver.pass(MINUTE_MS);
  const [sent] = requestsOf(driver.serve("two"));
  const place = { transport: "tls", address: "10.10.0.3", port: 40_003, serverName: "10.10.0.3" };
  assert.deepEqual(sent?.to, place);
  assert.deepEqual(driver.fail(sent.request, "transport"), []);
  assert.equal(driver.machine.size, 0);
});

test("a connection that breaks under a NOTIFY: the next way is tried under a new branch", () => {
  const driver = new WatchDriver();
  const [first] = requestsOf(driver.subscribe());
  const [second] = requestsOf(driver.fail(first?.request ?? never(), "transport") ?? []);
  assert.ok(typeof second?.to === "object");
  assert.notEqual(headerValue(second.request, "Via"), headerValue(first?.request ?? NONE, "Via"));
  assert.equal(headerValue(second.request, "CSeq"), headerValue(first?.request ?? NONE, "CSeq"));
  assert.deepEqual(driver.answer(second.request), []);
  assert.equal(driver.machine.size, 1);
});

test("what is too long for a datagram goes by TCP first; down a flow it stays what it is", () => {
  const listener = { transport: "udp", address: "10.10.0.1", port: 5060 } as const;
  const driver = new WatchDriver({}, { ...SIP, listeners: [...SIP.listeners, listener] });
  driver.serve("long".repeat(400));
  const contact = "Contact: <sip:dave@10.10.0.3:40003>";
  const arrival = peerWith(
    FROM_DAVE,
    { transport: "udp", identities: [] },
    "udp/0/40003/10.10.0.3",
  );
  const [down] = requestsOf(driver.subscribe(subscribe({}, contact), arrival));
  assert.equal(down?.to, arrival.flow);
  const behind = "Record-Route: <sip:10.10.0.3:5070;lr>";
  const rows = ["Event: certificate", behind];
  const [first] = requestsOf(driver.subscribe(subscribe({ callId: "w2", rows }, contact), arrival));
  const place = { address: "10.10.0.3", port: 5070 };
  assert.deepEqual(first?.to, { transport: "tcp", ...place });
  const [second] = requestsOf(driver.fail(first.request, "transport") ?? []);
  const own = { localAddress: "10.10.0.1", localPort: 5060 };
  assert.deepEqual(second?.to, { transport: "udp", ...place, ...own });
});

test("a Contact inside, or elsewhere, sends nothing there once the connection is gone", () => {
  for (const host of ["10.10.0.1:5061", "127.0.0.1", "10.30.0.7"]) {
    const driver = new WatchDriver();
    driver.watching(subscribe({}, `Contact: <sip:dave@${host};transport=tls>`));
    driver.machine.dropFlow(FROM_DAVE.flow);
    driver.pass(MINUTE_MS);
    const sent = requestsOf(driver.serve("two"));
    if (host !== "10.30.0.7") assert.deepEqual(sent, [], host);
    assert.equal(driver.machine.size, sent.length, host);
  }
});

test("requests of the dialog: others than its subscriber are refused and change nothing", () => {
  const driver = new WatchDriver();
  const { tag } = driver.watching();
  const stop = refresh(tag, 2, "Expires: 0");
  assert.deepEqual(statuses(driver.receive(stop, FROM_NOBODY)), [407]);
  const alice = peerWith(FROM_DAVE, { identities: [ALICE] }, "flow-alice");
  assert.deepEqual(statuses(driver.receive(stop, alice)), [403]);
  assert.deepEqual(statuses(driver.receive(stop, FROM_BILOXI)), [403]);
  const datagram = peerWith(FROM_DAVE, { transport: "udp", identities: [] });
  assert.deepEqual(statuses(driver.receive(stop, datagram)), [407]);
  assert.equal(driver.machine.size, 1);
  const again = peerWith(FROM_DAVE, { port: 41_000 }, "flow-again");
  assert.deepEqual(statuses(driver.receive(stop, again)), [200]);
});

test("a connection whose certificate is out of service ends no subscription by itself", () => {
  const driver = new WatchDriver();
  const { tag } = driver.watching();
  driver.gone.add("k");
  const arrival = peerWith(FROM_DAVE, { certificate: { keyId: "k", fingerprint: "f" } });
  assert.deepEqual(statuses(driver.receive(refresh(tag, 2), arrival)), [407]);
});

test("requests of the dialog: what is out of order, of another package or method, is refused", () => {
  const driver = new WatchDriver();
  const { tag } = driver.watching(subscribe({ cseq: 5, rows: ["Event: certificate;id=a"] }));
  const status = (sketch: Parameters<typeof subscribe>[0]) =>
    statuses(driver.receive(subscribe({ to: TO_OUR_TAG(tag), cseq: 6, ...sketch })));
  const own = ["Event: certificate;id=a"];
  assert.deepEqual(status({ method: "BYE", rows: own }), [405]);
  assert.deepEqual(status({ rows: ["Event: presence"] }), [489]);
  assert.deepEqual(status({ rows: ["Event: certificate;id=b"] }), [481]);
  assert.deepEqual(status({ rows: ["Event: certificate"] }), [481]);
  assert.deepEqual(status({ rows: [...own, "Expires: 1"] }), [423]);
  assert.deepEqual(status({ cseq: 5, rows: own }), [500]);
  assert.deepEqual(status({ cseq: 4, rows: own }), [500]);
  assert.deepEqual(status({ rows: own }), [200]);
  assert.equal(driver.receive(refresh("other", 9)), undefined);
  assert.equal(
    driver.receive(subscribe({ to: TO_OUR_TAG(tag), from: `<${DAVE}>;tag=d2` })),
    undefined,
  );
});

test("NOTIFY repeats the subscription's id", () => {
  const { notify } = new WatchDriver().watching(subscribe({ rows: ["Event: certificate;id=a7"] }));
  assert.equal(headerValue(notify.request, "Event"), "certificate;id=a7");
});

test("a phone that subscribes again has one subscription, another phone its own", () => {
  const driver = new WatchDriver();
  const { tag } = driver.watching();
  driver.watching(subscribe({ callId: "w2@10.10.0.3" }));
  assert.equal(driver.machine.size, 1);
  assert.equal(driver.receive(refresh(tag, 2)), undefined);
  driver.watching(subscribe({ callId: "w3" }, "Contact: <sip:dave@10.10.0.4;transport=tls>"));
  assert.equal(driver.machine.size, 2);
});

const phone = (index: number) =>
  subscribe({ callId: `p${index}` }, `Contact: <sip:dave@10.10.0.3:${index};transport=tls>`);

test("bounds: of one user 403, of all 503 with Retry-After; the same phone always may", () => {
  const driver = new WatchDriver({ watchesPerUser: 2, watches: 3 });
  assert.deepEqual(
    [1, 2, 3].flatMap((index) => statuses(driver.subscribe(phone(index)))),
    [200, 200, 403],
  );
  assert.deepEqual(statuses(driver.subscribe(phone(1))), [200]);
  const biloxi = { kind: "trunk", trunk: trunk("biloxi.example.com", "10.30.0.2") } as const;
  const theirs = (index: number) =>
    driver.subscribe(
      subscribe({ callId: `b${index}` }, `Contact: <sip:bob@10.30.0.2:${index};transport=tcp>`),
      FROM_BILOXI,
      biloxi,
    );
  assert.deepEqual(statuses(theirs(1)), [200]);
  const [refused] = responsesOf(theirs(2));
  assert.equal(refused?.response.status, 503);
  assert.ok(headerValue(refused.response, "Retry-After") !== undefined);
  assert.equal(driver.machine.size, 3);
});

test("bounds: a trunk has its own, whoever speaks behind it", () => {
  const driver = new WatchDriver({ watchesPerTrunk: 1 });
  const origin = { kind: "trunk", trunk: trunk("biloxi.example.com", "10.30.0.2") } as const;
  const by = (name: string) =>
    driver.subscribe(
      subscribe({ callId: name }, `Contact: <sip:${name}@10.30.0.2;transport=tcp>`),
      FROM_BILOXI,
      origin,
    );
  assert.deepEqual([...statuses(by("bob")), ...statuses(by("eve"))], [200, 403]);
});

test("bounds: what is remembered of a dialog", () => {
  const long = `Contact: <sip:dave@10.10.0.3;x=${"y".repeat(DEFAULT_WATCH_LIMITS.dialogBytes)}>`;
  const driver = new WatchDriver();
  assert.deepEqual(statuses(driver.subscribe(subscribe({}, long))), [403]);
  const { tag } = driver.watching();
  const moved = subscribe({ to: TO_OUR_TAG(tag), cseq: 2 }, long);
  assert.deepEqual(statuses(driver.receive(moved)), [403]);
  assert.deepEqual(statuses(driver.receive(refresh(tag, 2))), [200]);
});

test("other rules: who is gone is watched no more, and watches no more", () => {
  const driver = new WatchDriver();
  driver.watching();
  assert.deepEqual(told(driver.machine.reload(driver.now)), []);
  driver.site = driver.siteOf({ ...SIP, users: directory(...usersWithout(ALICE)) });
  assert.deepEqual(told(driver.machine.reload(driver.now)), ["terminated;reason=noresource"]);
  const other = new WatchDriver();
  other.watching();
  other.site = other.siteOf({ ...SIP, users: directory(...usersWithout(DAVE)) });
  assert.deepEqual(told(other.machine.reload(other.now)), ["terminated;reason=rejected one"]);
  const third = new WatchDriver();
  const origin = { kind: "trunk", trunk: trunk("biloxi.example.com", "10.30.0.2") } as const;
  third.subscribe(subscribe(), FROM_BILOXI, origin);
  third.site = third.siteOf({ ...SIP, trunks: [] });
  assert.equal(third.machine.size, 1);
  third.machine.reload(third.now);
  assert.equal(third.machine.size, 0);
});

test("without a listener for the subscriber's transport there is no dialog", () => {
  const policy = { ...SIP, listeners: [] };
  const driver = new WatchDriver({}, policy);
  assert.deepEqual(statuses(driver.subscribe(subscribe(), FROM_DAVE, daveIn(policy))), [500]);
});
