import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { headerValue, headerValues, withBody, withHeader } from "../../../protocol/sip/message.ts";
import { ALICE, SEALED_TYPE, World } from "./call-fixture.ts";

/** A call that is up, both having acknowledged it. */
function callUp(options: ConstructorParameters<typeof World>[0] = {}): World {
  const world = new World(options);
  world.dial();
  world.tell("bob", "answer");
  return world;
}

test("a sealed call: INVITE, 180, 200, ACK, and each side told in its own words", () => {
  const world = callUp();
  assert.deepEqual(world.sent(), ["INVITE", "180", "200", "ACK"]);
  assert.deepEqual(world.told("alice"), ["calling", "ringing", "answered"]);
  assert.deepEqual(world.told("bob"), ["incoming", "ringing", "answered"]);
  assert.deepEqual(world.done.alice, ["media-ready", "media-expect", "media-play"]);
  assert.deepEqual(world.done.bob, ["media-ready", "media-expect", "media-play"]);
});

test("caller and callee name the same call and the same body", () => {
  const world = callUp();
  const [calling] = world.events.alice;
  const [incoming] = world.events.bob;
  const { body } = world.message("INVITE");
  const bodySha256 = createHash("sha256").update(body).digest("hex");
  const callId = headerValue(world.message("INVITE"), "Call-ID");
  assert.deepEqual(calling, { event: "calling", callId, sealed: true, bodySha256 });
  assert.deepEqual(incoming, { event: "incoming", callId, from: ALICE, sealed: true, bodySha256 });
});

test("the INVITE is labelled for each controller, with the Content-ID of its body", () => {
  const world = new World();
  world.dial(["ss1.atlanta.example.com", "ss2.atlanta.example.com"]);
  const invite = world.message("INVITE");
  const cid = /^<(.+@atlanta\.example\.com)>$/.exec(headerValue(invite, "Content-ID") ?? "")?.[1];
  assert.deepEqual(headerValues(invite, "Proxy-Inspect-Body"), [
    `ss1.atlanta.example.com;cid="${cid}"`,
    `ss2.atlanta.example.com;cid="${cid}"`,
  ]);
  assert.equal(headerValue(invite, "Content-Type"), SEALED_TYPE);
  assert.equal(headerValue(invite, "Content-Disposition"), "session;handling=required");
  assert.equal(headerValue(invite, "Date"), "Fri, 20 Jun 2003 13:02:03 GMT");
  assert.equal(headerValue(invite, "Contact"), "<sip:alice@10.0.0.1:5060;transport=tcp>");
});

test("the answer carries labels for the controllers of the offer, with a Content-ID of its own", () => {
  const answer = callUp().message("200");
  const cid = /^<(.+@biloxi\.example\.com)>$/.exec(headerValue(answer, "Content-ID") ?? "")?.[1];
  assert.deepEqual(headerValues(answer, "Proxy-Inspect-Body"), [
    `ss1.atlanta.example.com;cid="${cid}"`,
  ]);
});

test("the caller hangs up", () => {
  const world = callUp();
  world.tell("alice", "hangup");
  assert.deepEqual(world.sent().slice(4), ["BYE", "200"]);
  assert.deepEqual(world.last("alice"), { event: "ended", reason: "hung-up", status: 200 });
  assert.deepEqual(world.last("bob"), { event: "ended", reason: "peer-hung-up", status: 200 });
  assert.deepEqual(world.done.alice.slice(3), ["media-leave", "media-stop", "over: well"]);
  assert.deepEqual(world.done.bob.slice(3), ["media-stop", "over: well"]);
});

test("the callee hangs up", () => {
  const world = callUp();
  world.tell("bob", "hangup");
  assert.deepEqual(world.last("bob"), { event: "ended", reason: "hung-up", status: 200 });
  assert.deepEqual(world.last("alice"), { event: "ended", reason: "peer-hung-up", status: 200 });
});

