import assert from "node:assert/strict";
import { test } from "node:test";
import { MAX_INVITES } from "../../../device/core/caller-call.ts";
import { createResponse } from "../../../protocol/sip/create-response.ts";
import { headerValue, type SipMessage, type SipRequest } from "../../../protocol/sip/message.ts";
import { type Name, START, World, type WorldOptions } from "./call-fixture.ts";
import { CHALLENGE, challengeFor, passwordOf } from "./registration-fixture.ts";

type Guard = (request: SipRequest, asked: number) => string | undefined;

/** A proxy between them that asks alice for her password where `guard` gives a challenge. */
function guarded(guard: Guard, more: WorldOptions = {}): World {
  let asked = 0;
  const tamper = (message: SipMessage, from: Name): readonly SipMessage[] => {
    if (message.kind !== "request" || from !== "alice" || message.method === "ACK")
      return [message];
    const challenge = guard(message, asked);
    if (challenge === undefined) return [message];
    asked += 1;
    const headers = challengeFor(407, challenge);
    world.deliver("alice", createResponse(message, 407, { toTag: "proxy", headers }));
    return [];
  };
  const world: World = new World({ tamper, digest: passwordOf(), ...more });
  return world;
}

const unproven: Guard = (request) =>
  headerValue(request, "Proxy-Authorization") === undefined ? CHALLENGE : undefined;
const invitesOf = (world: World): readonly SipRequest[] =>
  world.wire.flatMap(({ message }) =>
    message.kind === "request" && message.method === "INVITE" ? [message] : [],
  );

test("a challenged call is offered again: signed for the next CSeq, with credentials", () => {
  const world = guarded(unproven, { callee: { sealedRequired: true, autoAnswerAfterMs: 0 } });
  world.dial();
  world.advance(1);
  const [first, second, ...more] = invitesOf(world);
  assert.ok(first && second && more.length === 0);
  for (const name of ["Call-ID", "From", "To"])
    assert.equal(headerValue(first, name), headerValue(second, name), name);
  assert.equal(headerValue(second, "CSeq"), "2 INVITE");
  assert.match(headerValue(second, "Proxy-Authorization") ?? "", /qop=auth-int/);
  assert.match(second.body.toString(), /2 INVITE/);
  assert.ok(world.told("alice").includes("answered"));
});

test("the ACK has the credentials and the number of its INVITE; a BYE is proven by itself", () => {
  const world = guarded(unproven, { callee: { sealedRequired: true, autoAnswerAfterMs: 0 } });
  world.dial();
  world.advance(1);
  const [, invite] = invitesOf(world);
  const acks = world.wire.filter(
    ({ message }) => message.kind === "request" && message.method === "ACK",
  );
  const ack = acks.at(-1)?.message ?? assert.fail();
  assert.equal(headerValue(ack, "CSeq"), "2 ACK");
  const field = "Proxy-Authorization";
  assert.equal(headerValue(ack, field), headerValue(invite ?? assert.fail(), field));
  world.tell("alice", "hangup");
  assert.match(headerValue(world.message("BYE", "alice"), field) ?? "", /nc=00000002/);
  assert.equal(world.last("alice")?.event, "ended");
});

test("a goodbye that is challenged is said again, with the next CSeq", () => {
  const world = guarded((request, asked) =>
    request.method === "BYE" && asked === 0 ? CHALLENGE : undefined,
  );
  world.dial();
  world.tell("bob", "answer");
  world.tell("alice", "hangup");
  assert.equal(world.sent("alice").filter((what) => what === "BYE").length, 2);
  const ended = world.last("alice");
  assert.ok(ended?.event === "ended" && ended.status === 200);
});

test("a goodbye that is challenged for ever ends the call all the same", () => {
  const world = guarded((request, asked) =>
    request.method === "BYE" ? `${CHALLENGE.replace("n1", `n${asked}`)}, stale=true` : undefined,
  );
  world.dial();
  world.tell("bob", "answer");
  world.tell("alice", "hangup");
  assert.equal(world.last("alice")?.event, "failed");
  assert.ok(world.sent("alice").filter((what) => what === "BYE").length <= 4);
});

test("a password that is not believed, or none, ends the call with the refusal", () => {
  const wrong = guarded((_request, asked) => CHALLENGE.replace("n1", `n${asked}`));
  wrong.dial();
  assert.equal(invitesOf(wrong).length, 2);
  const none = new World({
    tamper: (message, from) => {
      if (message.kind !== "request" || from !== "alice") return [message];
      if (message.method === "INVITE")
        none.deliver("alice", createResponse(message, 407, { headers: challengeFor(407) }));
      return [];
    },
  });
  none.dial();
  assert.equal(invitesOf(none).length, 1);
  for (const world of [wrong, none]) {
    const failed = world.last("alice");
    assert.ok(failed?.event === "failed" && failed.status === 407);
  }
});

test("nonces that are called stale for ever end the call", () => {
  const world = guarded((_request, asked) => `${CHALLENGE.replace("n1", `n${asked}`)}, stale=true`);
  world.dial();
  assert.equal(world.last("alice")?.event, "failed");
  assert.ok(invitesOf(world).length <= MAX_INVITES);
});

test("a call in clear is offered again as well", () => {
  const world = guarded(unproven, { callee: { sealedRequired: false } });
  world.dialInClear();
  assert.equal(invitesOf(world).length, 2);
  assert.ok(world.told("bob").includes("incoming"));
  assert.ok(world.now === START);
});
