import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { decodeUdp } from "../../../protocol/capture/udp.ts";
import type { OrderStream } from "../../../protocol/ingest/order.ts";
import type { PcapngPacket } from "../../../protocol/pcapng/encode-pcapng.ts";
import type { MediaPacket } from "../../../recorder/core/media-packet.ts";
import {
  type Component,
  INTERFACES,
  MAX_KEPT_APART,
  MAX_PENDING_PACKETS,
  MediaStream,
  PENDING_MS,
} from "../../../recorder/core/media-stream.ts";
import { MAX_RECEIVERS } from "../../../recorder/core/stream-receivers.ts";
import {
  BOB,
  callerStream,
  mediaOf,
  NOW,
  OTHER_KEY,
  rtcpOf,
  rtpOf,
  STRANGER,
  senderOf,
  srtp,
} from "./call-fixture.ts";

const streamOf = (...orders: readonly OrderStream[]) => new MediaStream(orders, NOW);
const update = (stream: MediaStream, ...orders: readonly OrderStream[]) =>
  stream.update(orders, NOW);
const arrived = (packets: readonly MediaPacket[], component: Component = "rtp") =>
  packets.map((packet) => ({ component, packet }));
const take = (stream: MediaStream, ...packets: readonly MediaPacket[]) =>
  stream.take(arrived(packets), NOW);
const payloads = (stored: readonly PcapngPacket[]) =>
  stored.map(({ octets }) => decodeUdp(octets).payload);
const comments = (stored: readonly PcapngPacket[]) => stored.map(({ comment }) => comment);
const report = (stream: MediaStream, admitted: number | null = null) =>
  stream.report(() => admitted);

describe("stream with a key", () => {
  it("stores what is authentic, decrypted, with its time and in its order", () => {
    const [stream, sender] = [streamOf(callerStream()), senderOf()];
    const sealed = [1, 2, 3].map((at) => mediaOf(sender.protectRtp(rtpOf(at)), { ms: at }));
    const stored = take(stream, ...sealed);
    assert.deepEqual(
      payloads(stored),
      [1, 2, 3].map((at) => rtpOf(at)),
    );
    assert.deepEqual(
      stored.map(({ micros }) => micros),
      [1, 2, 3].map((ms) => (NOW + ms) * 1000),
    );
    assert.ok(stored.every(({ interfaceId }) => interfaceId === INTERFACES.media));
    const { rtp, lost, sources } = report(stream, 3);
    assert.equal(rtp.admitted, 3);
    assert.equal(rtp.authenticated, 3);
    assert.equal(rtp.stored, 3);
    assert.equal(lost, 0);
    assert.equal(sources[0]?.ssrc, 0x1111);
  });

  it("counts RTCP on its own port, and RTCP among RTP where it is muxed", () => {
    const [stream, sender] = [streamOf(callerStream()), senderOf()];
    const own = mediaOf(sender.protectRtcp(rtcpOf()), { to: { ...BOB, port: BOB.port + 1 } });
    stream.take(arrived([own], "rtcp"), NOW);
    const muxed = mediaOf(sender.protectRtcp(rtcpOf()));
    const stored = take(
      stream,
      mediaOf(sender.protectRtp(rtpOf(1))),
      muxed,
      mediaOf(sender.protectRtp(rtpOf(2))),
    );
    assert.deepEqual(payloads(stored), [rtpOf(1), rtcpOf(), rtpOf(2)]);
    const { rtp, rtcp, sources } = report(stream);
    assert.equal(rtcp.stored, 1);
    assert.equal(rtp.stored, 3);
    assert.equal(sources[0]?.packets, 2);
  });

  it("keeps apart as captured what is altered, repeated or no RTP, and says why", () => {
    const [stream, sender] = [streamOf(callerStream()), senderOf()];
    const sealed = sender.protectRtp(rtpOf(1));
    const altered = Buffer.from(sender.protectRtp(rtpOf(2)));
    altered[20] = (altered[20] ?? 0) ^ 1;
    const noise = Buffer.from("no RTP at all");
    const packets = [sealed, altered, sealed, noise].map((octets) => mediaOf(octets));
    const stored = take(stream, ...packets);
    assert.deepEqual(comments(stored), [undefined, "rejected: replay", "rejected: syntax"]);
    assert.deepEqual(stored[1]?.octets, packets[2]?.octets);
    assert.equal(stored[1]?.interfaceId, INTERFACES.keptApart);
    const late = stream.expire(NOW + PENDING_MS);
    assert.deepEqual(comments(late), ["rejected: authentication"], "no key came that opens it");
    assert.deepEqual(late[0]?.octets, packets[1]?.octets);
    const { rtp } = report(stream);
    assert.deepEqual(rtp.rejected, {
      authentication: 1,
      replay: 1,
      syntax: 1,
      limit: 0,
      source: 0,
    });
    assert.equal(rtp.keptApart, 3);
    assert.equal(rtp.captured, 4);
  });

  it("keeps apart no more than it may, and counts the rest", () => {
    const stream = streamOf(callerStream());
    const noise = mediaOf(Buffer.from("noise"));
    const flood = Array.from({ length: MAX_KEPT_APART + 5 }, () => noise);
    assert.equal(take(stream, ...flood).length, MAX_KEPT_APART);
    const { rtp } = report(stream);
    assert.equal(rtp.rejected.syntax, MAX_KEPT_APART + 5);
    assert.equal(rtp.keptApart, MAX_KEPT_APART);
  });

  it("takes the sender's source for nothing: the key decides", () => {
    const source = { address: "10.10.0.2" };
    const [stream, sender] = [streamOf(callerStream({ source })), senderOf()];
    take(stream, mediaOf(sender.protectRtp(rtpOf(1)), { from: STRANGER }));
    assert.equal(report(stream).rtp.authenticated, 1);
  });
});

