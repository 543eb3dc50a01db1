/** SRTP as a whole: what a sender protects and a receiver opens, over a network that is not kind. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { isProtocolError } from "../../../protocol/errors.ts";
import { encodeRtcp } from "../../../protocol/rtp/rtcp-packet.ts";
import { encodeRtp } from "../../../protocol/rtp/rtp-packet.ts";
import {
  isSupportedSuite,
  masterKeySaltBytes,
  SRTP_SUITES,
  type SrtpSuite,
} from "../../../protocol/rtp/srtp-suite.ts";
import { Secret } from "../../../protocol/secret.ts";
import type { MasterKey } from "../../../protocol/srtp/packet-keys.ts";
import { REPLAY_WINDOW_PACKETS } from "../../../protocol/srtp/replay-window.ts";
import {
  FIRST_ROLLOVER_COUNTER_MAX,
  SrtpReceiver,
  SSRCS_MAX,
  type UnprotectResult,
} from "../../../protocol/srtp/srtp-receiver.ts";
import { SrtpSender } from "../../../protocol/srtp/srtp-sender.ts";

const SUITES = (Object.keys(SRTP_SUITES) as SrtpSuite[]).filter(isSupportedSuite);
const SSRC = 0x1234_5678;

const master = (suite: SrtpSuite = "AES_CM_128_HMAC_SHA1_80", fill = 7): MasterKey => ({
  suite,
  masterKeySalt: new Secret(Buffer.alloc(masterKeySaltBytes(suite), fill)),
});

const rtp = (sequenceNumber: number, ssrc = SSRC, payload = Buffer.alloc(20, 0xab)): Buffer =>
  encodeRtp({
    marker: false,
    payloadType: 0,
    sequenceNumber: sequenceNumber % 65_536,
    timestamp: 160,
    ssrc,
    csrcs: [],
    payload,
  });

const rtcp = (ssrc = SSRC): Buffer =>
  encodeRtcp([
    { kind: "receiver-report", ssrc, reports: [] },
    { kind: "goodbye", ssrcs: [ssrc], reason: "end of the call" },
  ]);

const outcome = (result: UnprotectResult | undefined): string =>
  result?.kind === "rejected" ? result.reason : (result?.kind ?? "none");
const open = (receiver: SrtpReceiver, ...packets: Uint8Array[]): string[] =>
  receiver.unprotectBatch(packets).map(outcome);
const openRtcp = (receiver: SrtpReceiver, ...packets: Uint8Array[]): string[] =>
  receiver.unprotectRtcpBatch(packets).map(outcome);

test("a stream with losses, reorder and rollovers opens to what was protected, in every suite", () => {
  const network = fc.record({
    suite: fc.constantFrom(...SUITES),
    start: fc.integer({ min: 65_400, max: 65_535 }),
    mki: fc.option(fc.uint8Array({ minLength: 1, maxLength: 8 }), { nil: undefined }),
    delays: fc.array(fc.integer({ min: -20, max: 60 }), { minLength: 150, maxLength: 300 }),
    payload: fc.uint8Array({ maxLength: 200 }),
  });
  fc.assert(
    fc.property(network, ({ suite, start, mki, delays, payload }) => {
      const key = { ...master(suite), ...(mki !== undefined && { mki }) };
      const sender = new SrtpSender(key);
      const receiver = new SrtpReceiver(key);
      const arrivals = delays
        .map((delay, at) => {
          const plain = rtp(start + at, SSRC, Buffer.from(payload));
          return { plain, sealed: sender.protectRtp(plain), delay, at, index: start + at };
        })
        .filter(({ delay }) => delay >= 0)
        .sort((a, b) => a.at + a.delay - (b.at + b.delay));
      const results = receiver.unprotectBatch(arrivals.map(({ sealed }) => sealed));
      for (const [nth, { plain, index }] of arrivals.entries())
        assert.deepEqual(results[nth], { kind: "ok", packet: plain, index });
    }),
    { numRuns: 20 },
  );
});

test("the keystream of a payload longer than one block hides every octet", () => {
  const sealed = new SrtpSender(master()).protectRtp(rtp(1, SSRC, Buffer.alloc(1000)));
  assert.ok(sealed.subarray(12, 1012).filter((octet) => octet === 0).length < 30);
});

test("header with CSRCs and extension stays in clear and is authenticated", () => {
  const plain = encodeRtp({
    marker: true,
    payloadType: 0,
    sequenceNumber: 1,
    timestamp: 1,
    ssrc: SSRC,
    csrcs: [1, 2],
    extension: { profile: 0xbede, content: Buffer.from("01020304", "hex") },
    payload: Buffer.from("speech"),
  });
  const sealed = new SrtpSender(master()).protectRtp(plain);
  assert.deepEqual(sealed.subarray(0, 28), plain.subarray(0, 28));
  assert.ok(!sealed.includes("speech"));
  const [result] = new SrtpReceiver(master()).unprotectBatch([sealed]);
  assert.deepEqual(result, { kind: "ok", packet: plain, index: 1 });
});

test("a flipped bit never opens, neither in SRTP nor in SRTCP", () => {
  for (const suite of SUITES) {
    const sender = new SrtpSender(master(suite));
    const receiver = new SrtpReceiver(master(suite));
    const [sealed, sealedRtcp] = [sender.protectRtp(rtp(1)), sender.protectRtcp(rtcp())];
    for (let bit = 0; bit < 8 * sealed.length; bit += 1)
      assert.notEqual(open(receiver, flip(sealed, bit))[0], "ok", `${suite} SRTP bit ${bit}`);
    for (let bit = 0; bit < 8 * sealedRtcp.length; bit += 1)
      assert.notEqual(openRtcp(receiver, flip(sealedRtcp, bit))[0], "ok", `${suite} bit ${bit}`);
    assert.deepEqual(receiver.ssrcs, { rtp: [], rtcp: [] });
    assert.deepEqual([open(receiver, sealed), openRtcp(receiver, sealedRtcp)], [["ok"], ["ok"]]);
  }
});

function flip(octets: Buffer, bit: number): Buffer {
  const flipped = Buffer.from(octets);
  const at = bit >> 3;
  flipped.writeUInt8(flipped.readUInt8(at) ^ (1 << (bit & 7)), at);
  return flipped;
}

test("another key, suite or MKI opens nothing", () => {
  const sealed = new SrtpSender({ ...master(), mki: Buffer.of(1) }).protectRtp(rtp(1));
  const others: MasterKey[] = [
    { ...master(), mki: Buffer.of(2) },
    { ...master(undefined, 8), mki: Buffer.of(1) },
    { ...master("AES_CM_128_HMAC_SHA1_32"), mki: Buffer.of(1) },
    master(),
  ];
  for (const key of others)
    assert.deepEqual(open(new SrtpReceiver(key), sealed), ["authentication"]);
});

test("a replayed packet is refused, near, far and within one batch", () => {
  const sender = new SrtpSender(master());
  const receiver = new SrtpReceiver(master());
  const sealed = Array.from({ length: REPLAY_WINDOW_PACKETS + 1 }, (_, at) =>
    sender.protectRtp(rtp(at)),
  );
  const [first = Buffer.alloc(0), second = Buffer.alloc(0)] = sealed;
  assert.deepEqual(open(receiver, first, first), ["ok", "replay"]);
  assert.ok(open(receiver, ...sealed.slice(2)).every((result) => result === "ok"));
  assert.deepEqual(open(receiver, ...sealed.slice(-2)), ["replay", "replay"]);
  assert.deepEqual(open(receiver, second), ["ok"], "late, but still in the window");
  assert.deepEqual(open(receiver, first), ["replay"], "beyond the window");

  const report = sender.protectRtcp(rtcp());
  assert.deepEqual(openRtcp(receiver, report, report), ["ok", "replay"]);
});

test("a forged packet moves no index: the stream goes on where it was", () => {
  const sender = new SrtpSender(master());
  const receiver = new SrtpReceiver(master());
  assert.deepEqual(open(receiver, sender.protectRtp(rtp(1))), ["ok"]);
  for (const sequenceNumber of [2, 20_000, 40_000, 60_000]) {
    const forged = Buffer.concat([rtp(sequenceNumber), Buffer.alloc(10)]);
    assert.deepEqual(open(receiver, forged), ["authentication"]);
  }
  assert.deepEqual(open(receiver, sender.protectRtp(rtp(2))), ["ok"]);
});

test("failed authentication does not grow state, and SSRCs are bounded", () => {
  const receiver = new SrtpReceiver(master());
  for (let ssrc = 0; ssrc < 1000; ssrc += 1) {
    assert.deepEqual(open(receiver, Buffer.concat([rtp(1, ssrc), Buffer.alloc(10)])), [
      "authentication",
    ]);
    const forged = Buffer.concat([rtcp(ssrc), Buffer.from("80000001", "hex"), Buffer.alloc(10)]);
    assert.deepEqual(openRtcp(receiver, forged), ["authentication"]);
  }
  assert.deepEqual(receiver.ssrcs, { rtp: [], rtcp: [] });

  const sender = new SrtpSender(master());
  for (let ssrc = 0; ssrc < SSRCS_MAX; ssrc += 1) {
    assert.deepEqual(open(receiver, sender.protectRtp(rtp(1, ssrc))), ["ok"]);
    assert.deepEqual(openRtcp(receiver, sender.protectRtcp(rtcp(ssrc))), ["ok"]);
  }
  assert.deepEqual(open(receiver, sender.protectRtp(rtp(1, SSRCS_MAX))), ["limit"]);
  assert.deepEqual(openRtcp(receiver, sender.protectRtcp(rtcp(SSRCS_MAX))), ["limit"]);
  assert.equal(receiver.ssrcs.rtp.length, SSRCS_MAX);
  assert.deepEqual(open(receiver, sender.protectRtp(rtp(2, 0))), ["ok"], "known SSRCs go on");
});

test("one who joins late finds the rollover counter, up to the bound he set", () => {
  const sender = new SrtpSender(master());
  const late = { firstRolloverCounterMax: FIRST_ROLLOVER_COUNTER_MAX };
  const sealed: Buffer[] = [];
  for (let index = 0; index <= (FIRST_ROLLOVER_COUNTER_MAX + 1) * 65_536; index += 16_384)
    sealed.push(sender.protectRtp(rtp(index)));
  for (const [at, packet] of sealed.entries()) {
    const [result] = new SrtpReceiver(master(), late).unprotectBatch([packet]);
    const isWithin = at < sealed.length - 1;
    assert.equal(outcome(result), isWithin ? "ok" : "authentication", `packet ${at}`);
    if (result?.kind === "ok") assert.equal(result.index, at * 16_384);
  }
  assert.deepEqual(open(new SrtpReceiver(master()), sealed[4] ?? Buffer.alloc(0)), ["ok"]);
  assert.deepEqual(open(new SrtpReceiver(master()), sealed[8] ?? Buffer.alloc(0)), [
    "authentication",
  ]);
  const beyond = { firstRolloverCounterMax: FIRST_ROLLOVER_COUNTER_MAX + 1 };
  assert.throws(() => new SrtpReceiver(master(), beyond), RangeError);
});

test("each SSRC has its own rollover counter and window under one key", () => {
  const sender = new SrtpSender(master());
  const receiver = new SrtpReceiver(master());
  const packets = [rtp(65_535, 1), rtp(10, 2), rtp(65_536, 1), rtp(11, 2)];
  const results = receiver.unprotectBatch(packets.map((packet) => sender.protectRtp(packet)));
  assert.deepEqual(
    results.map((result) => result.kind === "ok" && result.index),
    [65_535, 10, 65_536, 11],
  );
});

test("SRTCP: the index counts up and is explicit, E is set, reports come back", () => {
  const sender = new SrtpSender(master("AES_CM_128_HMAC_SHA1_32"));
  const receiver = new SrtpReceiver(master("AES_CM_128_HMAC_SHA1_32"));
  const sealed = [0, 1, 2].map(() => sender.protectRtcp(rtcp()));
  for (const [index, packet] of sealed.entries()) {
    assert.equal(packet.length, rtcp().length + 14, "a tag of 10 octets even for SHA1_32");
    assert.equal(packet.readUInt32BE(packet.length - 14), 0x8000_0000 + index);
    assert.ok(!packet.includes("end of the call"));
  }
  const results = receiver.unprotectRtcpBatch(sealed.toReversed());
  assert.deepEqual(
    results,
    [2, 1, 0].map((index) => ({ kind: "ok", packet: rtcp(), index })),
  );
});

test("what is no packet is refused as syntax", () => {
  const receiver = new SrtpReceiver(master());
  const sealed = new SrtpSender(master()).protectRtp(rtp(1, SSRC, Buffer.alloc(0)));
  const sealedRtcp = new SrtpSender(master()).protectRtcp(rtcp());
  assert.deepEqual(open(receiver, sealed), ["ok"], "an empty payload is a packet");
  assert.deepEqual(open(receiver, Buffer.alloc(0), sealed.subarray(1), sealed.subarray(0, 21)), [
    "syntax",
    "syntax",
    "syntax",
  ]);
  assert.deepEqual(openRtcp(receiver, Buffer.alloc(0), sealedRtcp.subarray(0, 21), sealed), [
    "syntax",
    "syntax",
    "syntax",
  ]);
});

test("the receiver is total over any octets", () => {
  const receiver = new SrtpReceiver(master());
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 80 })), (packets) => {
      const isRejected = (result: UnprotectResult) => result.kind === "rejected";
      assert.ok(receiver.unprotectBatch(packets).every(isRejected));
      assert.ok(receiver.unprotectRtcpBatch(packets).every(isRejected));
    }),
  );
});

test("what came in is left as it was", () => {
  const plain = rtp(1);
  const sealed = new SrtpSender(master()).protectRtp(plain);
  const before = Buffer.from(sealed);
  open(new SrtpReceiver(master()), sealed);
  assert.deepEqual([plain, sealed], [rtp(1), before]);
});

test("no keystream is used twice: a sequence number that was used is refused", () => {
  const sender = new SrtpSender(master());
  sender.protectRtp(rtp(100));
  for (const used of [100, 99, 0]) assert.throws(() => sender.protectRtp(rtp(used)), RangeError);
  assert.equal(sender.protectRtp(rtp(101)).length, rtp(101).length + 10);
});

test("the sender stops at the key's lifetime, the receiver reports it", () => {
  const key = { ...master(), lifetimePackets: 2 };
  const sender = new SrtpSender(key);
  const endless = new SrtpSender(master());
  const receiver = new SrtpReceiver(key);
  for (const sequenceNumber of [1, 2]) {
    sender.protectRtp(rtp(sequenceNumber));
    sender.protectRtcp(rtcp());
    open(receiver, endless.protectRtp(rtp(sequenceNumber)));
  }
  const isLimit = (error: unknown) => isProtocolError(error, "ERR_SRTP_LIMIT");
  assert.throws(() => sender.protectRtp(rtp(3)), isLimit);
  assert.throws(() => sender.protectRtcp(rtcp()), isLimit);
  assert.equal(receiver.isLifetimeExceeded, false);
  assert.deepEqual(open(receiver, endless.protectRtp(rtp(3))), ["ok"]);
  assert.equal(receiver.isLifetimeExceeded, true);
});

test("the caller's faults are RangeErrors", () => {
  const sender = new SrtpSender(master());
  assert.throws(() => sender.protectRtp(Buffer.alloc(11)), RangeError);
  assert.throws(() => sender.protectRtcp(Buffer.alloc(7)), RangeError);
  assert.throws(() => new SrtpSender(master("AEAD_AES_128_GCM")), RangeError);
  assert.throws(() => new SrtpReceiver(master("F8_128_HMAC_SHA1_80")), RangeError);
  const short = { suite: "AES_CM_128_HMAC_SHA1_80", masterKeySalt: new Secret(Buffer.alloc(29)) };
  assert.throws(() => new SrtpReceiver(short as MasterKey), RangeError);
});
