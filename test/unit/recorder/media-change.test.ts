import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { decodeUdp } from "../../../protocol/capture/udp.ts";
import type { OrderStream } from "../../../protocol/ingest/order.ts";
import type { PcapngPacket } from "../../../protocol/pcapng/encode-pcapng.ts";
import type { MediaPacket } from "../../../recorder/core/media-packet.ts";
import {
  INTERFACES,
  MAX_RTCP_PORTS,
  MAX_UNOPENED_PACKETS,
  MediaStream,
  NOT_RTP,
  PENDING_MS,
} from "../../../recorder/core/media-stream.ts";
import { GRACE_MS } from "../../../recorder/core/stream-receivers.ts";
import {
  ALICE,
  BOB,
  callerStream,
  KEY,
  mediaOf,
  NOW,
  OTHER_KEY,
  rtcpOf,
  rtpOf,
  STRANGER,
  senderAt,
  senderOf,
  srtp,
} from "./call-fixture.ts";

/** A stream and its clock. */
class Bench {
  readonly stream: MediaStream;
  now = NOW;

  constructor(...orders: readonly OrderStream[]) {
    this.stream = new MediaStream(orders, NOW);
  }

  take(...octets: readonly Uint8Array[]): readonly PcapngPacket[] {
    return this.from(ALICE, ...octets);
  }

  from(from: typeof ALICE, ...octets: readonly Uint8Array[]): readonly PcapngPacket[] {
    const packets: readonly MediaPacket[] = octets.map((each) => mediaOf(each, { from }));
    return this.stream.take(
      packets.map((packet) => ({ component: "rtp", packet })),
      this.now,
    );
  }

  update(...orders: readonly OrderStream[]): readonly PcapngPacket[] {
    return this.stream.update(orders, this.now);
  }

  get counts() {
    return this.stream.report(() => null).rtp;
  }
}

const PLAIN = { kind: "rtp" } as const;
const PENDING = { kind: "pending" } as const;
const keyed = callerStream();
const rekeyed = callerStream({ protection: srtp(OTHER_KEY) });
const plain = callerStream({ protection: PLAIN, source: { address: ALICE.address } });
const { rtcpPort: _none, ...muxed } = callerStream();
const fax: OrderStream = { ...muxed, media: "image", payloads: [], protection: PENDING };
/** UDPTL: a sequence number first, here one that looks like version 2 of RTP and PCMU. */
const UDPTL = Buffer.from([0x80, 0x00, 0x06, ...new Array<number>(30).fill(7)]);
const UDPTL_LOW = Buffer.from([0x00, 0x01, 0x06, 1, 2, 3, 4, 5, 6, 7]);

const payloads = (stored: readonly PcapngPacket[]) =>
  stored
    .filter(({ interfaceId }) => interfaceId === INTERFACES.media)
    .map(({ octets }) => decodeUdp(octets).payload);