test("both hang up at once, and both calls end", () => {
  const held: { input: () => void }[] = [];
  const world: World = callUp({
    tamper: (message, from) => {
      if (message.kind !== "request" || message.method !== "BYE") return [message];
      held.push({ input: () => world.deliver(from === "alice" ? "bob" : "alice", message) });
      return [];
    },
  });
  world.tell("alice", "hangup");
  world.tell("bob", "hangup");
  for (const { input } of held) input();
  assert.equal(world.last("alice")?.event, "ended");
  assert.equal(world.last("bob")?.event, "ended");
  assert.equal(world.done.alice.filter((each) => each.startsWith("over")).length, 1);
});

test("a second hangup, and commands that do not fit, change nothing", () => {
  const world = callUp();
  world.tell("alice", "answer");
  world.tell("alice", "ring");
  world.tell("bob", "answer");
  assert.equal(world.wire.length, 4);
  world.tell("alice", "hangup");
  world.tell("alice", "hangup");
  assert.deepEqual(world.sent().slice(4), ["BYE", "200"]);
});

test("a BYE that nobody answers ends the call as failed", () => {
  const world = callUp({
    tamper: (message) => (message.kind === "request" && message.method === "BYE" ? [] : [message]),
  });
  world.tell("alice", "hangup");
  world.advance(32_000);
  assert.deepEqual(world.last("alice"), {
    ...{ event: "failed", reason: "the goodbye was not answered well", status: 408 },
  });
  assert.deepEqual(world.done.alice.slice(-2), ["media-stop", "over: failed"]);
});

test("the caller gives up while it rings: CANCEL, 487", () => {
  const world = new World();
  world.dial();
  world.tell("alice", "hangup");
  assert.deepEqual(world.sent(), ["INVITE", "180", "CANCEL", "200", "487", "ACK"]);
  assert.deepEqual(world.last("alice"), { event: "failed", reason: "cancelled", status: 487 });
  assert.deepEqual(world.last("bob"), {
    ...{ event: "failed", reason: "cancelled by the caller", status: 487 },
  });
});

test("a 200 that crosses the CANCEL is acknowledged and ended", () => {
  const world: World = new World({
    tamper: (message) =>
      message.kind === "request" && message.method === "CANCEL" ? [] : [message],
  });
  world.dial();
  world.tell("alice", "hangup");
  world.tell("bob", "answer");
  assert.deepEqual(world.sent("alice"), ["INVITE", "CANCEL", "ACK", "BYE"]);
  assert.deepEqual(world.last("alice"), { event: "failed", reason: "cancelled" });
  assert.ok(!world.done.alice.includes("media-play"));
});

test("a caller who hangs up before the body is sealed sends nothing", () => {
  const world = new World({ sealAtOnce: false });
  world.dial();
  world.tell("alice", "hangup");
  world.sealNow();
  assert.deepEqual(world.wire, []);
  assert.equal(world.last("alice")?.event, "failed");
});

test("the callee declines: 603, and the caller hears it", () => {
  const world = new World();
  world.dial();
  world.tell("bob", "hangup");
  assert.deepEqual(world.last("alice"), { event: "failed", reason: "Decline", status: 603 });
  assert.equal(world.last("bob")?.event, "refused");
  assert.equal(world.done.bob.at(-1), "over: refused");
});

test("ring lets the caller hear it again, and he is told once", () => {
  const world = new World();
  world.dial();
  world.tell("bob", "ring");
  assert.deepEqual(world.sent(), ["INVITE", "180", "180"]);
  assert.deepEqual(world.told("alice"), ["calling", "ringing"]);
});

test("a phone set to answer does so in its own time", () => {
  const world = new World({ callee: { sealedRequired: true, autoAnswerAfterMs: 300 } });
  world.dial();
  world.advance(299);
  assert.deepEqual(world.told("alice"), ["calling", "ringing"]);
  world.advance(1);
  assert.equal(world.last("alice")?.event, "answered");
});

