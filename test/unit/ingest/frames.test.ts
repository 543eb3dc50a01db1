import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { isProtocolError } from "../../../protocol/errors.ts";
import {
  decodeBatch,
  encodeBatch,
  encodeFrame,
  IngestFramer,
  MAX_BATCH_PACKETS,
  MAX_CAPTURED_BYTES,
  MAX_FRAME_BYTES,
} from "../../../protocol/ingest/frames.ts";

const frames = fc.array(
  fc.record(
    {
      kind: fc.integer({ min: 0, max: 255 }),
      payload: fc.uint8Array({ maxLength: 300 }).map((octets) => Buffer.from(octets)),
    },
    { noNullPrototype: true },
  ),
  { maxLength: 12 },
);

describe("IngestFramer", () => {
  it("gives back the frames however the stream is cut", () => {
    fc.assert(
      fc.property(frames, fc.array(fc.nat(400), { maxLength: 20 }), (sent, cuts) => {
        const stream = Buffer.concat(sent.map(({ kind, payload }) => encodeFrame(kind, payload)));
        const framer = new IngestFramer();
        const received = [];
        let at = 0;
        for (const cut of [...cuts, stream.length]) {
          received.push(...framer.push(stream.subarray(at, at + cut)));
          at += cut;
        }
        assert.deepEqual(received, sent);
        assert.ok(framer.isEmpty());
      }),
    );
  });

  it("knows that it stopped inside a frame", () => {
    const framer = new IngestFramer();
    assert.deepEqual(framer.push(encodeFrame(1, Buffer.from("{}")).subarray(0, 6)), []);
    assert.equal(framer.isEmpty(), false);
  });

  it("takes a frame of the greatest length and no longer one", () => {
    const whole = encodeFrame(3, Buffer.alloc(MAX_FRAME_BYTES - 1));
    assert.equal(new IngestFramer().push(whole)[0]?.payload.length, MAX_FRAME_BYTES - 1);
    assert.throws(() => encodeFrame(3, Buffer.alloc(MAX_FRAME_BYTES)), RangeError);
    const head = Buffer.alloc(4);
    head.writeUInt32BE(MAX_FRAME_BYTES + 1);
    assert.throws(
      () => new IngestFramer().push(head),
      (error) => isProtocolError(error, "ERR_INGEST_LIMIT"),
    );
  });

  it("refuses a frame without a kind", () => {
    assert.throws(
      () => new IngestFramer().push(Buffer.alloc(4)),
      (error) => isProtocolError(error, "ERR_INGEST_SYNTAX"),
    );
  });
});

describe("batch", () => {
  const packets = fc.array(
    fc.record(
      {
        captureMicros: fc.maxSafeNat(),
        nflog: fc.uint8Array({ maxLength: 100 }).map((octets) => Buffer.from(octets)),
      },
      { noNullPrototype: true },
    ),
    { maxLength: 20 },
  );

  it("round trips", () => {
    fc.assert(
      fc.property(packets, (sent) => assert.deepEqual(decodeBatch(encodeBatch(sent)), sent)),
    );
  });

  it("is total: packets or a ProtocolError", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (octets) => {
        try {
          decodeBatch(octets);
        } catch (error) {
          assert.ok(isProtocolError(error));
        }
      }),
    );
  });

  it("refuses every true prefix that ends inside a packet", () => {
    const whole = encodeBatch([{ captureMicros: 1, nflog: Buffer.alloc(20) }]);
    for (let end = 1; end < whole.length; end++)
      assert.throws(
        () => decodeBatch(whole.subarray(0, end)),
        (error) => isProtocolError(error, "ERR_INGEST_SYNTAX"),
      );
  });

  it("keeps its limits on both sides", () => {
    const empty = { captureMicros: 0, nflog: Buffer.alloc(0) };
    const most = Array.from({ length: MAX_BATCH_PACKETS }, () => empty);
    const full = encodeBatch(most);
    assert.equal(decodeBatch(full).length, MAX_BATCH_PACKETS);
    assert.throws(() => encodeBatch([...most, empty]), RangeError);
    const isLimit = (error: unknown) => isProtocolError(error, "ERR_INGEST_LIMIT");
    assert.throws(() => decodeBatch(Buffer.concat([full, encodeBatch([empty])])), isLimit);

    const long = { captureMicros: 0, nflog: Buffer.alloc(MAX_CAPTURED_BYTES) };
    const octets = encodeBatch([long]);
    assert.equal(decodeBatch(octets)[0]?.nflog.length, MAX_CAPTURED_BYTES);
    octets.writeUInt32BE(MAX_CAPTURED_BYTES + 1);
    assert.throws(() => decodeBatch(octets), isLimit);
    const longer = { captureMicros: 0, nflog: Buffer.alloc(MAX_CAPTURED_BYTES + 1) };
    assert.throws(() => encodeBatch([longer]), RangeError);
  });

  it("refuses a time that a number cannot hold", () => {
    const octets = encodeBatch([{ captureMicros: 0, nflog: Buffer.alloc(0) }]);
    octets.writeBigUInt64BE(2n ** 53n, 4);
    assert.throws(
      () => decodeBatch(octets),
      (error) => isProtocolError(error, "ERR_INGEST_SYNTAX"),
    );
  });
});
