import assert from "node:assert/strict";
import { test } from "node:test";
import {
  MAX_HELD_PACKETS,
  QUIET_MS,
  type VoiceEffect,
  VoiceSession,
} from "../../../device/core/voice-session.ts";
import type { Millis } from "../../../protocol/machine.ts";
import { decodeRtcp, encodeRtcp } from "../../../protocol/rtp/rtcp-packet.ts";
import { decodeRtp, encodeRtp } from "../../../protocol/rtp/rtp-packet.ts";
import { Secret } from "../../../protocol/secret.ts";
import type { MasterKey } from "../../../protocol/srtp/packet-keys.ts";
import { SrtpReceiver } from "../../../protocol/srtp/srtp-receiver.ts";
import { SrtpSender } from "../../../protocol/srtp/srtp-sender.ts";

const START = 1_700_000_000_123;
const FRAME = 160;

const key = (fill: number): MasterKey => ({
  suite: "AES_CM_128_HMAC_SHA1_80",
  masterKeySalt: new Secret(Buffer.alloc(30, fill)),
});
const [OURS, THEIRS, WRONG] = [key(1), key(2), key(3)];
const random = (size: number): Buffer => Buffer.alloc(size, 0xfe);
const speechOf = (octets: number): Buffer =>
  Buffer.from(Array.from({ length: octets }, (_, at) => at % 251));

const session = (speech: Buffer): VoiceSession => new VoiceSession({ speech, key: OURS, random });

/** Wakes the session at each of its deadlines, `lateMs` late, up to `until`. */
function run(voice: VoiceSession, until: Millis, lateMs = 0): (VoiceEffect & { at: Millis })[] {
  const effects: (VoiceEffect & { at: Millis })[] = [];
  for (let at = voice.deadline(); at !== undefined && at <= until; at = voice.deadline()) {
    const now = at + lateMs;
    effects.push(...voice.handle({ kind: "tick" }, now).map((effect) => ({ ...effect, at: now })));
  }
  return effects;
}

const kinds = (effects: readonly VoiceEffect[]): string[] =>
  effects.map((effect) => (effect.kind === "send" ? effect.component : effect.kind));

function opened(effects: readonly VoiceEffect[], component: "rtp" | "rtcp"): Buffer[] {
  const receiver = new SrtpReceiver(OURS);
  const packets = effects.flatMap((effect) =>
    effect.kind === "send" && effect.component === component ? [effect.packet] : [],
  );
  const results =
    component === "rtp" ? receiver.unprotectBatch(packets) : receiver.unprotectRtcpBatch(packets);
  return results.map((result) => {
    assert.equal(result.kind, "ok");
    return result.kind === "ok" ? result.packet : Buffer.alloc(0);
  });
}

test("packets leave every 20 ms, a report with the first and each second, a goodbye at the end", () => {
  const voice = session(speechOf(FRAME * 51));
  const first = voice.handle({ kind: "play" }, START);
  assert.deepEqual(kinds(first), ["started", "rtp", "rtcp"]);
  const rest = run(voice, START + 51 * 20);
  const at = (component: string): number[] =>
    rest.flatMap((e) => (e.kind === "send" && e.component === component ? [e.at - START] : []));
  assert.deepEqual(
    at("rtp"),
    Array.from({ length: 50 }, (_, n) => 20 * (n + 1)),
  );
  assert.deepEqual(at("rtcp"), [1000, 1020]);
  assert.deepEqual(kinds(rest).slice(-2), ["rtcp", "played"]);
  assert.equal(voice.counts.sent, 51);
  assert.equal(voice.counts.sentRtcp, 3);
});

test("lateness does not add up: what is overdue leaves at once, the rest in its own time", () => {
  const voice = session(speechOf(FRAME * 10));
  voice.handle({ kind: "play" }, START);
  const burst = voice.handle({ kind: "tick" }, START + 70);
  assert.deepEqual(kinds(burst), ["rtp", "rtp", "rtp"]);
  assert.equal(voice.deadline(), START + 80);
  const late = run(voice, START + 200, 7);
  assert.equal(late.at(-1)?.at, START + 207);
});