describe("keys that change", () => {
  it("media that overtakes the answer with its key is opened when the key comes", () => {
    const [bench, after] = [new Bench(keyed), senderOf(OTHER_KEY)];
    assert.deepEqual(bench.take(after.protectRtp(rtpOf(7))), []);
    assert.equal(bench.stream.deadline(), NOW + PENDING_MS);
    assert.deepEqual(payloads(bench.update(rekeyed)), [rtpOf(7)]);
    assert.equal(bench.counts.rejected.authentication, 0);
  });

  it("so many packets wait for that and no more, and each no longer than two seconds", () => {
    const bench = new Bench(keyed);
    const forged = Array.from({ length: MAX_UNOPENED_PACKETS + 3 }, (_, at) => rtpOf(at));
    const kept = bench.take(...forged);
    assert.deepEqual(
      kept.map(({ comment }) => comment),
      new Array(3).fill("rejected: authentication"),
    );
    bench.now += 1000;
    bench.update(rekeyed);
    assert.equal(bench.stream.expire(NOW + PENDING_MS).length, MAX_UNOPENED_PACKETS);
    assert.equal(bench.stream.deadline(), undefined);
  });

  it("a new key may keep the rollover counter, or begin at 0 again", () => {
    for (const keeps of [true, false]) {
      const bench = new Bench(keyed);
      const sent = 3 * 65_536 + 5;
      const before = senderOf();
      for (let at = 0; at < sent; at += 20_000) bench.take(before.protectRtp(rtpOf(at)));
      bench.update(rekeyed);
      const after = keeps ? senderAt(sent, OTHER_KEY) : senderOf(OTHER_KEY);
      const packets = [sent, sent + 1].map((at) => after.protectRtp(rtpOf(at)));
      assert.deepEqual(payloads(bench.take(...packets)), [rtpOf(sent), rtpOf(sent + 1)]);
      const { sources } = bench.stream.report(() => null);
      assert.deepEqual(
        sources.map(({ packets: count }) => count),
        [10, 2],
      );
      assert.equal(sources[1]?.lost, 0, "numbers under one key say nothing of another's");
    }
  });

  it("an old packet under the old key is no repetition under the new one", () => {
    const [bench, before, after] = [new Bench(keyed), senderOf(), senderOf(OTHER_KEY)];
    bench.take(before.protectRtp(rtpOf(100)));
    const late = before.protectRtp(rtpOf(101));
    bench.update(rekeyed);
    for (let at = 102; at < 400; at += 1) bench.take(after.protectRtp(rtpOf(at)));
    assert.deepEqual(payloads(bench.take(late)), [rtpOf(101)]);
  });

  it("a key that comes back still knows what it opened", () => {
    const [bench, before] = [new Bench(keyed), senderOf()];
    const first = before.protectRtp(rtpOf(1));
    bench.take(first);
    bench.update(rekeyed);
    bench.update(keyed);
    assert.deepEqual(payloads(bench.take(first)), []);
    assert.equal(bench.counts.rejected.replay, 1);
    assert.deepEqual(payloads(bench.take(before.protectRtp(rtpOf(2)))), [rtpOf(2)]);
  });

  it("an offer without the answer's key takes no key back, and media under the new one waits", () => {
    const bench = new Bench(keyed);
    const [before, after] = [senderOf(), senderOf(OTHER_KEY)];
    bench.update(callerStream({ protection: PENDING }));
    const stored = bench.take(before.protectRtp(rtpOf(1)), after.protectRtp(rtpOf(2)));
    assert.deepEqual(payloads(stored), [rtpOf(1)]);
    assert.deepEqual(payloads(bench.update(rekeyed)), [rtpOf(2)]);
  });

  it("two keys named for one destination at once are told apart by tag", () => {
    const bench = new Bench(keyed, rekeyed);
    const [one, other] = [senderOf(), senderOf(OTHER_KEY)];
    const mixed = [one.protectRtp(rtpOf(1)), other.protectRtp(rtpOf(2, { ssrc: 2 }))];
    assert.equal(payloads(bench.take(...mixed)).length, 2);
    bench.update(rekeyed, keyed);
    assert.equal(payloads(bench.take(...mixed)).length, 0, "both windows are kept");
    assert.equal(bench.counts.rejected.replay, 2);
  });
});

describe("a stream that gets a key, or loses it", () => {
  it("plain packets that are still under way are taken a while longer, nothing else is", () => {
    const [bench, sender] = [new Bench(plain), senderOf()];
    bench.take(rtpOf(1));
    bench.update(callerStream({ source: { address: ALICE.address } }));
    const mixed = [rtpOf(2), sender.protectRtp(rtpOf(3)), rtpOf(4, { ssrc: 9 }), rtcpOf()];
    assert.deepEqual(payloads(bench.take(...mixed)), [rtpOf(2), rtpOf(3), rtcpOf()]);
    assert.deepEqual([bench.counts.authenticated, bench.counts.clear], [1, 3]);
    bench.now += GRACE_MS;
    assert.deepEqual(payloads(bench.take(rtpOf(5))), []);
    bench.stream.expire(Number.POSITIVE_INFINITY);
    assert.equal(bench.counts.rejected.authentication, 2);
  });

  it("what is opened under no key is never called authenticated", () => {
    const bench = new Bench(plain);
    bench.update(keyed);
    bench.update(plain);
    bench.take(senderOf().protectRtp(rtpOf(1)), rtpOf(2));
    assert.deepEqual([bench.counts.authenticated, bench.counts.clear], [1, 1]);
  });

  it("plain packets may begin where the keyed ones were", () => {
    const [bench, sender] = [new Bench(keyed), senderOf()];
    const sealed = Array.from({ length: 200 }, (_, at) => sender.protectRtp(rtpOf(at)));
    bench.take(...sealed);
    bench.update(plain);
    assert.deepEqual(payloads(bench.take(rtpOf(5))), [rtpOf(5)]);
  });

  it("an offer of a key alone does not end plain media", () => {
    const bench = new Bench(plain);
    bench.update({ ...plain, protection: PENDING });
    bench.now += 10 * GRACE_MS;
    assert.deepEqual(payloads(bench.take(rtpOf(1))), [rtpOf(1)]);
  });

  it("plain media of a former source is taken a while longer", () => {
    const bench = new Bench(plain);
    bench.update({ ...plain, source: { address: STRANGER.address } });
    assert.equal(payloads(bench.take(rtpOf(1))).length, 1);
    assert.equal(payloads(bench.from(STRANGER, rtpOf(2))).length, 1);
    bench.now += GRACE_MS;
    assert.equal(payloads(bench.take(rtpOf(3))).length, 0);
    assert.equal(bench.counts.rejected.source, 1);
    bench.update({ ...muxed, protection: PLAIN });
    assert.equal(payloads(bench.from(BOB, rtpOf(4))).length, 1, "no source was signalled");
  });
});

