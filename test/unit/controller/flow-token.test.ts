import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { FlowTokens, MAX_TOKEN_CHARS } from "../../../controller/core/flow-token.ts";
import { Secret } from "../../../protocol/secret.ts";

const tokens = new FlowTokens(new Secret(Buffer.alloc(32, 1)));
const others = new FlowTokens(new Secret(Buffer.alloc(32, 2)));
const flows = fc.string({ minLength: 1, maxLength: 120 });

test("a token opens to its flow, under its own key alone", () => {
  fc.assert(
    fc.property(flows, (flow) => {
      const token = tokens.mint(flow);
      assert.equal(tokens.open(token), flow);
      assert.equal(tokens.mint(flow), token);
      assert.equal(others.open(token), undefined);
      assert.match(token, /^[\w-]+$/);
    }),
  );
});

test("a flipped bit never opens", () => {
  fc.assert(
    fc.property(flows, fc.nat(), (flow, bit) => {
      const octets = Buffer.from(tokens.mint(flow), "base64url");
      const at = bit % (octets.length * 8);
      octets.writeUInt8(octets.readUInt8(at >> 3) ^ (1 << (at & 7)), at >> 3);
      assert.equal(tokens.open(octets.toString("base64url")), undefined);
    }),
  );
});

test("anything else opens to nothing", () => {
  const flow = "udp/192.0.2.1:5060/203.0.113.9:40000";
  assert.ok(!Buffer.from(tokens.mint(flow), "base64url").includes("203.0.113.9"));
  fc.assert(fc.property(fc.string(), (text) => tokens.open(text) === undefined));
  for (const text of ["", "a", "A".repeat(MAX_TOKEN_CHARS + 1), `${tokens.mint(flow)}=`])
    assert.equal(tokens.open(text), undefined);
});