test("RTP counts up from packet to packet, marks the first, and carries the speech", () => {
  const speech = speechOf(FRAME * 3 - 60);
  const voice = session(speech);
  const effects = [...voice.handle({ kind: "play" }, START), ...run(voice, START + 60)];
  const packets = opened(effects, "rtp").map((packet) => decodeRtp(packet));
  assert.deepEqual(
    packets.map((p) => p.marker),
    [true, false, false],
  );
  assert.deepEqual(
    packets.map((p) => p.sequenceNumber),
    [0x7efe, 0x7eff, 0x7f00],
  );
  const [first = 0, ...others] = packets.map((p) => p.timestamp);
  assert.deepEqual(
    others.map((timestamp) => timestamp - first),
    [FRAME, 2 * FRAME],
  );
  const payloads = Buffer.concat(packets.map((p) => p.payload));
  assert.deepEqual(payloads, Buffer.concat([speech, Buffer.alloc(60, 0xff)]));
  assert.deepEqual(voice.said, payloads);
});

test("sender reports tie the wall clock to the media clock and count what was sent", () => {
  const voice = session(speechOf(FRAME * 51));
  const effects = [...voice.handle({ kind: "play" }, START), ...run(voice, START + 51 * 20)];
  const firstTimestamp = 0xfefe_fefe;
  const reports = opened(effects, "rtcp").map((packet) => decodeRtcp(packet));
  const [sr0, sr1, last] = reports.map(([report]) => report);
  const seconds = BigInt(Math.floor(START / 1000)) + 2_208_988_800n;
  const ntp = ((seconds & 0xffff_ffffn) << 32n) | ((123n << 32n) / 1000n);
  const common = { kind: "sender-report", ssrc: 0xfefe_fefe, reports: [] };
  assert.deepEqual(sr0, {
    ...{ ...common, ntpTimestamp: ntp, rtpTimestamp: firstTimestamp },
    ...{ packetCount: 1, octetCount: 160 },
  });
  assert.deepEqual(sr1, {
    ...{ ...common, ntpTimestamp: ntp + (1n << 32n), rtpTimestamp: firstTimestamp + 8000 },
    ...{ packetCount: 51, octetCount: 51 * 160 },
  });
  assert.equal(last?.kind === "sender-report" && last.packetCount, 51);
  assert.deepEqual(
    reports.map((packets) => packets.map(({ kind }) => kind).join()),
    [
      "sender-report,source-description",
      "sender-report,source-description",
      "sender-report,source-description,goodbye",
    ],
  );
});

/** The other side: protects packets under THEIRS, or under a key that is not its own. */
function peer(master: MasterKey = THEIRS) {
  const sender = new SrtpSender(master);
  return {
    rtp: (n: number, fill: number, payloadType = 0) =>
      sender.protectRtp(
        encodeRtp({
          ...{ marker: false, payloadType, sequenceNumber: n, timestamp: n * FRAME, ssrc: 9 },
          ...{ csrcs: [], payload: Buffer.alloc(FRAME, fill) },
        }),
      ),
    goodbye: () => sender.protectRtcp(encodeRtcp([{ kind: "goodbye", ssrcs: [9] }])),
    nonsense: () => sender.protectRtcp(Buffer.of(0x81, 200, 0, 1, 0, 0, 0, 9)),
  };
}

const counted = (voice: VoiceSession) => {
  const { received, authenticated, rejected } = voice.counts;
  return { received, authenticated, rejected };
};

test("only what proves itself is heard; the rest is counted", () => {
  const voice = session(speechOf(0));
  const [bob, mallory] = [peer(), peer(WRONG)];
  voice.handle({ kind: "expect", key: THEIRS }, START);
  const one = bob.rtp(1, 1);
  for (const packet of [one, mallory.rtp(2, 7), one, Buffer.from("noise"), bob.rtp(2, 2)])
    voice.handle({ kind: "rtp", packet }, START);
  assert.deepEqual(counted(voice), { received: 5, authenticated: 2, rejected: 3 });
  assert.deepEqual(voice.heard, Buffer.concat([Buffer.alloc(FRAME, 1), Buffer.alloc(FRAME, 2)]));
});

test("what comes before the key is held, and opened with it", () => {
  const voice = session(speechOf(0));
  const bob = peer();
  voice.handle({ kind: "rtp", packet: bob.rtp(1, 1) }, START);
  assert.deepEqual(counted(voice), { received: 1, authenticated: 0, rejected: 0 });
  voice.handle({ kind: "expect", key: THEIRS }, START);
  assert.deepEqual(counted(voice), { received: 1, authenticated: 1, rejected: 0 });
  assert.deepEqual(voice.heard, Buffer.alloc(FRAME, 1));
});

