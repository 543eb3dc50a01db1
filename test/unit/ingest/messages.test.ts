import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { isProtocolError } from "../../../protocol/errors.ts";
import { encodeFrame, FRAME_KINDS, IngestFramer } from "../../../protocol/ingest/frames.ts";
import {
  type AgentMessage,
  decodeAgentMessage,
  decodeRecorderMessage,
  encodeAgentMessage,
  encodeRecorderMessage,
  MAX_INGEST_JSON_BYTES,
  type RecorderMessage,
} from "../../../protocol/ingest/messages.ts";

const RECORDING = "0b2f6c0e-5d1c-4d8f-9a3e-1f2a3b4c5d6e";
const frameOf = (octets: Buffer) => {
  const frame = new IngestFramer().push(octets)[0];
  assert.ok(frame);
  return frame;
};
const json = (kind: number, value: unknown) =>
  frameOf(encodeFrame(kind, Buffer.from(JSON.stringify(value))));

const FROM_AGENT: readonly AgentMessage[] = [
  { kind: "hello", version: 1 },
  { kind: "order", id: 7, session: "s1", recording: RECORDING, sealedOrder: "AAAA" },
  { kind: "batch", packets: [{ captureMicros: 1, nflog: Buffer.from([2, 0, 0, 5]) }] },
  {
    kind: "close",
    session: "s1",
    reason: "bye",
    counters: { p1: { packets: 3, bytes: 600, to: { address: "192.0.2.1", port: 4000 } } },
    exact: true,
  },
  { kind: "gap", reason: "capture restarted", fromMicros: 1, toMicros: 2 },
];
const FROM_RECORDER: readonly RecorderMessage[] = [
  { kind: "order-reply", id: "a", result: "accepted" },
  { kind: "order-reply", id: 1, result: { refused: "no key" } },
  { kind: "closed", session: "s1", recording: RECORDING, completeness: { verdict: "complete" } },
];

describe("ingest messages", () => {
  for (const message of FROM_AGENT)
    it(`agent's ${message.kind} round trips`, () =>
      assert.deepEqual(decodeAgentMessage(frameOf(encodeAgentMessage(message))), message));

  for (const message of FROM_RECORDER)
    it(`recorder's ${message.kind} round trips`, () =>
      assert.deepEqual(decodeRecorderMessage(frameOf(encodeRecorderMessage(message))), message));

  const bad: readonly [string, number, unknown, string][] = [
    ["another version", FRAME_KINDS.hello, { version: 2 }, "version"],
    ["an unknown field", FRAME_KINDS.hello, { version: 1, more: true }, "(whole)"],
    ["a list", FRAME_KINDS.order, [], "(whole)"],
    [
      "an address that is none",
      FRAME_KINDS.close,
      {
        session: "s",
        reason: "",
        counters: { p: { packets: 1, bytes: 1, to: { address: "x", port: 1 } } },
      },
      "counters.p.to.address",
    ],
    ["a negative time", FRAME_KINDS.gap, { reason: "", fromMicros: -1, toMicros: 0 }, "fromMicros"],
  ];
  for (const [what, kind, value, path] of bad)
    it(`refuses ${what} and names the field`, () =>
      assert.throws(
        () => decodeAgentMessage(json(kind, value)),
        (error) => isProtocolError(error, "ERR_INGEST_SYNTAX") && error.message.includes(path),
      ));

  it("refuses unknown kinds, and each side's kinds from the other", () => {
    for (const kind of [0, 6, 127, 129, 130, 255])
      assert.throws(() => decodeAgentMessage(json(kind, {})), /frame kind/);
    for (const kind of [1, 2, 3, 4, 5, 131])
      assert.throws(() => decodeRecorderMessage(json(kind, {})), /frame kind/);
  });

  it("refuses what is not JSON or not UTF-8", () => {
    for (const payload of [Buffer.from("{"), Buffer.from([0xff])])
      assert.throws(
        () => decodeAgentMessage({ kind: FRAME_KINDS.hello, payload }),
        (error) => isProtocolError(error, "ERR_INGEST_SYNTAX"),
      );
  });

  it("bounds the JSON of a frame", () => {
    const payload = Buffer.alloc(MAX_INGEST_JSON_BYTES + 1, " ");
    assert.throws(
      () => decodeAgentMessage({ kind: FRAME_KINDS.hello, payload }),
      (error) => isProtocolError(error, "ERR_INGEST_LIMIT"),
    );
    payload.write('{"version":1}');
    const most = payload.subarray(0, MAX_INGEST_JSON_BYTES);
    assert.equal(decodeAgentMessage({ kind: FRAME_KINDS.hello, payload: most }).kind, "hello");
    const reason = "r".repeat(MAX_INGEST_JSON_BYTES);
    assert.throws(
      () => encodeAgentMessage({ kind: "gap", reason, fromMicros: 0, toMicros: 0 }),
      RangeError,
    );
  });
});