test("the 200 goes out again until the ACK comes (RFC 3261 §13.3.1.4)", () => {
  let acks = 0;
  const world = callUp({
    tamper: (message) => {
      if (message.kind !== "request" || message.method !== "ACK") return [message];
      acks += 1;
      return acks < 3 ? [] : [message];
    },
  });
  assert.ok(!world.told("bob").includes("answered"));
  world.advance(499);
  assert.equal(acks, 1);
  world.advance(1);
  assert.equal(acks, 2);
  world.advance(1000);
  assert.equal(acks, 3);
  assert.deepEqual(world.last("bob"), { event: "answered", sealed: true });
  world.advance(60_000);
  assert.equal(world.sent("bob").filter((each) => each === "200").length, 3);
  assert.equal(world.told("alice").filter((each) => each === "answered").length, 1);
});

test("a 200 that is never acknowledged ends in BYE after 64*T1", () => {
  const world = callUp({
    tamper: (message) => (message.kind === "request" && message.method === "ACK" ? [] : [message]),
  });
  world.advance(31_999);
  assert.ok(!world.sent("bob").includes("BYE"));
  world.advance(1);
  assert.ok(world.sent("bob").includes("BYE"));
  assert.deepEqual(world.last("bob"), {
    ...{ event: "failed", reason: "our answer was never acknowledged", status: 408 },
  });
  assert.deepEqual(world.last("alice"), { event: "ended", reason: "peer-hung-up", status: 200 });
});

test("a callee who hangs up before the ACK waits for it with his BYE (RFC 3261 §15)", () => {
  let isHeld = true;
  const world = callUp({
    tamper: (message) =>
      message.kind === "request" && message.method === "ACK" && isHeld ? [] : [message],
  });
  world.tell("bob", "hangup");
  assert.ok(!world.sent("bob").includes("BYE"));
  isHeld = false;
  world.advance(500);
  assert.ok(world.sent("bob").includes("BYE"));
  assert.deepEqual(world.last("bob"), { event: "ended", reason: "hung-up", status: 200 });
  assert.ok(!world.done.bob.includes("media-play"));
});

test("a caller may hang up before his ACK arrives", () => {
  const world = callUp({
    tamper: (message) => (message.kind === "request" && message.method === "ACK" ? [] : [message]),
  });
  world.tell("alice", "hangup");
  assert.deepEqual(world.last("bob"), { event: "ended", reason: "peer-hung-up", status: 200 });
});

test("an ACK with another number acknowledges nothing", () => {
  const world = callUp({
    tamper: (message) => {
      if (message.kind !== "request" || message.method !== "ACK") return [message];
      const headers = message.headers.map((row) =>
        row.name === "CSeq" ? { ...row, value: "2 ACK" } : row,
      );
      return [{ ...message, headers }];
    },
  });
  assert.ok(!world.told("bob").includes("answered"));
});

test("no answer from the network ends the call", () => {
  const world = new World({ tamper: () => [] });
  world.dial();
  world.advance(32_000);
  assert.deepEqual(world.last("alice"), { event: "failed", reason: "no answer from the network" });
});

test("the body is opened and signed for even if it is large", () => {
  const world = new World({
    tamper: (message) =>
      message.kind === "request" && message.method === "INVITE"
        ? [withBody(message, Buffer.concat([message.body, Buffer.alloc(60_000, 32)]))]
        : [message],
  });
  world.dial();
  assert.equal(world.last("bob")?.event, "ringing");
});

test("a call in clear: the description lies open, and both sides say so", () => {
  const world = new World({ callee: { sealedRequired: false } });
  world.dialInClear();
  world.tell("bob", "answer");
  const invite = world.message("INVITE");
  assert.equal(headerValue(invite, "Content-Type"), "application/sdp");
  assert.match(invite.body.toString(), /^a=crypto:/m);
  assert.equal(headerValue(invite, "Proxy-Inspect-Body"), undefined);
  assert.deepEqual(world.last("alice"), { event: "answered", sealed: false });
  assert.deepEqual(world.last("bob"), { event: "answered", sealed: false });
});

