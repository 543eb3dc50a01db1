import assert from "node:assert/strict";
import { test } from "node:test";
import { BASE_WAIT_MS, STEADY_MS } from "../../../device/core/registration-retry.ts";
import { headerValue, headerValues } from "../../../protocol/sip/message.ts";
import { CLAIM, CONTACT, FLOW, passwordOf, RegistrarWorld, START } from "./registration-fixture.ts";

const HOUR_MS = 3_600_000;

test("registered: the location is asked for, sealed, granted, kept and told", () => {
  const world = new RegistrarWorld().register();
  world.grant();
  assert.deepEqual(world.told, ["registering", "registered"]);
  const [kept] = world.stored;
  assert.equal(kept?.contact, CONTACT);
  assert.equal(kept?.expiresAt, START + HOUR_MS);
  const told = world.events[1];
  assert.ok(told?.event === "registered");
  assert.equal(told.expiresAt, told.certificate?.notAfter);
  assert.equal(told.refreshAt, START + HOUR_MS * 0.9);
  assert.equal(world.outcome, undefined);
});

test("once: it is over when it is registered, and stays registered", () => {
  const world = new RegistrarWorld({ once: true }).register();
  world.grant();
  assert.equal(world.outcome, "well");
  assert.equal(world.machine.deadline(), undefined);
  world.feed({ kind: "flow-closed", flow: FLOW });
  world.feed({ kind: "remove" });
  assert.equal(world.sent.length, 1);
});

test("refreshed a tenth before the end: same Call-ID and location, next CSeq, claimed again", () => {
  const world = new RegistrarWorld().register();
  world.grant();
  const first = world.last;
  world.advance(HOUR_MS * 0.9 - 1);
  assert.equal(world.sent.length, 1);
  world.advance(1);
  assert.equal(world.sent.length, 2);
  assert.equal(headerValue(world.last, "Call-ID"), headerValue(first, "Call-ID"));
  assert.equal(headerValue(world.last, "CSeq"), "2 REGISTER");
  assert.deepEqual(world.claims, [false, false]);
  world.grant();
  assert.equal(world.stored[1]?.expiresAt, START + HOUR_MS * 1.9);
  world.advance(HOUR_MS * 0.1);
  assert.ok(!world.told.includes("registration-expired"));
});

for (const [expiresS, refreshMs] of [
  [2, 1_000],
  [60, 30_000],
  [100, 68_000],
  [320, 288_000],
  [7200, 6_480_000],
] as const)
  test(`${expiresS} s that are granted are refreshed after ${refreshMs} ms`, () => {
    const world = new RegistrarWorld().register();
    world.grant({ expiresS });
    assert.equal(world.machine.deadline(), START + refreshMs);
  });

test("a refresh that fails leaves what stands until its time is up; retries go on", () => {
  const world = new RegistrarWorld().register();
  world.grant({ expiresS: 100 });
  world.advance(68_000);
  world.respond(503);
  assert.equal(world.failure.status, 503);
  assert.equal(world.stored.length, 1);
  world.advance(31_999);
  assert.ok(!world.told.includes("registration-expired"));
  world.advance(1);
  assert.equal(world.told.at(-1), "registration-expired");
  world.advance(HOUR_MS);
  assert.equal(world.told.filter((each) => each === "registration-expired").length, 1);
  assert.ok(world.sent.length > 2);
});

test("stopped: the location is taken away without a claim, and then forgotten", () => {
  const world = new RegistrarWorld().register();
  world.grant();
  world.feed({ kind: "remove" });
  assert.equal(headerValue(world.last, "Expires"), "0");
  assert.deepEqual(world.claims, [false]);
  world.grant({ expiresS: 0 });
  assert.deepEqual(world.stored[1], undefined);
  assert.equal(world.stored.length, 2);
  assert.equal(world.told.at(-1), "unregistered");
  assert.equal(world.outcome, "well");
});

test("stopped before anything was sent: nothing is to be taken away", () => {
  const world = new RegistrarWorld();
  world.feed({ kind: "remove" });
  assert.equal(world.outcome, "well");
  assert.equal(world.sent.length, 0);
});

test("stopped after the connection has gone: what the registrar still has is taken away", () => {
  const world = new RegistrarWorld().register();
  world.grant();
  world.feed({ kind: "flow-closed", flow: FLOW });
  world.feed({ kind: "remove" });
  assert.equal(headerValue(world.last, "Expires"), "0");
  assert.match(headerValue(world.last, "Contact") ?? "", new RegExp(CONTACT.uri));
  world.grant({ expiresS: 0 });
  assert.deepEqual([world.told.at(-1), world.outcome], ["unregistered", "well"]);
  assert.equal(world.stored.at(-1), undefined);
});

