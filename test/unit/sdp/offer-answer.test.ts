import assert from "node:assert/strict";
import { test } from "node:test";
import { isProtocolError } from "../../../protocol/errors.ts";
import type { SrtpSuite } from "../../../protocol/rtp/srtp-suite.ts";
import { audioDescription } from "../../../protocol/sdp/audio-description.ts";
import type { CryptoAttribute } from "../../../protocol/sdp/crypto-attribute.ts";
import { mediaTransports } from "../../../protocol/sdp/media-transport.ts";
import {
  chooseCrypto,
  negotiateProtection,
  pairMedia,
} from "../../../protocol/sdp/offer-answer.ts";
import { parseSdp } from "../../../protocol/sdp/parse-sdp.ts";
import { payloadFormats } from "../../../protocol/sdp/payload-formats.ts";
import { serializeSdp } from "../../../protocol/sdp/serialize-sdp.ts";
import type { MediaDescription } from "../../../protocol/sdp/session-description.ts";
import { Secret } from "../../../protocol/secret.ts";

const PCMU = { payloadType: 0, encoding: "PCMU", clockHz: 8000, channels: 1 };
const CM80: SrtpSuite = "AES_CM_128_HMAC_SHA1_80";
const CM32: SrtpSuite = "AES_CM_128_HMAC_SHA1_32";

const key = (tag: number, suite: SrtpSuite, fill: number): CryptoAttribute => ({
  tag,
  suite,
  masterKeySalt: new Secret(Buffer.alloc(suite.startsWith("AEAD") ? 28 : 30, fill)),
});

function describe(crypto: CryptoAttribute[], change: Partial<MediaDescription> = {}) {
  const made = audioDescription({
    address: "192.0.2.1",
    rtpPort: 49170,
    sessionId: "1",
    formats: [PCMU],
    crypto,
  });
  return { ...made, media: made.media.map((media) => ({ ...media, ...change })) };
}

const OFFER = describe([key(1, "AEAD_AES_128_GCM", 1), key(2, CM80, 2), key(3, CM32, 3)]);

function protection(answer: ReturnType<typeof describe>, offer = OFFER) {
  const [pair] = pairMedia(offer, answer);
  assert.ok(pair !== undefined);
  return negotiateProtection(pair);
}

test("the first supported key of an offer is chosen", () => {
  assert.equal(OFFER.media[0] && chooseCrypto(OFFER.media[0])?.tag, 2);
  const [unsupported] = describe([key(1, "AEAD_AES_128_GCM", 1)]).media;
  assert.equal(unsupported && chooseCrypto(unsupported), undefined);
});

test("the answer's tag and suite pick the offerer's key", () => {
  const agreed = protection(describe([key(3, CM32, 9)]));
  assert.ok(agreed.kind === "srtp");
  assert.equal(agreed.offer, OFFER.media[0]?.crypto[2]);
  assert.deepEqual(agreed.answer.masterKeySalt.expose(), Buffer.alloc(30, 9));
});

const broken = { code: "ERR_SDES_PARAM", reason: "KDR" } as const;
const outcomes: readonly [string, object, ReturnType<typeof describe>][] = [
  ["port 0", { kind: "rejected" }, describe([], { port: 0 })],
  ["a tag not offered", { kind: "failed", reason: "tag-or-suite" }, describe([key(4, CM80, 9)])],
  [
    "a suite of another tag",
    { kind: "failed", reason: "tag-or-suite" },
    describe([key(2, CM32, 9)]),
  ],
  [
    "the offerer's key sent back",
    { kind: "failed", reason: "same-key" },
    describe([key(2, CM80, 2)]),
  ],
  [
    "two keys",
    { kind: "failed", reason: "several-crypto" },
    describe([key(2, CM80, 8), key(3, CM32, 9)]),
  ],
  [
    "only a key that was refused",
    { kind: "failed", reason: "tag-or-suite" },
    describe([], { proto: "RTP/SAVP", refusedCrypto: [broken] }),
  ],
  [
    "SAVP without a key",
    { kind: "failed", reason: "no-crypto" },
    describe([], { proto: "RTP/SAVP" }),
  ],
  ["AVP to an offer of SAVP", { kind: "failed", reason: "no-crypto" }, describe([])],
  ["DTLS", { kind: "opaque" }, describe([], { proto: "UDP/TLS/RTP/SAVPF" })],
  ["no RTP at all", { kind: "opaque" }, describe([], { proto: "udptl" })],
];

for (const [what, expected, answer] of outcomes)
  test(`an answer with ${what}: ${Object.values(expected).join(", ")}`, () => {
    assert.deepEqual(protection(answer), expected);
  });

