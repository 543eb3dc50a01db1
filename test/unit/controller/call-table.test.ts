import assert from "node:assert/strict";
import { test } from "node:test";
import { noteContact } from "../../../controller/core/call-contacts.ts";
import { MAX_DIALOGS } from "../../../controller/core/call-dialogs.ts";
import { type CallRecord, CallTable } from "../../../controller/core/call-table.ts";
import { callLabel, newCallRecord } from "../../../controller/core/new-call.ts";
import { SeenBodies } from "../../../controller/core/seen-bodies.ts";
import type { Route } from "../../../controller/core/sip-policy.ts";
import { Secret } from "../../../protocol/secret.ts";
import {
  appendHeader,
  type SipRequest,
  withHeader,
  withoutHeader,
} from "../../../protocol/sip/message.ts";
import { ALICE, APPLY_TIMEOUT_MS, BOB, invite, NOW, POLICY, response } from "./call-fixture.ts";
import { CERTIFICATE, FROM_ALICE, SIP } from "./proxy-fixture.ts";

const route: Route = {
  domain: "biloxi.example.com",
  transport: "tcp",
  address: "10.30.0.2",
  port: 5060,
};
let octet = 0;

function record(made: SipRequest, serverKey = "s|1"): CallRecord {
  const parts = { callerAor: ALICE, ownAddresses: ["10.10.0.2"], route, to: route } as const;
  const placing = { request: made, ...parts, body: "passing", labelled: false } as const;
  const setting = {
    sip: SIP,
    media: POLICY,
    applyTimeoutMs: APPLY_TIMEOUT_MS,
    recordingRequired: true,
    bodyCertificate: CERTIFICATE,
    nonceKey: new Secret(Buffer.alloc(32)),
    random: (size: number) => {
      octet += 1;
      return Buffer.alloc(size, octet);
    },
  };
  const arrival = FROM_ALICE;
  const seen = new SeenBodies();
  return newCallRecord({ invite: made, serverKey, arrival, placing, seen }, setting, NOW);
}

/** A request of the dialog, with From and To as they are given. */
const within = (from: string, to: string): SipRequest =>
  withHeader(withHeader(invite(""), "From", from), "To", to);

const CALLER = `<${ALICE}>;tag=a1`;

test("a record names whom the recorder is told of, and gives nothing away in its names", () => {
  const made = record(invite());
  assert.deepEqual(made.order, {
    callId: "c1@atlanta.example.com",
    from: ALICE,
    to: BOB,
    startedAt: NOW,
  });
  assert.match(made.id, /^[0-9a-f]{32}$/);
  assert.match(made.label, /^[0-9a-f]{12}$/);
  assert.equal(made.callerTag, "a1");
  const elsewhere = record(withHeader(invite(), "To", "<tel:+1234>"));
  assert.equal(elsewhere.order.to, "tel:+1234");
});

test("what a message lacks is named by nothing, never by something of another message", () => {
  const bare = withoutHeader(withHeader(invite(), "From", `<${ALICE}>`), "Call-ID");
  const made = record(bare);
  assert.equal(made.callerTag, "");
  assert.equal(made.order.callId, "");
  assert.notEqual(made.label, record(invite()).label);
  assert.equal(callLabel(bare), made.label);
});

test("a dialog is found from both sides, and only once the call knows the callee's tag", () => {
  const table = new CallTable();
  const made = record(invite());
  table.add(made);
  const callee = `<${BOB}>;tag=b1`;
  assert.equal(table.ofDialog(within(CALLER, callee)), undefined);
  made.call.handle({ kind: "start" }, NOW);
  made.call.handle({ kind: "response", response: response(180) }, NOW);
  assert.equal(table.ofDialog(within(CALLER, callee))?.side, "caller");
  assert.equal(table.ofDialog(within(callee, CALLER))?.side, "callee");
  assert.equal(table.ofDialog(within(CALLER, `<${BOB}>`)), undefined);
  assert.equal(table.ofDialog(within(`<${BOB}>`, CALLER)), undefined);
  assert.equal(table.ofDialog(withHeader(within(CALLER, callee), "Call-ID", "c2")), undefined);
});

test("a callee who gives no tag, as RFC 2543 had it, has one dialog by that", () => {
  const table = new CallTable();
  const made = record(invite());
  table.add(made);
  made.call.handle({ kind: "start" }, NOW);
  const answer = withHeader(response(200), "To", `<${BOB}>`);
  made.call.handle({ kind: "response", response: answer }, NOW);
  assert.deepEqual(table.ofDialog(within(`<${BOB}>`, CALLER))?.tag, "");
  noteContact(made, appendHeader(answer, "Contact", "<sip:bob@10.20.0.2>"));
  assert.equal(made.contacts.get(""), "10.20.0.2");
});

test("a caller's tag that the callee takes for his own makes nobody the other", () => {
  const table = new CallTable();
  const made = record(invite());
  table.add(made);
  made.call.handle({ kind: "start" }, NOW);
  made.call.handle({ kind: "response", response: response(200, { tag: "a1" }) }, NOW);
  assert.equal(table.ofDialog(within(CALLER, `<${BOB}>;tag=a1`))?.side, "caller");
  assert.equal(table.ofDialog(within(`<${BOB}>;tag=a1`, CALLER))?.side, "caller");
});

test("a forgotten call leaves nothing behind, and nothing of its successor goes with it", () => {
  const table = new CallTable();
  const [first, second] = [record(invite(), "s|1"), record(invite(), "s|2")];
  table.add(first);
  table.addClient(first, "c|1");
  table.addSession(first, "x");
  table.add(second);
  table.forget(first);
  assert.equal(table.size, 1);
  for (const key of ["s|1", "c|1"]) assert.equal(table.ofTransaction(key), undefined);
  assert.equal(table.ofSession("x"), undefined);
  assert.equal(table.get(first.id), undefined);
  assert.equal(table.ofCaller(invite()), second);
  table.forget(second);
  assert.equal(table.ofCaller(invite()), undefined);
  assert.equal(table.size, 0);
});

test("a Contact is remembered of good responses, of so many dialogs, the last one of each", () => {
  const made = record(invite());
  const contact = (status: number, tag: string, value: string) =>
    noteContact(made, appendHeader(response(status, { tag }), "Contact", value));
  contact(302, "b0", "<sip:bob@10.20.0.9>");
  contact(200, "b0", "<tel:+1234>");
  contact(200, "b0", "*");
  noteContact(made, response(200, { tag: "b0" }));
  assert.equal(made.contacts.size, 0);
  for (let each = 0; each <= MAX_DIALOGS; each += 1)
    contact(180, `b${each}`, `<sip:bob@10.20.0.${each + 1}:5060;transport=tcp>`);
  assert.equal(made.contacts.size, MAX_DIALOGS);
  assert.equal(made.contacts.has(`b${MAX_DIALOGS}`), false);
  contact(200, "b0", "<sip:bob@[::ffff:10.20.0.77]>");
  assert.equal(made.contacts.get("b0"), "10.20.0.77");
});
