import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  decodeIp,
  encodeIp,
  internetChecksum,
  MAX_EXTENSION_HEADERS,
} from "../../../protocol/capture/ip.ts";
import { decodeUdp, encodeUdp, type UdpDatagram } from "../../../protocol/capture/udp.ts";
import { isProtocolError } from "../../../protocol/errors.ts";

const refused = (error: unknown) => isProtocolError(error, "ERR_CAPTURE_SYNTAX");
const four: UdpDatagram = {
  source: "10.20.0.2",
  destination: "10.10.0.2",
  sourcePort: 40_000,
  destinationPort: 16_384,
  payload: Buffer.from("hello"),
};
const six: UdpDatagram = { ...four, source: "2001:db8::2", destination: "2001:db8:1::2" };

test("what is encoded is decoded, both families", () => {
  const ports = { sourcePort: fc.nat(65_535), destinationPort: fc.nat(65_535) };
  const payload = fc.uint8Array({ maxLength: 1500 }).map((o) => Buffer.from(o));
  const pair = fc.constantFrom(four, six);
  fc.assert(
    fc.property(pair, fc.record({ ...ports, payload }), (base, rest) => {
      const datagram = { ...base, ...rest };
      assert.deepEqual(decodeUdp(encodeUdp(datagram)), datagram);
    }),
  );
});

test("checksums are those that the RFCs demand: a sum over the whole comes to zero", () => {
  const packet = encodeUdp(four);
  assert.equal(internetChecksum([packet.subarray(0, 20)]), 0);
  const pseudo = Buffer.concat([
    packet.subarray(12, 20),
    Buffer.from([0, 17, 0, packet.length - 20]),
  ]);
  assert.equal(internetChecksum([pseudo, packet.subarray(20)]), 0);
  const packet6 = encodeUdp(six);
  const pseudo6 = Buffer.concat([
    packet6.subarray(8, 40),
    Buffer.from([0, 17, 0, packet6.length - 40]),
  ]);
  assert.equal(internetChecksum([pseudo6, packet6.subarray(40)]), 0);
});

test("a UDP checksum that comes to zero is sent as all ones (RFC 768)", () => {
  const bare = encodeUdp({ ...four, payload: Buffer.alloc(2) });
  const payload = Buffer.from([bare.readUInt8(26), bare.readUInt8(27)]);
  assert.equal(encodeUdp({ ...four, payload }).readUInt16BE(26), 0xffff);
});

test("link padding is left out, IPv4 options and IPv6 extension headers are passed over", () => {
  assert.deepEqual(decodeUdp(Buffer.concat([encodeUdp(four), Buffer.alloc(18)])), four);
  assert.deepEqual(decodeUdp(Buffer.concat([encodeUdp(six), Buffer.alloc(18)])), six);
  const packet = encodeUdp(four);
  const withOption = Buffer.concat([
    packet.subarray(0, 20),
    Buffer.alloc(4, 1),
    packet.subarray(20),
  ]);
  withOption.writeUInt8(0x46, 0);
  withOption.writeUInt16BE(withOption.length, 2);
  assert.deepEqual(decodeUdp(withOption), four);
  assert.deepEqual(decodeUdp(extended([0, 60, 43, 44])), six);
});

test("fragments, cut packets and other protocols are refused", () => {
  const fragment = Buffer.from(encodeUdp(four));
  fragment.writeUInt16BE(0x2000, 6);
  assert.throws(() => decodeUdp(fragment), refused, "more fragments");
  fragment.writeUInt16BE(0x0001, 6);
  assert.throws(() => decodeUdp(fragment), refused, "a later fragment");
  const fragment6 = extended([44]);
  fragment6.writeUInt16BE(1, 42);
  assert.throws(() => decodeUdp(fragment6), refused, "an IPv6 fragment");
  for (const packet of [encodeUdp(four), encodeUdp(six), extended([0, 44])])
    for (let length = 0; length < packet.length; length += 1)
      assert.throws(() => decodeUdp(packet.subarray(0, length)), refused, `cut at ${length}`);
  const tcp = encodeIp({
    source: four.source,
    destination: four.destination,
    protocol: 6,
    payload: Buffer.alloc(20),
  });
  assert.throws(() => decodeUdp(tcp), refused, "TCP");
});

test("lengths that disagree are refused", () => {
  const edit = (packet: Buffer, at: number, value: number) => {
    const copy = Buffer.from(packet);
    copy.writeUInt16BE(value, at);
    return copy;
  };
  assert.throws(() => decodeUdp(edit(encodeUdp(four), 0, 0x4400)), refused, "header of 16 octets");
  assert.throws(() => decodeUdp(edit(encodeUdp(four), 2, 19)), refused, "total below the header");
  assert.throws(() => decodeUdp(edit(encodeUdp(four), 24, 7)), refused, "UDP below its header");
  assert.throws(() => decodeUdp(edit(encodeUdp(four), 24, 14)), refused, "UDP beyond its packet");
  assert.throws(() => decodeUdp(edit(encodeUdp(four), 0, 0x5500)), refused, "version 5");
  const short = {
    source: four.source,
    destination: four.destination,
    protocol: 17,
    payload: Buffer.alloc(7),
  };
  assert.throws(() => decodeUdp(encodeIp(short)), refused, "no room for a UDP header");
});

test(`more than ${MAX_EXTENSION_HEADERS} extension headers are refused`, () => {
  assert.deepEqual(decodeUdp(extended(Array(MAX_EXTENSION_HEADERS).fill(60))), six);
  assert.throws(() => decodeUdp(extended(Array(MAX_EXTENSION_HEADERS + 1).fill(60))), refused);
});

test("any octets are a datagram or refused", () => {
  const mutated = fc
    .tuple(
      fc.constantFrom(encodeUdp(four), encodeUdp(six), extended([0, 44])),
      fc.nat(60),
      fc.nat(255),
    )
    .map(([packet, at, value]) => {
      const copy = Buffer.from(packet);
      copy[at % copy.length] = value;
      return copy;
    });
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 100 }), mutated), (octets) => {
      try {
        decodeUdp(octets);
      } catch (error) {
        if (!refused(error)) throw error;
      }
    }),
    { numRuns: 500 },
  );
});

test("two families in one packet, or a port that is none, are the caller's fault", () => {
  assert.throws(() => encodeIp({ ...decodeIp(encodeUdp(four)), source: "::2" }), RangeError);
  assert.throws(() => encodeUdp({ ...four, sourcePort: 65_536 }), RangeError);
});

/** The IPv6 datagram behind extension headers of eight octets each. */
function extended(kinds: readonly number[]): Buffer {
  const packet = encodeUdp(six);
  const headers = kinds.map((_, index) =>
    Buffer.from([kinds[index + 1] ?? 17, 0, 0, 0, 0, 0, 0, 0]),
  );
  const result = Buffer.concat([packet.subarray(0, 40), ...headers, packet.subarray(40)]);
  result.writeUInt8(kinds[0] ?? 17, 6);
  result.writeUInt16BE(result.length - 40, 4);
  return result;
}
