import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { isProtocolError } from "../../../protocol/errors.ts";
import {
  checkOrder,
  MAX_ORDER_BYTES,
  MAX_ORDER_PAYLOADS,
  MAX_ORDER_STREAMS,
  parseOrder,
  serializeOrder,
} from "../../../protocol/ingest/order.ts";
import { orderFixture } from "./order-fixture.ts";

const isOrderError = (error: unknown) => isProtocolError(error, "ERR_ORDER");

describe("recording order", () => {
  it("round trips", () =>
    assert.deepEqual(parseOrder(serializeOrder(orderFixture())), orderFixture()));

  it("names the recording that it goes on from", () => {
    const linked = { ...orderFixture(), linked: "00000000-0000-4000-8000-00000000000b" };
    assert.deepEqual(parseOrder(serializeOrder(linked)), linked);
  });

  const order = orderFixture();
  const [stream] = order.streams;
  assert.ok(stream);
  const withStream = (change: object) => ({ ...order, streams: [{ ...stream, ...change }] });
  const bad: readonly [string, unknown, string][] = [
    ["another version", { ...order, version: 2 }, "version"],
    ["a recording id that is no UUID", { ...order, recording: "../../etc" }, "recording"],
    [
      "a recording id in capitals",
      { ...order, recording: order.recording.toUpperCase() },
      "recording",
    ],
    ["a link that is no UUID", { ...order, linked: "the call before" }, "linked"],
    ["revision 0", { ...order, revision: 0 }, "revision"],
    ["a time without zone", { ...order, startedAt: "2026-01-01T00:00:00" }, "startedAt"],
    ["an unknown policy", { ...order, policy: "as-captured" }, "policy"],
    ["port 0", withStream({ destination: { address: "192.0.2.1", port: 0 } }), "port"],
    ["a host name", withStream({ destination: { address: "h.example", port: 5 } }), "address"],
    ["an unknown label", withStream({ label: "spy" }), "streams.0.label"],
    ["an unknown field", withStream({ more: 1 }), "streams.0"],
    [
      "a key that is not base64",
      withStream({
        protection: { kind: "srtp", suite: "AES_CM_128_HMAC_SHA1_80", masterKeySalt: "?" },
      }),
      "masterKeySalt",
    ],
    ["a protection of no kind", withStream({ protection: {} }), "protection"],
    ["nothing", null, "not an object"],
  ];
  for (const [what, value, path] of bad)
    it(`refuses ${what}, naming the field`, () =>
      assert.throws(
        () => checkOrder(value),
        (error) => isProtocolError(error, "ERR_ORDER") && error.message.includes(path),
      ));

  it("never repeats a value in its error", () =>
    assert.throws(
      () =>
        checkOrder(withStream({ protection: { kind: "srtp", suite: "X", masterKeySalt: "KEY!" } })),
      (error) => isProtocolError(error) && !error.message.includes("KEY!"),
    ));

  it("bounds streams and payloads", () => {
    const streams = Array.from({ length: MAX_ORDER_STREAMS }, () => stream);
    assert.equal(checkOrder({ ...order, streams }).streams.length, MAX_ORDER_STREAMS);
    assert.throws(() => checkOrder({ ...order, streams: [...streams, stream] }), isOrderError);
    const one = { type: 0, codec: "PCMU", clockHz: 8000, channels: 1 };
    const payloads = Array.from({ length: MAX_ORDER_PAYLOADS }, () => one);
    checkOrder(withStream({ payloads }));
    assert.throws(() => checkOrder(withStream({ payloads: [...payloads, one] })), isOrderError);
  });

  it("bounds its own octets", () => {
    const octets = Buffer.alloc(MAX_ORDER_BYTES + 1, " ");
    serializeOrder(orderFixture()).copy(octets);
    assert.throws(() => parseOrder(octets), isOrderError);
    assert.deepEqual(parseOrder(octets.subarray(0, MAX_ORDER_BYTES)), orderFixture());
    const payloads = Array.from({ length: MAX_ORDER_PAYLOADS }, () => ({
      type: 127,
      codec: "c".repeat(32),
      clockHz: 1_000_000,
      channels: 8,
    }));
    const streams = Array.from({ length: MAX_ORDER_STREAMS }, () => ({ ...stream, payloads }));
    assert.throws(() => serializeOrder({ ...order, streams }), isOrderError);
  });

  it("is total over octets", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array(),
          fc.json().map((text) => Buffer.from(text)),
        ),
        (octets) => assert.throws(() => parseOrder(octets), isOrderError),
      ),
    );
  });
});
