import assert from "node:assert/strict";
import { test } from "node:test";
import { callLabel } from "../../../controller/core/call-label.ts";
import { type CallRecord, CallTable } from "../../../controller/core/call-table.ts";
import { DialogTable, MAX_CALLEES } from "../../../controller/core/dialog-table.ts";
import { newCallRecord } from "../../../controller/core/new-call.ts";
import { singleHop } from "../../../controller/core/next-hops.ts";
import { noteCallee, noteSender } from "../../../controller/core/note-party.ts";
import { SeenBodies } from "../../../controller/core/seen-bodies.ts";
import {
  appendHeader,
  type SipRequest,
  type SipResponse,
  withHeader,
  withoutHeader,
} from "../../../protocol/sip/message.ts";
import { ALICE, APPLY_TIMEOUT_MS, BOB, invite, NOW, POLICY, response } from "./call-fixture.ts";
import { CERTIFICATE, FROM_ALICE, FROM_BILOXI, SIP, trunk, user } from "./proxy-fixture.ts";

const BILOXI = trunk("biloxi.example.com", "10.30.0.2");
const TARGET = { transport: "tcp", address: "10.30.0.2", port: 5060 } as const;
const HOP = { to: TARGET, toward: TARGET, path: [], whom: { trunk: BILOXI } };
let octet = 0;

function record(made: SipRequest, serverKey = "s|1"): CallRecord {
  const alice = user(ALICE);
  const placing = {
    request: made,
    origin: { kind: "user", user: alice, addresses: ["10.10.0.2"] },
    plan: singleHop(HOP),
    emergency: false,
    caller: { aor: ALICE, addresses: ["10.10.0.2"], requireSealed: false },
    callee: { addresses: [], requireSealed: false },
    users: [alice],
    labelled: false,
  } as const;
  const rules = {
    sip: SIP,
    media: POLICY,
    applyTimeoutMs: APPLY_TIMEOUT_MS,
    recordingRequired: true,
    bodyCertificate: CERTIFICATE,
  };
  const random = (size: number) => {
    octet += 1;
    return Buffer.alloc(size, octet);
  };
  const making = { rules, seen: new SeenBodies(), random };
  return newCallRecord({ invite: made, serverKey, arrival: FROM_ALICE, placing }, making, NOW);
}

/** A request of the dialog, with From and To as they are given. */
const within = (from: string, to: string): SipRequest =>
  withHeader(withHeader(invite(""), "From", from), "To", to);

const CALLER = `<${ALICE}>;tag=a1`;
const callee = (tag = "b1") => `<${BOB}>;tag=${tag}`;

const answered = (made: CallRecord, answer: SipResponse) =>
  noteCallee({ kind: "invite", record: made }, answer, HOP, FROM_BILOXI);

test("a record names whom the recorder is told of, and gives nothing away in its names", () => {
  const made = record(invite());
  assert.deepEqual(made.order, {
    callId: "c1@atlanta.example.com",
    from: ALICE,
    to: BOB,
    startedAt: NOW,
  });
  assert.match(made.id, /^[0-9a-f]{32}$/);
  assert.match(callLabel(invite()), /^[0-9a-f]{12}$/);
  assert.equal(made.dialogs.callerTag, "a1");
  const elsewhere = record(withHeader(invite(), "To", "<tel:+1234>"));
  assert.equal(elsewhere.order.to, "tel:+1234");
});

test("what a message lacks is named by nothing, never by something of another message", () => {
  const bare = withoutHeader(withHeader(invite(), "From", `<${ALICE}>`), "Call-ID");
  const made = record(bare);
  assert.equal(made.dialogs.callerTag, "");
  assert.equal(made.order.callId, "");
  assert.notEqual(callLabel(bare), callLabel(invite()));
});

test("a dialog is found from both sides, and only once the callee's tag is known", () => {
  const table = new DialogTable();
  const made = record(invite());
  table.add(made.dialogs);
  assert.equal(table.find(within(CALLER, callee())), undefined);
  answered(made, response(180));
  assert.equal(table.find(within(CALLER, callee()))?.side, "caller");
  assert.equal(table.find(within(callee(), CALLER))?.side, "callee");
  assert.equal(table.find(within(CALLER, `<${BOB}>`)), undefined);
  assert.equal(table.find(within(`<${BOB}>`, CALLER)), undefined);
  assert.equal(table.find(withHeader(within(CALLER, callee()), "Call-ID", "c2")), undefined);
});