test("a lost connection is replaced by the way that the dialog names", () => {
  const world = callUp();
  const closed = { kind: "signalling", input: { kind: "flow-closed", flow: "flow-1" } } as const;
  const hops: unknown[] = [];
  const { handle } = world.agents.bob;
  world.agents.bob.handle = function (input, now) {
    const effects = handle.call(this, input, now);
    hops.push(...effects.flatMap((effect) => (effect.kind === "send" ? [effect.to] : [])));
    return effects;
  };
  world.feed("bob", closed);
  world.tell("bob", "hangup");
  assert.deepEqual(hops, [{ transport: "tcp", address: "10.0.0.1", port: 5060 }]);
  assert.equal(world.last("bob")?.event, "ended");
});

test("a caller who is gone before the answer leaves a failed call", () => {
  const whileChecking = () => {};
  const whileAlerting = (world: World) => world.sealNow();
  const whileSealing = (world: World) => {
    world.sealNow();
    world.tell("bob", "answer");
  };
  for (const prepare of [whileChecking, whileAlerting, whileSealing]) {
    const world = new World({ sealAtOnce: false });
    world.dial();
    world.sealNow();
    prepare(world);
    world.feed("bob", { kind: "signalling", input: { kind: "flow-closed", flow: "flow-1" } });
    assert.deepEqual(world.last("bob"), {
      ...{ event: "failed", reason: "the connection that the call came by is gone" },
    });
  }
});

test("a way that names no transport of ours leads nowhere, and the call ends", () => {
  const world = callUp({
    tamper: (message) =>
      message.kind === "request" && message.method === "INVITE"
        ? [withHeader(message, "Record-Route", "<sip:10.0.0.5;transport=udp;lr>")]
        : [message],
  });
  const closed = { kind: "signalling", input: { kind: "flow-closed", flow: "flow-1" } } as const;
  world.feed("bob", closed);
  world.tell("bob", "hangup");
  assert.equal(world.last("bob")?.event, "ended");
});

test("what comes after the end of a call changes nothing", () => {
  const world = callUp();
  world.tell("alice", "hangup");
  const events = world.events.alice.length;
  world.tell("alice", "hangup");
  world.feed("alice", { kind: "call", input: { kind: "tick" } });
  assert.equal(world.events.alice.length, events);
});

test("results that come out of turn change nothing", () => {
  const world = callUp();
  const late = { kind: "not-opened", stage: "open", code: "ERR_CMS_DECRYPT" } as const;
  world.feed("alice", { kind: "call", input: late });
  world.feed("bob", { kind: "call", input: late });
  assert.equal(world.last("alice")?.event, "answered");
  assert.equal(world.last("bob")?.event, "answered");
  assert.equal(world.wire.length, 4);
});

test("a BYE refused inside a failed call still ends it, once", () => {
  const world = callUp({
    tamperResult: (result) =>
      result.kind === "answer-opened"
        ? { kind: "not-opened", stage: "open", code: "ERR_CMS_DECRYPT" }
        : result,
    tamper: (message, from) =>
      from === "bob" && message.kind === "response" && message.status === 200
        ? [/BYE/.test(headerValue(message, "CSeq") ?? "") ? { ...message, status: 481 } : message]
        : [message],
  });
  assert.equal(world.last("alice")?.event, "failed");
  assert.equal(world.done.alice.filter((each) => each === "over: failed").length, 1);
});

test("a caller whose answer is bad, and who is hung up on meanwhile, has failed", () => {
  const world: World = callUp({
    tamperResult: (result) =>
      result.kind === "answer-opened"
        ? { kind: "not-opened", stage: "open", code: "ERR_CMS_DECRYPT" }
        : result,
    tamper: (message, from) =>
      from === "alice" && message.kind === "request" && message.method === "BYE" ? [] : [message],
  });
  world.tell("bob", "hangup");
  assert.equal(world.last("alice")?.event, "failed");
});
