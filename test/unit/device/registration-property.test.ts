import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { messageCSeq } from "../../../protocol/sip/cseq.ts";
import { CONTACT, challengeFor, FLOW, passwordOf, RegistrarWorld } from "./registration-fixture.ts";

/** What the world may do to a registration; `good` counts answers that prove themselves. */
type Step = (world: RegistrarWorld) => "good" | undefined;

const HOUR_MS = 3_600_000;
const isOut = (world: RegistrarWorld): boolean => world.sent.length > 0;
const when =
  (act: (world: RegistrarWorld) => void): Step =>
  (world) => {
    if (isOut(world)) act(world);
    return undefined;
  };
const isRemoval = ({ last }: RegistrarWorld): boolean =>
  last.headers.some(({ name, value }) => name === "Expires" && value === "0");

const good: Step = (world) => {
  if (!isOut(world)) return undefined;
  world.grant({ expiresS: isRemoval(world) ? 0 : 100 });
  return "good";
};

const steps: fc.Arbitrary<Step> = fc.oneof(
  fc.constant(good),
  fc.constant(when((world) => world.fail())),
  fc.constant(when((world) => world.grant({ rows: (rows) => rows.slice(1) }))),
  fc.constant(when((world) => world.grant({ contentType: "text/plain" }))),
  fc.constant(when((world) => world.respond(401, challengeFor(401)))),
  fc.constant(when((world) => world.respond(423, [["Min-Expires", "4000"]]))),
  fc.constantFrom(100, 302, 403, 493, 500, 503).map((status) => when((w) => w.respond(status))),
  fc.integer({ min: 0, max: HOUR_MS }).map(
    (ms): Step =>
      (world) => {
        world.advance(ms);
        return undefined;
      },
  ),
  fc.constantFrom(FLOW, "flow-2").map(
    (flow): Step =>
      (world) => {
        world.feed({ kind: "flow-closed", flow });
        return undefined;
      },
  ),
  fc.constantFrom("register", "remove").map(
    (kind): Step =>
      (world) => {
        world.feed({ kind });
        return undefined;
      },
  ),
  fc.integer({ min: 0, max: 4 }).map(
    (ref): Step =>
      (world) => {
        world.feed({ kind: "contact", ref, contact: CONTACT });
        world.feed({ kind: "stored", ref });
        return undefined;
      },
  ),
);

test("whatever happens: nothing is kept unproven, no key is left, CSeq rises, the end is the end", () => {
  fc.assert(
    fc.property(fc.array(steps, { maxLength: 40 }), (taken) => {
      const world = new RegistrarWorld({ digest: passwordOf() }).register();
      let goodAnswers = 0;
      for (const step of taken) {
        const [requests, isOver] = [world.sent.length, world.outcome !== undefined];
        if (step(world) === "good") goodAnswers += 1;
        if (isOver) assert.equal(world.sent.length, requests);
      }
      assert.ok(world.stored.length <= goodAnswers);
      const numbers = world.sent.map((request) => messageCSeq(request).number);
      assert.deepEqual(
        numbers,
        numbers.map((_each, at) => at + 1),
      );
      assert.ok(world.firstKeys.filter(({ cek }) => !cek.isWiped).length <= 1);
      const deadline = world.machine.deadline();
      assert.ok(deadline === undefined || deadline > world.now);
      if (world.outcome !== undefined) assert.equal(deadline, undefined);
    }),
  );
});

test("unless it is over, it always comes to another REGISTER", () => {
  fc.assert(
    fc.property(fc.array(steps, { maxLength: 40 }), (taken) => {
      const world = new RegistrarWorld().register();
      for (const step of taken) step(world);
      if (world.outcome !== undefined) return;
      const requests = world.sent.length;
      world.fail();
      world.advance(24 * HOUR_MS);
      assert.ok(world.sent.length > requests || world.outcome !== undefined);
    }),
  );
});