describe("stream whose key is changed", () => {
  const other = srtp(OTHER_KEY);

  it("opens under the new key, and under the last one what is still under way", () => {
    const [stream, before, after] = [streamOf(callerStream()), senderOf(), senderOf(OTHER_KEY)];
    take(stream, mediaOf(before.protectRtp(rtpOf(1))));
    assert.deepEqual(update(stream, callerStream({ protection: other })), []);
    const mixed = [
      before.protectRtp(rtpOf(2)),
      after.protectRtp(rtpOf(3)),
      before.protectRtp(rtpOf(4)),
      Buffer.from(rtpOf(5)),
    ];
    const stored = take(stream, ...mixed.map((octets) => mediaOf(octets)));
    assert.deepEqual(
      payloads(stored.slice(0, 3)),
      [2, 3, 4].map((at) => rtpOf(at)),
    );
    assert.equal(stored.length, 3);
    assert.deepEqual(comments(stream.expire(NOW + PENDING_MS)), ["rejected: authentication"]);
  });

  it("forgets the oldest of more keys than it may have", () => {
    const [stream, first] = [streamOf(callerStream()), senderOf()];
    const change = (letter: string) =>
      update(stream, callerStream({ protection: srtp(letter.repeat(40)) }));
    for (let n = 1; n < MAX_RECEIVERS; n += 1) change(String.fromCharCode(64 + n));
    assert.equal(take(stream, mediaOf(first.protectRtp(rtpOf(1)))).length, 1);
    change("Z");
    assert.equal(take(stream, mediaOf(first.protectRtp(rtpOf(2)))).length, 0);
  });

  it("keeps its replay window when a revision repeats the key", () => {
    const [stream, sender] = [streamOf(callerStream()), senderOf()];
    const sealed = mediaOf(sender.protectRtp(rtpOf(1)));
    take(stream, sealed);
    update(stream, callerStream());
    take(stream, sealed);
    assert.equal(report(stream).rtp.rejected.replay, 1);
  });

  it("keeps an RTCP port once named, also when a revision muxes", () => {
    const stream = streamOf(callerStream());
    const { rtcpPort: _gone, ...muxed } = callerStream();
    update(stream, muxed);
    assert.deepEqual(
      stream.ports.map(({ port }) => port),
      [BOB.port, BOB.port + 1],
    );
  });
});

