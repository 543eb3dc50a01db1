import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { FirstPackets } from "../../../agent/core/first-packets.ts";
import { encodeNflog } from "../../../protocol/capture/nflog.ts";
import { encodeUdp } from "../../../protocol/capture/udp.ts";

const four = {
  source: "10.20.0.2",
  sourcePort: 9,
  destination: "10.10.0.2",
  destinationPort: 20_000,
};
const six = { ...four, source: "2001:db8::2", destination: "2001:db8:1::2" };
const copy = (ends: typeof four) =>
  encodeNflog({
    family: ends === six ? 6 : 4,
    group: 5,
    captureMicros: 1,
    prefix: "x",
    payload: encodeUdp({ ...ends, payload: Buffer.alloc(20) }),
  });

test("the first packet to a watched destination is told, once, in both families", () => {
  const packets = new FirstPackets();
  assert.equal(packets.isIdle(), true);
  for (const ends of [four, six]) {
    packets.watch(ends.destination, ends.destinationPort);
    assert.equal(packets.take(copy({ ...ends, destinationPort: 20_001 })), undefined);
    assert.deepEqual(packets.take(copy(ends)), ends);
    assert.equal(packets.take(copy(ends)), undefined);
  }
  packets.watch(four.destination, 1);
  packets.unwatch(four.destination, 1);
  assert.equal(packets.isIdle(), true);
});

test("whatever octets come, nothing is thrown", () => {
  const packets = new FirstPackets();
  const whole = copy(four);
  const cut = fc.nat(whole.length).map((length) => whole.subarray(0, length));
  const flipped = fc.tuple(fc.nat(whole.length - 1), fc.nat(255)).map(([at, octet]) => {
    const copied = Buffer.from(whole);
    copied[at] = octet;
    return copied;
  });
  const random = fc.uint8Array({ maxLength: 80 }).map((octets) => Buffer.from(octets));
  fc.assert(
    fc.property(fc.oneof(cut, flipped, random), (octets) => {
      packets.watch(four.destination, four.destinationPort);
      packets.take(octets);
    }),
    { numRuns: 500 },
  );
});
