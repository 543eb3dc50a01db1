/** Subscriptions to certificates: what is told, when, and by which way. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { DEFAULT_WATCH_LIMITS } from "../../../controller/core/certificate-watch-limits.ts";
import { headerValue } from "../../../protocol/sip/message.ts";
import { messageTag } from "../../../protocol/sip/name-addr.ts";
import { ALICE, NOW } from "./call-fixture.ts";
import { peerWith, requestsOf, responsesOf, SIP } from "./proxy-fixture.ts";
import {
  FROM_DAVE,
  refresh,
  statuses,
  subscribe,
  TO_OUR_TAG,
  told,
  WatchDriver,
} from "./watch-fixture.ts";

const DAY_S = DEFAULT_WATCH_LIMITS.defaultExpiresS;
const MINUTE_MS = DEFAULT_WATCH_LIMITS.notifyIntervalMs;
const NONE = { headers: [] };
const never = (): never => assert.fail("nothing was sent");

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
  const effects = driver.subscribe(subscribe({ rows: ["Event: certificate", "Expires: 60"] }));
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
  const { tag } = driver.watching(subscribe({ rows: ["Event: certificate", "Expires: 600"] }));
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
  const { tag } = driver.watching(subscribe({ rows: ["Event: certificate", "Expires: 60"] }));
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