describe("stream whose key is to come", () => {
  const pending = callerStream({ protection: { kind: "pending" } });

  it("holds what arrives and opens it when the answer brings the key", () => {
    const [stream, sender] = [streamOf(pending), senderOf()];
    assert.deepEqual(take(stream, mediaOf(sender.protectRtp(rtpOf(1)))), []);
    assert.deepEqual(update(stream, pending), []);
    const stored = update(stream, callerStream());
    assert.deepEqual(payloads(stored), [rtpOf(1)]);
    assert.equal(stream.deadline(), undefined);
  });

  it("gives up on a packet after two seconds, and on no other", () => {
    const [stream, sender] = [streamOf(pending), senderOf()];
    stream.take(arrived([mediaOf(sender.protectRtp(rtpOf(1)))]), NOW);
    stream.take(arrived([mediaOf(sender.protectRtp(rtpOf(2)))]), NOW + 1);
    assert.equal(stream.deadline(), NOW + PENDING_MS);
    assert.deepEqual(stream.expire(NOW + PENDING_MS - 1), []);
    assert.deepEqual(comments(stream.expire(NOW + PENDING_MS)), ["not decrypted: no key"]);
    assert.deepEqual(payloads(update(stream, callerStream())), [rtpOf(2)]);
    const { rtp } = report(stream);
    assert.equal(rtp.undecrypted, 1);
    assert.equal(rtp.stored, 1);
  });

  it("holds so many packets and no more", () => {
    const stream = streamOf(pending);
    const packet = mediaOf(rtpOf(1));
    const flood = Array.from({ length: MAX_PENDING_PACKETS }, () => packet);
    assert.deepEqual(take(stream, ...flood), []);
    assert.equal(take(stream, packet, packet).length, 2);
  });

  it("says so when the suite that comes is not supported", () => {
    const stream = streamOf(pending);
    take(stream, mediaOf(rtpOf(1)));
    const protection = { kind: "srtp", suite: "AEAD_X", masterKeySalt: "AAAA" } as const;
    const stored = update(stream, callerStream({ protection }));
    assert.deepEqual(comments(stored), ["not decrypted: crypto suite AEAD_X is not supported"]);
    assert.equal(take(stream, mediaOf(rtpOf(2))).length, 1);
    const { rtp, undecryptable } = report(stream);
    assert.equal(rtp.undecrypted, 2);
    assert.equal(undecryptable, "crypto suite AEAD_X is not supported");
  });
});

describe("stream without encryption", () => {
  const plain = callerStream({ protection: { kind: "rtp" }, source: { address: "10.10.0.2" } });

  it("is stored as it is, and never called authenticated", () => {
    const stream = streamOf(plain);
    assert.deepEqual(payloads(take(stream, mediaOf(rtpOf(1)))), [rtpOf(1)]);
    const { rtp } = report(stream);
    assert.equal(rtp.clear, 1);
    assert.equal(rtp.authenticated, 0);
  });

  it("is taken from the signalled address alone", () => {
    const stream = streamOf(plain);
    const stored = take(stream, mediaOf(rtpOf(2), { from: STRANGER }), mediaOf(rtpOf(2)));
    assert.deepEqual(comments(stored), ["rejected: source", undefined]);
    assert.deepEqual(payloads(stored.slice(1)), [rtpOf(2)]);
    assert.equal(report(stream).rtp.rejected.source, 1);
  });
});

it("a stream without an RTCP port has no kernel count for one", () => {
  const { rtcpPort: _gone, ...muxed } = callerStream();
  const { rtcp, rtcpPort } = streamOf(muxed).report(() => null);
  assert.equal(rtcpPort, undefined);
  assert.equal(rtcp.admitted, 0);
});
