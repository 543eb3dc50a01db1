/** REGISTERs that mean no good: answered, never thrown at, and of no effect unless they are right. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ALICE, FROM_PHONE, NOW, newRegistrar, register } from "./register-fixture.ts";

const piece = fc.oneof(
  fc.string({ maxLength: 20 }),
  fc.constantFrom(
    ...["<sip:a@192.0.2.1>", "<sip:a@[2001:db8::1]:5060>", "<sips:a@example.com>", "*", "<tel:1>"],
    ...[";expires=", ";q=0.5", ";reg-id=1", ';+sip.instance="<urn:uuid:1>"', ",", '"', "<", ">"],
    ...["0", "60", "99999999999", "-1", "<sip:p;lr;ob>", "<sip:p?x=y>", "\\", "%00", "\u0000"],
  ),
);
const text = fc.array(piece, { maxLength: 6 }).map((parts) => parts.join(""));

const parts = fc.record({
  to: fc.oneof(fc.constant(`<${ALICE}>`), text),
  contacts: fc.array(text, { maxLength: 3 }),
  rows: fc
    .record({ expires: text, path: text, supported: text, require: text })
    .map(({ expires, path, supported, require }) =>
      [`Expires: ${expires}`, `Path: ${path}`, `Supported: ${supported}`, `Require: ${require}`]
        // Rows of a message hold no line ends.
        .filter((row) => !/[\r\n]/.test(row))
        .filter((_, at) => (expires.length + at) % 2 === 0),
    ),
  vias: fc.integer({ min: 1, max: 3 }),
  callId: text,
});

test("whatever a REGISTER says, it is answered; refused, it changes nothing", () => {
  fc.assert(
    fc.property(parts, (sent) => {
      const registrar = newRegistrar();
      const { response, changes } = registrar.handle(register(sent), FROM_PHONE, NOW);
      assert.ok([200, 400, 403, 404, 420, 423, 439].includes(response.status));
      if (response.status !== 200) assert.deepEqual([changes.length, registrar.size], [0, 0]);
      for (const [, value] of response.headers) assert.ok(!/[\r\n]/.test(value));
    }),
    { numRuns: 2000 },
  );
});

test("what one user is made to keep is bounded", () => {
  const registrar = newRegistrar();
  const path = `Path: <sip:${"p".repeat(3000)}@edge.example.com;lr>`;
  const huge = register({
    contacts: [`<sip:${"a".repeat(1200)}@192.0.2.1>`],
    rows: [path, "Supported: path"],
    vias: 2,
  });
  assert.equal(registrar.handle(huge, FROM_PHONE, NOW).response.status, 403);
  assert.equal(registrar.size, 0);
});