test("plain RTP, offered and answered, stays plain; with keys on both sides it is SRTP", () => {
  assert.deepEqual(protection(describe([]), describe([])), { kind: "rtp" });
  const opportunistic = describe([key(2, CM80, 2)], { proto: "RTP/AVP" });
  const answer = describe([key(2, CM80, 9)], { proto: "RTP/AVP" });
  assert.equal(protection(answer, opportunistic).kind, "srtp");
  assert.deepEqual(protection(describe([]), opportunistic), { kind: "rtp" });
});

test("a stream without port that belongs to a bundle is not rejected", () => {
  const bundled = { port: 0, attributes: [{ name: "bundle-only" }] };
  const answer = describe([key(2, CM80, 9)], bundled);
  assert.equal(protection(answer).kind, "srtp");
  assert.deepEqual(mediaTransports(answer), [{ kind: "bundled" }]);
});

test("an answer with other streams than the offer's is refused", () => {
  const isSyntax = (error: unknown) => isProtocolError(error, "ERR_SDP_SYNTAX");
  assert.throws(() => pairMedia(OFFER, { ...OFFER, media: [] }), isSyntax);
  assert.throws(() => pairMedia(OFFER, describe([], { media: "video" })), isSyntax);
});

const at = (port: number, address = "192.0.2.1") => ({ address, port });
const mux = { rtcpMux: true };
const transports: readonly [string, object, ReturnType<typeof describe>, typeof OFFER?][] = [
  ["RTCP on the next port", { rtp: at(49170), rtcp: at(49171) }, describe([])],
  ["a=rtcp", { rtp: at(49170), rtcp: at(5000) }, describe([], { rtcp: { port: 5000 } })],
  [
    "a=rtcp elsewhere",
    { rtp: at(49170), rtcp: at(5000, "192.0.2.9") },
    describe([], { rtcp: { port: 5000, connection: { family: "IP4", address: "192.0.2.9" } } }),
  ],
  [
    "an address of the stream's own",
    { rtp: at(49170, "192.0.2.8"), rtcp: at(49171, "192.0.2.8") },
    describe([], { connection: { family: "IP4", address: "192.0.2.8" } }),
  ],
  ["mux, offered only", { rtp: at(49170), rtcp: at(49171) }, describe([], mux)],
  ["mux, refused", { rtp: at(49170), rtcp: at(49171) }, describe([], mux), describe([])],
  ["mux, agreed", { rtp: at(49170) }, describe([], mux), describe([], mux)],
  ["mux only", { rtp: at(49170) }, describe([], { attributes: [{ name: "rtcp-mux-only" }] })],
];

for (const [what, expected, description, peer] of transports)
  test(`transport: ${what}`, () => {
    assert.deepEqual(mediaTransports(description, peer), [{ kind: "active", ...expected }]);
  });

test("transport: port 0 is rejected, and what cannot be named is an error", () => {
  assert.deepEqual(mediaTransports(describe([], { port: 0 })), [{ kind: "rejected" }]);
  const isSyntax = (error: unknown) => isProtocolError(error, "ERR_SDP_SYNTAX");
  assert.throws(() => mediaTransports(describe([], { port: 65535 })), isSyntax);
  const { connection: _, ...nowhere } = describe([]);
  assert.throws(() => mediaTransports(nowhere), isSyntax);
});

test("payload formats: mapped, static, and unknown ones left out", () => {
  const opus = { payloadType: 96, encoding: "opus", clockHz: 48000, channels: 2 };
  const [media] = describe([], { payloads: [96, 8, 97], rtpmap: [opus] }).media;
  assert.deepEqual(media && payloadFormats(media), [
    opus,
    { payloadType: 8, encoding: "PCMA", clockHz: 8000, channels: 1 },
  ]);
});

test("a telephone's description is valid SDP, with and without keys", () => {
  const options = { rtpPort: 20000, sessionId: "7", formats: [PCMU] };
  const secure = audioDescription({
    ...options,
    address: "192.0.2.1",
    crypto: [key(1, CM80, 4)],
    direction: "recvonly",
    ptimeMs: 20,
    attributes: [{ name: "mid", value: "0" }],
  });
  const text = serializeSdp(secure).toString();
  assert.match(text, /^c=IN IP4 192\.0\.2\.1\r\n/m);
  assert.match(text, /^m=audio 20000 RTP\/SAVP 0\r\n/m);
  assert.match(text, /a=mid:0\r\na=ptime:20\r\na=recvonly\r\n$/);
  assert.equal(parseSdp(serializeSdp(secure)).media[0]?.crypto[0]?.tag, 1);

  const plain = audioDescription({ ...options, address: "2001:db8::1", crypto: [] });
  const parsed = parseSdp(serializeSdp(plain));
  assert.deepEqual(JSON.parse(JSON.stringify(parsed)), JSON.parse(JSON.stringify(plain)));
  assert.equal(parsed.media[0]?.proto, "RTP/AVP");
  assert.equal(parsed.connection?.family, "IP6");
});
