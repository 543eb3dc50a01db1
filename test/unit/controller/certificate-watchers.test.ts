/** Subscriptions to certificates: who gets one, for how long, in which dialog. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { DEFAULT_WATCH_LIMITS } from "../../../controller/core/certificate-watch-limits.ts";
import {
  isCertificateSubscribe,
  MAX_EVENT_ID_CHARACTERS,
} from "../../../controller/core/certificate-watch-request.ts";
import { messageFault } from "../../../protocol/sip/check-message.ts";
import { headerValue, headerValues } from "../../../protocol/sip/message.ts";
import { DAVE, peerWith, requestsOf, responsesOf } from "./proxy-fixture.ts";
import { FROM_DAVE, statuses, subscribe, told, WatchDriver } from "./watch-fixture.ts";

const DAY_S = DEFAULT_WATCH_LIMITS.defaultExpiresS;
const NONE = { headers: [] };

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