test("no more is held than the limit", () => {
  const voice = session(speechOf(0));
  const bob = peer();
  for (let n = 0; n <= MAX_HELD_PACKETS; n++)
    voice.handle({ kind: "rtp", packet: bob.rtp(n, 1) }, START);
  assert.equal(voice.counts.rejected, 1);
  voice.handle({ kind: "expect", key: THEIRS }, START);
  assert.equal(voice.counts.authenticated, MAX_HELD_PACKETS);
});

test("authentic packets of another codec, and authentic nonsense, are not heard", () => {
  const voice = session(speechOf(0));
  const bob = peer();
  voice.handle({ kind: "expect", key: THEIRS }, START);
  voice.handle({ kind: "rtp", packet: bob.rtp(1, 1, 8) }, START);
  voice.handle({ kind: "rtcp", packet: bob.nonsense() }, START);
  assert.equal(voice.counts.authenticated, 2);
  assert.equal(voice.heard.length, 0);
});

test("both have played once the other side says goodbye, whoever ends first", () => {
  const bob = peer();
  const first = session(speechOf(FRAME));
  first.handle({ kind: "expect", key: THEIRS }, START);
  first.handle({ kind: "play" }, START);
  assert.deepEqual(kinds(run(first, START + 20)), ["rtcp", "played"]);
  const after = first.handle({ kind: "rtcp", packet: bob.goodbye() }, START + 500);
  assert.deepEqual(kinds(after), ["both-played"]);
  assert.equal(first.deadline(), undefined);

  const last = session(speechOf(FRAME));
  last.handle({ kind: "expect", key: THEIRS }, START);
  last.handle({ kind: "play" }, START);
  last.handle({ kind: "rtcp", packet: peer().goodbye() }, START + 10);
  assert.deepEqual(kinds(run(last, START + 20)), ["rtcp", "played", "both-played"]);
});

test("a goodbye that does not prove itself ends nothing", () => {
  const voice = session(speechOf(FRAME));
  voice.handle({ kind: "expect", key: THEIRS }, START);
  voice.handle({ kind: "play" }, START);
  run(voice, START + 20);
  const effects = voice.handle({ kind: "rtcp", packet: peer(WRONG).goodbye() }, START + 30);
  assert.deepEqual(effects, []);
});

test("a side that falls quiet has ended too", () => {
  const voice = session(speechOf(FRAME));
  voice.handle({ kind: "expect", key: THEIRS }, START);
  voice.handle({ kind: "play" }, START);
  run(voice, START + 20);
  voice.handle({ kind: "rtp", packet: peer().rtp(1, 1) }, START + 400);
  assert.equal(voice.deadline(), START + 400 + QUIET_MS);
  const effects = run(voice, START + 400 + QUIET_MS);
  assert.deepEqual(kinds(effects), ["both-played"]);
});

test("who leaves while playing says goodbye once, sends no more, and goes on listening", () => {
  const voice = session(speechOf(FRAME * 10));
  voice.handle({ kind: "expect", key: THEIRS }, START);
  voice.handle({ kind: "play" }, START);
  assert.deepEqual(kinds(voice.handle({ kind: "leave" }, START + 5)), ["rtcp"]);
  assert.deepEqual(voice.handle({ kind: "leave" }, START + 6), []);
  assert.equal(voice.deadline(), undefined);
  assert.deepEqual(voice.handle({ kind: "tick" }, START + 40), []);
  voice.handle({ kind: "rtp", packet: peer().rtp(1, 1) }, START + 41);
  assert.equal(voice.counts.authenticated, 1);
});

test("who has played already has said goodbye", () => {
  const voice = session(speechOf(FRAME));
  voice.handle({ kind: "play" }, START);
  run(voice, START + 20);
  assert.deepEqual(voice.handle({ kind: "leave" }, START + 30), []);
});

test("a stopped session takes and sends nothing more", () => {
  const voice = session(speechOf(FRAME));
  voice.handle({ kind: "rtp", packet: peer().rtp(1, 1) }, START);
  voice.handle({ kind: "stop" }, START);
  assert.deepEqual(voice.handle({ kind: "play" }, START), []);
  voice.handle({ kind: "rtp", packet: peer().rtp(1, 1) }, START);
  assert.deepEqual(counted(voice), { received: 1, authenticated: 0, rejected: 1 });
});

test("an idle session waits for nothing, and a tick changes nothing", () => {
  const voice = session(speechOf(FRAME));
  assert.equal(voice.deadline(), undefined);
  assert.deepEqual(voice.handle({ kind: "tick" }, START), []);
  voice.handle({ kind: "play" }, START);
  assert.deepEqual(voice.handle({ kind: "play" }, START + 5), []);
});
