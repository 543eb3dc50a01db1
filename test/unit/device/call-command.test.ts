import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseCallCommand } from "../../../device/core/call-command.ts";

for (const verb of ["ring", "answer", "hangup"] as const)
  for (const text of [`{"do":"${verb}"}`, `{ "do": "${verb}", "more": 1 }\r`, verb])
    test(`${JSON.stringify(text)} is understood`, () => {
      assert.deepEqual(parseCallCommand(Buffer.from(text)), { kind: "command", verb });
    });

for (const text of ["", "{", "null", '{"do":1}', '{"do":"toString"}', "[]", "answer now"])
  test(`${JSON.stringify(text)} is refused`, () => {
    assert.equal(parseCallCommand(Buffer.from(text)).kind, "refused");
  });

test("any octets are a command or refused", () => {
  fc.assert(
    fc.property(fc.uint8Array(), (octets) => {
      assert.match(parseCallCommand(octets).kind, /^(command|refused)$/);
    }),
  );
});
