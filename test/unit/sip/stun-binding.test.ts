/** Addresses and their masked forms are those of RFC 5769 §2.2 and §2.3. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { answerBinding, isStun } from "../../../protocol/sip/stun-binding.ts";

const TRANSACTION = "b7e7a701bc34d686fa87dfae";
const FOUR = { address: "192.0.2.1", port: 32853 };
const SIX = { address: "2001:db8:1234:5678:11:2233:4455:6677", port: 32853 };

const stun = (type: string, attributes = "", length = attributes.length / 2): Buffer =>
  Buffer.from(
    `${type}${length.toString(16).padStart(4, "0")}2112a442${TRANSACTION}${attributes}`,
    "hex",
  );
const SOFTWARE = "8022000474657374";

test("a Binding request is told where it came from", () => {
  const four = answerBinding(stun("0001"), FOUR);
  assert.equal(four?.toString("hex"), stun("0101", "002000080001a147e112a643").toString("hex"));
  const six = answerBinding(stun("0001", SOFTWARE), SIX);
  assert.equal(
    six?.toString("hex"),
    stun("0101", "002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9").toString("hex"),
  );
});

test("attributes that must be understood and are not: 420 names them, at most four", () => {
  const username = "000600086576746a3a683676";
  assert.equal(
    answerBinding(stun("0001", username), FOUR)?.toString("hex"),
    stun("0111", "0009000400000414000a00020006 0000".replace(" ", "")).toString("hex"),
  );
  const many = Array.from({ length: 40 }, (_, index) => `00${(0x40 + index).toString(16)}0000`);
  const answer = answerBinding(stun("0001", many.join("")), FOUR);
  assert.equal(answer?.length, 20 + 8 + 4 + 8);
});

test("everything else gets no answer", () => {
  const silent = {
    "another method": stun("0003"),
    "an answer": stun("0101", "002000080001a147e112a643"),
    "an indication": stun("0011"),
    "a length beyond the datagram": stun("0001", "", 8),
    "a length short of it": stun("0001", SOFTWARE, 0),
    "an attribute beyond the end": stun("0001", "8022000874657374"),
    "half an attribute": stun("0001", "8022"),
    "another cookie": Buffer.from(`000100002112a443${TRANSACTION}`, "hex"),
    "a header cut short": stun("0001").subarray(0, 19),
  };
  for (const [what, octets] of Object.entries(silent))
    assert.equal(answerBinding(octets, FOUR), undefined, what);
});

test("SIP is never taken for STUN, and no octets make it throw", () => {
  assert.equal(isStun(Buffer.from("OPTIONS sip:a@example.com SIP/2.0\r\n\r\n")), false);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 120 }), fc.boolean(), (octets, isHeaded) => {
      const made = Buffer.from(octets);
      const input = isHeaded ? Buffer.concat([stun("0001", "", octets.length), made]) : made;
      const answer = answerBinding(input, SIX);
      assert.ok(answer === undefined || answer.length <= input.length + 24);
    }),
  );
});
