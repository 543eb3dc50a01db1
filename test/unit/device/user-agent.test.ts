import assert from "node:assert/strict";
import { test } from "node:test";
import { dialogOfCaller, requestInDialog } from "../../../protocol/sip/dialog.ts";
import {
  headerValue,
  type SipMessage,
  type SipRequest,
  type SipResponse,
  withHeader,
  withoutHeader,
} from "../../../protocol/sip/message.ts";
import { World } from "./call-fixture.ts";

let branch = 0;

/** A request from outside, as a stranger would send it to bob. */
function stranger(method: string, rows: Readonly<Record<string, string>> = {}): SipRequest {
  branch += 1;
  const headers = {
    Via: `SIP/2.0/TCP 10.0.0.9;branch=z9hG4bKstranger${branch}`,
    From: "<sip:mallory@example.com>;tag=m",
    To: "<sip:bob@biloxi.example.com>",
    "Call-ID": `stranger${branch}`,
    CSeq: `7 ${method}`,
    Contact: "<sip:mallory@10.0.0.9>",
    ...rows,
  };
  return {
    ...{ kind: "request", method, uri: "sip:bob@10.0.0.2", body: Buffer.alloc(0) },
    headers: Object.entries(headers).map(([name, value]) => ({ name, value })),
  };
}

function answerTo(world: World, request: SipRequest): SipResponse {
  const before = world.wire.length;
  world.deliver("bob", request);
  const answers = world.wire.slice(before).flatMap(({ from, message }) => {
    return from === "bob" && message.kind === "response" ? [message] : [];
  });
  assert.equal(answers.length, 1);
  const [answer] = answers;
  if (answer === undefined) throw new Error("no answer");
  return answer;
}

const OUTSIDE: readonly (readonly [name: string, request: SipRequest, status: number])[] = [
  ["OPTIONS", stranger("OPTIONS"), 200],
  ["an INVITE for somebody else", { ...stranger("INVITE"), uri: "sip:carol@10.0.0.2" }, 404],
  ["an INVITE for no SIP URI", { ...stranger("INVITE"), uri: "tel:+15551234" }, 404],
  ["an INVITE for nobody", { ...stranger("INVITE"), uri: "sip:10.0.0.2" }, 404],
  ["BYE of no call", stranger("BYE"), 481],
  ["CANCEL of no call", stranger("CANCEL"), 481],
  ["an INVITE inside no call", stranger("INVITE", { To: "<sip:bob@b>;tag=x" }), 481],
  ["MESSAGE", stranger("MESSAGE"), 405],
];

for (const [name, request, status] of OUTSIDE)
  test(`${name} is answered with ${status}, and changes nothing`, () => {
    const world = new World();
    const answer = answerTo(world, request);
    assert.equal(answer.status, status);
    assert.equal(headerValue(answer, "Allow"), "INVITE, ACK, CANCEL, BYE, OPTIONS");
    assert.ok(world.agents.bob.isIdle);
  });

test("a user name is compared without its escapes", () => {
  const request = { ...stranger("INVITE"), uri: "sip:%62ob@10.0.0.2" };
  assert.equal(answerTo(new World(), request).status, 488);
});

test("one call at a time: the next is busy, and so is a phone that only calls", () => {
  const world = new World();
  world.dial();
  assert.equal(answerTo(world, stranger("INVITE")).status, 486);
  assert.throws(() => world.dial(), TypeError);
  const before = world.wire.length;
  world.deliver("alice", { ...stranger("INVITE"), uri: "sip:alice@10.0.0.1" });
  const busy = world.wire[before]?.message;
  assert.equal(busy?.kind === "response" && busy.status, 486);
});

test("an ACK and a response that belong to nothing are dropped", () => {
  const world = new World();
  world.deliver("bob", stranger("ACK"));
  const stray = stranger("INVITE").headers;
  const response = { kind: "response", status: 200, reason: "OK", headers: stray } as const;
  world.deliver("alice", { ...response, body: Buffer.alloc(0) });
  assert.deepEqual(world.wire, []);
});

function callUp(): World {
  const world = new World();
  world.dial();
  world.tell("bob", "answer");
  return world;
}

/** A request of alice's inside the call, as her own phone does not send it. */
function inCall(world: World, method: string): SipRequest {
  const [invite, answer] = [world.message("INVITE"), world.message("200")];
  if (invite.kind !== "request" || answer.kind !== "response") throw new Error("no call");
  branch += 1;
  const params = [{ name: "branch", value: `z9hG4bKin${branch}` }];
  const via = { transport: "TCP", host: "10.0.0.9", params };
  return requestInDialog(dialogOfCaller(invite, answer), { method, via }).request;
}

for (const [method, status] of [
  ["INVITE", 488],
  ["UPDATE", 488],
  ["OPTIONS", 200],
  ["INFO", 405],
] as const)
  test(`${method} inside the call is answered with ${status}, and the call goes on`, () => {
    const world = callUp();
    assert.equal(answerTo(world, inCall(world, method)).status, status);
    assert.equal(world.last("bob")?.event, "answered");
  });

test("an old number inside the call is refused (RFC 3261 §12.2.2)", () => {
  const world = callUp();
  const old = withHeader(inCall(world, "BYE"), "CSeq", "1 BYE");
  assert.equal(answerTo(world, old).status, 500);
  assert.equal(world.last("bob")?.event, "answered");
});

test("a BYE with another tag ends nothing", () => {
  const world = callUp();
  const forged = withHeader(inCall(world, "BYE"), "From", "<sip:alice@a>;tag=guess");
  assert.equal(answerTo(world, forged).status, 481);
  assert.equal(world.last("bob")?.event, "answered");
});

const sentBy = (world: World, from: number): string[] => world.sent().slice(from);

test("the 2xx of another branch is acknowledged and ended; our call goes on", () => {
  const world = callUp();
  const before = world.wire.length;
  const answer = world.message("200");
  const to = headerValue(answer, "To")?.replace(/tag=.*/, "tag=fork") ?? "";
  world.deliver("alice", withHeader(answer, "To", to));
  assert.deepEqual(sentBy(world, before).slice(0, 2), ["ACK", "BYE"]);
  assert.equal(world.last("alice")?.event, "answered");
  assert.ok(!world.agents.alice.isIdle);
});

test("a 2xx of another branch that makes no dialog, and late other answers, are left alone", () => {
  const world = callUp();
  const before = world.wire.length;
  const answer = world.message("200");
  const fork = withHeader(answer, "To", "<sip:bob@biloxi.example.com>;tag=fork");
  world.deliver("alice", withoutHeader(fork, "Contact"));
  world.deliver("alice", { ...(answer as SipResponse), status: 180 });
  assert.deepEqual(sentBy(world, before), []);
});

test("an answer without a To tag makes no dialog", () => {
  const world = new World({
    tamper: (message: SipMessage) =>
      message.kind === "response" && message.status === 200
        ? [withHeader(message, "To", "<sip:bob@biloxi.example.com>")]
        : [message],
  });
  world.dial();
  world.tell("bob", "answer");
  assert.equal(world.last("alice")?.event, "failed");
});
