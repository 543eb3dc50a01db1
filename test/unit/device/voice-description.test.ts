import assert from "node:assert/strict";
import { test } from "node:test";
import {
  answerVoice,
  offerVoice,
  readVoiceAnswer,
  readVoiceOffer,
} from "../../../device/core/voice-description.ts";
import { isProtocolError } from "../../../protocol/errors.ts";

const ALICE = { address: "10.10.0.2", rtpPort: 40_000 };
const BOB = { address: "10.20.0.2", rtpPort: 50_000 };

/** Octets that differ from call to call: 1, 2, 3, … */
function counting(from: number): (size: number) => Buffer {
  let next = from;
  return (size) => Buffer.alloc(size, next++);
}

const offer = () => offerVoice(ALICE, counting(1));
const edited = (octets: Buffer, from: string | RegExp, to: string): Buffer =>
  Buffer.from(octets.toString().replace(from, to));
const refused = (error: unknown): boolean =>
  isProtocolError(error, "ERR_SDP_UNACCEPTABLE") || isProtocolError(error, "ERR_SDP_SYNTAX");

test("an offer is one stream of PCMU over RTP/SAVP with one key of AES_CM_128_HMAC_SHA1_80", () => {
  const lines = offer().sdp.toString().split("\r\n");
  assert.deepEqual(lines, [
    "v=0",
    "o=- 565157600297474 565157600297474 IN IP4 10.10.0.2",
    "s=-",
    "c=IN IP4 10.10.0.2",
    "t=0 0",
    "m=audio 40000 RTP/SAVP 0",
    "a=rtpmap:0 PCMU/8000",
    `a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:${Buffer.alloc(30, 1).toString("base64")}`,
    "a=ptime:20",
    "a=sendrecv",
    "",
  ]);
});

test("an IPv6 phone says so", () => {
  const { sdp } = offerVoice({ address: "2001:db8::1", rtpPort: 40_000 }, counting(1));
  assert.match(sdp.toString(), /^c=IN IP6 2001:db8::1$/m);
});

test("offer and answer leave each side with the other's address and key", () => {
  const alice = offer();
  const bobReads = readVoiceOffer(alice.sdp);
  assert.deepEqual(bobReads.remote, {
    rtp: { address: "10.10.0.2", port: 40_000 },
    rtcp: { address: "10.10.0.2", port: 40_001 },
    crypto: bobReads.remote.crypto,
  });
  const bob = answerVoice(bobReads, BOB, counting(7));
  const aliceReads = readVoiceAnswer(bob.sdp, alice);
  assert.deepEqual(aliceReads.rtp, { address: "10.20.0.2", port: 50_000 });
  const [sent, read] = [bob.crypto, aliceReads.crypto].map((c) => c.masterKeySalt.expose());
  assert.deepEqual(read, sent);
  assert.notDeepEqual(read, alice.crypto.masterKeySalt.expose());
});

test("RTCP goes where a=rtcp says (RFC 3605)", () => {
  const body = edited(offer().sdp, "a=rtpmap", "a=rtcp:53020 IN IP4 10.10.0.3\r\na=rtpmap");
  assert.deepEqual(readVoiceOffer(body).remote.rtcp, { address: "10.10.0.3", port: 53_020 });
});

test("the answer keeps the tag of the first key that can be used, and its suite", () => {
  const lines = `a=crypto:3 AEAD_AES_128_GCM inline:${"A".repeat(38)}==\r\na=crypto:9 `;
  const body = edited(offer().sdp, "a=crypto:1 ", lines);
  const bob = answerVoice(readVoiceOffer(body), BOB, counting(7));
  assert.match(bob.sdp.toString(), /^a=crypto:9 AES_CM_128_HMAC_SHA1_80 inline:/m);
});

test("streams that the phone cannot take are answered in their place with port 0", () => {
  const video = "m=video 6000 RTP/AVP 31\r\nm=audio 40000";
  const bob = answerVoice(
    readVoiceOffer(edited(offer().sdp, "m=audio 40000", video)),
    BOB,
    counting(7),
  );
  const media = bob.sdp.toString().match(/^m=.*$/gm);
  assert.deepEqual(media, ["m=video 0 RTP/AVP 31", "m=audio 50000 RTP/SAVP 0"]);
});

const BAD_OFFERS: readonly (readonly [name: string, from: string | RegExp, to: string])[] = [
  ["plain RTP", "RTP/SAVP", "RTP/AVP"],
  ["no key", /^a=crypto.*\r\n/m, ""],
  ["a suite it lacks", /AES_CM\S+ inline:\S+/, `AEAD_AES_128_GCM inline:${"A".repeat(38)}==`],
  ["a key with an MKI", /(inline:\S+)/, "$1|2^20|1:4"],
  ["another codec only", "RTP/SAVP 0", "RTP/SAVP 8"],
  ["payload type 0 by another name", "PCMU", "L16"],
  ["port 0", "m=audio 40000", "m=audio 0"],
  ["no port left for RTCP", "m=audio 40000", "m=audio 65535"],
  ["RTCP on the RTP port only", "a=ptime:20", "a=rtcp-mux-only"],
  ["one direction only", "a=sendrecv", "a=sendonly"],
  ["no sound", "m=audio", "m=video"],
];

for (const [name, from, to] of BAD_OFFERS)
  test(`an offer is refused: ${name}`, () => {
    assert.throws(() => readVoiceOffer(edited(offer().sdp, from, to)), refused);
  });

test("what is no description is refused as the parser refuses it", () => {
  assert.throws(() => readVoiceOffer(Buffer.from("hello")), isProtocolError);
});

const BAD_ANSWERS: readonly (readonly [name: string, from: string | RegExp, to: string])[] = [
  ["the stream rejected", "m=audio 50000", "m=audio 0"],
  ["no stream", /m=[\s\S]*/, ""],
  ["a second stream", /$/, "m=audio 50002 RTP/AVP 0\r\n"],
  ["no key", /^a=crypto.*\r\n/m, ""],
  ["two keys", /(a=crypto:)1( .*\r\n)/, "$11$2$12$2"],
  ["another tag", "a=crypto:1", "a=crypto:2"],
  ["another suite", "SHA1_80", "SHA1_32"],
  ["a downgrade to plain RTP", "RTP/SAVP", "RTP/AVP"],
  ["our own key returned", /inline:\S+/, `inline:${Buffer.alloc(30, 1).toString("base64")}`],
];

for (const [name, from, to] of BAD_ANSWERS)
  test(`an answer is refused: ${name}`, () => {
    const alice = offer();
    const bob = answerVoice(readVoiceOffer(alice.sdp), BOB, counting(7));
    const answer = edited(bob.sdp, from, to);
    assert.throws(() => readVoiceAnswer(answer, alice), refused);
  });