describe("fax", () => {
  it("is stored as captured, counted, and said to be no RTP", () => {
    const bench = new Bench(fax);
    const stored = bench.take(UDPTL, UDPTL_LOW, UDPTL);
    assert.deepEqual(
      payloads(stored),
      [UDPTL, UDPTL_LOW, UDPTL],
      "repetition is its own redundancy",
    );
    assert.ok(stored.every(({ comment }) => comment === NOT_RTP));
    const { rtp, media, sources, undecryptable } = bench.stream.report(() => 3);
    assert.deepEqual([rtp.clear, rtp.stored, rtp.undecrypted, media], [3, 3, 0, "image"]);
    assert.deepEqual([sources, undecryptable], [[], undefined]);
    assert.equal(bench.stream.deadline(), undefined, "nothing waits for a key");
  });

  it("takes a voice call's port over, and gives it back", () => {
    const [bench, sender] = [new Bench(keyed), senderOf()];
    bench.take(sender.protectRtp(rtpOf(1)));
    bench.update(fax);
    const mixed = bench.take(UDPTL, sender.protectRtp(rtpOf(2)), UDPTL_LOW);
    assert.deepEqual(payloads(mixed), [UDPTL, rtpOf(2), UDPTL_LOW]);
    bench.update(keyed);
    const after = bench.take(UDPTL_LOW, sender.protectRtp(rtpOf(3)));
    assert.deepEqual(payloads(after), [UDPTL_LOW, rtpOf(3)]);
    bench.now += GRACE_MS;
    assert.deepEqual(payloads(bench.take(UDPTL_LOW)), []);
    const { rtp, media } = bench.stream.report(() => null);
    assert.deepEqual([rtp.authenticated, rtp.clear, rtp.rejected.syntax], [3, 3, 1]);
    assert.equal(media, "audio+image");
  });

  it("follows plain speech, whose last packets are still taken for speech", () => {
    const bench = new Bench(plain);
    bench.take(rtpOf(1));
    bench.update({ ...fax, source: { address: ALICE.address } });
    const stored = bench.take(rtpOf(2), UDPTL, UDPTL_LOW);
    assert.deepEqual(
      stored.map(({ comment }) => comment),
      [undefined, NOT_RTP, NOT_RTP],
    );
    assert.equal(bench.from(STRANGER, UDPTL)[0]?.comment, "rejected: source");
  });
});

describe("ports", () => {
  it("every RTCP port that was named leads here, and counts", () => {
    const bench = new Bench(keyed);
    bench.update(callerStream({ rtcpPort: 40_001 }));
    bench.update(muxed);
    assert.deepEqual(
      bench.stream.ports.map(({ port }) => port),
      [BOB.port, BOB.port + 1, 40_001],
    );
    const { rtcpPort, formerRtcpPorts, rtcp } = bench.stream.report((port) => port);
    assert.deepEqual([rtcpPort, formerRtcpPorts], [40_001, [BOB.port + 1]]);
    assert.equal(rtcp.admitted, BOB.port + 1 + 40_001);
    for (let n = 0; n < MAX_RTCP_PORTS; n += 1)
      bench.update(callerStream({ rtcpPort: 41_000 + n }));
    assert.equal(bench.stream.ports.length, 1 + MAX_RTCP_PORTS);
  });

  it("an RTCP port that is the RTP port is none of its own", () =>
    assert.equal(new Bench(callerStream({ rtcpPort: BOB.port })).stream.ports.length, 1));

  it("no stream at all is our fault", () =>
    assert.throws(() => new MediaStream([], NOW), RangeError));
});

it("a revision that changes nothing opens and closes nothing", () => {
  const [bench, sender] = [new Bench(keyed), senderOf(KEY)];
  const first = sender.protectRtp(rtpOf(1));
  bench.take(first);
  assert.deepEqual(bench.update(keyed), []);
  bench.take(first);
  assert.equal(bench.counts.rejected.replay, 1);
});