test("a caller's tag that the callee takes for his own makes nobody the other", () => {
  const table = new DialogTable();
  const made = record(invite());
  table.add(made.dialogs);
  answered(made, response(200, { tag: "a1" }));
  assert.equal(table.find(within(CALLER, callee("a1")))?.side, "caller");
  assert.equal(table.find(within(callee("a1"), CALLER))?.side, "caller");
});

test("dialogs that are removed leave nothing, and nothing of their successor goes with them", () => {
  const table = new DialogTable();
  const [first, second] = [record(invite()), record(invite())];
  table.add(first.dialogs);
  table.add(second.dialogs);
  table.remove(first.dialogs);
  assert.equal(table.ofCaller(invite()), second.dialogs);
  table.remove(second.dialogs);
  assert.equal(table.ofCaller(invite()), undefined);
  assert.equal(table.size, 0);
});

test("dialogs of no call end by themselves, later when they are prolonged", () => {
  const table = new DialogTable();
  const { call: _none, ...set } = record(invite()).dialogs;
  table.add(set, NOW + 10);
  table.touch(set, NOW + 20);
  table.tick(NOW + 10);
  assert.equal(table.deadline(), NOW + 20);
  table.tick(NOW + 20);
  assert.equal(table.size, 0);
  const called = record(invite()).dialogs;
  table.add(called);
  table.touch(called, NOW + 20);
  assert.equal(table.deadline(), undefined);
});

test("where NOTIFY may come before any answer, its tag is taken when it comes", () => {
  const table = new DialogTable();
  const { call: _none, ...made } = record(invite()).dialogs;
  const asked = [{ whom: { trunk: BILOXI }, flow: undefined, peer: TARGET, contact: undefined }];
  const set = { ...made, asked };
  table.add(set, NOW + 10);
  const notify = within(callee("n1"), CALLER);
  const place = table.find(notify);
  assert.equal(place?.side, "callee");
  assert.ok(place !== undefined);
  noteSender({ request: notify, place, plan: singleHop(HOP) }, FROM_BILOXI);
  assert.equal(set.callees.get("n1")?.flow, FROM_BILOXI.flow);
});

test("a forgotten call leaves nothing behind, and nothing of its successor goes with it", () => {
  const table = new CallTable();
  const [first, second] = [record(invite(), "s|1"), record(invite(), "s|2")];
  table.add(first);
  table.addSession(first, "x");
  table.add(second);
  assert.equal(table.callsOf(ALICE), 2);
  table.settle(first);
  table.settle(first);
  assert.equal(table.callsOf(ALICE), 1);
  assert.equal(table.running, 1);
  table.forget(first);
  assert.equal(table.size, 1);
  assert.equal(table.ofServer("s|1"), undefined);
  assert.equal(table.ofSession("x"), undefined);
  assert.equal(table.get(first.id), undefined);
  table.forget(second);
  assert.equal(table.size + table.running + table.callsOf(ALICE), 0);
});

test("a Contact is remembered of so many dialogs, the last readable one of each", () => {
  const made = record(invite());
  const { callees } = made.dialogs;
  const contact = (status: number, tag: string, value: string) =>
    answered(made, appendHeader(response(status, { tag }), "Contact", value));
  contact(200, "b0", "<tel:+1234>");
  assert.equal(callees.get("b0")?.contact, undefined);
  for (let each = 0; each <= MAX_CALLEES; each += 1)
    contact(180, `b${each}`, `<sip:bob@10.20.0.${each + 1}:5060;transport=tcp>`);
  assert.equal(callees.size, MAX_CALLEES);
  assert.equal(callees.has(`b${MAX_CALLEES}`), false);
  contact(200, "b0", "*");
  assert.equal(callees.get("b0")?.contact, "10.20.0.1");
  contact(200, "b0", "<sip:bob@[::ffff:10.20.0.77]>");
  assert.equal(callees.get("b0")?.contact, "10.20.0.77");
});

test("a response without To tag, as RFC 2543 had it, has one dialog by that", () => {
  const table = new DialogTable();
  const made = record(invite());
  table.add(made.dialogs);
  answered(made, withHeader(response(200), "To", `<${BOB}>`));
  assert.equal(table.find(within(`<${BOB}>`, CALLER))?.tag, "");
});
