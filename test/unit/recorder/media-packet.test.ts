import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { encodeNflog } from "../../../protocol/capture/nflog.ts";
import { decodeUdp, encodeUdp } from "../../../protocol/capture/udp.ts";
import { isProtocolError } from "../../../protocol/errors.ts";
import { decodeMediaPacket, withPayload } from "../../../recorder/core/media-packet.ts";

const ENDS = {
  4: { source: "192.0.2.1", destination: "192.0.2.2" },
  6: { source: "2001:db8::1", destination: "2001:db8::2" },
} as const;

const captured = (family: 4 | 6, payload: Uint8Array, captureMicros?: number) => {
  const ip = encodeUdp({
    ...ENDS[family],
    sourcePort: 5000,
    destinationPort: 6000,
    payload: Buffer.from(payload),
  });
  const time = captureMicros === undefined ? {} : { captureMicros };
  return { captureMicros: 99, nflog: encodeNflog({ family, group: 5, payload: ip, ...time }) };
};

describe("media packet", () => {
  it("has the kernel's time, or the capture's where the kernel gave none", () => {
    assert.equal(decodeMediaPacket(captured(4, Buffer.alloc(1), 7)).micros, 7);
    assert.equal(decodeMediaPacket(captured(4, Buffer.alloc(1))).micros, 99);
  });

  it("is a whole UDP datagram or refused", () =>
    assert.throws(
      () => decodeMediaPacket({ captureMicros: 0, nflog: Buffer.from([2, 0, 0, 5]) }),
      (error) => isProtocolError(error, "ERR_CAPTURE_SYNTAX"),
    ));

  for (const family of [4, 6] as const)
    it(`takes another payload with lengths and IPv${family} checksums that fit`, () => {
      fc.assert(
        fc.property(
          fc.uint8Array({ maxLength: 60 }),
          fc.uint8Array({ maxLength: 60 }),
          (before, after) => {
            const packet = decodeMediaPacket(captured(family, before));
            const changed = withPayload(packet, after);
            const udp = decodeUdp(changed);
            assert.deepEqual(udp, { ...packet.udp, payload: Buffer.from(after) });
            const fresh = encodeUdp(udp);
            if (family === 6) assert.deepEqual(changed, fresh);
            else {
              fresh.writeUInt16BE(0, 26); // the UDP checksum, left out over IPv4
              assert.deepEqual(changed, fresh);
            }
          },
        ),
      );
    });

  it("keeps the headers as captured", () => {
    const packet = decodeMediaPacket(captured(4, Buffer.alloc(20)));
    packet.octets.writeUInt8(0xb8, 1); // DSCP EF
    packet.octets.writeUInt8(61, 8);
    const changed = withPayload(packet, Buffer.alloc(3));
    assert.equal(changed.readUInt8(1), 0xb8);
    assert.equal(changed.readUInt8(8), 61);
  });
});