test("stopped long after the connection has gone: nothing is left to be taken away", () => {
  const world = new RegistrarWorld().register();
  world.grant();
  world.feed({ kind: "flow-closed", flow: FLOW });
  world.now += HOUR_MS;
  world.feed({ kind: "remove" });
  assert.deepEqual([world.sent.length, world.outcome], [1, "well"]);
});

test("what an earlier run registered can be taken away", () => {
  const world = new RegistrarWorld();
  world.feed({ kind: "remove", contact: CONTACT });
  assert.match(headerValue(world.last, "Contact") ?? "", /reg-id=1/);
  world.grant({ expiresS: 0 });
  assert.equal(world.outcome, "well");
});

test("stopped while a REGISTER is out: its location is taken away, its answer ignored", () => {
  const world = new RegistrarWorld().register();
  const abandoned = world.firstKeys[0];
  world.feed({ kind: "remove" });
  assert.equal(headerValue(world.last, "CSeq"), "2 REGISTER");
  assert.ok(abandoned?.cek.isWiped);
  world.grant({ expiresS: 0 });
  assert.equal(world.outcome, "well");
});

for (const [name, answer] of [
  ["refused", (world: RegistrarWorld) => world.respond(403)],
  ["not answered", (world: RegistrarWorld) => world.fail()],
  ["answered with the location still there", (world: RegistrarWorld) => world.grant()],
] as const)
  test(`a removal that is ${name} fails, and is over`, () => {
    const world = new RegistrarWorld().register();
    world.grant();
    world.feed({ kind: "remove" });
    answer(world);
    assert.equal(world.outcome, "failed");
    assert.equal(world.failure.retryAt, undefined);
    assert.equal(world.stored.length, 1);
  });

test("a connection that held for long and goes: registered again at once, by another", () => {
  const world = new RegistrarWorld().register();
  world.grant();
  world.now += STEADY_MS;
  world.desk.contact = { ...CONTACT, port: 40_123, uri: CONTACT.uri.replace("40122", "40123") };
  world.feed({ kind: "flow-closed", flow: FLOW });
  assert.deepEqual(world.told.slice(2), ["flow-lost", "registering"]);
  assert.match(headerValue(world.last, "Contact") ?? "", /:40123;/);
});

test("a connection that goes soon counts as a failure: not at once", () => {
  const world = new RegistrarWorld().register();
  world.grant();
  world.now += STEADY_MS - 1;
  world.feed({ kind: "flow-closed", flow: FLOW });
  assert.equal(world.sent.length, 1);
  const wait = (world.machine.deadline() ?? 0) - world.now;
  assert.ok(wait >= BASE_WAIT_MS && wait <= 2 * BASE_WAIT_MS, String(wait));
  world.advance(wait);
  assert.equal(world.sent.length, 2);
});

test("a connection that goes while its answer is opened is lost as well", () => {
  const world = new RegistrarWorld().register();
  world.deskIsOpen = false;
  world.grant();
  world.feed({ kind: "flow-closed", flow: FLOW });
  world.deskIsOpen = true;
  for (const result of world.pending.splice(0)) world.feed(result);
  assert.deepEqual(world.told, ["registering", "registered", "flow-lost"]);
  const wait = (world.machine.deadline() ?? 0) - world.now;
  assert.ok(wait <= 2 * BASE_WAIT_MS, String(wait));
});

test("somebody else's connection that goes is none of ours", () => {
  const world = new RegistrarWorld().register();
  world.grant();
  world.feed({ kind: "flow-closed", flow: "flow-2" });
  assert.deepEqual(world.told, ["registering", "registered"]);
});

test("a phone that listens stays reachable when its connection goes, and registers again", () => {
  const world = new RegistrarWorld();
  world.desk.contact = { ...CONTACT, isFlow: false };
  world.register();
  assert.doesNotMatch(headerValue(world.last, "Contact") ?? "", /reg-id/);
  assert.deepEqual(headerValues(world.last, "Supported"), []);
  world.grant();
  world.feed({ kind: "flow-closed", flow: FLOW });
  world.advance(HOUR_MS - 1);
  assert.ok(!world.told.includes("registration-expired"));
});

