import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  decodeAgentLine,
  decodeControlLine,
  encodeControlLine,
  MAX_CONTROL_LINE_BYTES,
  oversizedLineReply,
} from "../../../protocol/control/line-codec.ts";
import {
  type AgentMessage,
  type ControlRequest,
  MAX_PINHOLES_PER_SESSION,
  type SessionPut,
} from "../../../protocol/control/messages.ts";

const put: SessionPut = {
  kind: "session.put",
  id: "7",
  session: "s1",
  revision: 1,
  leaseMs: 60_000,
  pinholes: [
    {
      id: "any>alice:rtp",
      from: {},
      to: { address: "10.10.0.2", port: 16_384 },
      media: "audio",
      component: "rtp",
    },
  ],
  recording: { recording: "3f2b6c1e-8f0a-4f6e-9a44-1d2f3c4b5a69", sealedOrder: "AAAA" },
};
const requests: readonly ControlRequest[] = [
  { kind: "hello", id: "1", version: 1, controller: "ss1.atlanta.example.com" },
  put,
  { kind: "session.close", id: "8", session: "s1", reason: "bye" },
  { kind: "sync.begin", id: "9", epoch: "e1" },
  { kind: "sync.end", id: "10", count: 0 },
  { kind: "health", id: "11" },
];
const counters = { "any>alice:rtp": { packets: 5, bytes: 860 } };
const answers: readonly AgentMessage[] = [
  { kind: "reply", id: "1", ok: true, version: 1 },
  { kind: "reply", id: "7", ok: true, applied: 1, recording: "accepted" },
  { kind: "reply", id: "7", ok: true, applied: 1, recording: { refused: "no room" } },
  { kind: "reply", id: "8", ok: true, counters, exact: true },
  { kind: "reply", id: "10", ok: true, closed: ["s2"] },
  {
    kind: "reply",
    id: null,
    ok: false,
    error: { code: "ERR_CONTROL_SYNTAX", message: "not JSON" },
  },
  { kind: "pinhole.active", session: "s1", pinhole: "any>alice:rtp" },
  { kind: "session.expired", session: "s1", counters, exact: false },
  { kind: "loss", session: "s1", reason: "capture restarted", fromMicros: 1, toMicros: 2 },
];
const lineOf = (value: unknown) => Buffer.from(JSON.stringify(value));

test("every message comes back as it went", () => {
  for (const request of requests)
    assert.deepEqual(decodeControlLine(encodeControlLine(request).subarray(0, -1)), {
      ok: true,
      message: request,
    });
  for (const answer of answers)
    assert.deepEqual(decodeAgentLine(encodeControlLine(answer).subarray(0, -1)), {
      ok: true,
      message: answer,
    });
});

test("a bad value is refused with the path of its field and the id of its request", () => {
  const pinhole = put.pinholes[0];
  const cases: readonly [unknown, string][] = [
    [{ ...put, colour: 1 }, "colour"],
    [
      { ...put, pinholes: [{ ...pinhole, to: { address: "10.10.0.2", port: 0 } }] },
      "pinholes.0.to.port",
    ],
    [
      { ...put, pinholes: [{ ...pinhole, to: { address: "10.10.0.2", port: 5, x: 1 } }] },
      "pinholes.0.to.x",
    ],
    [{ ...put, pinholes: [{ ...pinhole, id: "a b" }] }, "pinholes.0.id"],
    [{ ...put, pinholes: Array(MAX_PINHOLES_PER_SESSION + 1).fill(pinhole) }, "pinholes"],
    [{ ...put, revision: 0 }, "revision"],
    [{ ...put, leaseMs: 999 }, "leaseMs"],
    [{ ...put, session: "x".repeat(65) }, "session"],
    [{ ...put, session: 'x" drop' }, "session"],
    [{ ...put, recording: { recording: "no", sealedOrder: "AAAA" } }, "recording.recording"],
    [{ ...put, recording: { ...put.recording, sealedOrder: "*" } }, "recording.sealedOrder"],
    [{ ...put, kind: "session.steal" }, "kind"],
    [{ kind: "hello", id: "7", version: 2, controller: "c" }, "version"],
  ];
  for (const [value, path] of cases) {
    const decoded = decodeControlLine(lineOf(value));
    assert.ok(!decoded.ok, path);
    const { id, error } = decoded.reply;
    assert.deepEqual([id, error.code, error.path], ["7", "ERR_CONTROL_VALUE", path]);
  }
});

test("what is no JSON object in UTF-8 is refused without an id", () => {
  for (const line of ["", "{", "null", "[]", "7", '"x"', "\u0000"]
    .map((text) => Buffer.from(text))
    .concat(Buffer.from([0x7b, 0xff, 0x7d]))) {
    const decoded = decodeControlLine(line);
    assert.ok(!decoded.ok);
    assert.deepEqual([decoded.reply.id, decoded.reply.error.code], [null, "ERR_CONTROL_SYNTAX"]);
  }
  const noId = decodeControlLine(lineOf({ kind: "health" }));
  assert.ok(!noId.ok);
  assert.deepEqual([noId.reply.id, noId.reply.error.path], [null, "id"]);
});

test("a line of 64 KiB is read, one octet more is not", () => {
  const padded = (bytes: number) => Buffer.from(JSON.stringify(requests[5]).padEnd(bytes, " "));
  assert.equal(decodeControlLine(padded(MAX_CONTROL_LINE_BYTES)).ok, true);
  assert.deepEqual(decodeControlLine(padded(MAX_CONTROL_LINE_BYTES + 1)), {
    ok: false,
    reply: oversizedLineReply(),
  });
  const closed = Array(1200).fill("x".repeat(64));
  assert.throws(() => encodeControlLine({ kind: "reply", id: "1", ok: true, closed }), RangeError);
});

test("any octets are a message or owed a reply that itself is valid", () => {
  const json = fc.json().map((text) => Buffer.from(text));
  const mutated = fc
    .tuple(fc.constantFrom(...requests), fc.nat(400), fc.nat(255))
    .map(([request, at, value]) => {
      const line = lineOf(request);
      line[at % line.length] = value;
      return line;
    });
  fc.assert(
    fc.property(fc.oneof(json, mutated, fc.uint8Array()), (line) => {
      const decoded = decodeControlLine(line);
      if (decoded.ok) return;
      const again = decodeAgentLine(encodeControlLine(decoded.reply).subarray(0, -1));
      assert.deepEqual(again, { ok: true, message: decoded.reply });
    }),
    { numRuns: 500 },
  );
});

test("sealed orders and keys never come back in an error", () => {
  const decoded = decodeControlLine(
    lineOf({ ...put, recording: { ...put.recording, sealedOrder: "c2VjcmV0!" } }),
  );
  assert.ok(!decoded.ok);
  assert.equal(JSON.stringify(decoded.reply).includes("c2VjcmV0"), false);
});