test("failures wait ever longer, up to half an hour; success begins anew once it has held", () => {
  const world = new RegistrarWorld().register();
  const waits: number[] = [];
  for (let failures = 1; failures <= 8; failures += 1) {
    world.fail();
    const wait = (world.machine.deadline() ?? 0) - world.now;
    waits.push(wait);
    world.advance(wait);
  }
  for (const [at, wait] of waits.entries()) {
    const step = Math.min(1_800_000, BASE_WAIT_MS * 2 ** (at + 1));
    assert.ok(wait >= step / 2 && wait <= step, `${at + 1}: ${wait}`);
  }
  world.grant();
  world.now += STEADY_MS;
  world.feed({ kind: "flow-closed", flow: FLOW });
  world.fail();
  assert.ok((world.machine.deadline() ?? 0) - world.now <= 2 * BASE_WAIT_MS);
});

for (const [name, fault, reason] of [
  ["the next hop is not reached", { contact: "connection refused" }, /connection refused/],
  ["no claim can be made", { claim: "no entropy" }, /no entropy/],
  ["it cannot be sealed", { seal: "bad certificate" }, /bad certificate/],
  ["the answer cannot be opened", { open: "the answer is refused: not signed by it" }, /refused/],
  ["it cannot be kept", { store: "it cannot be kept: ENOSPC" }, /ENOSPC/],
] as const)
  for (const once of [true, false])
    test(`${name}${once ? ", once" : ""}: told, nothing kept, tried again unless once`, () => {
      const world = new RegistrarWorld({ once });
      Object.assign(world.desk, fault);
      world.register();
      if (world.sent.length > 0) world.grant();
      assert.match(world.failure.reason, reason);
      assert.equal(world.stored.length, 0);
      assert.equal(world.outcome, once ? "failed" : undefined);
      assert.equal(world.failure.retryAt === undefined, once);
      assert.ok(world.firstKeys.every(({ cek }) => cek.isWiped));
    });

test("late results of an attempt that was given up are ignored, and their key is wiped", () => {
  const world = new RegistrarWorld();
  world.deskIsOpen = false;
  world.register();
  world.feed(world.pending.splice(0)[0] ?? assert.fail());
  world.feed(world.pending.splice(0)[0] ?? assert.fail());
  const [sealed] = world.pending.splice(0);
  assert.equal(sealed?.kind, "sealed");
  world.feed({ kind: "remove" });
  world.feed(sealed ?? assert.fail());
  assert.equal(world.sent.length, 0);
  assert.ok(world.firstKeys[0]?.cek.isWiped);
});

test("responses and failures of other requests are ignored", () => {
  const world = new RegistrarWorld().register();
  world.feed({ kind: "transaction-failed", key: "c|z9hG4bKother|OPTIONS" });
  world.respond(100);
  assert.deepEqual(world.told, ["registering"]);
  world.grant();
  assert.equal(world.told.at(-1), "registered");
});

test("a result that nothing asked for changes nothing, whatever is going on", () => {
  const strays = [
    { kind: "contact", ref: 1, contact: CONTACT },
    { kind: "claimed", ref: 1, claim: CLAIM },
    { kind: "stored", ref: 1 },
  ] as const;
  const world = new RegistrarWorld();
  world.deskIsOpen = false;
  world.register();
  for (const expected of ["contact", "claimed", "sealed"]) {
    const [result] = world.pending.splice(0);
    assert.equal(result?.kind, expected);
    for (const stray of strays) if (stray.kind !== expected) world.feed(stray);
    assert.deepEqual(world.pending, []);
    world.feed(result ?? assert.fail());
  }
  for (const stray of strays) world.feed(stray);
  world.grant();
  for (const stray of strays) world.feed(stray);
  assert.equal(world.stored.length, 0);
  const [answer] = world.pending.splice(0);
  world.feed(answer ?? assert.fail());
  for (const stray of strays.slice(0, 2)) world.feed(stray);
  assert.deepEqual(world.told, ["registering"]);
  world.feed(world.pending.splice(0)[0] ?? assert.fail());
  assert.deepEqual(world.told, ["registering", "registered"]);
});

test("told to register twice: once is enough", () => {
  const world = new RegistrarWorld().register().register();
  assert.equal(world.sent.length, 1);
});

test("the first key is wiped when the answer was opened", () => {
  const world = new RegistrarWorld({ digest: passwordOf() }).register();
  world.grant();
  assert.ok(world.firstKeys.every(({ cek }) => cek.isWiped));
});

test("only the location: no certificate is asked for, none wanted, none shown", () => {
  const world = new RegistrarWorld();
  world.desk.claim = { der: Buffer.alloc(0), isReplaceable: false };
  world.register();
  world.grant({
    answer: ({ certificate: _none, ...answer }) => answer,
  });
  const told = world.events.at(-1);
  assert.ok(told?.event === "registered" && told.certificate === undefined);
  assert.notEqual(CLAIM.keyId, undefined);
});
